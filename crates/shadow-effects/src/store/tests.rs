use shadow_record::{Body, CorrelatedBy, Decision, Request, Side};

use super::*;

fn effect(request: Option<u128>) -> SideEffect {
    let body = Body { content: None, length: 0, digest: Default::default(), withheld: None };
    let to = || "pay.example".to_owned();
    SideEffect {
        service: "shop".parse().unwrap(),
        side: Side::Candidate,
        instance: "stub".to_owned(),
        epoch: 0,
        sequence: 0,
        at: Timestamp(0),
        total_us: 0,
        request_id: request.map(|id| RequestId(uuid::Uuid::from_u128(id))),
        launch: None,
        attempt: 0,
        correlated_by: CorrelatedBy::None,
        trace_id: None,
        destination: to(),
        route: "/".to_owned(),
        rule: None,
        decision: Decision::Answered,
        fault: None,
        request: Request {
            method: "GET".to_owned(),
            scheme: "http".to_owned(),
            authority: to(),
            path: "/".to_owned(),
            query: None,
            headers: Vec::new(),
            body,
        },
        response: None,
        ruleset: String::new(),
        key_id: String::new(),
        send: None,
    }
}

/// Keeps one effect of 10 bytes for each `(time, offset, request)`.
fn store(most: usize, held: &[(i64, i64, Option<u128>)]) -> Store {
    let mut store = Store::new(most);
    keep(&mut store, held);
    store
}

fn keep(store: &mut Store, held: &[(i64, i64, Option<u128>)]) {
    for &(at, offset, request) in held {
        store.keep(Kept { appended_at: Timestamp(at), partition: 0, offset, effect: effect(request) }, 10);
    }
}

fn offsets(found: Vec<Arc<Kept>>) -> Vec<i64> {
    found.iter().map(|kept| kept.offset).collect()
}

fn of(store: &Store, request: u128) -> Vec<i64> {
    offsets(store.of(RequestId(uuid::Uuid::from_u128(request))))
}

#[test]
fn effects_are_found_by_request_in_the_order_of_time_and_once() {
    let store = store(100, &[(30, 3, Some(1)), (10, 1, Some(1)), (20, 2, Some(2)), (10, 1, Some(1))]);
    assert_eq!((of(&store, 1), of(&store, 2), of(&store, 3)), (vec![1, 3], vec![2], vec![]));
    assert_eq!(store.bytes(), 30);
}

#[test]
fn untold_effects_are_found_by_time() {
    let store = store(100, &[(10, 1, None), (20, 2, None), (20, 3, Some(1)), (30, 4, None)]);
    let untold = |from, until| offsets(store.untold(Timestamp(from), Timestamp(until)));
    assert_eq!((untold(10, 20), untold(21, 29), untold(30, 10)), (vec![1, 2], vec![], vec![]));
}

#[test]
fn the_oldest_make_room_and_the_store_says_since_when_it_is_complete() {
    let mut store = store(30, &[(10, 1, Some(1)), (10, 2, None), (20, 3, Some(1)), (30, 4, None)]);
    assert_eq!((of(&store, 1), offsets(store.untold(Timestamp(0), Timestamp(99)))), (vec![3], vec![4]));
    assert_eq!((store.complete_from(), store.bytes()), (Timestamp(11), 20));
    // What is read again from the start may be complete again.
    store.begin(Timestamp(20));
    assert!(store.complete_from() < Timestamp(20));
    assert_eq!(store.bytes(), 0, "half full, it makes room for what is read now");
}

#[test]
fn what_was_forgotten_is_not_lost_and_stays_away_until_it_is_read_again() {
    let mut store = store(100, &[(10, 1, Some(1)), (20, 2, Some(1))]);
    store.forget_before(Timestamp(20));
    keep(&mut store, &[(10, 1, Some(1))]);
    assert_eq!((of(&store, 1), store.forgotten_before()), (vec![2], Timestamp(20)));
    assert!(store.complete_from() < Timestamp(0));
    store.begin(Timestamp(5));
    keep(&mut store, &[(10, 1, Some(1)), (20, 2, Some(1))]);
    assert_eq!((of(&store, 1), store.forgotten_before()), (vec![1, 2], Timestamp(5)));
}

#[test]
fn an_effect_larger_than_the_store_is_lost() {
    let store = store(5, &[(10, 1, Some(1))]);
    assert_eq!((of(&store, 1), store.bytes(), store.complete_from()), (vec![], 0, Timestamp(11)));
}
