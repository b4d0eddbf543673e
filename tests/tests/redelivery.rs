//! Comparators and ClickHouse killed (-9) at random while outcomes stream in: every view equals that of an undisturbed run. The same
//! views over the same inserts without deduplication do not, so the kills did cause redelivery and the views would have shown it.
//!
//! `SHADOW_TEST_KILLS` sets how many kills; load and duration grow with it.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and shows its figures")]

#[path = "../support.rs"]
mod support;

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use axum::extract::Path;
use axum::{Json, Router, routing::any};
use serde_json::json;
use shadow_control::Control;
use shadow_record::LaunchName;
use support::{Rig, Service, sql, until};

/// Kills where nothing else is asked for.
const KILLS: usize = 12;
/// Captured records for each kill, and outcomes a second: a stack that needs a few seconds to recover has not run out of either.
const RECORDS_PER_KILL: i64 = 200;
const RATE: f64 = 80.0;
/// Outcomes a second otherwise: no more than the control has places for, for it is not asked when it has none.
const CALM_RATE: f64 = 200.0;
const IN_FLIGHT: usize = 512;
/// Between kills come about this many rows.
const ROWS_BETWEEN: i64 = 60;
/// Tables whose rows are delivered again after a crash.
const DELIVERED: [&str; 2] = ["exchanges", "skipped_ranges"];

#[tokio::test(flavor = "multi_thread")]
async fn killing_comparators_and_clickhouse_changes_no_view() {
    let kills = std::env::var("SHADOW_TEST_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number of kills"));
    let records = kills as i64 * RECORDS_PER_KILL;
    let mut rig = Rig::start().await;
    without_deduplication(&rig).await;
    let control = control().await;
    let launch = |launch: &mut shadow_control::Launch| {
        launch.control = Some(Control { url: control.parse().unwrap(), sample: 1.0 });
        launch.limits.max_in_flight = IN_FLIGHT;
    };
    rig.traffic.write(records).await;

    rig.rate(Some(CALM_RATE)).await;
    let _replayer = rig.replayer("r1").ready().await;
    let calm = rig.launch("calm", launch).await;
    let comparator = [rig.comparator("c0").ready().await];
    worked_off(&rig, &calm, records, &comparator).await;
    comparator.into_iter().for_each(|service| drop(service.stop()));
    let undisturbed = rig.views(&calm).await;
    assert_eq!(rig.number("SELECT count() FROM shadow.noise WHERE decision = 'noise'").await, 1, "the views have work");

    rig.rate(Some(RATE)).await;
    let stormy = rig.launch("stormy", launch).await;
    let mut comparators = [rig.comparator("c1"), rig.comparator("c2")];
    let (mut stored, mut of_clickhouse) = (0, 0);
    for kill in 0..kills {
        // The random state of each map is another one.
        let random = RandomState::new().hash_one(kill);
        let rows = 1 + (random >> 8) as i64 % (2 * ROWS_BETWEEN);
        stored = progress(&rig, &stormy, (stored + rows).min(records * 9 / 10), &comparators).await;
        // Each is hit at least once, however few the kills.
        match if kill < 3 { kill as u64 } else { random % 3 } {
            0 => {
                rig.stack.clickhouse().restart().await.expect("ClickHouse starts again on its data");
                of_clickhouse += 1;
            }
            which => {
                let comparator = &mut comparators[which as usize - 1];
                comparator.kill();
                comparator.restart();
            }
        }
    }
    rig.rate(Some(CALM_RATE)).await;
    worked_off(&rig, &stormy, records, &comparators).await;

    assert_eq!(rig.claims(&stormy).await, (records, 1));
    let unasked = "SELECT countIf(outcome = 'completed' AND control_status IS NULL) FROM shadow.exchanges FINAL";
    assert_eq!(rig.number(unasked).await, 0, "this machine is too busy: the control was not asked, or did not answer");
    let disturbed = rig.views(&stormy).await;
    for (calm, stormy) in undisturbed.0.iter().zip(&disturbed.0) {
        assert_eq!(calm, stormy);
    }
    let inserted = "SELECT count() FROM raw.exchanges WHERE launch = 'stormy'";
    let again =
        rig.number(inserted).await - rig.number(&inserted.replace("raw.exchanges", "shadow.exchanges FINAL")).await;
    let naive = rig.views_in("raw", &stormy).await;
    let changed = undisturbed.0.iter().zip(&naive.0).filter(|(calm, naive)| calm != naive);
    let changed: Vec<&str> = changed.map(|((view, _), _)| *view).collect();
    println!(
        "{kills} kills ({of_clickhouse} of ClickHouse), {records} records: every view equal; {again} rows were inserted again, \
         and without deduplication these views differ: {}",
        changed.join(", ")
    );
    assert!(changed.contains(&"match_rate") && changed.contains(&"ledger_launch"), "{changed:?}");
    // Deduplicated by hand they are the same again, so nothing but deduplication made the difference.
    for (table, first) in DELIVERED.into_iter().zip(["captured_offset, captured_at", "first_offset"]) {
        let keys = format!("launch, partition, {first}");
        sql(&rig.stack, &format!("OPTIMIZE TABLE raw.{table} FINAL DEDUPLICATE BY {keys}")).await;
    }
    let naive = rig.views_in("raw", &stormy).await;
    for (calm, stormy) in undisturbed.0.iter().zip(&naive.0) {
        assert_eq!(calm, stormy);
    }
    rig.stack.stop().await;
}

/// Makes the database `raw`: the same views over plain copies of the same inserts, nowhere asking for deduplicated rows.
async fn without_deduplication(rig: &Rig) {
    sql(&rig.stack, "CREATE DATABASE raw").await;
    for table in DELIVERED {
        let copy = format!("CREATE TABLE raw.{table} AS shadow.{table} ENGINE = MergeTree ORDER BY tuple()");
        sql(&rig.stack, &copy).await;
        let feed = format!("CREATE MATERIALIZED VIEW raw.{table}_feed TO raw.{table} AS SELECT * FROM shadow.{table}");
        sql(&rig.stack, &feed).await;
    }
    let tables = "SELECT name FROM system.tables WHERE database = 'shadow' AND engine LIKE '%MergeTree'";
    for table in sql(&rig.stack, tables).await.lines().filter(|table| !DELIVERED.contains(table)) {
        sql(&rig.stack, &format!("CREATE VIEW raw.{table} AS SELECT * FROM shadow.{table} FINAL")).await;
    }
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/clickhouse/views");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let client = reqwest::Client::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
        for statement in code.join("\n").replace(" FINAL", "").split(";\n").filter(|text| !text.trim().is_empty()) {
            let url = format!("{}/?database=raw", rig.stack.clickhouse_url());
            let answer = client.post(url).body(statement.trim_end_matches(';').to_owned()).send().await.unwrap();
            assert!(answer.status().is_success(), "{statement}\n{}", answer.text().await.unwrap());
        }
    }
}

/// A second copy of the live build; like the candidate it is off by one for n % 50 == 7, which is therefore noise.
async fn control() -> String {
    let answer =
        |Path(id): Path<i64>| async move { Json(json!({"id": id, "total": id * 3 + i64::from(id % 50 == 7)})) };
    let app = Router::new().route("/orders/{id}", any(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// Waits until every record has its row, for as long as more of them come.
async fn worked_off(rig: &Rig, launch: &LaunchName, records: i64, comparators: &[Service]) {
    for part in 1..=50 {
        progress(rig, launch, records * part / 50, comparators).await;
    }
    rig.settled(launch, records).await;
}

/// Waits until `enough` rows are stored, and gives how many are.
async fn progress(rig: &Rig, launch: &LaunchName, enough: i64, comparators: &[Service]) -> i64 {
    let query = format!("SELECT count() FROM shadow.exchanges FINAL WHERE launch = '{launch}'");
    let stored = until("more rows", || async {
        let stored = rig.number(&query).await;
        (stored >= enough).then_some(stored)
    });
    match tokio::time::timeout(Duration::from_secs(60), stored).await {
        Ok(stored) => stored,
        Err(_) => {
            comparators.iter().for_each(|comparator| println!("{}", comparator.tail()));
            panic!("the stream of {launch} stands still");
        }
    }
}
