//! Records as services would publish them, for tests.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(unreachable_pub, reason = "a module of several test binaries")]

use bytes::Bytes;
use comparator::classify::{Captured, Classified, Classifier, RangeInfo, Replay};
use comparator::pair::{Join, Limits, Replayed};
use comparator::store::Batch;
use shadow_control::{Change, Launch};
use shadow_record::{
    Body, CapturedExchange, ControlAnswer, FailureClass, Header, Outcome, ReplayedExchange, Request, RequestId,
    Response, SkipReason, SkippedRange, Source, Timestamp,
};

/// 2026-01-02 03:04:05 UTC.
pub const NOON: i64 = 1_767_323_045_000_000;

/// An ID that is the same in every run.
pub fn id(number: i64) -> RequestId {
    RequestId(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number as u128))
}

pub fn launch(name: &str) -> Launch {
    let (name, service) = (name.parse().expect("a legal name"), "shop".parse().expect("a legal name"));
    let candidate = "http://127.0.0.1:9".parse().expect("a legal URL");
    let rules = Some("version = \"7\"\n[[ignore]]\njson = [\"$.at\"]".to_owned());
    Launch { rules, ..Launch::of(name, service, candidate, Change::by("test", "test")) }
}

pub fn answer(status: u16, body: &str) -> Response {
    let content = Some(Bytes::from(body.to_owned()));
    Response {
        status,
        headers: vec![Header::of("content-type", "application/json")],
        body: Body { content, length: body.len() as i64, digest: Bytes::new(), withheld: None },
    }
}

pub fn captured(number: i64, route: &str, response: Response) -> CapturedExchange {
    let (method, path) = route.split_once(' ').expect("a route");
    CapturedExchange {
        request_id: id(number),
        correlation_id: None,
        agent: "agent-1".to_owned(),
        epoch: 5,
        sequence: number,
        service: "shop".parse().expect("a legal name"),
        source: Source::Proxy,
        captured_at: Timestamp(NOON + number * 1000),
        route: route.to_owned(),
        request: Request {
            method: method.to_owned(),
            scheme: "http".to_owned(),
            authority: "shop".to_owned(),
            path: path.to_owned(),
            query: None,
            headers: vec![],
            body: Body { content: Some(Bytes::new()), length: 0, digest: Bytes::new(), withheld: None },
        },
        response: Some(response),
        error: None,
        first_byte_us: Some(900),
        total_us: 1000 + number % 7,
        ruleset: "r1".to_owned(),
        key_id: "k1".to_owned(),
        sampling_rate: 1.0,
        effects_recorded: false,
    }
}

pub fn replayed(launch: &str, partition: i32, offset: i64, number: i64, outcome: Outcome) -> ReplayedExchange {
    let sent = matches!(outcome, Outcome::Completed(_) | Outcome::Failed(_));
    ReplayedExchange {
        launch: launch.parse().expect("a legal name"),
        partition,
        offset,
        low_watermark: 0,
        appended_at: Timestamp(NOON + number * 1000 + 500),
        request_id: Some(id(number)),
        replayer: "replayer-1".to_owned(),
        attempt: 1,
        intended_at: sent.then_some(Timestamp(NOON + number * 1000 + 10_000)),
        sent_at: sent.then_some(Timestamp(NOON + number * 1000 + 10_100)),
        first_byte_us: sent.then_some(1_500),
        total_us: sent.then_some(2000 + number % 11),
        outcome,
        control: None,
        session: None,
        held_by: None,
        rewritten: Vec::new(),
        ruleset: "r1".to_owned(),
        key_id: "k1".to_owned(),
        send: sent.then_some(number),
        alone: false,
    }
}

/// The record as it was read, appended when the candidate had answered.
pub fn appended(exchange: ReplayedExchange) -> Replay {
    let done = exchange.sent_at.map(|sent| Timestamp(sent.micros() + exchange.total_us.unwrap_or(0)));
    Replay { appended_at: done.unwrap_or(exchange.appended_at), exchange }
}

pub fn range(launch: &str, partition: i32, first: i64, last: i64, reason: SkipReason) -> SkippedRange {
    SkippedRange {
        launch: launch.parse().expect("a legal name"),
        partition,
        first,
        last,
        low_watermark: 0,
        reason,
        replayer: "replayer-1".to_owned(),
        at: Timestamp(NOON),
    }
}

/// Captured records of one partition: a few routes, all well.
pub fn traffic(count: i64) -> Vec<CapturedExchange> {
    let routes = ["GET /products", "GET /orders/{id}", "GET /search"];
    (0..count)
        .map(|n| {
            captured(n, routes[(n % 3) as usize], answer(200, &format!(r#"{{"id":{n},"price":{n}.50,"at":{n}}}"#)))
        })
        .collect()
}

/// What a candidate with faults made of record `n`: a wrong price on one route, a 500, a failure, and a skip now and then.
pub fn faulty(n: i64) -> Outcome {
    match n % 20 {
        4 => Outcome::Completed(answer(200, &format!(r#"{{"id":{n},"price":0,"at":"now"}}"#))),
        7 => Outcome::Completed(answer(500, r#"{"error":"broken"}"#)),
        11 => Outcome::Failed(FailureClass::Timeout),
        13 => Outcome::Skipped(SkipReason::UnsafeMethod),
        17 => Outcome::DeadLettered,
        _ => Outcome::Completed(answer(200, &format!(r#"{{"price":{n}.5,"id":{n},"at":"now"}}"#))),
    }
}

/// What a second copy of the live build made of record `n`: now and then it rounds differently, or gives no answer.
pub fn control(n: i64) -> ControlAnswer {
    let cents = if n % 30 == 5 { "51" } else { "50" };
    let answer = match n % 100 {
        95 => Err(FailureClass::Timeout),
        _ => Ok(answer(200, &format!(r#"{{"id":{n},"price":{n}.{cents},"at":"then"}}"#))),
    };
    let sent_at = Timestamp(NOON + n * 1000 + 10_100);
    ControlAnswer { sent_at, first_byte_us: Some(900), total_us: Some(1100 + n % 5), answer }
}

/// Rows of one partition as the pipeline would settle them. Offsets above `replayed_to` have no outcome yet; every offset whose
/// hundreds begin a new block is covered by a range of ten.
pub fn settled(launch: &Launch, partition: i32, records: &[CapturedExchange], replayed_to: i64) -> (Batch, i64) {
    let classifier = Classifier::new(launch, 1 << 10);
    let mut join: Join<Captured, Replay, RangeInfo> = Join::new(0, 0, Limits::default());
    let mut at = 0;
    for (offset, record) in records.iter().enumerate() {
        let captured = Captured::of(Timestamp(record.captured_at.micros() + 500), record.clone());
        join.captured(offset as i64, captured, 1);
    }
    let mut offset = 0;
    while offset < replayed_to {
        let record = Replayed { at, low_watermark: 0 };
        if offset % 100 == 0 {
            let info =
                RangeInfo { reason: SkipReason::SampledOut, replayer: "replayer-1".to_owned(), at: Timestamp(NOON) };
            join.skipped(record, offset, offset + 9, &info);
            offset += 10;
        } else {
            let mut outcome = replayed(launch.name.as_str(), partition, offset, offset, faulty(offset));
            outcome.control = (offset % 10 == 5).then(|| control(offset));
            join.outcome(record, offset, appended(outcome), 1);
            offset += 1;
        }
        at += 1;
    }
    let mut batch = Batch::default();
    for settled in join.take_settled() {
        match classifier.classify(partition, settled) {
            Classified::Exchange(row, _) => batch.exchanges.push(*row),
            Classified::Range(row) => batch.ranges.push(row),
        }
    }
    (batch, join.low())
}
