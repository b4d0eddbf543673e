use super::*;

/// Intended times of `count` requests that have long been waiting, each sent the moment it is due.
async fn take(pacer: &mut Pacer, count: usize) -> Vec<Instant> {
    let ready = Instant::now();
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        times.push(pacer.due(ready).await);
    }
    times
}

fn pacer(pace: Pace) -> (watch::Sender<Pace>, Pacer) {
    let (set, watch) = watch::channel(pace);
    (set, Pacer::new(watch))
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
        times.push(pacer.due(ready).await);
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
    while pacer.due(start).await <= resumed {
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
    set.send(Pace::PerSecond(100.0)).unwrap();
    let times = waiting.await.unwrap();
    assert_eq!(times, [0, 10, 20].map(|ms| changed + Duration::from_millis(ms)));
}

#[tokio::test(start_paused = true)]
async fn a_lower_rate_holds_from_the_next_request_on() {
    let (set, mut pacer) = pacer(Pace::PerSecond(1000.0));
    let last = *take(&mut pacer, 500).await.last().unwrap();
    set.send(Pace::PerSecond(2.0)).unwrap();
    let times = take(&mut pacer, 2).await;
    assert_eq!(times, [last + Duration::from_millis(500), last + Duration::from_secs(1)]);
}

#[tokio::test(start_paused = true)]
async fn unlimited_never_waits_and_halted_waits_for_a_change() {
    let (set, mut pacer) = pacer(Pace::Unlimited);
    let start = Instant::now();
    assert_eq!(take(&mut pacer, 1000).await, vec![start; 1000]);
    set.send(Pace::Halted).unwrap();
    let waiting = tokio::spawn(async move { take(&mut pacer, 1).await });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!waiting.is_finished());
    set.send(Pace::Unlimited).unwrap();
    waiting.await.unwrap();
}

#[test]
fn a_member_gets_the_share_of_its_partitions() {
    assert_eq!(Pace::share(Some(300.0), 2, 6), Pace::PerSecond(100.0));
    assert_eq!(Pace::share(None, 2, 6), Pace::Unlimited);
    assert_eq!(Pace::share(Some(300.0), 0, 6), Pace::Halted);
    assert_eq!(Pace::share(Some(0.0), 6, 6), Pace::Halted);
}
