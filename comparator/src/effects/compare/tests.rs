use proptest::prelude::*;
use shadow_record::{Decision, Header};

use super::*;
use crate::effects::examples::call;
use crate::effects::intents;

const CHARGE: &str = "POST api.pay.example/v1/charges";
const MAIL: &str = "POST mail.example/send";
const TO: [&str; 4] = [CHARGE, MAIL, "POST api.pay.example/v1/refunds", "GET rates.example/v1/rates"];

fn asked(amount: u64, to: &str) -> String {
    format!(r#"{{"amount":{amount},"to":"{to}"}}"#)
}

/// Compares under no rules.
fn plainly(primary: &[SideEffect], other: &[SideEffect]) -> Compared {
    under("", primary, other)
}

fn under(rules: &str, primary: &[SideEffect], other: &[SideEffect]) -> Compared {
    let rules = Rules::parse(rules).unwrap();
    let (primary, other) = intents(primary, other);
    compare("POST /checkout", &primary, &other, &rules, Timestamp(0)).unwrap()
}

/// Place, kind, transition and count of each difference.
fn found(compared: &Compared) -> Vec<(&str, &str, &str, u32)> {
    let differences = compared.differences.iter();
    differences.map(|d| (d.place.as_str(), d.kind.as_str(), d.transition.as_str(), d.count)).collect()
}

/// Calls at random: where to, amount, recipient, when and how long.
fn any_calls() -> impl Strategy<Value = Vec<SideEffect>> {
    let one = (0..TO.len(), 0..3_u64, 0..3_usize, 0..20_i64, 0..10_i64);
    prop::collection::vec(one, 0..12).prop_map(|calls| {
        let calls = calls.into_iter().enumerate().map(|(number, (to, amount, recipient, at, took))| {
            let recipient = ["ann", "bob", "cy"][recipient];
            let made = call(TO[to], &asked(amount, recipient));
            SideEffect { at: Timestamp(at), total_us: took, sequence: number as i64, ..made }
        });
        calls.collect()
    })
}

/// The same calls one after the other.
fn one_by_one(mut calls: Vec<SideEffect>) -> Vec<SideEffect> {
    for (number, call) in calls.iter_mut().enumerate() {
        (call.at, call.total_us) = (Timestamp(number as i64 * 10), 5);
    }
    calls
}

/// The same calls, all under way at once.
fn at_once(mut calls: Vec<SideEffect>) -> Vec<SideEffect> {
    for (number, call) in calls.iter_mut().enumerate() {
        (call.at, call.total_us, call.sequence) = (Timestamp(number as i64), 1_000, number as i64);
    }
    calls
}

fn some_call() -> impl Strategy<Value = (Vec<SideEffect>, prop::sample::Index)> {
    (any_calls().prop_filter("one at least", |calls| !calls.is_empty()), any::<prop::sample::Index>())
}

proptest! {
    #[test]
    fn the_same_calls_differ_in_nothing(calls in any_calls()) {
        prop_assert_eq!(plainly(&calls, &calls), Compared::default());
    }

    #[test]
    fn calls_that_overlap_have_no_order((calls, shuffled) in any_calls().prop_flat_map(|calls| (Just(calls.clone()), Just(calls).prop_shuffle()))) {
        let together = at_once(calls);
        prop_assert_eq!(plainly(&together, &at_once(shuffled.clone())), Compared::default());
        prop_assert_eq!(plainly(&together, &one_by_one(shuffled.clone())), Compared::default());
        prop_assert_eq!(plainly(&one_by_one(shuffled), &together), Compared::default());
    }

    #[test]
    fn a_call_made_twice_is_one_added_call((calls, which) in some_call()) {
        let doubled = which.get(&calls).clone();
        let number = calls.iter().filter(|call| To::of(call) == To::of(&doubled)).count();
        let mut twice = calls.clone();
        twice.push(SideEffect { sequence: 99, ..doubled.clone() });
        let compared = plainly(&calls, &twice);
        let (place, transition) = (super::call(To::of(&doubled)), format!("{number}->{}", number + 1));
        prop_assert_eq!(found(&compared), [(place.as_str(), "added", transition.as_str(), 1)]);
        let compared = plainly(&twice, &calls);
        let transition = format!("{}->{number}", number + 1);
        prop_assert_eq!(found(&compared), [(place.as_str(), "missing", transition.as_str(), 1)]);
    }

    #[test]
    fn another_amount_is_that_amount_and_nothing_else((calls, which) in some_call()) {
        let mut other = calls.clone();
        let changed = which.index(calls.len());
        let to = other[changed].request.body.content.as_ref().map(|body| String::from_utf8_lossy(body).into_owned()).unwrap();
        other[changed].request.body.content = Some(to.replacen("amount\":", "amount\":9", 1).into());
        let compared = plainly(&calls, &other);
        let place = format!("{} $.amount", super::call(To::of(&calls[changed])));
        prop_assert_eq!(found(&compared), [(place.as_str(), "value", "changed", 1)]);
        prop_assert!(compared.unexpected);
    }

    #[test]
    fn another_recipient_is_that_recipient_and_nothing_else((calls, which) in some_call()) {
        let mut other = calls.clone();
        let changed = which.index(calls.len());
        let body = other[changed].request.body.content.as_ref().map(|body| String::from_utf8_lossy(body).into_owned()).unwrap();
        other[changed].request.body.content = Some(body.replacen("\"to\":\"", "\"to\":\"x", 1).into());
        let place = format!("{} $.to", super::call(To::of(&calls[changed])));
        let compared = plainly(&calls, &other);
        prop_assert_eq!(found(&compared), [(place.as_str(), "value", "changed", 1)]);
    }

    #[test]
    fn two_calls_in_turn_that_changed_places_are_an_order_and_nothing_else((calls, which) in some_call()) {
        let calls = one_by_one(calls);
        let first = which.index(calls.len());
        let mut other = calls.clone();
        prop_assume!(first + 1 < calls.len());
        prop_assume!(other[first].request.body != other[first + 1].request.body || To::of(&other[first]) != To::of(&other[first + 1]));
        other.swap(first, first + 1);
        let other = one_by_one(other);
        let compared = plainly(&calls, &other);
        prop_assert!(!compared.differences.is_empty());
        for (_, kind, transition, _) in found(&compared) {
            prop_assert_eq!((kind, transition), ("order", "reordered"));
        }
    }
}

fn charge(amount: u64) -> SideEffect {
    call(CHARGE, &asked(amount, "ann"))
}

#[test]
fn a_missing_call_shows_what_was_asked() {
    let compared = plainly(&[charge(5)], &[]);
    let [difference] = compared.differences.as_slice() else { panic!("{compared:?}") };
    assert_eq!(difference.primary, r#"/v1/charges {"amount":5,"to":"ann"}"#);
    assert_eq!((difference.candidate.as_str(), difference.transition.as_str()), ("", "1->0"));
    let of_route = Signature::of("POST /checkout", &difference.place, DifferenceKind::Missing, "1->0");
    assert_eq!(difference.signature, of_route);
}

#[test]
fn a_mail_before_the_charge_instead_of_after_it_is_an_order() {
    let in_turn = |calls: [&str; 2]| one_by_one(calls.map(|to| call(to, "{}")).to_vec());
    let compared = plainly(&in_turn([CHARGE, MAIL]), &in_turn([MAIL, CHARGE]));
    let place = format!("effects {CHARGE}");
    assert_eq!(found(&compared), [(place.as_str(), "order", "reordered", 1)]);
    let difference = &compared.differences[0];
    assert_eq!(difference.primary, format!("before {MAIL}"));
    assert_eq!(difference.candidate, format!("after {MAIL}"));
    // Two stubs have two clocks.
    let mut apart = in_turn([MAIL, CHARGE]);
    apart[0].instance = "other".to_owned();
    assert_eq!(found(&plainly(&in_turn([CHARGE, MAIL]), &apart)), []);
}

#[test]
fn of_several_calls_those_belong_together_that_differ_least() {
    let primary = [call(CHARGE, &asked(10, "ann")), call(CHARGE, &asked(20, "bob"))];
    let other = [call(CHARGE, &asked(21, "bob")), call(CHARGE, &asked(10, "ann"))];
    let place = format!("effects {CHARGE} $.amount");
    assert_eq!(found(&plainly(&primary, &other)), [(place.as_str(), "value", "changed", 1)]);
    // Bodies that are written differently are equal, whatever their order.
    let spaced = [call(CHARGE, r#"{"to":"bob", "amount":20}"#), call(CHARGE, r#"{"to":"ann", "amount":10}"#)];
    assert_eq!(plainly(&primary, &spaced), Compared::default());
}

#[test]
fn content_type_query_and_path_are_compared_and_other_headers_are_not() {
    let to = "GET api.pay.example/v1/charges/{id}/items";
    let with = |path: &str, query: Option<&str>, headers: Vec<Header>| {
        let mut made = call(to, "");
        (made.request.path, made.request.query) = (path.to_owned(), query.map(str::to_owned));
        made.request.headers.extend(headers);
        made
    };
    let primary = [with("/v1/charges/7/items", Some("limit=3&page=1"), vec![Header::of("x-trace", "1")])];
    let same = [with("/v1/charges/7/items", Some("page=1&limit=3"), vec![Header::of("x-trace", "2")])];
    assert_eq!(plainly(&primary, &same), Compared::default());
    let mut other = with("/v1/charges/8/items", Some("limit=4&page=1"), vec![]);
    other.request.headers = vec![Header::of("content-type", "text/plain")];
    let compared = plainly(&primary, &[other]);
    let places: Vec<&str> = compared.differences.iter().map(|difference| difference.place.as_str()).collect();
    let place = |rest: &str| format!("effects {to} {rest}");
    assert_eq!(places, [place("header:content-type"), place("query $.limit[*]"), place("path $.id")]);
}

#[test]
fn rules_hold_for_a_call_by_where_it_goes() {
    let (primary, other) = ([charge(5)], [charge(6)]);
    let ignore = |route: &str| format!("[[ignore]]\nroute = \"{route}\"\njson = [\"$.amount\"]");
    assert_eq!(found(&under(&ignore(CHARGE), &primary, &other)), []);
    assert_eq!(found(&under(&ignore("* api.pay.example/v1/charges"), &primary, &other)), []);
    assert_eq!(found(&under(&ignore("POST /checkout"), &primary, &other)).len(), 1, "that is the exchange's route");
    assert_eq!(under(&ignore(CHARGE), &primary, &other).rules_used, BTreeSet::from([0]));
}

#[test]
fn an_expected_change_covers_a_call_as_such_and_a_place_in_it() {
    let expected = |place: &str, more: &str| {
        format!(
            "[[expected]]\nname = \"meant\"\nroute = \"{CHARGE}\"\nplace = \"{place}\"\n{more}\nowner = \"o\"\nwhy = \"w\"\nexpires = \"2026-03-31\""
        )
    };
    let compared = under(&expected("$.amount", ""), &[charge(5)], &[charge(6)]);
    assert!(!compared.unexpected && compared.differences[0].expected.as_deref() == Some("meant"), "{compared:?}");
    let added = |rule: &str| under(rule, &[charge(5)], &[charge(5), charge(5)]);
    let compared = added(&expected("call", "kind = \"added\""));
    assert!(!compared.unexpected && compared.differences[0].expected.as_deref() == Some("meant"), "{compared:?}");
    assert_eq!(compared.rules_used, BTreeSet::from([0]));
    assert!(added(&expected("call", "kind = \"missing\"")).unexpected);
    assert!(added(&expected("call", "transition = \"1->3\"")).unexpected);
}

#[test]
fn a_call_again_under_its_idempotency_key_is_the_same_intent() {
    let with_key = |amount: u64, key: &str, sequence: i64| {
        let mut made = charge(amount);
        made.request.headers.push(Header::of("idempotency-key", key));
        SideEffect { sequence, ..made }
    };
    let once = [with_key(5, "a", 1)];
    assert_eq!(plainly(&once, &[with_key(5, "b", 1), with_key(5, "b", 2)]), Compared::default());
    assert_eq!(plainly(&[with_key(5, "b", 1), with_key(5, "b", 2)], &once), Compared::default());
    let again = SideEffect { decision: Decision::Again, ..charge(5) };
    assert_eq!(plainly(&[charge(5)], &[charge(5), again]), Compared::default());
    let as_earlier = |key: &str| SideEffect { decision: Decision::Again, ..with_key(5, key, 2) };
    assert_eq!(
        plainly(&once, &[as_earlier("b")]),
        Compared::default(),
        "what it repeats was of a send that a crash cut off"
    );
    assert_eq!(plainly(&once, &[with_key(6, "b", 1), as_earlier("b")]), plainly(&once, &[with_key(6, "b", 1)]));
    assert_eq!(found(&plainly(&once, &[with_key(5, "b", 1), with_key(5, "c", 2)])).len(), 1, "charged twice");
}

#[test]
fn repetitions_count_alike_on_both_sides() {
    let with_key = |amount: u64, sequence: i64| {
        let mut made = charge(amount);
        made.request.headers.push(Header::of("idempotency-key", "a"));
        SideEffect { sequence, ..made }
    };
    let again = |call: SideEffect| SideEffect { decision: Decision::Again, ..call };
    // The body has the number of the attempt; the stub goes by the key.
    let primary = [with_key(5, 1), with_key(6, 2)];
    assert_eq!(plainly(&primary, &[with_key(5, 1), again(with_key(6, 2))]), Compared::default());
    // A rule's key is in the body, of which the agent knows nothing.
    let primary = [charge(5), charge(5)];
    let twice = [charge(5), again(charge(5))];
    let thrice = [charge(5), again(charge(5)), again(charge(5))];
    assert_eq!(plainly(&primary, &twice), Compared::default());
    assert_eq!(plainly(&primary, &thrice), Compared::default());
    assert_eq!(found(&plainly(&primary, &[charge(5), charge(5), charge(5)])).len(), 1, "charged thrice");
}

#[test]
fn what_is_too_much_to_compare_is_not_compared() {
    let body = |n: usize| format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat(60_000));
    let calls = |from: usize, to: &str| (0..15).map(|n| call(to, &body(from + n))).collect::<Vec<_>>();
    let (primary, other) = (calls(0, CHARGE), calls(100, CHARGE));
    assert!(
        compare("POST /checkout", &intents(&primary, []).0, &intents(&other, []).0, &Rules::default(), Timestamp(0))
            .is_none()
    );
    assert_eq!(plainly(&primary, &primary), Compared::default(), "equal ones need no looking into");
}

#[test]
fn mail_and_tunnels_are_not_compared() {
    let mail = call("MAIL smtp.example/", "{}");
    let tunnel = call("CONNECT api.pay.example/", "");
    assert_eq!(plainly(&[tunnel], &[mail]), Compared::default());
}

#[test]
fn bodies_that_cannot_be_looked_at_are_unseen_and_not_equal() {
    let withheld = |digest: &'static [u8]| {
        let mut made = charge(5);
        (made.request.body.content, made.request.body.digest) = (None, digest.into());
        made
    };
    assert_eq!(plainly(&[withheld(b"1")], &[withheld(b"1")]), Compared::default());
    let compared = plainly(&[withheld(b"1")], &[withheld(b"2")]);
    assert!(compared.unseen && compared.differences.is_empty());
    let other_key = SideEffect { key_id: "k2".to_owned(), ..charge(5) };
    let compared = plainly(&[charge(5)], &[other_key]);
    assert!(compared.unseen && compared.differences.is_empty());
}

#[test]
fn many_calls_list_a_bounded_number_of_differences() {
    let different = |n: usize| {
        let to = format!("POST api.pay.example/v1/a{n}");
        (0..2).map(move |_| call(&to, "{}"))
    };
    let primary: Vec<SideEffect> = (0..100).flat_map(different).collect();
    let compared = plainly(&primary, &[]);
    assert_eq!((compared.differences.len(), compared.omitted), (MAX_DIFFERENCES, 2 * (100 - MAX_DIFFERENCES as u32)));
    assert!(compared.unexpected);
}
