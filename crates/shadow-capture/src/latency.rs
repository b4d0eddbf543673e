//! How long the traffic is kept waiting by us, counted where it happens.
//!
//! Guarantee: recording never waits and never allocates: one relaxed addition to one of a fixed set of buckets, and one to the sum.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How often a thread's lag is measured: often enough for a p99 over one second, and too seldom to cost anything.
const TICK: Duration = Duration::from_millis(10);
/// Ticks that one stall can miss and still be counted for: beyond them, a stall is as bad as it gets.
const MISSED: u32 = 1_000;

/// The two delays that the agent may add to a request.
#[derive(Debug, Default)]
pub struct Latency {
    /// What our own code took, for each request.
    pub added: Histogram,
    /// How much later than due the threads of the hot path run.
    pub lag: Histogram,
}

/// Measures how much later than due this runtime's tasks run, for as long as it is polled. One for each runtime of the hot path.
pub async fn measure_lag(latency: Arc<Latency>) {
    loop {
        let due = Instant::now() + TICK;
        sleep_until(due).await;
        latency.lag.stall(Instant::now().saturating_duration_since(due));
    }
}

/// Equal buckets for each doubling: a delay is told to an eighth of its size.
const STEPS: usize = 8;
/// Doublings from 8 us up; the last ends at 67 s, and what is longer counts there.
const DOUBLINGS: usize = 23;
const BUCKETS: usize = STEPS * (DOUBLINGS + 1);

/// Delays, counted in buckets that grow with them.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), nanos: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one delay.
    pub fn record(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Counts a stall for every tick that came due in it, or the longer it was, the less it would count.
    fn stall(&self, mut late: Duration) {
        for _ in 0..MISSED {
            self.record(late);
            if late <= TICK {
                break;
            }
            late -= TICK;
        }
    }

    /// How many delays have been counted.
    pub fn count(&self) -> u64 {
        self.counts().total()
    }

    /// What has been counted so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts(std::array::from_fn(|n| self.buckets[n].load(Ordering::Relaxed)))
    }

    /// The sum of all delays, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.nanos.load(Ordering::Relaxed) as f64 / 1e9
    }
}

/// Bucket n holds the delays above the upper bound of the one before it, up to and with its own.
fn bucket(nanos: u64) -> usize {
    let micros = nanos.saturating_sub(1) / 1_000;
    let doubling = (micros / STEPS as u64).checked_ilog2().map_or(0, |n| n as usize);
    let step = (micros >> doubling) as usize;
    (doubling * STEPS + step).min(BUCKETS - 1)
}

fn upper_micros(bucket: usize) -> u64 {
    // The first doubling shares its step with what is below it.
    let doubling = (bucket / STEPS).saturating_sub(1);
    ((bucket - doubling * STEPS + 1) as u64) << doubling
}

/// A reading of a [`Histogram`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts([u64; BUCKETS]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Counts {
    /// What came after an earlier reading.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|n| self.0[n] - earlier.0[n]))
    }

    /// Delays counted.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The delay that 99 of 100 do not exceed, rounded up to its bucket's bound; zero when nothing was counted.
    pub(crate) fn p99(&self) -> Duration {
        let rank = (self.total() * 99).div_ceil(100);
        let mut seen = 0;
        let reached = self.0.iter().position(|count| {
            seen += count;
            seen >= rank && rank > 0
        });
        reached.map_or(Duration::ZERO, |bucket| Duration::from_micros(upper_micros(bucket)))
    }

    /// Upper bound in seconds and count of each doubling, the last without a bound.
    pub(crate) fn doublings(&self) -> Vec<(f64, u64)> {
        let sums = self.0.chunks(STEPS).map(|steps| steps.iter().sum());
        let mut doublings: Vec<(f64, u64)> =
            sums.enumerate().map(|(n, sum)| (upper_micros(n * STEPS + STEPS - 1) as f64 / 1e6, sum)).collect();
        if let Some(last) = doublings.last_mut() {
            last.0 = f64::INFINITY;
        }
        doublings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_delay_is_told_to_an_eighth_of_its_size_and_the_longest_are_counted_too() {
        for micros in (1..2_000).chain([4_096, 10_000, 999_999, 60_000_000]) {
            let told = upper_micros(bucket(micros * 1_000));
            assert!(
                told >= micros && told <= micros + micros.div_ceil(STEPS as u64),
                "{micros} us is told as {told} us"
            );
        }
        for bound in 1..BUCKETS {
            assert!(upper_micros(bound) > upper_micros(bound - 1));
            assert_eq!(bucket(upper_micros(bound) * 1_000), bound, "a bound belongs to the bucket it closes");
        }
        assert_eq!((bucket(0), bucket(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn one_of_a_hundred_may_be_slow() {
        let histogram = Histogram::default();
        assert_eq!(histogram.counts().p99(), Duration::ZERO);
        (0..99).for_each(|_| histogram.record(Duration::from_micros(40)));
        histogram.record(Duration::from_secs(1));
        assert_eq!(histogram.counts().p99(), Duration::from_micros(40));
        let before = histogram.counts();
        histogram.record(Duration::from_secs(1));
        assert!(histogram.counts().p99() >= Duration::from_secs(1));
        assert_eq!(histogram.counts().since(&before).total(), 1);
        assert!((histogram.seconds() - 2.00396).abs() < 1e-9);
    }

    #[test]
    fn the_exported_buckets_hold_everything_once() {
        let histogram = Histogram::default();
        for micros in [1, 8, 9, 16, 500, 70_000_000] {
            histogram.record(Duration::from_micros(micros));
        }
        let doublings = histogram.counts().doublings();
        let up_to = |bound: f64| doublings.iter().filter(|(le, _)| *le <= bound).map(|(_, count)| count).sum::<u64>();
        assert_eq!((up_to(8e-6), up_to(16e-6), up_to(f64::INFINITY)), (2, 4, 6));
        assert!(doublings.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_runs_on_time_has_no_lag_and_a_stall_counts_for_every_tick_it_took() {
        let latency = Arc::new(Latency::default());
        let measuring = tokio::spawn(measure_lag(latency.clone()));
        tokio::time::sleep(TICK * 100).await;
        let calm = latency.lag.counts();
        assert!(calm.total() >= 90 && calm.p99() < TICK, "{calm:?}");
        measuring.abort();
        latency.lag.stall(TICK * 50);
        assert_eq!(latency.lag.counts().since(&calm).total(), 50);
        latency.lag.stall(Duration::MAX);
        assert_eq!(latency.lag.counts().since(&calm).total(), 50 + u64::from(MISSED));
    }
}
