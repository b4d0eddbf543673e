use prometheus_client::registry::Registry;

use super::*;
use crate::metrics::Metrics;

const BASE: Duration = Duration::from_millis(20);

/// What a service does with a request that is one of `concurrent`.
type Service<'a> = &'a dyn Fn(usize) -> Sign;

/// A ceiling that a client with endless work keeps at its limit, against a service, with answers up to `noise` faster or slower.
struct Run {
    ceiling: Ceiling,
    now: Instant,
    noise: f64,
    seed: u64,
    limits: Vec<usize>,
}

impl Run {
    fn new(most: usize, noise: f64) -> Self {
        let now = Instant::now();
        Self { ceiling: Ceiling::new(most, now), now, noise, seed: 7, limits: Vec::new() }
    }

    /// Rounds in each of which as many requests as allowed leave together, and their answers come one after the other.
    fn rounds(&mut self, rounds: usize, service: Service<'_>) -> &mut Self {
        self.limits.clear();
        for _ in 0..rounds {
            let (concurrent, sent) = (self.ceiling.limit(), self.now);
            self.ceiling.bound();
            let mut signs: Vec<(Duration, Sign)> = (0..concurrent)
                .map(|_| match service(concurrent) {
                    Sign::Answered(after) => {
                        let after = after.mul_f64(1.0 + self.noise * self.random());
                        (after, Sign::Answered(after))
                    }
                    Sign::Overloaded => (BASE, Sign::Overloaded),
                })
                .collect();
            signs.sort_by_key(|(after, _)| *after);
            for (after, sign) in signs {
                self.now = self.now.max(sent + after);
                self.ceiling.ended(sent, sign, self.now);
            }
            self.limits.push(self.ceiling.limit());
        }
        self
    }

    /// From -1 to 1.
    fn random(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as f64 / f64::from(1u32 << 30) - 1.0
    }

    /// Least, mean and most of the limits in the last half of the rounds.
    fn settled(&self) -> (usize, usize, usize) {
        let half = &self.limits[self.limits.len() / 2..];
        let (least, most) = (half.iter().min().unwrap(), half.iter().max().unwrap());
        (*least, half.iter().sum::<usize>() / half.len(), *most)
    }
}

fn constant(_: usize) -> Sign {
    Sign::Answered(BASE)
}

/// Works on `workers` requests at a time; the others queue.
fn queueing(workers: usize) -> impl Fn(usize) -> Sign {
    move |concurrent| Sign::Answered(BASE.mul_f64((concurrent as f64 / workers as f64).max(1.0)))
}

#[test]
fn a_service_that_never_queues_gets_all_places() {
    for noise in [0.0, 0.5] {
        let mut run = Run::new(64, noise);
        let (least, mean, most) = run.rounds(1000, &constant).settled();
        assert!(least >= 30 && mean >= 55 && most == 64, "noise {noise}: {least} {mean} {most}");
    }
}

#[test]
fn it_settles_near_the_knee_without_wild_swings() {
    for (workers, noise) in [(8, 0.0), (20, 0.0), (20, 0.4), (60, 0.0), (60, 0.4), (150, 0.2)] {
        let mut run = Run::new(400, noise);
        let (least, mean, most) = run.rounds(3000, &queueing(workers)).settled();
        let at = format!("{workers} workers, noise {noise}: {least} {mean} {most}");
        assert!((workers * 8 / 10..=workers * 15 / 10).contains(&mean), "{at}");
        assert!(least >= workers * 6 / 10 && most <= workers * 2, "{at}");
    }
}

#[test]
fn it_follows_a_service_that_loses_workers_and_gets_them_back() {
    let mut run = Run::new(128, 0.1);
    run.rounds(500, &queueing(60));
    let (.., most) = run.rounds(500, &queueing(12)).settled();
    assert!(most <= 24, "{most}");
    let (least, ..) = run.rounds(1000, &queueing(60)).settled();
    assert!(least >= 36, "{least}");
}

#[test]
fn a_service_that_is_slower_by_itself_is_not_throttled_for_it() {
    let mut run = Run::new(64, 0.1);
    run.rounds(300, &constant);
    let slower = |_| Sign::Answered(BASE * 5);
    let (least, ..) = run.rounds(300, &slower).settled();
    assert!(least >= 30, "{least}");
}

#[test]
fn overload_throttles_at_once_and_is_forgotten() {
    let refusing = |concurrent| if concurrent > 20 { Sign::Overloaded } else { constant(concurrent) };
    let mut run = Run::new(64, 0.0);
    let (least, mean, most) = run.rounds(1000, &refusing).settled();
    assert!(least >= 10 && (12..=20).contains(&mean) && most <= 24, "{least} {mean} {most}");

    let dead = |_| Sign::Overloaded;
    assert_eq!(run.rounds(1000, &dead).ceiling.limit(), 1);
    let (least, ..) = run.rounds(1000, &constant).settled();
    assert!(least >= 60, "{least}");
}

#[test]
fn what_was_sent_before_a_change_says_nothing_of_it() {
    let (start, mut run) = (Instant::now(), Run::new(64, 0.0));
    let limit = run.rounds(100, &constant).ceiling.limit();
    for _ in 0..1000 {
        run.ceiling.ended(start, Sign::Overloaded, run.now);
    }
    assert_eq!(run.ceiling.limit(), limit);
}

#[test]
fn it_does_not_grow_unused() {
    let mut ceiling = Ceiling::new(64, Instant::now());
    let mut now = Instant::now();
    for _ in 0..1000 {
        let sent = now;
        now += BASE;
        ceiling.ended(sent, Sign::Answered(BASE), now);
    }
    assert_eq!(ceiling.limit(), START as usize);
}

#[tokio::test(start_paused = true)]
async fn a_ceiling_that_does_not_adapt_is_the_most_there_may_be() {
    let ledger = Metrics::register(&mut Registry::default()).ledger(&"v2".parse().unwrap());
    let places = Places::new(40, ledger);
    let mut taken: Vec<_> = std::iter::from_fn(|| places.try_take(true)).collect();
    assert_eq!(taken.len(), START as usize);
    taken.extend(std::iter::from_fn(|| places.try_take(false)));
    assert_eq!(taken.len(), 40);
    for _ in 0..100 {
        tokio::time::advance(BASE).await;
        taken[0].ended(Instant::now(), Sign::Overloaded);
    }
    assert!(places.try_take(false).is_none());
    taken.pop();
    places.freed().await;
    assert!(places.try_take(true).is_none() && places.try_take(false).is_some());
}
