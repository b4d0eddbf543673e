use super::original::LONGEST_GAP;
use super::*;

/// When everything was captured, as far as that does not matter.
const CAPTURED: Timestamp = Timestamp(0);

/// Intended times of `count` requests that have long been waiting, each sent the moment it is due.
async fn take(pacer: &mut Pacer, count: usize) -> Vec<Instant> {
    let ready = Instant::now();
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        times.push(pacer.due(ready, CAPTURED).await);
    }
    times
}

fn pacer(pace: Pace) -> (watch::Sender<Tempo>, Pacer) {
    let (set, watch) = watch::channel(at(pace));
    (set, Pacer::new(watch))
}

fn at(pace: Pace) -> Tempo {
    Tempo::of(pace, Timing::Rate)
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_exact_over_ten_seconds() {
    for rate in [1.0, 3.0, 10.0, 1000.0, 5000.0] {
        let (_set, mut pacer) = pacer(Pace::PerSecond(rate));
        let start = Instant::now();
        let times = take(&mut pacer, (rate * 10.0) as usize).await;
        for (n, time) in times.iter().enumerate() {
            assert_eq!(*time - start, Duration::from_secs_f64(n as f64 / rate), "request {n} at {rate}/s");
        }
        let late = Instant::now() - *times.last().unwrap();
        assert!(late <= Duration::from_millis(2), "the ceiling held back a schedule that keeps its rate by {late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_send_does_not_shift_the_intended_times_behind_it() {
    let (_set, mut pacer) = pacer(Pace::PerSecond(100.0));
    let start = take(&mut pacer, 1).await[0];
    tokio::time::advance(Duration::from_millis(55)).await;
    let times = take_since(&mut pacer, start, 3).await;
    assert_eq!(times, [10, 20, 30].map(|ms| start + Duration::from_millis(ms)));
}

async fn take_since(pacer: &mut Pacer, ready: Instant, count: usize) -> Vec<Instant> {
    let mut times = Vec::new();
    for _ in 0..count {
        times.push(pacer.due(ready, CAPTURED).await);
    }
    times
}

#[tokio::test(start_paused = true)]
async fn a_long_stall_is_not_made_up_for_by_a_burst() {
    let (_set, mut pacer) = pacer(Pace::PerSecond(100.0));
    let start = take(&mut pacer, 1).await[0];
    tokio::time::advance(Duration::from_secs(60)).await;
    let resumed = Instant::now();
    let mut at_once = 0;
    while pacer.due(start, CAPTURED).await <= resumed {
        at_once += 1;
    }
    assert!(at_once <= 12, "{at_once} requests were sent at once after the stall");
}

#[tokio::test(start_paused = true)]
async fn idle_time_earns_no_credit() {
    let (_set, mut pacer) = pacer(Pace::PerSecond(1.0));
    take(&mut pacer, 1).await;
    tokio::time::advance(Duration::from_millis(1050)).await;
    let arrival = Instant::now();
    assert_eq!(take(&mut pacer, 2).await, [arrival, arrival + Duration::from_secs(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_new_rate_reaches_a_request_that_is_already_waiting() {
    let (set, mut pacer) = pacer(Pace::PerSecond(0.001));
    let start = take(&mut pacer, 1).await[0];
    let waiting = tokio::spawn(async move { take_since(&mut pacer, start, 3).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let changed = Instant::now();
    set.send(at(Pace::PerSecond(100.0))).unwrap();
    let times = waiting.await.unwrap();
    assert_eq!(times, [0, 10, 20].map(|ms| changed + Duration::from_millis(ms)));
}

#[tokio::test(start_paused = true)]
async fn a_lower_rate_holds_from_the_next_request_on() {
    let (set, mut pacer) = pacer(Pace::PerSecond(1000.0));
    let last = *take(&mut pacer, 500).await.last().unwrap();
    set.send(at(Pace::PerSecond(2.0))).unwrap();
    let times = take(&mut pacer, 2).await;
    assert_eq!(times, [last + Duration::from_millis(500), last + Duration::from_secs(1)]);
}

#[tokio::test(start_paused = true)]
async fn unlimited_never_waits_and_halted_waits_for_a_change() {
    let (set, mut pacer) = pacer(Pace::Unlimited);
    let start = Instant::now();
    assert_eq!(take(&mut pacer, 1000).await, vec![start; 1000]);
    set.send(at(Pace::Halted)).unwrap();
    let waiting = tokio::spawn(async move { take(&mut pacer, 1).await });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!waiting.is_finished());
    set.send(at(Pace::Unlimited)).unwrap();
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_changes_often_loses_nothing() {
    let (set, mut pacer) = pacer(Pace::PerSecond(100.0));
    let start = Instant::now();
    let mut taken = 0;
    while Instant::now() - start < Duration::from_secs(10) {
        let rate = if taken % 7 < 3 { 101.0 } else { 99.0 };
        set.send(at(Pace::PerSecond(rate))).unwrap();
        // The sender is late, as on a busy machine, but not always.
        tokio::time::advance(Duration::from_millis(taken % 3 * 4)).await;
        take_since(&mut pacer, start, 1).await;
        taken += 1;
    }
    assert!((990..=1010).contains(&taken), "{taken} requests in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_changes_between_two_requests_lets_no_other_through() {
    let (set, mut pacer) = pacer(Pace::PerSecond(1.0));
    let start = take(&mut pacer, 1).await[0];
    let mut next = tokio::spawn(async move { take_since(&mut pacer, start, 1).await });
    for pace in [Pace::PerSecond(0.5), Pace::PerSecond(0.9), Pace::Halted, Pace::PerSecond(1.0)] {
        tokio::time::sleep(Duration::from_millis(100)).await;
        set.send(at(pace)).unwrap();
    }
    assert_eq!((&mut next).await.unwrap(), [start + Duration::from_secs(1)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_rate_halts() {
    for rate in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e-300] {
        assert_eq!(Pace::share(Some(rate), 0.5), Pace::Halted, "{rate}");
    }
    for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(Tempo::of(Pace::Unlimited, Timing::Original { speed }).pace, Pace::Halted, "{speed}");
    }
    let (_set, mut fast) = pacer(Pace::PerSecond(1e300));
    let start = Instant::now();
    assert_eq!(take(&mut fast, 10).await, vec![start; 10]);
    let (_set, mut slow) = pacer(Pace::PerSecond(SLOWEST));
    take(&mut slow, 2).await;
}

/// Intended times, in milliseconds after now, of requests captured at these, all waiting since now.
async fn original(speed: f64, pace: Pace, captured_ms: &[i64]) -> Vec<u128> {
    let tempo = watch::Sender::new(Tempo::of(pace, Timing::Original { speed }));
    let mut pacer = Pacer::new(tempo.subscribe());
    let start = Instant::now();
    let mut times = Vec::new();
    for ms in captured_ms {
        times.push((pacer.due(start, Timestamp(ms * 1000)).await - start).as_millis());
    }
    times
}

#[tokio::test(start_paused = true)]
async fn original_timing_keeps_the_distances_at_its_speed() {
    let captured = [5000, 5010, 5500, 7000];
    assert_eq!(original(1.0, Pace::Unlimited, &captured).await, [0, 10, 500, 2000]);
    assert_eq!(original(2.0, Pace::Unlimited, &captured).await, [0, 5, 250, 1000]);
    assert_eq!(original(0.5, Pace::Unlimited, &captured).await, [0, 20, 1000, 4000]);
}

#[tokio::test(start_paused = true)]
async fn the_rate_stays_the_ceiling_of_original_timing() {
    let times = original(1.0, Pace::PerSecond(10.0), &[0, 1, 2, 3, 5000, 5001]).await;
    assert_eq!(times, [0, 100, 200, 300, 5000, 5100]);
}

#[tokio::test(start_paused = true)]
async fn lost_time_shifts_original_timing() {
    let tempo = watch::Sender::new(Tempo::of(Pace::Unlimited, Timing::Original { speed: 1.0 }));
    let mut pacer = Pacer::new(tempo.subscribe());
    let start = Instant::now();
    pacer.due(start, Timestamp(0)).await;
    tokio::time::advance(Duration::from_secs(30)).await;
    let late = Instant::now();
    assert_eq!(pacer.due(start, Timestamp(1_000_000)).await, late);
    assert_eq!(pacer.due(start, Timestamp(1_200_000)).await, late + Duration::from_millis(200));
    // Less than a second is made up for.
    tokio::time::advance(Duration::from_millis(500)).await;
    assert!(pacer.due(start, Timestamp(1_300_000)).await <= Instant::now());
    assert_eq!(pacer.due(start, Timestamp(2_000_000)).await, late + Duration::from_secs(1));
    pacer.restart();
    let resumed = Instant::now();
    assert_eq!(pacer.due(start, Timestamp(9_000_000)).await, resumed);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_holds_nothing_up_for_long() {
    let gap = LONGEST_GAP.as_millis();
    let year = 365 * 86_400_000;
    assert_eq!(original(1.0, Pace::Unlimited, &[0, year, year + 10]).await, [0, gap, gap + 10]);
    assert_eq!(original(1.0, Pace::Unlimited, &[year, 0, 10]).await, [0, 0, 10]);
    let ends = [i64::MIN / 1000, i64::MAX / 1000, i64::MIN / 1000];
    assert_eq!(original(1.0, Pace::Unlimited, &ends).await, [0, gap, gap]);
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_its_session_shifts_nothing() {
    let tempo = watch::Sender::new(Tempo::of(Pace::PerSecond(1000.0), Timing::Original { speed: 1.0 }));
    let mut pacer = Pacer::new(tempo.subscribe());
    let start = Instant::now();
    let seconds = Duration::from_secs;
    for n in [0, 10] {
        assert_eq!(pacer.due(start, Timestamp(n * 1_000_000)).await, start + seconds(n as u64));
    }
    assert!(pacer.turn(start, Timestamp(50_000_000)).is_some(), "looking at one turn does not move another");
    assert!(pacer.due(start, Timestamp(2_000_000)).await < start + seconds(11));
    assert_eq!(pacer.due(start, Timestamp(11_000_000)).await, start + seconds(11));
}

#[tokio::test(start_paused = true)]
async fn timing_changes_while_a_request_waits() {
    let tempo = watch::Sender::new(Tempo::of(Pace::Unlimited, Timing::Original { speed: 1.0 }));
    let mut pacer = Pacer::new(tempo.subscribe());
    let start = Instant::now();
    pacer.due(start, Timestamp(0)).await;
    let waiting = tokio::spawn(async move { pacer.due(start, Timestamp(50_000_000)).await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!waiting.is_finished());
    tempo.send_replace(at(Pace::Unlimited));
    assert_eq!(waiting.await.unwrap(), start + Duration::from_secs(2));
}

#[test]
fn a_member_gets_the_share_of_its_partitions() {
    assert_eq!(Pace::share(Some(300.0), 0.25), Pace::PerSecond(75.0));
    assert_eq!(Pace::share(None, 0.25), Pace::Unlimited);
    assert_eq!(Pace::share(Some(300.0), 0.0), Pace::Halted);
}
