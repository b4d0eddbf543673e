use std::sync::Arc;
use std::time::Duration;

use shadow_diff::Rules;
use shadow_record::{SideEffect, Timestamp};

use super::*;
use crate::effects::examples::{
    CAPTURED, Effects, SENT, TOOK, call, id, launch, of_candidate, of_control, served, untold,
};
use crate::effects::{Sent, Served, Span};

const CHARGE: &str = "POST api.pay.example/v1/charges";
const SETTLE: Duration = Duration::from_secs(5);
/// The end of the windows: the records were appended two durations after the requests began.
const CLOSED: i64 = 2 * TOOK + 5_000_000;

fn charge() -> SideEffect {
    call(CHARGE, r#"{"amount":5}"#)
}

fn judge(served: &Served, primary: &Effects, shadow: &Effects) -> Judged {
    Judge::new(launch(), Arc::new(Rules::default()), SETTLE).judge(served, primary, shadow)
}

/// Result, reason and numbers of calls.
fn told(judged: &Judged) -> (&'static str, &'static str, usize, usize) {
    let candidate = judged.candidate.as_ref().unwrap();
    (candidate.result.as_str(), candidate.result.reason(), judged.primary_calls, candidate.calls)
}

fn candidate_of(served: &Served, primary: &Effects, shadow: &Effects) -> (&'static str, &'static str, usize, usize) {
    told(&judge(served, primary, shadow))
}

fn sent_with(change: impl FnOnce(&mut Sent)) -> Served {
    let mut served = served();
    change(served.sent.as_mut().unwrap());
    served
}

#[test]
fn the_same_call_of_both_matches_and_no_calls_are_nothing() {
    let (primary, shadow) = (Effects::of([charge()]), Effects::of([of_candidate(charge())]));
    assert_eq!(candidate_of(&served(), &primary, &shadow), ("matched", "", 1, 1));
    assert_eq!(candidate_of(&served(), &Effects::default(), &Effects::default()), ("", "", 0, 0));
    assert_eq!(candidate_of(&served(), &Effects::default(), &shadow), ("differing", "", 0, 1));
    assert_eq!(candidate_of(&served(), &primary, &Effects::default()), ("differing", "", 1, 0));
}

#[test]
fn what_is_appended_until_the_window_closes_counts_and_nothing_later() {
    let primary = |at| Effects::default().and(charge(), at);
    let shadow = |at| Effects::default().and(of_candidate(charge()), at);
    let (in_time, late) = (CLOSED - 1, CLOSED);
    let matched = ("matched", "", 1, 1);
    assert_eq!(candidate_of(&served(), &primary(CAPTURED + in_time), &shadow(SENT + in_time)), matched);
    assert_eq!(candidate_of(&served(), &primary(CAPTURED + in_time), &shadow(SENT + late)), ("differing", "", 1, 0));
    assert_eq!(candidate_of(&served(), &primary(CAPTURED + late), &shadow(SENT + in_time)), ("differing", "", 0, 1));
    // Clocks of services and brokers may be seconds apart.
    let (early, too_early) = (-5_000_000, -5_000_001);
    assert_eq!(candidate_of(&served(), &primary(CAPTURED + early), &shadow(SENT + early)), matched);
    assert_eq!(candidate_of(&served(), &primary(CAPTURED + too_early), &shadow(SENT + too_early)), ("", "", 0, 0));
}

#[test]
fn a_recording_of_long_ago_does_not_reach_back_to_its_time() {
    let imported = Served { captured_at: Timestamp(CAPTURED + 86_400_000_000), ..served() };
    let of = |at| candidate_of(&imported, &Effects::default().and(charge(), at), &Effects::default()).2;
    let earliest = CAPTURED + 86_400_000_000 - TOOK - 305_000_000;
    assert_eq!([CAPTURED, earliest - 1, earliest].map(of), [0, 0, 1]);
}

#[test]
fn calls_of_another_send_of_another_launch_or_of_the_other_leg_are_not_its_own() {
    let mine = of_candidate(charge());
    let resent = SideEffect { send: Some(2), ..mine.clone() };
    let elsewhere = SideEffect { launch: Some("v3".parse().unwrap()), ..mine.clone() };
    let shadow = Effects::of([resent, elsewhere, of_control(charge()), mine]);
    assert_eq!(candidate_of(&served(), &Effects::of([charge()]), &shadow), ("matched", "", 1, 1));
}

#[test]
fn a_call_that_was_published_twice_is_one_call() {
    let twice = |call: SideEffect, at| Effects::default().and(call.clone(), at).and(call, at + 100_000);
    let (primary, shadow) = (twice(charge(), CAPTURED), twice(of_candidate(charge()), SENT));
    assert_eq!(candidate_of(&served(), &primary, &Effects::of([of_candidate(charge())])), ("matched", "", 1, 1));
    assert_eq!(candidate_of(&served(), &Effects::of([charge()]), &shadow), ("matched", "", 1, 1));
    let alone = sent_with(|sent| sent.alone = true);
    let shadow = twice(untold(of_candidate(charge())), SENT);
    assert_eq!(candidate_of(&alone, &Effects::of([charge()]), &shadow), ("matched", "", 1, 1));
}

/// A call of the candidate of which the trace alone told.
fn traced(at: i64) -> SideEffect {
    SideEffect { send: None, at: Timestamp(at), ..of_candidate(charge()) }
}

#[test]
fn where_the_trace_alone_told_clocks_that_are_apart_lose_no_call() {
    let primary = Effects::of([charge()]);
    for at in [SENT - 4_000_000, SENT - 500_001, SENT - 500_000, SENT + TOOK + 5_000_000, SENT + TOOK + 9_000_000] {
        let shadow = Effects::default().and(traced(at), SENT);
        assert_eq!(candidate_of(&served(), &primary, &shadow), ("matched", "", 1, 1));
    }
    // Some of the calls seem to have been made before.
    let primary = Effects::of([charge(), charge()]);
    let shadow = Effects::of([traced(SENT - 600_000), traced(SENT + 1)]);
    assert_eq!(candidate_of(&served(), &primary, &shadow), ("matched", "", 2, 2));
}

#[test]
fn where_the_trace_alone_told_the_time_tells_sends_apart_and_nothing_is_guessed() {
    let (once, twice) = (Effects::of([charge()]), Effects::of([charge(), charge()]));
    let (earlier, own) = (SENT - 3_000_000, SENT + 1);
    let numbered = SideEffect { send: Some(2), ..traced(own) };
    let resent = Effects::of([traced(earlier), traced(own)]);
    assert_eq!(candidate_of(&served(), &once, &resent), ("matched", "", 1, 1));
    let uncorrelated = |calls| ("incomparable", "uncorrelated", 1, calls);
    // Two sends that overlap, and one that may have made any of them.
    let overlapping = Effects::of([traced(own), traced(own + 1), numbered.clone()]);
    assert_eq!(candidate_of(&served(), &once, &overlapping), uncorrelated(2));
    let charged_twice = Effects::of([traced(earlier), traced(own), traced(own)]);
    assert_eq!(candidate_of(&served(), &once, &charged_twice), uncorrelated(2));
    let unclear = Effects::of([traced(earlier), traced(earlier), traced(own)]);
    assert_eq!(candidate_of(&served(), &twice, &unclear), ("incomparable", "uncorrelated", 2, 1));
    // Nothing known of another send: charged twice is charged twice.
    let plain = Effects::of([traced(own), traced(own)]);
    assert_eq!(candidate_of(&served(), &once, &plain), ("differing", "", 1, 2));
}

#[test]
fn where_the_trace_alone_told_a_later_send_is_no_second_call() {
    let (once, none) = (Effects::of([charge()]), Effects::default());
    let (own, at_the_end, later) = (SENT + 1, SENT + TOOK + 500_000, SENT + TOOK + 500_001);
    let of = |primary, calls: &[i64]| candidate_of(&served(), primary, &Effects::of(calls.iter().copied().map(traced)));
    assert_eq!(of(&once, &[own, at_the_end]), ("differing", "", 1, 2));
    assert_eq!(of(&once, &[own, later]), ("incomparable", "uncorrelated", 1, 2));
    assert_eq!(of(&none, &[later]), ("incomparable", "uncorrelated", 0, 1));
    // What it added in time stands, whoever called elsewhere later.
    let mail = call("POST mail.example/send", "{}");
    let both = Effects::of([charge(), mail.clone()]);
    let mail = SideEffect { send: None, at: Timestamp(later), ..of_candidate(mail) };
    let shadow = Effects::of([traced(own), traced(own), mail]);
    assert_eq!(candidate_of(&served(), &both, &shadow), ("differing", "", 2, 3));
}

#[test]
fn without_the_number_of_its_send_a_resends_call_would_be_one_too_many() {
    let both_sends = |number: fn(i64) -> Option<i64>| {
        Effects::of([1, 2].map(|send| SideEffect {
            send: number(send),
            at: Timestamp(SENT + send),
            ..of_candidate(charge())
        }))
    };
    let once = Effects::of([charge()]);
    assert_eq!(candidate_of(&served(), &once, &both_sends(Some)), ("matched", "", 1, 1));
    assert_eq!(candidate_of(&served(), &once, &both_sends(|_| Some(1))), ("differing", "", 1, 2));
    assert_eq!(candidate_of(&served(), &once, &both_sends(|_| None)), ("differing", "", 1, 2));
}

#[test]
fn an_untold_call_is_the_candidates_only_where_nobody_else_can_have_made_it() {
    let primary = Effects::of([charge()]);
    let during = |at| Effects::default().and(untold(SideEffect { at: Timestamp(at), ..of_candidate(charge()) }), SENT);
    let alone = sent_with(|sent| sent.alone = true);
    let control = |sent: &mut Sent| (sent.alone, sent.to_control) = (true, true);
    let uncorrelated = ("incomparable", "uncorrelated", 1, 0);
    assert_eq!(candidate_of(&alone, &primary, &during(SENT)), ("matched", "", 1, 1));
    assert_eq!(candidate_of(&alone, &primary, &during(SENT + TOOK)), ("matched", "", 1, 1));
    assert_eq!(candidate_of(&alone, &primary, &during(SENT + TOOK + 1)), uncorrelated, "it was answered by then");
    assert_eq!(candidate_of(&served(), &primary, &during(SENT)), uncorrelated);
    assert_eq!(candidate_of(&sent_with(control), &primary, &during(SENT)), uncorrelated, "or the control made it");
}

#[test]
fn what_a_lone_request_made_additionally_is_its_own_only_when_it_cannot_be_the_one_befores() {
    let slow = |sent: &mut Sent| (sent.alone, sent.candidate) = (true, Span::of(Timestamp(SENT), 2_000_000));
    let at = |at: i64| SideEffect { at: Timestamp(SENT + at), ..untold(of_candidate(charge())) };
    let (primary, slow) = (Effects::of([charge()]), sent_with(slow));
    let of = |calls: [i64; 2]| candidate_of(&slow, &primary, &Effects::of(calls.map(at)));
    assert_eq!(of([500_001, 1_000_000]), ("differing", "", 1, 2));
    assert_eq!(
        of([500_000, 1_000_000]),
        ("incomparable", "uncorrelated", 1, 2),
        "the one before may have made it late"
    );
}

#[test]
fn a_call_of_the_shadow_that_told_nothing_leaves_only_differences_standing() {
    let mail = untold(of_candidate(call("POST mail.example/send", "{}")));
    let (once, none) = (Effects::of([charge()]), Effects::default());
    let of =
        |served: &Served, primary: &Effects, calls: Vec<SideEffect>| candidate_of(served, primary, &Effects::of(calls));
    let told = of_candidate(charge());
    let again = untold(told.clone());
    let uncorrelated = |ours, theirs| ("incomparable", "uncorrelated", ours, theirs);
    assert_eq!(of(&served(), &once, vec![told.clone(), again.clone()]), uncorrelated(1, 1), "perhaps charged twice");
    assert_eq!(of(&served(), &none, vec![again]), uncorrelated(0, 0), "perhaps charged for nothing");
    assert_eq!(of(&served(), &once, vec![told.clone(), mail.clone()]), uncorrelated(1, 1));
    assert_eq!(of(&served(), &once, vec![told.clone(), told.clone(), mail.clone()]), ("differing", "", 1, 2));
    // Of a request that was alone, it is either its own or outside of its time.
    let later = SideEffect { at: Timestamp(SENT + TOOK + 1), ..mail.clone() };
    let alone = sent_with(|sent| sent.alone = true);
    assert_eq!(of(&alone, &once, vec![told.clone(), later]), ("matched", "", 1, 1));
    // What is not compared leaves everything as it is.
    let tunnel = untold(of_candidate(call("CONNECT mail.example/", "")));
    assert_eq!(of(&served(), &once, vec![told, tunnel]), ("matched", "", 1, 1));
}

#[test]
fn an_untold_call_elsewhere_or_at_another_time_excuses_nothing() {
    let primary = Effects::of([charge()]);
    let other = untold(of_candidate(call("POST mail.example/send", "{}")));
    let later = SideEffect { at: Timestamp(SENT + TOOK + 5_000_001), ..untold(of_candidate(charge())) };
    for excuse in [other, later] {
        let shadow = Effects::default().and(excuse, SENT);
        assert_eq!(candidate_of(&served(), &primary, &shadow), ("differing", "", 1, 0));
    }
    let of_other = SideEffect { launch: Some("v3".parse().unwrap()), ..untold(of_candidate(charge())) };
    assert_eq!(candidate_of(&served(), &primary, &Effects::of([of_other])), ("differing", "", 1, 0));
}

#[test]
fn an_untold_call_of_the_primary_excuses_one_that_was_added() {
    let shadow = Effects::of([of_candidate(charge())]);
    let primary = Effects::of([untold(charge())]);
    assert_eq!(candidate_of(&served(), &primary, &shadow), ("incomparable", "uncorrelated", 0, 1));
}

#[test]
fn what_was_not_recorded_or_is_forgotten_is_not_compared_and_counted_all_the_same() {
    let (mut primary, mut shadow) = (Effects::of([charge()]), Effects::of([of_candidate(charge())]));
    let unrecorded = Served { recorded: false, ..served() };
    assert_eq!(candidate_of(&unrecorded, &primary, &shadow), ("incomparable", "not_recorded", 1, 1));
    primary.complete_from = CAPTURED - 4_999_999;
    assert_eq!(candidate_of(&served(), &primary, &shadow), ("incomparable", "forgotten", 1, 1));
    primary.complete_from = CAPTURED - 5_000_000;
    assert_eq!(candidate_of(&served(), &primary, &shadow), ("matched", "", 1, 1));
    shadow.complete_from = SENT;
    assert_eq!(candidate_of(&served(), &primary, &shadow), ("incomparable", "forgotten", 1, 1));
}

#[test]
fn a_dry_run_may_do_nothing_and_what_it_does_is_compared() {
    let primary = Effects::of([charge(), call("POST mail.example/send", "{}")]);
    let dry = sent_with(|sent| sent.dry_run = true);
    assert_eq!(candidate_of(&dry, &primary, &Effects::default()), ("", "", 2, 0));
    assert_eq!(candidate_of(&dry, &primary, &Effects::of([of_candidate(charge())])), ("differing", "", 2, 1));
}

#[test]
fn a_request_that_was_only_recorded_counts_the_primarys_calls() {
    let recorded = Served { sent: None, ..served() };
    let judged = judge(&recorded, &Effects::of([charge()]), &Effects::default());
    assert_eq!(judged, Judged { primary_calls: 1, candidate: None, control: None });
}

#[test]
fn the_control_is_judged_by_its_own_calls() {
    let span = Span::of(Timestamp(SENT), TOOK);
    let with_control = sent_with(|sent| (sent.control, sent.to_control) = (Some(span), true));
    let shadow = Effects::of([of_candidate(charge()), of_control(charge()), of_control(charge())]);
    let judged = judge(&with_control, &Effects::of([charge()]), &shadow);
    assert_eq!(told(&judged), ("matched", "", 1, 1));
    let control = judged.control.unwrap();
    assert_eq!((control.result, control.calls), (EffectsResult::Differing, 2));
}

#[test]
fn more_calls_than_are_compared_are_counted() {
    let many = |make: fn(SideEffect) -> SideEffect| Effects::of((0..=MOST_CALLS).map(|_| make(charge())));
    let judged = candidate_of(&served(), &many(|call| call), &many(of_candidate));
    assert_eq!(judged, ("incomparable", "too_many", MOST_CALLS + 1, MOST_CALLS + 1));
}

#[test]
fn requests_do_not_share_calls() {
    let other = SideEffect { request_id: Some(shadow_record::RequestId(uuid::Uuid::from_u128(8))), ..charge() };
    assert_ne!(other.request_id, Some(id()));
    assert_eq!(candidate_of(&served(), &Effects::of([other]), &Effects::default()), ("", "", 0, 0));
}
