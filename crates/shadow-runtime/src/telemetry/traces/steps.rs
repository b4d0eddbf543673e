//! What each service says of its step.

use opentelemetry::KeyValue;
use opentelemetry::trace::Status;
use shadow_record::{CapturedExchange, Outcome, ReplayedExchange, RequestId, Timestamp};

use super::{Of, Step, on, record};

/// The primary answered a request, and it is about to be published.
pub fn captured(exchange: &CapturedExchange) {
    if !on() {
        return;
    }
    let mut attributes = vec![
        KeyValue::new("shadow.service", exchange.service.to_string()),
        KeyValue::new("http.request.method", exchange.request.method.clone()),
        KeyValue::new("http.route", exchange.route.to_string()),
    ];
    let status = exchange.response.as_ref().map(|response| i64::from(response.status));
    attributes.extend(status.map(|status| KeyValue::new("http.response.status_code", status)));
    let of = Of { request: exchange.request_id, launch: "", send: 0 };
    record(
        Step::Capture,
        of,
        (exchange.captured_at, after(exchange.captured_at, exchange.total_us)),
        Status::Unset,
        attributes,
    );
}

/// A request was sent to the candidate, and that is about to be published. One that was not sent makes no span.
pub fn replayed(replayed: &ReplayedExchange) {
    let (true, Some(request), Some(sent_at)) = (on(), replayed.request_id, replayed.sent_at) else { return };
    let launch = replayed.launch.as_str();
    let mut attributes = vec![KeyValue::new("shadow.launch", launch.to_owned())];
    let status = match &replayed.outcome {
        Outcome::Completed(answer) => {
            attributes.push(KeyValue::new("http.response.status_code", i64::from(answer.status)));
            Status::Unset
        }
        Outcome::Failed(class) => Status::error(class.as_str()),
        Outcome::Skipped(reason) => Status::error(reason.as_str()),
        Outcome::DeadLettered => Status::error("dead_lettered"),
    };
    let until = after(sent_at, replayed.total_us.unwrap_or(0));
    record(Step::Send, Of { request, launch, send: replayed.send.unwrap_or(0) }, (sent_at, until), status, attributes);
}

/// Its outcome was compared within `time`.
pub fn compared(
    request: RequestId,
    launch: &str,
    send: Option<i64>,
    time: (Timestamp, Timestamp),
    result: &'static str,
) {
    let attributes = vec![KeyValue::new("shadow.launch", launch.to_owned()), KeyValue::new("shadow.result", result)];
    record(Step::Compare, Of { request, launch, send: send.unwrap_or(0) }, time, Status::Unset, attributes);
}

/// Its row was settled and stored within `time`.
pub fn stored(request: RequestId, launch: &str, send: Option<i64>, time: (Timestamp, Timestamp)) {
    let attributes = vec![KeyValue::new("shadow.launch", launch.to_owned())];
    record(Step::Store, Of { request, launch, send: send.unwrap_or(0) }, time, Status::Unset, attributes);
}

fn after(from: Timestamp, micros: i64) -> Timestamp {
    Timestamp(from.micros().saturating_add(micros.max(0)))
}
