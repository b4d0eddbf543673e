//! Makes a call that has passed a record.

use std::sync::Arc;

use shadow_mask::{Masker, RawRequest};
use shadow_record::{Decision, ServiceName, Side, SideEffect, Timestamp, encode};

use super::Outbound;
use crate::mask::{Masked, RawParts, micros, raw_answer, raw_body};

/// Turns raw calls into records.
pub(crate) struct SealEffect {
    /// Hides what is private; knows the routes of destinations.
    pub(crate) masker: Arc<Masker>,
    /// The captured service.
    pub(crate) service: ServiceName,
    /// This agent.
    pub(crate) instance: String,
    /// Start of this process.
    pub(crate) epoch: Timestamp,
}

impl SealEffect {
    /// The record and its key.
    pub(crate) fn seal(&self, raw: RawParts) -> Masked {
        let masker = &self.masker;
        // Calls of one request share their key, and so keep their order; one of nobody's is alone.
        let key = masker.record_key(raw.head.id.0.as_bytes());
        Masked { key, payload: encode(&self.masked(raw)) }
    }

    fn masked(&self, raw: RawParts) -> SideEffect {
        let masker = &self.masker;
        let opened = "a copied head was parsed when it was seen";
        let outbound = raw.head.outbound.as_ref().expect("only calls come here");
        let Outbound { to, request, by, trace } = Outbound::clone(outbound);
        let head = raw.head.copy.open().expect(opened);
        // A tunnel has no path.
        let path = if head.path.is_empty() { "/".to_owned() } else { head.path };
        let answer = raw.response.map(|answer| raw_answer(masker, answer));
        let response = answer.map(|answer| masker.response(&head.method, &path, answer));
        let route = masker.route(&head.method, &path);
        let call = RawRequest {
            method: head.method,
            scheme: to.scheme.to_owned(),
            authority: to.host.clone(),
            path,
            query: head.query,
            headers: head.headers,
            body: raw_body(masker, &raw.request_body),
        };
        SideEffect {
            service: self.service.clone(),
            side: Side::Primary,
            instance: self.instance.clone(),
            epoch: self.epoch.micros(),
            sequence: raw.sequence,
            at: raw.captured_at,
            total_us: micros(raw.total),
            request_id: request,
            launch: None,
            attempt: 0,
            correlated_by: by,
            trace_id: trace.map(|trace| trace.to_string()),
            destination: to.host,
            // The stub names routes by their path alone.
            route: route.split_once(' ').map_or(route.clone(), |(_, path)| path.to_owned()),
            rule: None,
            decision: Decision::Forwarded,
            fault: None,
            request: masker.request(call),
            response,
            ruleset: masker.ruleset().version().to_owned(),
            key_id: masker.key_id().to_owned(),
            send: None,
        }
    }
}
