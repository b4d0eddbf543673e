use super::*;
use crate::head::OpenHead;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "00-11111111111111111111111111111111-00f067aa0ba902b7-01";

fn head(lines: &[(&'static str, &str)]) -> OpenHead {
    let headers = lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
    OpenHead { method: "GET".into(), authority: "h".into(), path: "/".into(), query: None, headers }
}

fn whose(requests: &Requests, lines: &[(&'static str, &str)]) -> Whose {
    requests.whose(&Told::by(&head(lines)))
}

#[test]
fn a_call_is_told_by_its_trace_then_by_the_clients_id_then_by_being_alone() {
    let requests = Arc::<Requests>::default();
    let (a, b) = (RequestId::generate(), RequestId::generate());
    let first = requests.begin(&head(&[("traceparent", TRACE), ("x-request-id", "r1")]), Some(a));
    assert_eq!(whose(&requests, &[]), Whose::Request(a, CorrelatedBy::Alone));
    for elsewhere in [("traceparent", OTHER), ("x-request-id", "r9")] {
        assert_eq!(whose(&requests, &[elsewhere]), Whose::Unknown, "it is part of something else");
    }
    let second = requests.begin(&head(&[("x-request-id", "r2")]), Some(b));
    assert_eq!(whose(&requests, &[("traceparent", TRACE)]), Whose::Request(a, CorrelatedBy::Trace));
    assert_eq!(whose(&requests, &[("x-request-id", "r2")]), Whose::Request(b, CorrelatedBy::CorrelationId));
    assert_eq!(
        whose(&requests, &[("traceparent", TRACE), ("x-request-id", "r2")]),
        Whose::Request(a, CorrelatedBy::Trace),
        "the trace comes first"
    );
    assert_eq!(whose(&requests, &[]), Whose::Unknown, "two are under way");
    drop(first);
    assert_eq!(whose(&requests, &[]), Whose::Unknown, "what has just answered may still be at work");
    assert_eq!(whose(&requests, &[("traceparent", TRACE)]), Whose::Request(a, CorrelatedBy::Trace), "ended just now");
    drop(second);
    assert_eq!(whose(&requests, &[]), Whose::Unknown, "nobody is under way");
}

#[test]
fn of_several_with_one_trace_the_one_under_way_is_meant_and_of_several_under_way_none() {
    let requests = Arc::<Requests>::default();
    let (a, b, c) = (RequestId::generate(), RequestId::generate(), RequestId::generate());
    let begin = |id| requests.begin(&head(&[("traceparent", TRACE)]), Some(id));
    drop(begin(a));
    let second = begin(b);
    assert_eq!(whose(&requests, &[("traceparent", TRACE)]), Whose::Request(b, CorrelatedBy::Trace));
    let third = begin(c);
    assert_eq!(whose(&requests, &[("traceparent", TRACE)]), Whose::Unknown);
    drop((second, third));
    assert_eq!(whose(&requests, &[("traceparent", TRACE)]), Whose::Unknown, "three have ended");
}

#[test]
fn calls_of_a_request_that_is_not_captured_are_known_to_be_its() {
    let requests = Arc::<Requests>::default();
    let _request = requests.begin(&head(&[("traceparent", TRACE)]), None);
    assert_eq!(whose(&requests, &[("traceparent", TRACE)]), Whose::Uncaptured);
    assert_eq!(whose(&requests, &[]), Whose::Uncaptured, "nobody else can have made it");
    assert_eq!(whose(&requests, &[("traceparent", OTHER)]), Whose::Unknown);
    drop(requests.begin(&head(&[]), None));
    assert_eq!(whose(&requests, &[]), Whose::Uncaptured, "whichever of them made it");
    let captured = requests.begin(&head(&[]), Some(RequestId::generate()));
    assert_eq!(whose(&requests, &[]), Whose::Unknown);
    drop(captured);
    assert_eq!(whose(&requests, &[]), Whose::Unknown);
}

#[test]
fn after_a_moment_a_request_is_alone_again() {
    let (mut state, now) = (State::default(), Instant::now());
    let id = RequestId::generate();
    let known = |id| Known { id: Some(id), told: Told::default() };
    let first = state.begin(known(RequestId::generate()), now);
    state.end(first, now);
    state.begin(known(id), now);
    assert_eq!(state.whose(&Told::default(), now + LINGER / 2), Whose::Unknown);
    assert_eq!(state.whose(&Told::default(), now + LINGER), Whose::Request(id, CorrelatedBy::Alone));
}

#[test]
fn a_request_is_forgotten_some_seconds_after_its_end() {
    let (mut state, now) = (State::default(), Instant::now());
    let told = Told::by(&head(&[("traceparent", TRACE), ("x-request-id", "r1")]));
    let id = RequestId::generate();
    let place = state.begin(Known { id: Some(id), told: told.clone() }, now);
    state.end(place, now);
    assert_eq!(state.whose(&told, now + LINGER / 2), Whose::Request(id, CorrelatedBy::Trace));
    assert_eq!(state.whose(&told, now + LINGER), Whose::Unknown);
    assert!(state.known.is_empty() && state.by.is_empty() && state.ended.is_empty());
}

#[test]
fn neither_many_requests_nor_many_of_one_trace_take_more_than_their_bound() {
    let (mut state, now) = (State::default(), Instant::now());
    let told = Told::by(&head(&[("traceparent", TRACE)]));
    let begin = |state: &mut State| state.begin(Known { id: None, told: told.clone() }, now);
    let places: Vec<_> = (0..MOST + 2).map(|_| begin(&mut state)).collect();
    assert_eq!((state.known.len(), state.counted, state.by.len()), (MOST, 2, 1));
    assert_eq!(state.by.values().next().map(|holders| holders.places.len()), Some(ALIKE));
    // One that has ended makes room.
    state.end(places[0], now);
    assert!(begin(&mut state).is_some());
    places[1..].iter().for_each(|place| state.end(*place, now));
    assert_eq!((state.counted, state.open.len()), (0, 1));
    state.forget(now + LINGER);
    assert_eq!((state.known.len(), state.by.len()), (1, 1));
}

#[test]
fn a_request_id_that_is_none_tells_nothing() {
    let long = "x".repeat(LONGEST + 1);
    for id in ["", &long] {
        assert_eq!(Told::by(&head(&[("x-request-id", id)])), Told::default());
    }
    assert_eq!(Told::by(&head(&[("traceparent", "00-nothing")])), Told::default());
}
