//! A recorded outbound call as a row of `effects`. Pure.

use shadow_record::{SideEffect, Timestamp};

use crate::classify::excerpt;
use crate::store::EffectRow;

/// The row of one call that the broker appended at `appended_at`; bodies are cut at `body_bytes`.
pub(super) fn effect_row(effect: SideEffect, appended_at: Timestamp, body_bytes: usize) -> EffectRow {
    let SideEffect { request, response, .. } = effect;
    EffectRow {
        service: effect.service.to_string(),
        side: effect.side.as_str(),
        launch: effect.launch.map(String::from).unwrap_or_default(),
        request_id: effect.request_id.map(|id| id.0),
        instance: effect.instance,
        epoch: effect.epoch,
        sequence: effect.sequence,
        at: effect.at.micros(),
        appended_at: appended_at.micros(),
        total_us: effect.total_us,
        attempt: effect.attempt,
        send: effect.send,
        correlated_by: effect.correlated_by.as_str(),
        trace_id: effect.trace_id.unwrap_or_default(),
        destination: effect.destination,
        route: effect.route,
        content_type: request.header("content-type").unwrap_or_default().to_owned(),
        idempotency_key: request.header("idempotency-key").unwrap_or_default().to_owned(),
        body: excerpt(&request.body, body_bytes),
        body_bytes: request.body.length,
        method: request.method,
        path: request.path,
        query: request.query.unwrap_or_default(),
        rule: effect.rule.unwrap_or_default(),
        decision: effect.decision.as_str(),
        fault: effect.fault.unwrap_or_default(),
        status: response.as_ref().map(|response| response.status),
        answer: response.map(|response| excerpt(&response.body, body_bytes)).unwrap_or_default(),
        ruleset: effect.ruleset,
        key_id: effect.key_id,
        version: u64::MAX - appended_at.micros().max(0) as u64,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shadow_record::{Body, CorrelatedBy, Decision, Header, Request, RequestId, Response, Side};

    use super::*;

    fn body(text: &str) -> Body {
        let content = Some(Bytes::from(text.to_owned()));
        Body { content, length: 1_000, digest: Bytes::new(), withheld: None }
    }

    fn effect() -> SideEffect {
        SideEffect {
            service: "shop".parse().unwrap(),
            side: Side::Candidate,
            instance: "stub-1".to_owned(),
            epoch: 5,
            sequence: 6,
            at: Timestamp(70),
            total_us: 8,
            request_id: Some(RequestId::generate()),
            launch: Some("v2".parse().unwrap()),
            attempt: 1,
            correlated_by: CorrelatedBy::Baggage,
            trace_id: None,
            destination: "api.stripe.com".to_owned(),
            route: "/v1/charges".to_owned(),
            rule: Some("charge".to_owned()),
            decision: Decision::Answered,
            fault: None,
            request: Request {
                method: "POST".to_owned(),
                scheme: "https".to_owned(),
                authority: "api.stripe.com".to_owned(),
                path: "/v1/charges".to_owned(),
                query: None,
                headers: vec![Header::of("content-type", "application/x-www-form-urlencoded")],
                body: body("amount=20\u{e9}0"),
            },
            response: Some(Response { status: 200, headers: vec![], body: body("{}") }),
            ruleset: "r1".to_owned(),
            key_id: "k1".to_owned(),
            send: Some(9),
        }
    }

    #[test]
    fn a_call_becomes_a_row_with_its_bodies_cut_between_characters() {
        let row = effect_row(effect(), Timestamp(100), 10);
        assert_eq!(
            (row.side, row.launch.as_str(), row.correlated_by, row.decision),
            ("candidate", "v2", "baggage", "answered")
        );
        assert_eq!((row.body.as_str(), row.body_bytes, row.answer.as_str()), ("amount=20", 1_000, "{}"));
        assert_eq!(
            (row.status, row.send, row.content_type.as_str()),
            (Some(200), Some(9), "application/x-www-form-urlencoded")
        );
        assert_eq!(effect_row(effect(), Timestamp(100), 0).body, "");
    }

    #[test]
    fn of_a_call_that_was_published_twice_the_first_record_stays() {
        let (first, second) = (effect_row(effect(), Timestamp(100), 10), effect_row(effect(), Timestamp(101), 10));
        assert!(first.version > second.version);
    }

    #[test]
    fn a_call_without_an_answer_has_no_status() {
        let row =
            effect_row(SideEffect { response: None, launch: None, request_id: None, ..effect() }, Timestamp(1), 10);
        assert_eq!((row.status, row.answer.as_str(), row.launch.as_str(), row.request_id), (None, "", "", None));
    }
}
