//! A call and its answer as a record, masked.

use bytes::Bytes;
use http::HeaderMap;
use shadow_control::Leg;
use shadow_mask::{Masker, RawBody, RawRequest, RawResponse};
use shadow_record::{CorrelatedBy, LaunchName, Request, ServiceName, Side, SideEffect, Timestamp};

use crate::correlate::{Caller, trace_id};
use crate::engine::{Answer, Decision};
use crate::request::Call;
use crate::rules::Fault;

/// What all effects of one stub have in common.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    pub(crate) service: ServiceName,
    pub(crate) instance: String,
    pub(crate) epoch: Timestamp,
    /// Of calls that do not tell whose they are, by configuration.
    pub(crate) launch: Option<LaunchName>,
    pub(crate) side: Side,
}

/// When a call was complete, and how long its answer took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) at: Timestamp,
    pub(crate) total_us: i64,
}

/// A call as its record has it.
pub(crate) fn masked(masker: &Masker, call: &Call) -> Request {
    masker.request(RawRequest {
        method: call.method.clone(),
        scheme: call.scheme.to_owned(),
        authority: call.destination(),
        path: call.path.clone(),
        query: call.query.clone(),
        headers: call.headers.clone(),
        body: RawBody::Whole(call.body.clone()),
    })
}

impl Recorder {
    /// The record of one call, which is given with its masked form.
    pub(crate) fn record(
        &self,
        masker: &Masker,
        sequence: i64,
        (call, request): (Call, Request),
        caller: Option<Caller>,
        (decision, route, answer): (Decision, String, Answer),
        times: Times,
    ) -> SideEffect {
        let trace_id = trace_id(&call).map(|trace| trace.to_string());
        let destination = call.destination();
        let response = (!matches!(answer.fault, Some(Fault::Close | Fault::Hang))).then(|| {
            let raw = RawResponse {
                status: answer.status.as_u16(),
                headers: HeaderMap::from_iter(answer.headers),
                body: RawBody::Whole(Bytes::clone(&answer.body)),
            };
            masker.response(&call.method, &call.path, raw)
        });
        let (side, launch) = match &caller {
            Some(Caller { leg: Leg::Candidate, launch, .. }) => (Side::Candidate, Some(launch.clone())),
            Some(Caller { leg: Leg::Control, launch, .. }) => (Side::Control, Some(launch.clone())),
            None => (self.side, self.launch.clone()),
        };
        SideEffect {
            service: self.service.clone(),
            side,
            instance: self.instance.clone(),
            epoch: self.epoch.micros(),
            sequence,
            at: times.at,
            total_us: times.total_us,
            request_id: caller.as_ref().map(|caller| caller.request_id),
            launch,
            send: caller.as_ref().and_then(|caller| caller.send),
            attempt: caller.as_ref().map_or(0, |caller| caller.attempt),
            correlated_by: caller.as_ref().map_or(CorrelatedBy::None, |caller| caller.by),
            trace_id,
            destination,
            route,
            rule: decision.rule().map(str::to_owned),
            decision: match decision {
                Decision::Rule(_) => shadow_record::Decision::Answered,
                Decision::Again(_) => shadow_record::Decision::Again,
                Decision::Mirrored => shadow_record::Decision::Mirrored,
                Decision::Unmatched => shadow_record::Decision::Unmatched,
                Decision::Failed { .. } => shadow_record::Decision::RuleFailed,
            },
            fault: answer.fault.map(|fault| fault.as_str().to_owned()),
            request,
            response,
            ruleset: masker.ruleset().version().to_owned(),
            key_id: masker.key_id().to_owned(),
        }
    }
}
