//! Commands that ask ClickHouse.

use super::support::{run, stack};

#[tokio::test]
async fn the_schema_is_applied_once_and_then_up_to_date() {
    let Some(stack) = stack().await else { return };
    let database = ["--clickhouse-database", "tables_once"];
    let before = run(stack, &[&["ledger"], &database[..]].concat()).await;
    assert!(before.code == 1 && before.err.contains("schema apply"), "{before:?}");
    let first = run(stack, &[&["schema", "apply", "--json"], &database[..]].concat()).await.json();
    assert!(!first["applied"].as_array().unwrap().is_empty(), "{first}");
    let second = run(stack, &[&["schema", "apply"], &database[..]].concat()).await.ok();
    assert!(second.contains("was up to date"), "{second}");

    let empty = run(stack, &[&["ledger"], &database[..]].concat()).await.ok();
    assert!(empty.contains("nothing to account for"), "{empty}");
    let unknown = run(stack, &[&["report", "nobody"], &database[..]].concat()).await;
    assert!(unknown.code == 1 && unknown.err.contains("no launch nobody"), "{unknown:?}");
}

#[tokio::test]
async fn a_report_lists_the_most_frequent_faults_and_counts_all_of_them() {
    let Some(stack) = stack().await else { return };
    let database = ["--clickhouse-database", "tables_report"];
    run(stack, &[&["schema", "apply"], &database[..]].concat()).await.ok();
    let client = clickhouse::Client::default().with_url(stack.clickhouse_url()).with_database("tables_report");
    let insert = async |sql: &str| client.query(sql).execute().await.unwrap();
    insert(
        "INSERT INTO launches (launch, service, candidate, status, sample) VALUES ('new', 'shop', 'x', 'active', 1)",
    )
    .await;
    let report = [&["report", "new", "--top", "2"], &database[..]].concat();
    let text = run(stack, &report).await.ok();
    assert!(text.contains("no account yet") && !text.contains("BALANCE"), "{text}");

    // Offset n shows the faults 0 to n.
    let faulty = "INSERT INTO exchanges (launch, service, captured_offset, outcome, result, differences.signature, \
        differences.place, differences.kind, differences.transition, differences.example, differences.primary, \
        differences.candidate, differences.count) \
        SELECT 'new', 'shop', number, 'completed', 'differing', s, s, s, s, s, s, s, arrayMap(x -> 1, s) \
        FROM (SELECT number, arrayMap(n -> toString(n), range(number + 1)) AS s FROM numbers(5))";
    insert(faulty).await;
    insert("INSERT INTO watermarks (launch, service, low_offset, high_offset) VALUES ('new', 'shop', 5, 5)").await;
    let text = run(stack, &report).await.ok();
    assert!(text.contains("the ledger balances") && text.contains("signatures: 2 of 5, most frequent first"), "{text}");
    let shown = run(stack, &[&report[..], &["--json"]].concat()).await.json();
    let places: Vec<_> = shown["signatures"].as_array().unwrap().iter().map(|s| &s["place"]).collect();
    assert_eq!(places, ["0", "1"], "{shown}");
}
