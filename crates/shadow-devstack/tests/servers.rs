//! The real servers, started, killed, restarted and reopened through the public interface.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::TcpListener;

use shadow_devstack::{Devstack, DevstackError, KafkaChoice, KafkaKind, StartFailure};
use support::{builder, consume, is_stand_in, processes_naming, produce, query, query_as};

#[tokio::test]
async fn clickhouse_is_a_server_that_keeps_its_data_across_kill_and_restart() {
    let mut stack = builder().kafka(KafkaChoice::Mock).start().await.unwrap();
    let url = stack.clickhouse_url().to_owned();
    assert!(query(&url, "SELECT version()").await.starts_with(|c: char| c.is_ascii_digit()));

    query(&url, "CREATE DATABASE kept").await;
    query(
        &url,
        "CREATE TABLE kept.rows (id UInt64, version UInt64, day Date, difference Nested(path String)) \
         ENGINE = ReplacingMergeTree(version) PARTITION BY day ORDER BY id",
    )
    .await;
    for version in 1..=2 {
        let insert = "INSERT INTO kept.rows SELECT number, VERSION, '2026-01-01', ['a', 'b'] FROM numbers(1000)";
        query(&url, &insert.replace("VERSION", &version.to_string())).await;
    }
    stack.clickhouse().kill().unwrap();
    stack.clickhouse().restart().await.unwrap();

    let counted = query(
        &url,
        "SELECT count(), sum(length(difference.path)), min(version) FROM kept.rows FINAL \
         SETTINGS do_not_merge_across_partitions_select_final = 1",
    )
    .await;
    assert_eq!(counted, "1000\t2000\t2\n");
    stack.stop().await;
}

#[tokio::test]
async fn kafka_keeps_its_records_and_settings_across_kill_and_restart() {
    let mut stack = builder().start().await.unwrap();
    if is_stand_in(&stack) {
        return;
    }
    stack.create_topic("kept", 3, &[("retention.ms", "86400000"), ("cleanup.policy", "delete")]).await.unwrap();
    let brokers = stack.brokers().to_owned();
    produce(&brokers, "kept", 2, "before").await;

    stack.kafka().kill().unwrap();
    stack.kafka().restart().await.unwrap();
    assert_eq!(stack.brokers(), brokers);
    produce(&brokers, "kept", 2, "after").await;
    assert_eq!(consume(&brokers, "kept", 2, 2).await, ["before", "after"]);
}

#[tokio::test]
async fn a_frozen_broker_keeps_its_records_and_answers_again_when_thawed() {
    let mut stack = builder().start().await.unwrap();
    if is_stand_in(&stack) {
        return;
    }
    stack.create_topic("thawed", 1, &[]).await.unwrap();
    let brokers = stack.brokers().to_owned();
    stack.kafka().freeze().unwrap();
    let produced = tokio::spawn({
        let brokers = brokers.clone();
        async move { produce(&brokers, "thawed", 0, "meanwhile").await }
    });
    stack.kafka().thaw().unwrap();
    produced.await.unwrap();
    assert_eq!(consume(&brokers, "thawed", 0, 1).await, ["meanwhile"]);
}

#[tokio::test]
async fn the_mock_broker_creates_topics_and_carries_records() {
    let mut stack = builder().kafka(KafkaChoice::Mock).start().await.unwrap();
    assert_eq!(stack.kafka_kind(), KafkaKind::Mock);
    stack.create_topic("mocked", 2, &[]).await.unwrap();
    produce(stack.brokers(), "mocked", 1, "record").await;
    assert_eq!(consume(stack.brokers(), "mocked", 1, 1).await, ["record"]);
    assert!(matches!(stack.kafka().kill(), Err(DevstackError::NotOwned("Kafka"))));
}

#[tokio::test]
async fn creating_a_topic_again_is_accepted_only_with_as_many_partitions() {
    let stack = builder().start().await.unwrap();
    if is_stand_in(&stack) {
        return;
    }
    stack.create_topic("twice", 2, &[]).await.unwrap();
    stack.create_topic("twice", 2, &[]).await.unwrap();
    let error = stack.create_topic("twice", 3, &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot create topic twice: it exists with 2 partitions, not 3");
    let error = stack.create_topic("odd", 1, &[("no.such.setting", "1")]).await.unwrap_err();
    assert!(matches!(error, DevstackError::Topic { .. }), "{error}");
}

#[tokio::test]
async fn a_given_directory_is_kept_and_opens_again_on_other_ports() {
    let dir = tempfile::tempdir().unwrap();
    let first = builder().data_dir(dir.path().to_owned()).start().await.unwrap();
    let stand_in = is_stand_in(&first);
    query(first.clickhouse_url(), "CREATE DATABASE again").await;
    if !stand_in {
        first.create_topic("again", 1, &[]).await.unwrap();
        produce(first.brokers(), "again", 0, "kept").await;
    }
    let second = builder().data_dir(dir.path().to_owned()).start().await;
    assert!(matches!(second, Err(DevstackError::DataDirInUse(_))));
    first.stop().await;

    let again = builder().data_dir(dir.path().to_owned()).start().await.unwrap();
    assert_eq!(query(again.clickhouse_url(), "SHOW DATABASES LIKE 'again'").await, "again\n");
    if !stand_in {
        assert_eq!(consume(again.brokers(), "again", 0, 1).await, ["kept"]);
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_server_and_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();

    let error = builder().kafka(KafkaChoice::Mock).clickhouse_port(port).start().await.err().unwrap();
    assert!(matches!(error, DevstackError::PortInUse { server: "ClickHouse", .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains(&format!("port {port} for ClickHouse is already in use")), "{message}");
    assert!(message.contains("choose another port"), "{message}");

    match builder().kafka_port(port).start().await {
        Ok(stack) => assert!(is_stand_in(&stack)),
        Err(error) => assert!(matches!(error, DevstackError::PortInUse { server: "Kafka", .. }), "{error}"),
    }
}

#[tokio::test]
async fn dropping_the_stack_leaves_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let stack = builder().data_dir(dir.path().to_owned()).start().await.unwrap();
    assert!(!processes_naming(dir.path()).is_empty());
    drop(stack);
    assert_eq!(processes_naming(dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn abandoning_a_start_leaves_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let start = tokio::spawn(builder().data_dir(dir.path().to_owned()).start());
    while processes_naming(dir.path()).is_empty() && !start.is_finished() {
        tokio::task::yield_now().await;
    }
    start.abort();
    drop(start.await);
    assert_eq!(processes_naming(dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_launcher_that_is_none_is_called_that() {
    let start = Devstack::builder().kafka(KafkaChoice::Mock).launcher("/bin/true".into(), Vec::new()).start();
    match start.await.err().unwrap() {
        DevstackError::NotALauncher => {}
        DevstackError::Start { failure: StartFailure::NotALauncher, .. } => {}
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_clickhouse_user_has_the_granted_rights_and_no_others() {
    let stack = builder()
        .kafka(KafkaChoice::Mock)
        .clickhouse_user("writer", "a<b", &["INSERT ON granted.*"])
        .start()
        .await
        .unwrap();
    let url = stack.clickhouse_url();
    query(url, "CREATE DATABASE granted").await;
    query(url, "CREATE TABLE granted.rows (id UInt64) ENGINE = MergeTree ORDER BY id").await;
    let writer = Some(("writer", "a<b"));
    assert_eq!(query_as(writer, url, "INSERT INTO granted.rows VALUES (7)").await.0, 200);
    let (status, answer) = query_as(writer, url, "SELECT * FROM granted.rows").await;
    assert!(status != 200 && answer.contains("ACCESS_DENIED"), "{status}: {answer}");
    let (status, _) = query_as(Some(("writer", "wrong")), url, "INSERT INTO granted.rows VALUES (8)").await;
    assert_ne!(status, 200);
    assert_eq!(query(url, "SELECT * FROM granted.rows").await, "7\n");
}

#[tokio::test]
async fn a_server_that_ended_by_itself_is_reported_with_its_cause() {
    let mut stack = builder().kafka(KafkaChoice::Mock).start().await.unwrap();
    stack.check().unwrap();
    let supervisor = stack.clickhouse().supervisor_id().unwrap();
    let supervisor = rustix::process::Pid::from_raw(supervisor as i32).unwrap();
    rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
    let error = loop {
        if let Err(error) = stack.check() {
            break error;
        }
        tokio::task::yield_now().await;
    };
    assert!(matches!(error, DevstackError::Ended { server: "ClickHouse", .. }), "{error}");
}
