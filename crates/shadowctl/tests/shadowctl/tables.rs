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
