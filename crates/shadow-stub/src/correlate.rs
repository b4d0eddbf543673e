//! Which request a call was made for, as far as the call itself tells. Pure.
//!
//! In order: the signed mark in its own header (services that pass unknown headers on), the same mark in the W3C baggage (what
//! OpenTelemetry passes on), the trace ID (what nearly everything passes on). Guarantee: nothing is guessed; what does not tell is
//! `none`.

use shadow_control::{Leg, MARK_HEADER, Mark, TraceId, in_baggage};
use shadow_mask::Masker;
use shadow_record::{CorrelatedBy, LaunchName, RequestId, Timestamp};

use crate::request::Call;

/// Whose call it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What told.
    pub by: CorrelatedBy,
    /// The launch.
    pub launch: LaunchName,
    /// The candidate or the control.
    pub leg: Leg,
    /// Which send; 0 when the trace alone told.
    pub attempt: i32,
    /// The number of that send; `None` when the trace alone told.
    pub send: Option<i64>,
    /// The captured request.
    pub request_id: RequestId,
}

/// Whose call it was, if it tells. `launches` are those of the service.
pub fn correlate<'a>(
    call: &Call,
    masker: &Masker,
    launches: impl Iterator<Item = &'a LaunchName>,
    now: Timestamp,
) -> Option<Caller> {
    let marked = |value: &str, by| {
        let mark = masker.mark_signers().find_map(|sign| Mark::verify(value, sign))?;
        let Mark { launch, request_id, attempt, leg, send } = mark;
        let send = (send != 0).then_some(send);
        Some(Caller { by, launch, leg, attempt, send, request_id })
    };
    let header = call.header(MARK_HEADER).and_then(|value| marked(value, CorrelatedBy::Mark));
    header
        .or_else(|| {
            let lines = call.headers.get_all("baggage").into_iter().filter_map(|value| value.to_str().ok());
            lines.flat_map(in_baggage).find_map(|value| marked(&value, CorrelatedBy::Baggage))
        })
        .or_else(|| traced(call, launches, now))
}

fn traced<'a>(call: &Call, launches: impl Iterator<Item = &'a LaunchName>, now: Timestamp) -> Option<Caller> {
    let trace = trace_id(call)?;
    let legs = launches.flat_map(|launch| [Leg::Candidate, Leg::Control].map(|leg| (launch, leg)));
    legs.into_iter().find_map(|(launch, leg)| {
        let request_id = trace.request(launch, leg, now)?;
        Some(Caller { by: CorrelatedBy::Trace, launch: launch.clone(), leg, attempt: 0, send: None, request_id })
    })
}

/// The call's trace ID, if it has one.
pub fn trace_id(call: &Call) -> Option<TraceId> {
    TraceId::of_traceparent(call.header("traceparent")?)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use shadow_mask::{MaskKey, Ruleset};
    use shadow_record::RouteTable;

    use super::*;
    use crate::request::tests::call;

    #[test]
    fn a_call_tells_by_mark_by_baggage_or_by_trace_and_a_forged_one_does_not() {
        let masker = |key: &str| {
            Masker::new(MaskKey::parse(&key.repeat(32)).unwrap(), Ruleset::default(), RouteTable::default())
        };
        let (ours, theirs) = (masker("k"), masker("x"));
        let (launch, request_id) = ("v2".parse::<LaunchName>().unwrap(), RequestId::generate());
        let mark = Mark { launch: launch.clone(), request_id, attempt: 1, leg: Leg::Control, send: 7 };
        let signed = |masker: &Masker| mark.sign(|body| masker.mark_tag(body));
        let in_baggage = |mark: &str| format!("a=b, {};p=1", shadow_control::to_baggage(mark));
        let trace = TraceId::of(&request_id, &launch, Leg::Control);
        let told = |name: &'static str, value: String| {
            let mut call = call("POST", "/", "", "");
            call.headers.insert(name, HeaderValue::from_str(&value).unwrap());
            let caller = correlate(&call, &ours, [&launch].into_iter(), Timestamp::now())?;
            assert_eq!((caller.request_id, caller.leg), (request_id, Leg::Control));
            Some((caller.by, caller.attempt))
        };
        let parent = |trace| format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(told(MARK_HEADER, signed(&ours)), Some((CorrelatedBy::Mark, 1)));
        assert_eq!(told("baggage", in_baggage(&signed(&ours))), Some((CorrelatedBy::Baggage, 1)));
        assert_eq!(told("traceparent", parent(trace.to_string())), Some((CorrelatedBy::Trace, 0)));
        assert_eq!(told(MARK_HEADER, signed(&theirs)), None);
        assert_eq!(told("baggage", in_baggage(&signed(&theirs))), None);
        assert_eq!(told("traceparent", parent("4bf92f3577b34da6a3ce929d0e0e4736".to_owned())), None);
    }
}
