//! How a launch replays, in words.

use shadow_control::{Breaker, Handshake, Order, Replay, SampleBy, Timing};
use shadow_runtime::units::HumanDuration;

use crate::words;

/// Lines for one launch in full; what was not chosen and does nothing has none.
pub(super) fn lines(replay: &Replay) -> Vec<(&'static str, String)> {
    let Replay { sample_by, timing, order, adaptive, breaker, writes, learn, deny, handshake, .. } = replay;
    let timing = match timing {
        Timing::Rate => "as fast as the rate allows".to_owned(),
        Timing::Original { speed } => format!("as captured, at {speed} times the speed"),
    };
    let order = match order {
        Order::Session => {
            format!("one after the other in each session, {} at most", HumanDuration::from(replay.session_limit()))
        }
        Order::None => "none waits for another".to_owned(),
    };
    let mut lines = vec![
        ("timing", timing),
        ("order", order),
        ("concurrency", if *adaptive { "follows latency and errors" } else { "fixed" }.to_owned()),
        ("breaker", self::breaker(breaker)),
    ];
    if *sample_by == SampleBy::Session {
        lines.push(("sample of", "whole sessions".to_owned()));
    }
    if let Some(age) = replay.max_age() {
        lines.push(("oldest", format!("{}; older ones are skipped", HumanDuration::from(age))));
    }
    if !writes.is_empty() {
        lines.push(("writes", writes.iter().map(|rule| rule.route.as_str()).collect::<Vec<_>>().join(", ")));
    }
    if !learn.is_empty() {
        lines.push(("learns", learn.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>().join(", ")));
    }
    if !deny.is_empty() {
        lines.push(("denied targets", deny.join(", ")));
    }
    if let Some(Handshake { path, header, .. }) = handshake {
        lines.push(("handshake", format!("GET {path}, by header {header}")));
    }
    lines
}

fn breaker(breaker: &Breaker) -> String {
    let Breaker { enabled, failures, slow_ms, slow, window_s, .. } = breaker;
    if !enabled {
        return "none".to_owned();
    }
    let slow = slow_ms.map_or(String::new(), |ms| format!(" or {} slower than {ms} ms", words::share(*slow)));
    format!("opens at {} failed{slow} within {window_s} s", words::share(*failures))
}
