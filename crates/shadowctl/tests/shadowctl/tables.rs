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

#[tokio::test]
async fn noise_is_shown_frozen_overruled_and_made_into_rules() {
    let Some(stack) = stack().await else { return };
    let asked = async |args: &[&str]| run(stack, &[args, &["--clickhouse-database", "tables_noise"]].concat()).await;
    asked(&["schema", "apply"]).await.ok();
    let client = clickhouse::Client::default().with_url(stack.clickhouse_url()).with_database("tables_noise");
    let insert = async |sql: &str| client.query(sql).execute().await.unwrap();
    // All 40 exchanges went to the control too, and `$.at` differs on both; `$.total` only on the candidate, in every second one.
    insert(
        "INSERT INTO exchanges (launch, service, route, captured_offset, sent_at, outcome, result, control_result, \
            differences.signature, differences.place, differences.kind, differences.transition, differences.primary, \
            differences.candidate, control.signature, control.place, control.kind, control.transition) \
         WITH number % 2 AS broken, s -> if(broken, ['a', 't'], ['a']) AS signatures \
         SELECT 'new', 'shop', 'GET /orders/{id}', number, now64(6), 'completed', 'differing', 'differing', signatures(1), \
            arrayMap(s -> if(s = 'a', '$.at', '$.total'), signatures(1)), arrayMap(s -> 'value', signatures(1)), \
            arrayMap(s -> 'changed', signatures(1)), arrayMap(s -> '\"2026-01-01T00:00:00Z\"', signatures(1)), \
            arrayMap(s -> '\"2026-01-01T00:00:03Z\"', signatures(1)), ['a'], ['$.at'], ['value'], ['changed'] \
         FROM numbers(40)",
    )
    .await;
    insert(
        "INSERT INTO launches (launch, service, candidate, status, sample, control, control_sample) \
         VALUES ('new', 'shop', 'x', 'active', 1, 'http://k/', 1)",
    )
    .await;
    insert("INSERT INTO watermarks (launch, service, low_offset, high_offset) VALUES ('new', 'shop', 40, 40), ('next', 'shop', 0, 0)").await;
    let of = async |launch: &str, signature: &str, what: &str| {
        let shown = asked(&["noise", "show", launch, "--json"]).await.json();
        let rows = shown["signatures"].as_array().unwrap().clone();
        rows.into_iter()
            .find(|row| row["signature"] == signature)
            .map_or("none".to_owned(), |row| row[what].as_str().unwrap().to_owned())
    };
    assert_eq!((of("new", "a", "decision").await, of("new", "t", "decision").await), ("noise".into(), "fault".into()));
    let report = asked(&["report", "new"]).await.ok();
    assert!(report.contains("match rate 50.00 % of 40") && report.contains("fault     0 of 40  GET"), "{report}");
    let rules = asked(&["rules", "suggest", "new"]).await.ok();
    assert!(
        rules.contains("[[timestamp]]\nroute = \"GET /orders/{id}\"\njson = [\"$.at\"]\nwithin = \"10s\""),
        "{rules}"
    );
    assert!(!rules.contains("$.total"), "{rules}");

    assert_eq!(of("next", "a", "decision").await, "none");
    let frozen = asked(&["noise", "freeze", "new", "--why", "a test"]).await.ok();
    assert!(frozen.contains("noise profile of shop, version 1") && frozen.contains("$.at"), "{frozen}");
    assert_eq!(of("next", "a", "decision").await, "none", "no control of that launch could contradict it");
    insert(
        "INSERT INTO exchanges (launch, service, route, captured_offset, sent_at, outcome, result, control_result) \
         VALUES ('next', 'shop', 'GET /orders/{id}', 0, now64(6), 'completed', 'matched', 'matched')",
    )
    .await;
    assert_eq!((of("next", "a", "decision").await, of("next", "a", "basis").await), ("noise".into(), "frozen".into()));
    asked(&["noise", "overrule", "new", "t", "noise", "--days", "1"]).await.ok();
    assert_eq!((of("new", "t", "decision").await, of("new", "t", "basis").await), ("noise".into(), "overruled".into()));
    assert!(asked(&["report", "new"]).await.ok().contains("match rate 100 % of 40"));
    let back = asked(&["noise", "overrule", "new", "t", "live"]).await.ok();
    assert!(back.contains("version 3"), "{back}");
    assert_eq!(of("new", "t", "decision").await, "fault");

    for (args, hint) in [
        (&["noise", "freeze", "next"][..], "30 pairs"),
        (&["noise", "freeze", "nobody"], "comparator"),
        (&["noise", "overrule", "new", "no-such", "noise"], "noise show new"),
    ] {
        let refused = asked(args).await;
        assert!(refused.code == 1 && refused.err.contains(hint), "{args:?}: {refused:?}");
    }
}
