use shadow_control::{Leg, MARK_HEADER, to_baggage};
use shadow_mask::{MaskKey, Masker, Ruleset};
use shadow_record::{CaptureError, RouteTable};

use super::*;
use crate::handover::queue;
use crate::head::OpenHead;
use crate::observe::RawExchange;
use crate::tee::Budget;

struct Bench {
    effects: Effects,
    queue: crossbeam_channel::Receiver<RawExchange>,
    budget: Arc<Budget>,
}

impl Bench {
    fn with(room: usize, budget: usize) -> Self {
        let key = MaskKey::parse(&"5".repeat(64)).unwrap();
        let masker = Arc::new(Masker::new(key, Ruleset::default(), RouteTable::default()));
        let (handover, queue) = queue(room);
        let budget = Budget::of(budget);
        let effects = Effects {
            calls: Calls::open(),
            limits: Limits { body: 1 << 10, budget: budget.clone(), masker },
            handover,
            pause: Arc::default(),
            alarm: Alarm::default(),
            requests: Arc::default(),
        };
        Self { effects, queue, budget }
    }

    fn new() -> Self {
        Self::with(8, 1 << 20)
    }

    fn see(&self, lines: &[(&str, &str)]) -> Result<Option<Arc<Observation>>, Marked> {
        self.effects.see(&head(lines), Destination { scheme: "https", host: "pay.example".to_owned() })
    }

    /// Whose a call is that tells nothing.
    fn told(&self) -> Option<RequestId> {
        drop(self.see(&[]));
        self.queue.try_recv().unwrap().head.outbound.unwrap().request
    }

    fn account(&self) -> Account {
        let account = self.effects.calls.account();
        assert!(account.balances(), "{account:?}");
        account
    }
}

fn head(lines: &[(&str, &str)]) -> OpenHead {
    let headers = lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    OpenHead { method: "POST".into(), authority: "pay.example".into(), path: "/v1".into(), query: None, headers }
}

#[test]
fn a_call_ends_in_the_queue_with_the_request_that_it_was_made_for() {
    let bench = Bench::new();
    let id = RequestId::generate();
    let under_way = bench.effects.requests.begin(&head(&[]), Some(id));
    let observation = bench.see(&[]).unwrap().unwrap();
    observation.failed(CaptureError::Connect);
    drop((observation, under_way));
    let call = bench.queue.try_recv().unwrap();
    let outbound = call.head.outbound.as_ref().unwrap();
    assert_eq!(
        (outbound.request, outbound.by, outbound.to.host.as_str()),
        (Some(id), CorrelatedBy::Alone, "pay.example")
    );
    assert_eq!(call.head.id, id);
    assert_eq!(bench.account().in_flight, 1);
    drop(call);
    assert_eq!(bench.effects.calls.told_by().find(|(by, _)| *by == "alone"), Some(("alone", 1)));
}

#[test]
fn the_mark_is_found_wherever_it_is_and_only_a_signed_one_is_refused() {
    let bench = Bench::new();
    let (launch, request_id) = ("v2".parse().unwrap(), RequestId::generate());
    let mark = Mark { launch, request_id, attempt: 1, leg: Leg::Control, send: 9 };
    let signed = mark.sign(|body| bench.effects.limits.masker.mark_tag(body));
    let forged = mark.sign(|_| [7; 16]);
    for (name, value, rung) in
        [(MARK_HEADER, signed.clone(), 1), ("baggage", format!("a=b,{}", to_baggage(&signed)), 2)]
    {
        assert_eq!(bench.see(&[(name, &value)]).err(), Some(Marked), "{name}: {value}");
        assert_eq!(bench.effects.alarm.count(), rung, "{name}: {value}");
    }
    for (name, value) in [(MARK_HEADER, forged.clone()), ("baggage", to_baggage(&forged)), (MARK_HEADER, String::new())]
    {
        assert!(bench.see(&[(name, &value)]).is_ok_and(|seen| seen.is_some()), "{name}: {value}");
    }
    assert_eq!(bench.effects.alarm.count(), 2, "anyone can send those");
    assert_eq!(bench.effects.check(&head(&[(MARK_HEADER, &signed)])), Err(Marked));
    assert_eq!(bench.effects.check(&head(&[("baggage", "a=b")])), Ok(()));
    assert_eq!((bench.account().excluded_for(Exclusion::Replayed), bench.account().seen), (3, 6));
}

#[test]
fn a_request_knows_when_something_was_lost_in_its_time() {
    let bench = Bench::with(1, 100);
    let calls = bench.effects.calls.clone();
    let complete = |lose: &dyn Fn()| {
        let mut meanwhile = Meanwhile::begin(&calls);
        lose();
        meanwhile.end();
        meanwhile.all_recorded()
    };
    assert!(complete(&|| drop(bench.see(&[]))), "it waits");
    assert!(!complete(&|| drop(bench.see(&[]))), "there is no room in the queue");
    assert!(!complete(&|| drop(bench.see(&[("x", &"a".repeat(100))]))), "nor in the budget");
    assert!(!complete(&|| calls.passed_unseen()));
    assert!(!complete(&|| bench.effects.see_refused()), "the candidate's is answered");
    bench.effects.pause.set_by_operator(true);
    assert!(!complete(&|| drop(bench.see(&[]))));

    let mut before = Meanwhile::begin(&calls);
    before.end();
    calls.passed_unseen();
    assert!(before.all_recorded(), "it had ended");
    bench.queue.try_iter().for_each(drop);
    assert!(!before.all_recorded(), "what waited was lost, and may have been its own");
    assert_eq!(bench.budget.used(), 0);
    assert!(complete(&|| {}));
    calls.share();
    assert!(!complete(&|| {}), "another agent records some");
    bench.effects.pause.set_by_operator(false);
    let id = RequestId::generate();
    let _under_way = bench.effects.requests.begin(&head(&[]), Some(id));
    assert_eq!(bench.told(), None, "it may be the other's request");
    calls.unshare();
    assert!(complete(&|| {}), "the other agent has ended");
    assert_eq!(bench.told(), Some(id));
    calls.share_for_good();
    calls.unshare();
    assert!(!complete(&|| {}), "the next one stays");
}

#[test]
fn calls_of_a_request_that_is_not_captured_are_left_out() {
    let bench = Bench::new();
    let trace = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let _under_way = bench.effects.begin(&head(&[trace]), None);
    assert!(bench.see(&[trace]).unwrap().is_none());
    assert_eq!(bench.account().sampled_out, 1);
    assert!(Meanwhile::begin(&bench.effects.calls).all_recorded());
}

#[test]
fn heartbeats_carry_the_account_under_a_name_of_its_own() {
    let bench = Bench::new();
    drop(bench.see(&[]));
    let counters = bench.effects.calls.counters();
    for (name, count) in
        [("effects.seen", 1), ("effects.in_flight", 1), ("effects.told.none", 1), ("effects.dropped", 0)]
    {
        assert_eq!(counters.get(name), Some(&count), "{name}");
    }
}
