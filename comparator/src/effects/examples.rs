//! Calls and exchanges for tests.

use std::sync::Arc;

use bytes::Bytes;
use shadow_effects::Kept;
use shadow_record::{
    Body, CorrelatedBy, Decision, Header, LaunchName, Request, RequestId, Side, SideEffect, Timestamp,
};

use super::{Held, Sent, Served, Span};

/// When the captured request began, microseconds.
pub(crate) const CAPTURED: i64 = 1_000_000_000;
/// When it was sent to the candidate: an hour later.
pub(crate) const SENT: i64 = CAPTURED + 3_600_000_000;
/// What serving it took on either side.
pub(crate) const TOOK: i64 = 100_000;

pub(crate) fn id() -> RequestId {
    RequestId(uuid::Uuid::from_u128(7))
}

pub(crate) fn launch() -> LaunchName {
    "v2".parse().unwrap()
}

/// A call `to` such as `POST api.pay.example/v1/charges`, which took no time.
pub(crate) fn call(to: &str, body: &str) -> SideEffect {
    let (method, to) = to.split_once(' ').unwrap();
    let (destination, route) = to.split_at(to.find('/').unwrap());
    SideEffect {
        service: "shop".parse().unwrap(),
        side: Side::Primary,
        instance: "agent".to_owned(),
        epoch: 1,
        sequence: 0,
        at: Timestamp(CAPTURED + 10_000),
        total_us: 0,
        request_id: Some(id()),
        launch: None,
        attempt: 0,
        correlated_by: CorrelatedBy::Trace,
        trace_id: None,
        destination: destination.to_owned(),
        route: route.to_owned(),
        rule: None,
        decision: Decision::Forwarded,
        fault: None,
        request: Request {
            method: method.to_owned(),
            scheme: "https".to_owned(),
            authority: destination.to_owned(),
            path: route.to_owned(),
            query: None,
            headers: vec![Header::of("content-type", "application/json")],
            body: Body {
                content: Some(Bytes::copy_from_slice(body.as_bytes())),
                length: body.len() as i64,
                digest: Bytes::new(),
                withheld: None,
            },
        },
        response: None,
        ruleset: "r1".to_owned(),
        key_id: "k1".to_owned(),
        send: None,
    }
}

/// The same call as the candidate makes it for send 1.
pub(crate) fn of_candidate(mut call: SideEffect) -> SideEffect {
    (call.side, call.instance, call.launch, call.send) = (Side::Candidate, "stub".to_owned(), Some(launch()), Some(1));
    call.at = Timestamp(call.at.micros() - CAPTURED + SENT);
    call.decision = Decision::Answered;
    call
}

pub(crate) fn of_control(call: SideEffect) -> SideEffect {
    SideEffect { side: Side::Control, ..of_candidate(call) }
}

/// A call that does not tell for which request it was made.
pub(crate) fn untold(call: SideEffect) -> SideEffect {
    SideEffect { request_id: None, launch: None, send: None, correlated_by: CorrelatedBy::None, ..call }
}

/// An exchange of which everything is known.
pub(crate) fn served() -> Served {
    let span = |from| Span::of(Timestamp(from), TOOK);
    Served {
        request_id: id(),
        route: "POST /checkout".to_owned(),
        primary: span(CAPTURED),
        captured_at: Timestamp(CAPTURED + 2 * TOOK),
        recorded: true,
        sent: Some(Sent {
            candidate: span(SENT),
            control: None,
            to_control: false,
            replayed_at: Timestamp(SENT + 2 * TOOK),
            send: Some(1),
            alone: false,
            dry_run: false,
        }),
    }
}

/// What a feed holds.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) held: Vec<Arc<Kept>>,
    pub(crate) complete_from: i64,
}

impl Effects {
    /// These, recorded one after another, each appended when it was made.
    pub(crate) fn of(calls: impl IntoIterator<Item = SideEffect>) -> Self {
        (0..).zip(calls).fold(Self::default(), |effects, (sequence, call)| {
            let at = call.at.micros();
            effects.and(SideEffect { sequence, ..call }, at)
        })
    }

    /// One more, appended at another time.
    pub(crate) fn and(mut self, effect: SideEffect, at: i64) -> Self {
        let offset = self.held.len() as i64;
        self.held.push(Arc::new(Kept { appended_at: Timestamp(at), partition: 0, offset, effect }));
        self
    }
}

impl Held for Effects {
    fn of(&self, request: RequestId) -> Vec<Arc<Kept>> {
        self.held.iter().filter(|kept| kept.effect.request_id == Some(request)).cloned().collect()
    }

    fn untold(&self, from: Timestamp, until: Timestamp) -> Vec<Arc<Kept>> {
        let within = |kept: &&Arc<Kept>| (from..=until).contains(&kept.appended_at);
        self.held.iter().filter(within).filter(|kept| kept.effect.request_id.is_none()).cloned().collect()
    }

    fn complete_from(&self) -> Timestamp {
        Timestamp(self.complete_from)
    }
}
