use super::*;

const WELL: Option<Ended> = Some(Ended { failed: false, after: Duration::from_millis(10) });
const ILL: Option<Ended> = Some(Ended { failed: true, after: Duration::from_millis(10) });
const SLOW: Option<Ended> = Some(Ended { failed: false, after: Duration::from_millis(600) });

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A breaker and its clock.
struct Run {
    breaker: Breaker,
    limits: Limits,
    now: Instant,
}

impl Run {
    /// Opens at half of 10 requests within 10 s, for 5 s.
    fn new() -> Self {
        let limits = Limits { failures: 0.5, slow: 0.8, slow_ms: Some(500), least: 10, ..Limits::default() };
        Self { breaker: Breaker::default(), limits, now: Instant::now() }
    }

    fn open() -> Self {
        let mut run = Self::new();
        run.end(10, ILL);
        assert_eq!(run.breaker.state(), State::Open);
        run
    }

    fn leave(&mut self) -> Option<Ticket> {
        self.breaker.leave(&self.limits, self.now)
    }

    fn ended(&mut self, ticket: Ticket, ended: Option<Ended>) {
        self.breaker.ended(&self.limits, ticket, ended, self.now);
    }

    /// Requests that leave and end so, one after the other.
    fn end(&mut self, requests: usize, ended: Option<Ended>) -> State {
        for _ in 0..requests {
            let ticket = self.leave().expect("requests leave");
            self.ended(ticket, ended);
        }
        self.breaker.state()
    }
}

#[test]
fn it_opens_when_enough_of_enough_requests_failed() {
    let mut run = Run::new();
    assert_eq!(run.end(9, ILL), State::Closed, "too few to tell");
    assert_eq!(run.end(1, ILL), State::Open);
    assert_eq!(run.breaker.count(), Count { ended: 10, failed: 10, slow: 0 });

    let mut run = Run::new();
    run.end(12, WELL);
    assert_eq!((run.end(11, ILL), run.end(1, ILL)), (State::Closed, State::Open));
}

#[test]
fn it_opens_on_slow_requests_where_a_limit_is_set() {
    let mut run = Run::new();
    run.end(2, WELL);
    assert_eq!((run.end(7, SLOW), run.end(1, SLOW)), (State::Closed, State::Open));

    let mut run = Run::new();
    run.limits.slow_ms = None;
    assert_eq!(run.end(100, SLOW), State::Closed);
}

#[test]
fn what_lies_before_the_window_does_not_count() {
    let mut run = Run::new();
    run.end(9, ILL);
    run.now += second(10);
    assert_eq!(run.end(1, ILL), State::Closed);
    assert_eq!(run.breaker.count().ended, 1);

    // Spread over the window they do, and it holds no more than its parts.
    let mut run = Run::new();
    for n in 1..=1000 {
        run.now += Duration::from_millis(10);
        run.end(1, if n % 3 == 0 { ILL } else { WELL });
    }
    assert_eq!(run.breaker.state(), State::Closed);
    assert!((900..=1000).contains(&run.breaker.count().ended), "{:?}", run.breaker.count());
    assert!(run.breaker.window.len() <= PARTS as usize + 1);
}

#[test]
fn while_it_is_open_nothing_leaves_and_it_says_until_when() {
    let mut run = Run::open();
    let until = run.now + second(5);
    run.now += Duration::from_millis(4999);
    assert_eq!((run.leave(), run.breaker.ask(&run.limits, run.now)), (None, Err(Some(until))));
    run.now = until;
    assert_eq!((run.breaker.ask(&run.limits, run.now), run.breaker.state()), (Ok(()), State::HalfOpen));
}

#[test]
fn half_open_one_at_a_time_tries_until_enough_went_well() {
    let mut run = Run::open();
    run.now += second(5);
    for _ in 1..TRIES {
        let ticket = run.leave().unwrap();
        assert_eq!((run.leave(), run.breaker.ask(&run.limits, run.now)), (None, Err(None)));
        run.ended(ticket, WELL);
        assert_eq!(run.breaker.state(), State::HalfOpen);
    }
    assert_eq!(run.end(1, WELL), State::Closed);
    // What opened it is forgotten.
    assert_eq!((run.end(9, ILL), run.end(1, ILL)), (State::Closed, State::Open));
}

#[test]
fn a_try_that_goes_wrong_opens_it_again_and_one_that_was_cancelled_does_not() {
    for wrong in [ILL, SLOW] {
        let mut run = Run::open();
        run.now += second(5);
        assert_eq!(
            (run.end(2, WELL), run.end(1, None), run.end(1, wrong)),
            (State::HalfOpen, State::HalfOpen, State::Open)
        );
        run.now += second(4);
        assert_eq!(run.leave(), None);
        run.now += second(1);
        assert_eq!(run.end(TRIES as usize, WELL), State::Closed);
    }
}

#[test]
fn what_left_before_a_change_says_nothing_after_it() {
    let mut run = Run::new();
    let early: Vec<_> = (0..40).map(|_| run.leave().unwrap()).collect();
    run.end(10, ILL);
    run.now += second(5);
    let try_of_now = run.leave().unwrap();
    early.iter().for_each(|ticket| run.ended(*ticket, ILL));
    assert_eq!((run.breaker.state(), run.leave()), (State::HalfOpen, None), "the try is still out");
    run.ended(try_of_now, WELL);
    assert_eq!(run.end(TRIES as usize - 1, WELL), State::Closed);
    early.iter().for_each(|ticket| run.ended(*ticket, ILL));
    assert_eq!(run.breaker.state(), State::Closed);
}

#[test]
fn switched_off_it_lets_everything_pass_at_once() {
    let mut run = Run::open();
    run.limits.enabled = false;
    assert_eq!(run.end(100, ILL), State::Closed);
}

#[test]
fn a_failure_is_no_answer_or_a_server_error_where_the_primary_had_none() {
    let failed = |status, primary| Ended::of(status, primary, second(1)).map(|ended| ended.failed);
    let table = [
        (Ok(200), Some(200), Some(false)),
        (Ok(404), Some(200), Some(false)),
        (Ok(500), Some(200), Some(true)),
        (Ok(503), Some(404), Some(true)),
        (Ok(500), Some(502), Some(false)),
        (Ok(500), None, Some(true)),
        (Err(FailureClass::Connect), Some(500), Some(true)),
        (Err(FailureClass::Timeout), Some(200), Some(true)),
        (Err(FailureClass::Reset), None, Some(true)),
        (Err(FailureClass::Protocol), None, Some(true)),
        (Err(FailureClass::Killed), None, None),
        (Err(FailureClass::TargetRefused), None, None),
        (Err(FailureClass::Other), None, None),
    ];
    for (status, primary, expected) in table {
        assert_eq!(failed(status, primary), expected, "{status:?} {primary:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_an_open_breaker_follows_the_launch_as_it_changes() {
    let mut launch = crate::samples::launch("http://127.0.0.1:1/");
    launch.replay.breaker = Limits { least: 1, open_s: 3600, ..Limits::default() };
    let ledger = crate::metrics::Metrics::register(&mut prometheus_client::registry::Registry::default());
    let (tell, follow) = watch::channel(Arc::new(launch.clone()));
    let fuse = Fuse::new(follow, ledger.ledger(&launch.name));
    fuse.leave().unwrap().ended(Some(Ended { failed: true, after: second(0) }));
    let (start, waiting) = (Instant::now(), fuse.clone());
    let waiting = tokio::spawn(async move { waiting.closed().await });
    tokio::task::yield_now().await;
    launch.replay.breaker.enabled = false;
    tell.send_replace(Arc::new(launch));
    assert!(waiting.await.unwrap(), "it had to wait");
    assert_eq!(start.elapsed(), Duration::ZERO);
}
