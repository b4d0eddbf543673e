//! The tables and views, with rows as the pipeline makes them.

use comparator::config::ClickHouseConfig;
use comparator::metrics::Metrics;
use comparator::schema;
use comparator::store::{
    Batch, ChangeRow, DeadLetterRow, ExchangeRow, LaunchRow, StatusRow, Store, StoreError, WatermarkRow,
};
use shadow_runtime::Secret;
use tokio_util::sync::CancellationToken;

use crate::effects::called;
use crate::forwarder::Forwarder;
use crate::stack::{INSERTER, Place, VIEWS};
use crate::support::{NOON, launch, settled, traffic};

/// Two launches of one service, two partitions, and everything beside the flow.
pub(crate) fn world() -> Batch {
    let mut all = Batch::default();
    for name in ["checkout-v2", "checkout-v3"] {
        for partition in 0..2 {
            let replayed_to = if name == "checkout-v2" { 300 } else { 4 };
            let (batch, low) = settled(&launch(name), partition, &traffic(350), replayed_to);
            let mut exchanges: Vec<_> = batch.exchanges.into_iter().map(told_more).collect();
            if (name, partition) == ("checkout-v2", 0) {
                all.effects.extend(called(&mut exchanges));
            } else {
                // Requests of their own.
                exchanges
                    .iter_mut()
                    .for_each(|row| row.request_id = Some(uuid::Uuid::from_u128(row.captured_offset as u128)));
            }
            all.exchanges.extend(exchanges);
            all.ranges.extend(batch.ranges);
            all.watermarks.push(watermark(name, partition, low, 350));
        }
        all.launches.push(LaunchRow {
            launch: name.to_owned(),
            service: "shop".to_owned(),
            candidate: "http://127.0.0.1:9/".to_owned(),
            status: "active",
            sample: 1.0,
            changed_by: "test".to_owned(),
            changed_why: "test".to_owned(),
            changed_at: NOON,
            control_version: 3,
            control: "http://127.0.0.1:8/".to_owned(),
            control_sample: 0.1,
            gates: String::new(),
            rules: String::new(),
        });
    }
    all.statuses.push(agent(
        5,
        9,
        "running",
        &[("seen", 700), ("acknowledged", 690), ("dropped", 10), ("dropped.queue_full", 10)],
    ));
    all.changes = history();
    all.dead_letters.push(DeadLetterRow {
        topic: "shadow.captured.shop".to_owned(),
        partition: 0,
        offset: 17,
        reason: "undecodable",
        detail: "not Avro".to_owned(),
        bytes: vec![0, 159, 146, 150],
        instance: "replayer-1".to_owned(),
        at: NOON,
    });
    all
}

/// A launch that is created, raised and taken away.
fn history() -> Vec<ChangeRow> {
    let of = |version: i64, (by, why): (&str, &str), value: &str| ChangeRow {
        version,
        at: NOON + version * 1_000_000,
        key: "launch/checkout-v2".to_owned(),
        kind: "launch".to_owned(),
        subject: "checkout-v2".to_owned(),
        launch: "checkout-v2".to_owned(),
        by: by.to_owned(),
        why: why.to_owned(),
        deleted: u8::from(value.is_empty()),
        value: value.to_owned(),
    };
    let raised = "from 1 % to 10 %: verdict pass after 10 min";
    vec![
        of(1, ("ann", "rehearsal"), r#"{"status":"active","sample":0.01}"#),
        of(2, ("ramp", raised), r#"{"status":"active","sample":0.1}"#),
        of(5, ("ann", "cleaned up"), r#"{"status":"rolled_back","sample":0.1}"#),
        of(6, ("", ""), ""),
    ]
}

/// What the traffic of these tests does not show by itself: a driver, an expected change, classes and scores.
fn told_more(mut row: ExchangeRow) -> ExchangeRow {
    let language = if row.result == "differing" { "de" } else { "en" };
    row.attributes.push(("header:accept-language".to_owned(), language.to_owned()));
    match row.captured_offset % 20 {
        9 => {
            row.differences_signature.push("00000000000000e1".to_owned());
            row.differences_place.push("$.currency".to_owned());
            row.differences_kind.push("added");
            row.differences_transition.push("absent->string".to_owned());
            row.differences_example.push("$.currency".to_owned());
            row.differences_primary.push(String::new());
            row.differences_candidate.push("\"EUR\"".to_owned());
            row.differences_count.push(1);
            row.differences_expected.push("currency is told".to_owned());
        }
        digit @ (1 | 2) => {
            (row.primary_class, row.candidate_class) =
                ("ham".to_owned(), ["ham", "spam"][digit as usize - 1].to_owned());
            row.score_difference = Some(0.1 * (row.captured_offset % 7) as f64);
        }
        _ => {}
    }
    row
}

fn watermark(launch: &str, partition: i32, low_offset: i64, high_offset: i64) -> WatermarkRow {
    let (launch, service) = (launch.to_owned(), "shop".to_owned());
    WatermarkRow { launch, service, partition, start_offset: 0, low_offset, high_offset, at: NOON }
}

fn agent(epoch: i64, sequence: i64, state: &'static str, counters: &[(&str, i64)]) -> StatusRow {
    StatusRow {
        instance: "agent-1".to_owned(),
        role: "capture_agent",
        service: "shop".to_owned(),
        launch: String::new(),
        epoch,
        sequence,
        at: NOON + epoch,
        state,
        control_version: 3,
        heard_at: None,
        last_send_at: None,
        counters: counters.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
    }
}

pub(crate) async fn applying_the_schema_twice_changes_nothing(place: Place) {
    place.store.insert(&world()).await.unwrap();
    let before = place.views().await;
    let again = schema::apply(&place.client, &place.clickhouse.database, None).await.unwrap();
    assert!(again.is_empty(), "{again:?}");
    place.query("TRUNCATE TABLE schema_migrations").await;
    let again = schema::apply(&place.client, &place.clickhouse.database, None).await.unwrap();
    assert_eq!(again.len(), schema::MIGRATIONS.len(), "every statement may be run again");
    assert_eq!(place.views().await, before);
}

pub(crate) async fn every_query_of_the_cookbook_gives_rows(place: Place) {
    place.store.insert(&world()).await.unwrap();
    let page = include_str!("../../../docs/sql.md");
    let queries: Vec<&str> = page.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(queries.len() >= 12);
    for query in queries {
        let answer = place.query(query.trim().trim_end_matches(';')).await;
        assert!(!answer.is_empty(), "no row from\n{query}");
    }
    for view in VIEWS {
        assert!(
            page.contains(&format!("`{view}`")) || page.contains(&format!("FROM {view}\n")),
            "{view} is in no recipe"
        );
    }
}

pub(crate) async fn storing_everything_again_changes_no_view(place: Place) {
    let world = world();
    place.store.insert(&world).await.unwrap();
    let before = place.views().await;
    // Again whole, then in other batches and another order, with outcomes that came second.
    place.store.insert(&world).await.unwrap();
    let mut late = world.clone();
    late.exchanges.reverse();
    for row in &mut late.exchanges {
        row.version -= 100;
        row.replayed_offset += 50;
        row.result = "differing";
        row.candidate_us = Some(999_999);
    }
    for row in &mut late.effects {
        (row.version, row.appended_at) = (row.version - 5, row.appended_at + 5);
    }
    place.store.insert(&Batch { effects: late.effects, ..Batch::default() }).await.unwrap();
    for chunk in late.exchanges.chunks(37) {
        place.store.insert(&Batch { exchanges: chunk.to_vec(), ..Batch::default() }).await.unwrap();
    }
    assert_eq!(place.views().await, before);
    place.query("OPTIMIZE TABLE exchanges FINAL").await;
    place.query("OPTIMIZE TABLE effects FINAL").await;
    assert_eq!(place.views().await, before);
}

pub(crate) async fn the_views_say_what_was_stored(place: Place) {
    place.store.insert(&world()).await.unwrap();
    // 300 offsets twice. Three ranges of ten; of each kind of `faulty` 15, less the wrong prices and the 500s in the ranges. Three that
    // differ in what they called.
    let ledger = "SELECT captured, completed, failed, skipped, dead_lettered, pending, matched, differing, due, balanced \
                  FROM ledger_launch WHERE launch = 'checkout-v2'";
    assert_eq!(place.query(ledger).await, "700\t450\t30\t90\t30\t100\t399\t51\t600\t1\n");
    let signatures = "SELECT place, kind, transition, sum(exchanges) FROM signatures WHERE launch = 'checkout-v2' \
                      GROUP BY ALL ORDER BY ALL";
    let found = place.query(signatures).await;
    assert!(found.contains("$.price\tvalue\tchanged\t"), "{found}");
    assert!(found.contains("status\tstatus\t200->500\t"), "{found}");
    let behind = "SELECT launch, pending FROM ledger_launch ORDER BY launch";
    assert_eq!(place.query(behind).await, "checkout-v2\t100\ncheckout-v3\t680\n");
    let timeouts =
        "SELECT sum(exchanges) FROM errors WHERE launch = 'checkout-v2' AND side = 'candidate' AND class = 'timeout'";
    assert_eq!(place.query(timeouts).await, "30\n");
}

pub(crate) async fn a_hole_or_an_overlap_unbalances_the_ledger(place: Place) {
    let balanced = "SELECT balanced FROM ledger_launch WHERE launch = 'checkout-v2'";
    let mut world = world();
    let hole = world.exchanges.iter().position(|row| row.captured_offset == 50).unwrap();
    let missing = world.exchanges.remove(hole);
    place.store.insert(&world).await.unwrap();
    assert_eq!(place.query(balanced).await, "0\n", "an offset below the watermark without a row");
    place.store.insert(&Batch { exchanges: vec![missing], ..Batch::default() }).await.unwrap();
    assert_eq!(place.query(balanced).await, "1\n");
    let mut twice = world.ranges[0].clone();
    (twice.first_offset, twice.last_offset) = (20, 21);
    place.store.insert(&Batch { ranges: vec![twice], ..Batch::default() }).await.unwrap();
    assert_eq!(place.query(balanced).await, "0\n", "an offset in a row and in a range");
}

pub(crate) async fn an_empty_partition_balances_with_nothing_captured(place: Place) {
    place
        .store
        .insert(&Batch { watermarks: vec![watermark("checkout-v2", 0, 0, 0)], ..Batch::default() })
        .await
        .unwrap();
    let account = "SELECT high_offset, captured, pending, balanced FROM ledger_partition";
    assert_eq!(place.query(account).await, "0\t0\t0\t1\n");
}

pub(crate) async fn rows_of_a_partition_without_a_watermark_unbalance_the_ledger(place: Place) {
    let mut world = world();
    world.watermarks.retain(|row| (row.launch.as_str(), row.partition) != ("checkout-v2", 1));
    place.store.insert(&world).await.unwrap();
    let account = "SELECT launch, completed, balanced FROM ledger_launch ORDER BY launch";
    let answer = place.query(account).await;
    assert!(answer.starts_with("checkout-v2\t450\t0\n"), "its rows are counted and do not balance: {answer}");
    assert!(answer.ends_with("\t1\n"), "the other launch is not touched: {answer}");
    place.query("TRUNCATE TABLE watermarks").await;
    assert_eq!(place.query("SELECT max(balanced), count() FROM ledger_partition").await, "0\t4\n");
    place.query("TRUNCATE TABLE exchanges").await;
    assert_eq!(place.query("SELECT max(balanced), count() FROM ledger_partition").await, "0\t4\n", "ranges alone");
}

/// Exchanges of an agent's epoch, each stored in two launches.
fn stored(epoch: i64, sequences: std::ops::Range<i64>) -> Vec<ExchangeRow> {
    let of = |sequence| {
        let mut row = world().exchanges.swap_remove(0);
        (row.partition, row.captured_offset) = (9, epoch * 1_000 + sequence);
        (row.epoch, row.sequence) = (epoch, sequence);
        let mut again = row.clone();
        again.launch = "checkout-v3".to_owned();
        [row, again]
    };
    sequences.flat_map(of).collect()
}

const AGENTS: &str = "SELECT epoch, state, dead, seen, acknowledged, in_doubt, in_flight, lost_with_agent, balanced \
                      FROM ledger_agent ORDER BY epoch";

pub(crate) async fn an_agent_that_died_shows_what_was_lost_with_it(place: Place) {
    let mut batch = world();
    batch.exchanges.clear();
    // The last heartbeat knew of 300 requests and 15 of them on their way; ten of these were stored, and of later ones nine, up to
    // the 310th.
    batch.exchanges.extend(stored(5, 0..290));
    batch.exchanges.extend(stored(5, 301..310));
    batch.statuses = vec![
        agent(5, 8, "running", &[("seen", 200), ("acknowledged", 200)]),
        agent(5, 9, "running", &[("seen", 300), ("acknowledged", 280), ("in_flight", 15), ("dropped", 5)]),
        agent(9, 1, "running", &[("seen", 40), ("acknowledged", 30), ("in_flight", 10)]),
    ];
    place.store.insert(&batch).await.unwrap();
    let account = "5\trunning\t1\t310\t299\t0\t0\t6\t1\n9\trunning\t0\t40\t30\t0\t10\t0\t1\n";
    assert_eq!(place.query(AGENTS).await, account);
}

pub(crate) async fn what_is_stored_of_a_killed_agent_is_in_doubt_no_longer(place: Place) {
    let mut batch = world();
    batch.exchanges = [stored(6, 0..12), stored(7, 0..12), stored(8, 0..3)].concat();
    let last = i64::MAX;
    let counts = |in_doubt: i64| {
        [
            ("seen", 26 + in_doubt),
            ("sampled_out", 5),
            ("acknowledged", 10),
            ("in_doubt", in_doubt),
            ("lost_with_agent", 11),
            ("killed", 1),
        ]
    };
    batch.statuses = vec![
        agent(6, 3, "running", &[("seen", 20), ("acknowledged", 8), ("in_flight", 12)]),
        agent(6, last, "stopped", &counts(4)),
        // More than the agent ever gave to Kafka: somebody counted wrongly.
        agent(7, last, "stopped", &counts(1)),
        // A sample of what it captured says nothing of the rest.
        agent(8, last, "stopped", &counts(4)),
        agent(9, 1, "running", &[("seen", 40), ("acknowledged", 30), ("in_flight", 10)]),
    ];
    place.store.insert(&batch).await.unwrap();
    let account = "6\tkilled\t0\t30\t12\t2\t0\t11\t1\n7\tkilled\t0\t27\t11\t0\t0\t11\t0\n\
                   8\tkilled\t0\t30\t10\t4\t0\t11\t1\n9\trunning\t0\t40\t30\t0\t10\t0\t1\n";
    assert_eq!(place.query(AGENTS).await, account);
}

pub(crate) async fn a_batch_may_span_more_days_than_clickhouse_takes_by_default(place: Place) {
    let mut batch = world();
    for (day, row) in (0i64..).zip(batch.exchanges.iter_mut().take(150)) {
        row.captured_at += day * 86_400_000_000;
    }
    place.store.insert(&batch).await.unwrap();
    assert_eq!(place.query("SELECT uniq(toDate(captured_at)) FROM exchanges").await, "150\n");
}

pub(crate) async fn inserting_is_the_only_right_the_store_needs(place: Place) {
    let config = ClickHouseConfig {
        user: INSERTER.0.to_owned(),
        password: Some(Secret::new(INSERTER.1)),
        ..place.clickhouse.clone()
    };
    let store = Store::new(&config, Metrics::default());
    store.check().await.unwrap();
    store.insert(&world()).await.unwrap();
    assert_eq!(place.query("SELECT balanced FROM ledger_launch WHERE launch = 'checkout-v2'").await, "1\n");
    let read = config.client().query("SELECT count() FROM exchanges").fetch_one::<u64>().await;
    assert!(read.is_err(), "the user of this test may not read");
}

pub(crate) async fn a_missing_table_is_explained_with_its_remedy(place: Place) {
    place.query("DROP TABLE exchanges").await;
    let check = place.store.check().await.unwrap_err();
    let insert = place.store.insert(&world()).await.unwrap_err();
    for error in [check, insert] {
        assert!(matches!(error, StoreError::Schema { .. }), "{error:?}");
        assert!(error.to_string().contains("shadowctl schema apply"), "{error}");
    }
    let config = ClickHouseConfig { database: "not_there".to_owned(), ..place.clickhouse.clone() };
    let error = Store::new(&config, Metrics::default()).check().await.unwrap_err();
    assert!(error.to_string().contains("shadowctl schema apply"), "{error}");
    let config = ClickHouseConfig { password: Some(Secret::new("wrong")), ..place.clickhouse.clone() };
    let error = Store::new(&config, Metrics::default()).check().await.unwrap_err();
    assert!(error.to_string().contains("password"), "{error}");
}

pub(crate) async fn rows_are_kept_until_clickhouse_is_back(place: Place) {
    let mut way = Forwarder::to(place.clickhouse.url.socket_addrs(|| None).unwrap()[0]).await;
    let url = format!("http://{}", way.address).parse().unwrap();
    let store = Store::new(&ClickHouseConfig { url, ..place.clickhouse.clone() }, Metrics::default());
    let world = world();
    let error = store.insert(&world).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("clickhouse.url"), "{error}");
    let stop = CancellationToken::new();
    let (stored, ()) = tokio::join!(store.insert_until_stored(&world, &stop), way.join());
    assert!(stored);
    assert_eq!(place.query("SELECT balanced FROM ledger_launch WHERE launch = 'checkout-v2'").await, "1\n");
}

pub(crate) async fn a_database_of_the_version_before_is_brought_up_to_date_with_its_rows(place: Place) {
    // As it was: the first tables, with a row, and views over them.
    place.query("DROP TABLE exchanges").await;
    place.query("DROP TABLE launches").await;
    let (_, tables) = schema::MIGRATIONS[0];
    for statement in tables.split(";\n").filter(|statement| statement.contains("CREATE TABLE")) {
        place.query(statement).await;
    }
    place
        .query(
            "INSERT INTO exchanges (launch, partition, captured_offset, outcome, result, route, differences.signature, \
             differences.place, differences.kind, differences.transition, differences.example, differences.primary, \
             differences.candidate, differences.count) \
             VALUES ('old', 0, 1, 'completed', 'differing', 'GET /a', ['1', '2'], ['$.a', '$.b'], ['value', 'value'], \
             ['changed', 'changed'], ['$.a', '$.b'], ['1', '1'], ['2', '2'], [1, 1])",
        )
        .await;
    let dropped = "ALTER TABLE schema_migrations DELETE WHERE name > '0001_tables' SETTINGS mutations_sync = 2";
    place.query(dropped).await;
    let applied = schema::apply(&place.client, &place.clickhouse.database, None).await.unwrap();
    assert_eq!(applied.len(), schema::MIGRATIONS.len() - 1);
    let found = "SELECT place, standing, pairs FROM signatures WHERE launch = 'old' ORDER BY place";
    assert_eq!(place.query(found).await, "$.a\tundecided\t0\n$.b\tundecided\t0\n");
    place.store.insert(&world()).await.unwrap();
}
