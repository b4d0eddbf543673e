//! The watchdog by the second, without a clock.

use super::*;

const FINE: Duration = Duration::from_micros(900);
const SLOW: Duration = Duration::from_micros(1_100);

fn allowed() -> Allowed {
    Allowed { added: Threshold::At("1ms".parse().unwrap()), lag: Threshold::At("10ms".parse().unwrap()) }
}

/// What it does over `seconds` of the same reading: at which of them, counted from 1, and what.
fn over(judge: &mut Judge, seconds: u32, reading: Reading) -> Vec<(u32, Change)> {
    (1..=seconds).filter_map(|second| Some((second, judge.judge(reading)?))).collect()
}

fn added(p99: Duration) -> Reading {
    Reading { added: Some(p99), lag: None }
}

#[test]
fn three_bad_seconds_running_pause_and_ten_good_ones_resume() {
    let mut judge = Judge::new(allowed());
    assert_eq!(over(&mut judge, 1_000, added(FINE)), []);
    for _ in 0..20 {
        assert_eq!(over(&mut judge, 2, added(SLOW)), []);
        assert_eq!(over(&mut judge, 1, added(FINE)), []);
    }
    assert_eq!(over(&mut judge, 3, added(SLOW)), [(3, Change::Pause(10))]);
    assert_eq!(over(&mut judge, 9, added(FINE)), []);
    assert_eq!(over(&mut judge, 50, added(SLOW)), [], "as long as it is felt it stays paused");
    assert_eq!(over(&mut judge, 10, added(FINE)), [(10, Change::Resume)]);
}

#[test]
fn lag_alone_pauses_and_small_amounts_of_both_do_not() {
    let mut judge = Judge::new(allowed());
    let both = Reading { added: Some(FINE), lag: Some(Duration::from_millis(9)) };
    assert_eq!(over(&mut judge, 100, both), []);
    let lagging = Reading { lag: Some(Duration::from_millis(11)), ..both };
    assert_eq!(over(&mut judge, 3, lagging), [(3, Change::Pause(10))]);
    // One bad second of each in turn is never three of one.
    let mut judge = Judge::new(allowed());
    for _ in 0..10 {
        assert_eq!(judge.judge(Reading { added: Some(SLOW), ..both }), None);
        assert_eq!(judge.judge(lagging), None);
    }
}

#[test]
fn tripping_again_soon_doubles_the_hold_up_to_five_minutes_and_a_calm_minute_forgets() {
    let mut judge = Judge::new(allowed());
    for hold in [10, 20, 40, 80, 160, 300, 300] {
        assert_eq!(over(&mut judge, 3, added(SLOW)), [(3, Change::Pause(hold))]);
        assert_eq!(over(&mut judge, hold, added(FINE)), [(hold, Change::Resume)]);
    }
    assert_eq!(over(&mut judge, 58, added(FINE)), []);
    assert_eq!(over(&mut judge, 3, added(SLOW)), [(3, Change::Pause(10))]);
}

#[test]
fn without_traffic_it_resumes() {
    let mut judge = Judge::new(allowed());
    assert_eq!(over(&mut judge, 3, added(SLOW)), [(3, Change::Pause(10))]);
    assert_eq!(over(&mut judge, 10, Reading::default()), [(10, Change::Resume)]);
    assert_eq!(over(&mut judge, 2, added(SLOW)), [], "a resumed line starts afresh");
}

#[test]
fn what_is_off_never_trips() {
    let mut judge = Judge::new(Allowed { added: Threshold::Off, ..allowed() });
    assert_eq!(over(&mut judge, 100, added(Duration::from_secs(9))), []);
}

#[test]
fn few_samples_are_judged_together_with_the_next_ones() {
    let (histogram, mut window) = (Histogram::default(), Window::default());
    let mut second = |samples: u64, delay| {
        (0..samples).for_each(|_| histogram.record(delay));
        window.p99(&histogram)
    };
    assert_eq!(second(SAMPLES - 1, Duration::from_micros(10)), None);
    assert_eq!(second(1, Duration::from_micros(10)), Some(Duration::from_micros(10)));
    assert_eq!(second(SAMPLES, Duration::from_micros(20)), Some(Duration::from_micros(20)), "only the new ones count");
}

#[test]
fn the_switch_follows_what_is_measured_and_an_operators_pause_stays() {
    let (latency, pause) = (Arc::<Latency>::default(), Arc::<Pause>::default());
    let mut rounds = Rounds::new(allowed(), latency.clone(), pause.clone(), None);
    pause.set_by_operator(true);
    let mut seconds = |count: u32, delay: Duration| {
        for _ in 0..count {
            (0..SAMPLES).for_each(|_| latency.added.record(delay));
            rounds.make();
        }
        (pause.by_watchdog(), pause.trips())
    };
    assert_eq!(seconds(3, FINE), (false, 0));
    assert_eq!(seconds(3, SLOW), (true, 1));
    assert_eq!(seconds(10, Duration::from_micros(100)), (false, 1));
    assert_eq!(seconds(3, SLOW), (true, 2));
    assert!(pause.by_operator());
}

#[test]
fn each_trip_rings_the_alarm_once_with_what_was_found() {
    let (latency, alarm) = (Arc::<Latency>::default(), Alarm::default());
    let mut rounds = Rounds::new(allowed(), latency.clone(), Arc::default(), Some(alarm.clone()));
    let mut seconds = |count: u32, delay: Duration| {
        for _ in 0..count {
            (0..SAMPLES).for_each(|_| latency.added.record(delay));
            rounds.make();
        }
        alarm.take_felt()
    };
    assert_eq!(seconds(2, SLOW), None);
    let why = seconds(1, SLOW).unwrap();
    assert!(why.contains("time added to requests 1.") && why.ends_with("ms (allowed 1ms)"), "{why}");
    assert_eq!(seconds(20, SLOW), None, "still the same trip");
    assert_eq!(seconds(10, FINE), None);
    assert!(seconds(3, SLOW).is_some(), "another one");
    assert_eq!(alarm.count(), 0, "no replayed request came in");
}
