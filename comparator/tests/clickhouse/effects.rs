//! Outbound calls: the consumer that stores them, and the views over them.

use std::time::Instant;

use bytes::Bytes;
use comparator::store::{Batch, EffectRow, ExchangeRow};
use shadow_kafka::{Admin, TopicSpec};
use shadow_record::{
    Body, CorrelatedBy, Decision, Header, Request, RequestId, Side, SideEffect, Timestamp, encode, topics,
};
use uuid::Uuid;

use crate::pipeline::{Line, ONE_AT_A_TIME, until};
use crate::stack::Place;
use crate::support::{NOON, id};

/// When the candidate of these tests was asked: a request each 10 ms, 1 s after its capture.
fn sent_at(offset: i64) -> i64 {
    NOON + offset * 10_000 + 1_000_000
}

/// A charge of `amount` for the request at `offset`, as the candidate's first send makes it.
fn charge(sequence: i64, offset: i64, side: &'static str, amount: &str) -> EffectRow {
    let at = if side == "primary" { NOON + offset * 10_000 + sequence } else { sent_at(offset) + 500 + sequence };
    EffectRow {
        service: "shop".to_owned(),
        side,
        launch: if side == "primary" { String::new() } else { "checkout-v2".to_owned() },
        request_id: Some(id(offset).0),
        instance: if side == "primary" { "agent-1".to_owned() } else { "stub-1".to_owned() },
        epoch: 5,
        sequence,
        at,
        appended_at: at + 3_000,
        total_us: 900,
        attempt: 1,
        send: (side != "primary").then_some(offset),
        correlated_by: "mark",
        trace_id: String::new(),
        destination: "api.stripe.com".to_owned(),
        method: "POST".to_owned(),
        route: "/v1/charges".to_owned(),
        path: "/v1/charges".to_owned(),
        query: String::new(),
        content_type: "application/x-www-form-urlencoded".to_owned(),
        body: format!("amount={amount}&currency=eur"),
        body_bytes: 30,
        idempotency_key: String::new(),
        rule: String::new(),
        decision: if side == "primary" { "forwarded" } else { "answered" },
        fault: String::new(),
        status: Some(200),
        answer: r#"{"id":"ch_1"}"#.to_owned(),
        ruleset: "r1".to_owned(),
        key_id: "k1".to_owned(),
        version: 1_000 - sequence as u64,
    }
}

fn mail(sequence: i64, offset: i64, side: &'static str, to: &str) -> EffectRow {
    EffectRow {
        destination: "api.mail.example".to_owned(),
        route: "/v3/send".to_owned(),
        path: "/v3/send".to_owned(),
        content_type: "application/json".to_owned(),
        body: format!(r#"{{"to":["{to}"],"subject":"your order"}}"#),
        ..charge(sequence, offset, side, "")
    }
}

fn told_nothing(row: EffectRow) -> EffectRow {
    EffectRow { request_id: None, send: None, attempt: 0, correlated_by: "none", ..row }
}

/// What the rows of `checkout-v2` called, some of it otherwise than the primary did.
pub(crate) fn called(rows: &mut [ExchangeRow]) -> Vec<EffectRow> {
    let mut differs = |offset: i64,
                       effects: (u16, u16),
                       place: &str,
                       (kind, transition): (&'static str, &str),
                       values: (&str, &str)| {
        let row = rows.iter_mut().find(|row| row.captured_offset == offset).unwrap();
        (row.primary_effects, row.candidate_effects) = effects;
        row.effects_result = if place.is_empty() { "matched" } else { "differing" };
        row.send = Some(offset);
        row.sent_at = Some(sent_at(offset));
        if !place.is_empty() {
            row.result = "differing";
            row.differences_signature.push(format!("00000000000000f{}", offset % 10));
            row.differences_place.push(place.to_owned());
            row.differences_kind.push(kind);
            row.differences_transition.push(transition.to_owned());
            row.differences_example.push(place.to_owned());
            row.differences_primary.push(values.0.to_owned());
            row.differences_candidate.push(values.1.to_owned());
            row.differences_count.push(1);
            row.differences_expected.push(String::new());
        }
    };
    differs(21, (1, 2), "effects POST api.stripe.com/v1/charges", ("added", "1->2"), ("1", "2"));
    differs(22, (1, 1), "effects POST api.stripe.com/v1/charges $.amount[*]", ("value", "changed"), ("1999", "2000"));
    differs(23, (1, 2), "effects POST api.mail.example/v3/send", ("added", "1->2"), ("1", "2"));
    differs(25, (1, 1), "", ("", ""), ("", ""));
    let unsure = rows.iter_mut().find(|row| row.captured_offset == 26).unwrap();
    (unsure.effects_result, unsure.effects_reason, unsure.primary_effects) = ("incomparable", "uncorrelated", 1);
    (unsure.send, unsure.sent_at) = (Some(26), Some(sent_at(26)));
    let (primary, candidate) = ("primary", "candidate");
    let unmatched = EffectRow {
        destination: "api.new-partner.example".to_owned(),
        route: "/{unmatched..}".to_owned(),
        decision: "unmatched",
        status: Some(501),
        ..told_nothing(charge(9, 26, candidate, "1"))
    };
    vec![
        charge(0, 21, primary, "2500"),
        charge(0, 21, candidate, "2500"),
        charge(1, 21, candidate, "2500"),
        charge(1, 22, primary, "1999"),
        charge(2, 22, candidate, "2000"),
        mail(2, 23, primary, "msk_ann@masked.example.com"),
        mail(3, 23, candidate, "msk_ann@masked.example.com"),
        mail(4, 23, candidate, "msk_ann@masked.example.com"),
        charge(3, 25, primary, "700"),
        charge(5, 25, candidate, "700"),
        charge(4, 26, primary, "800"),
        unmatched,
    ]
}

/// Exchanges of one launch, answered alike, one after another.
fn exchanges(count: i64) -> Vec<ExchangeRow> {
    let of = |offset: i64| ExchangeRow {
        launch: "checkout-v2".to_owned(),
        service: "shop".to_owned(),
        captured_offset: offset,
        version: 9,
        request_id: Some(id(offset).0),
        route: "POST /checkout".to_owned(),
        captured_at: NOON + offset * 10_000,
        sent_at: Some(sent_at(offset)),
        send: Some(offset),
        candidate_us: Some(2_000),
        outcome: "completed",
        result: "matched",
        effects_result: "matched",
        ..ExchangeRow::EMPTY
    };
    (0..count).map(of).collect()
}

async fn stored(place: &Place, exchanges: Vec<ExchangeRow>, effects: Vec<EffectRow>) {
    place.store.insert(&Batch { exchanges, effects, ..Batch::default() }).await.unwrap();
}

const BESIDE: &str = "SELECT captured_offset, standing, primary_amount, candidate_amount FROM effects_by_exchange \
    WHERE launch = 'checkout-v2' ORDER BY ALL";

pub(crate) async fn the_calls_of_an_exchange_stand_side_by_side(place: Place) {
    let (primary, candidate) = ("primary", "candidate");
    let effects = vec![
        // In another order: equal contents belong together, then what is left.
        charge(0, 0, primary, "100"),
        charge(1, 0, primary, "200"),
        charge(2, 0, primary, "100"),
        charge(0, 0, candidate, "200"),
        charge(1, 0, candidate, "111"),
        charge(2, 0, candidate, "100"),
        charge(3, 1, primary, "300"),
        charge(4, 2, candidate, "400"),
        // What repeats a call by its key asks for nothing.
        EffectRow { decision: "again", ..charge(5, 0, candidate, "200") },
        // As do equal calls with one key.
        EffectRow { idempotency_key: "k".to_owned(), ..charge(8, 2, candidate, "500") },
        EffectRow { idempotency_key: "k".to_owned(), ..charge(9, 2, candidate, "500") },
        // Of another service.
        EffectRow { service: "other".to_owned(), ..charge(6, 1, primary, "300") },
    ];
    stored(&place, exchanges(3), effects).await;
    let beside = "0\tdifferent\t100\t111\n0\tequal\t100\t100\n0\tequal\t200\t200\n1\tmissing\t300\t\\N\n2\tadditional\t\\N\t400\n2\tadditional\t\\N\t500\n";
    assert_eq!(place.query(BESIDE).await, beside);
    // An amount beyond six digits is a token of which the sum would mean nothing.
    stored(&place, vec![], vec![charge(7, 1, candidate, "5629499534213120"), charge(8, 1, candidate, "msk_x")]).await;
    let spend =
        "SELECT currency, primary_calls, candidate_calls, primary_amount, candidate_amount, difference FROM spend";
    assert_eq!(place.query(spend).await, "eur\t4\t5\t700\t1311\t611\n");
    // One and the same call, whoever published it twice.
    let late = EffectRow { version: 1, appended_at: NOON + 99_000_000, ..charge(4, 2, candidate, "400") };
    stored(&place, vec![], vec![late]).await;
    assert!(place.query(BESIDE).await.ends_with("2\tadditional\t\\N\t400\n2\tadditional\t\\N\t500\n"));
    assert_eq!(
        place
            .query("SELECT count() FROM effects FINAL WHERE appended_at > toDateTime64(1767323045 + 60, 6, 'UTC')")
            .await,
        "0\n"
    );
}

pub(crate) async fn a_call_belongs_to_the_send_that_decided(place: Place) {
    let candidate = "candidate";
    let mut asked = exchanges(3);
    asked.push(ExchangeRow { launch: "checkout-v3".to_owned(), ..asked[0].clone() });
    let traced = |row: EffectRow, after: i64| {
        let at = sent_at(2) + after;
        EffectRow { send: None, attempt: 0, correlated_by: "trace", at, ..row }
    };
    let effects = vec![
        charge(0, 0, "primary", "1"),
        charge(0, 0, candidate, "1"),
        // A replayer that was killed sent it before, as another send.
        EffectRow { send: Some(77), ..charge(1, 0, candidate, "2") },
        // Another launch's, of another version.
        EffectRow { launch: "checkout-v9".to_owned(), ..charge(2, 0, candidate, "3") },
        traced(charge(3, 2, candidate, "4"), -600_000),
        traced(charge(4, 2, candidate, "5"), 100),
        traced(charge(5, 2, candidate, "6"), 6_000_000),
    ];
    stored(&place, asked, effects).await;
    assert_eq!(place.query(BESIDE).await, "0\tequal\t1\t1\n2\tadditional\t\\N\t5\n");
    let of_the_other = "SELECT launch, standing FROM effects_by_exchange WHERE launch = 'checkout-v3'";
    assert_eq!(place.query(of_the_other).await, "checkout-v3\tmissing\n", "both launches have the primary's call");
}

pub(crate) async fn what_the_primary_cannot_record_is_not_called_additional(place: Place) {
    let candidate = "candidate";
    let mut asked = exchanges(4);
    for (row, reason) in asked[1..3].iter_mut().zip(["not_recorded", "uncorrelated"]) {
        (row.effects_result, row.effects_reason) = ("incomparable", reason);
    }
    let effects = vec![
        EffectRow { method: "MAIL".to_owned(), ..mail(0, 0, candidate, "a@b") },
        charge(1, 1, candidate, "1"),
        mail(2, 1, "primary", "a@b"),
        charge(3, 2, candidate, "1"),
        mail(4, 2, "primary", "a@b"),
        EffectRow { method: "CONNECT".to_owned(), route: String::new(), ..charge(5, 3, "primary", "") },
        charge(6, 3, candidate, "1"),
        mail(7, 3, candidate, "a@b"),
    ];
    stored(&place, asked, effects).await;
    let standings = "SELECT captured_offset, method, destination, standing FROM effects_by_exchange ORDER BY ALL";
    let found = place.query(standings).await;
    let wanted = [
        "0\tMAIL\tapi.mail.example\tunknown",
        "1\tPOST\tapi.mail.example\tmissing",
        "1\tPOST\tapi.stripe.com\tunknown",
        "2\tPOST\tapi.mail.example\tunknown",
        "2\tPOST\tapi.stripe.com\tunknown",
        "3\tCONNECT\tapi.stripe.com\tunknown",
        "3\tPOST\tapi.mail.example\tadditional",
        "3\tPOST\tapi.stripe.com\tunknown",
    ];
    assert_eq!(found.trim_end().split('\n').collect::<Vec<_>>(), wanted, "{found}");
}

pub(crate) async fn a_call_of_a_lone_request_is_its_own(place: Place) {
    let candidate = "candidate";
    let mut asked = exchanges(4);
    asked[1].alone = 1;
    asked[2].alone = 1;
    let nobodys = EffectRow { launch: String::new(), ..told_nothing(charge(3, 1, candidate, "30")) };
    let late = EffectRow { at: sent_at(2) + 2_001, ..told_nothing(charge(4, 2, candidate, "40")) };
    let effects = vec![
        told_nothing(charge(0, 0, candidate, "10")),
        told_nothing(charge(1, 1, candidate, "20")),
        nobodys,
        late,
        told_nothing(charge(5, 1, "primary", "50")),
    ];
    stored(&place, asked, effects).await;
    assert_eq!(place.query(BESIDE).await, "1\tadditional\t\\N\t20\n1\tadditional\t\\N\t30\n");
    let rest = "SELECT side, launch, calls FROM uncorrelated_effects ORDER BY ALL";
    assert_eq!(place.query(rest).await, "candidate\tcheckout-v2\t2\nprimary\t\t1\n");
}

pub(crate) async fn the_cookbook_names_who_pays_and_who_gets_mail_twice(place: Place) {
    place.store.insert(&crate::views::world()).await.unwrap();
    let page = include_str!("../../../docs/sql.md");
    let answers = async |title: &str| {
        let text = page.split_once(title).unwrap_or_else(|| panic!("no {title}")).1;
        let query = text.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        place.query(query.trim().trim_end_matches(';')).await
    };
    let charges = answers("Which candidate charges differ in amount?").await;
    assert!(charges.contains("1999\t2000\teur") && charges.lines().count() == 1, "{charges}");
    let mails = answers("Who would have got mail twice?").await;
    assert!(mails.contains("msk_ann@masked.example.com\t1\t2") && mails.lines().count() == 1, "{mails}");
    let unmatched = answers("Calls no rule matched").await;
    assert!(unmatched.contains("api.new-partner.example") && unmatched.lines().count() == 1, "{unmatched}");
    let untold = answers("Calls without a request").await;
    assert!(untold.contains("api.new-partner.example") && untold.lines().count() == 1, "{untold}");
    let beside = answers("The calls of one request side by side").await;
    assert!(beside.contains("equal") && beside.contains("additional") && beside.lines().count() == 2, "{beside}");
    let differing = answers("How calls differ, by whom they are for").await;
    assert_eq!(differing.lines().count(), 3, "{differing}");
    let spend = answers("What it would have spent").await;
    assert!(spend.contains("51.99\t77\t25.01"), "{spend}");
    let why = answers("Of how many exchanges were the calls compared").await;
    assert!(why.contains("incomparable\tuncorrelated\t1"), "{why}");
}

/// A call as the stub records it.
fn recorded(service: &str, sequence: i64) -> SideEffect {
    let content = Bytes::from("x".repeat(100));
    let body = Body { content: Some(content), length: 100, digest: Bytes::new(), withheld: None };
    SideEffect {
        service: service.parse().unwrap(),
        side: Side::Candidate,
        instance: "stub-1".to_owned(),
        epoch: 5,
        sequence,
        at: Timestamp(NOON + sequence),
        total_us: 10,
        request_id: Some(RequestId(Uuid::from_u128(sequence as u128))),
        launch: Some(service.parse().unwrap()),
        attempt: 1,
        correlated_by: CorrelatedBy::Mark,
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
            headers: vec![Header::of("content-type", "text/plain")],
            body,
        },
        response: None,
        ruleset: "r1".to_owned(),
        key_id: "k1".to_owned(),
        send: Some(sequence),
    }
}

pub(crate) async fn every_call_becomes_one_row_whatever_dies(place: Place) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let line = Line::lay(&place, "calls", 1).await;
    let topic = topics::effects(&line.launch.service);
    let mut config = line.config(&place, "c0");
    config.comparator.body = "10B".parse().unwrap();
    let begin = |config: comparator::config::Config| {
        let stop = tokio_util::sync::CancellationToken::new();
        (tokio::spawn(comparator::run(config, stop.clone())), stop)
    };
    // The topic comes later than the comparator.
    let (mut running, mut stop) = begin(config.clone());
    until(&place, "SELECT count() FROM launches FINAL WHERE launch = 'calls'", "1").await;
    Admin::new(&line.kafka).unwrap().ensure_topic(&TopicSpec::deleting(&*topic, 2)).await.unwrap();
    for life in 0..4_i64 {
        for sequence in life * 100..life * 100 + 100 {
            line.publish(&topic, (sequence % 2) as i32, &encode(&recorded("calls", sequence)));
        }
        line.publish(&topic, 0, b"garbage");
        line.publish(&topic, 1, &encode(&crate::support::traffic(1)[0]));
        let some = format!("SELECT count() >= {} FROM effects FINAL", life * 100 + 50);
        until(&place, &some, "1").await;
        running.abort();
        let _ = running.await;
        stop.cancel();
        (running, stop) = begin(config.clone());
    }
    until(&place, "SELECT count(), uniqExact(sequence) FROM effects FINAL", "400\t400").await;
    let letters =
        format!("SELECT reason, count() FROM dead_letters FINAL WHERE topic = '{topic}' GROUP BY ALL ORDER BY ALL");
    until(&place, &letters, "undecodable\t4\nunexpected_kind\t4").await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let row = "SELECT side, launch, send, length(body), body_bytes, appended_at > '2026-06-01', status IS NULL FROM effects FINAL WHERE sequence = 7";
    assert_eq!(place.query(row).await, "candidate\tcalls\t7\t10\t100\t1\t1\n");
    line.lift().await;
}

/// What the views cost; run by hand. Half a million exchanges with a call on each side.
#[allow(clippy::print_stdout, reason = "the figures are what it is run for")]
pub(crate) async fn what_each_view_takes_over_a_million_effects(place: Place) {
    const EXCHANGES: u32 = 500_000;
    place
        .query(&format!(
            "INSERT INTO exchanges (launch, service, partition, captured_offset, version, request_id, route, captured_at, sent_at, send, alone, \
                candidate_us, outcome, result, effects_result) \
             SELECT 'million', 'shop', number % 4, intDiv(number, 4), 1, generateUUIDv7(number), concat('POST /', toString(number % 40)), \
                toDateTime64('2026-01-02 03:00:00', 6, 'UTC') + toIntervalMillisecond(number) AS at, at + toIntervalSecond(9), number, number % 2, \
                900, 'completed', 'matched', 'matched' FROM numbers({EXCHANGES})"
        ))
        .await;
    for (side, launch, after) in [("primary", "", 0), ("candidate", "million", 9_000_500)] {
        let (send, told) = match side {
            "primary" => ("NULL", "request_id"),
            _ => ("send", "if(captured_offset % 10 = 0, NULL, request_id)"),
        };
        place
            .query(&format!(
                "INSERT INTO effects (service, side, launch, request_id, instance, epoch, sequence, at, appended_at, send, correlated_by, destination, \
                    method, route, body, decision, status, answer, version) \
                 SELECT service, '{side}', '{launch}', {told}, 'i', 1, send, captured_at + toIntervalMicrosecond({after}) AS t, t, {send}, 'mark', \
                    'api.stripe.com', 'POST', '/v1/charges', concat('amount=', toString(send % 9999), '&currency=eur&description=', repeat('x', 200)), \
                    'answered', 200, repeat('y', 300), 1 FROM exchanges"
            ))
            .await;
    }
    place.query("OPTIMIZE TABLE exchanges FINAL").await;
    place.query("OPTIMIZE TABLE effects FINAL").await;
    let one = "(SELECT any(request_id) FROM exchanges WHERE captured_offset = 77)";
    for (name, sql) in [
        ("rows", "SELECT count(), countIf(request_id IS NULL) FROM effects FINAL".to_owned()),
        ("scheduled_effects", "SELECT count() FROM scheduled_effects WHERE launch = 'million'".to_owned()),
        ("correlated_effects", "SELECT * FROM correlated_effects WHERE launch = 'million' FORMAT Null".to_owned()),
        ("effects_by_exchange", "SELECT * FROM effects_by_exchange WHERE launch = 'million' FORMAT Null".to_owned()),
        (
            "of one request",
            format!("SELECT * FROM effects_by_exchange WHERE launch = 'million' AND request_id = {one} FORMAT Null"),
        ),
        ("uncorrelated_effects", "SELECT * FROM uncorrelated_effects FORMAT Null".to_owned()),
        ("effect_differences", "SELECT * FROM effect_differences WHERE launch = 'million' FORMAT Null".to_owned()),
        ("spend", "SELECT * FROM spend WHERE launch = 'million' FORMAT Null".to_owned()),
    ] {
        let mut seconds = Vec::new();
        let mut answer = String::new();
        for _ in 0..3 {
            let begun = Instant::now();
            answer = place.query(&sql).await;
            seconds.push(begun.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        println!("{name}: {:.2} s {}", seconds[1], answer.trim());
    }
}
