//! Launches beside each other, what retention takes, and records that nobody can read.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support.rs"]
mod support;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shadow_kafka::{Delivery, Outgoing, Producer, ProducerLimits};
use shadow_record::topics;
use support::{Rig, sql, test_service, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_launch_sends_nothing_while_another_on_the_same_topic_goes_on() {
    let mut rig = Rig::start().await;
    let going = rig.launch("going", |_| {}).await;
    let paused = rig.launch("paused", |launch| launch.sample = 0.5).await;
    let (replayer, comparator) = (rig.replayer("r1").ready().await, rig.comparator("c1").ready().await);
    rig.shadowctl(&["pause", "--launch", "paused"]).await;

    rig.traffic.write(1_000).await;
    rig.settled(&going, 1_000).await;
    let sent = |launch: &str| {
        format!(
            "SELECT countIf(outcome IN ('completed', 'failed')) FROM shadow.exchanges FINAL WHERE launch = '{launch}'"
        )
    };
    assert_eq!(rig.number(&sent("paused")).await, 0);
    let others = rig.number(&sent("going")).await;
    assert_eq!(i64::try_from(rig.candidate.requests()).unwrap(), others, "the candidate saw the other launch only");

    rig.shadowctl(&["resume", "--launch", "paused"]).await;
    rig.settled(&paused, 1_000).await;
    assert_eq!(rig.claims(&paused).await, (1_000, 1));
    let sampled_out = rig
        .number("SELECT skipped_by_reason['sampled_out'] FROM shadow.coverage WHERE launch = 'paused' AND route = ''")
        .await;
    assert!((400..600).contains(&sampled_out), "{sampled_out}");
    let ranges = rig.number("SELECT count() FROM shadow.skipped_ranges FINAL WHERE launch = 'paused'").await;
    assert!(ranges < sampled_out, "{ranges} ranges for {sampled_out} offsets");
    let balanced = rig.number("SELECT min(balanced) FROM shadow.ledger_launch").await;
    assert_eq!(balanced, 1);
    replayer.stop();
    comparator.stop();
    rig.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_before_it_was_replayed_is_skipped_as_expired() {
    let mut rig = Rig::start().await;
    rig.traffic.write(1_000).await;
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &rig.kafka.brokers).create().unwrap();
    let mut below = TopicPartitionList::new();
    for partition in 0..4 {
        below.add_partition_offset(&topics::captured(&test_service()), partition, Offset::Offset(100)).unwrap();
    }
    admin.delete_records(&below, &AdminOptions::new()).await.unwrap();

    let launch = rig.launch("late", |_| {}).await;
    let replayer = rig.replayer("r1").expecting("retention took records").ready().await;
    let comparator = rig.comparator("c1").expecting("retention took").ready().await;
    rig.settled(&launch, 1_000).await;
    assert_eq!(rig.claims(&launch).await, (1_000, 1));
    let expired = rig
        .number("SELECT skipped_by_reason['expired'] FROM shadow.coverage WHERE launch = 'late' AND route = ''")
        .await;
    assert_eq!(expired, 400);
    assert_eq!(rig.number("SELECT min(balanced) FROM shadow.ledger_launch").await, 1);
    replayer.stop();
    comparator.stop();
    rig.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_record_in_any_topic_is_dead_lettered_and_the_stream_goes_on() {
    let mut rig = Rig::start().await;
    let captured = topics::captured(&test_service());
    let launch = rig.launch("v2", |_| {}).await;
    let (replayer, comparator) = (
        rig.replayer("r1").expecting("dead-letter").expecting("control record refused").ready().await,
        rig.comparator("c1").expecting("dead-letter").expecting("control record refused").ready().await,
    );
    rig.traffic.write(200).await;
    rig.traffic.write_garbage(&captured, 1).await;
    rig.traffic.write_garbage(&topics::replayed(&test_service(), &launch), 2).await;
    rig.traffic.write_garbage(topics::STATUS, 0).await;
    rig.traffic.write_garbage(topics::DEAD_LETTER, 0).await;
    rig.traffic.write_garbage(topics::CONTROL, 0).await;
    rig.traffic.write(200).await;
    rig.settled(&launch, 401).await;

    assert_eq!(rig.claims(&launch).await, (401, 1));
    let ledger = sql(&rig.stack, "SELECT dead_lettered, pending, balanced FROM shadow.ledger_launch").await;
    assert_eq!(ledger.trim(), "1\t0\t1");
    let filed = until("five dead letters", || async {
        let filed = sql(&rig.stack, "SELECT topic, reason FROM shadow.dead_letters FINAL ORDER BY topic").await;
        (filed.lines().count() >= 5).then_some(filed)
    })
    .await;
    let replayed = topics::replayed(&test_service(), &launch);
    for topic in [&captured, &replayed, topics::STATUS, topics::DEAD_LETTER, topics::CONTROL] {
        assert!(filed.contains(&format!("{topic}\tundecodable")), "{filed}");
    }

    // Garbage on the control topic under a pause's key may be a pause, so it counts as one until somebody says otherwise.
    let producer = Producer::new(&rig.kafka, &ProducerLimits::default()).unwrap();
    let garbage = Outgoing { topic: topics::CONTROL, partition: Some(0), key: Some(b"pause/all"), payload: b"garbage" };
    assert!(matches!(producer.publish(garbage).await, Delivery::Acknowledged { .. }));
    rig.shadowctl(&["resume"]).await;
    rig.traffic.write(100).await;
    rig.settled(&launch, 501).await;
    replayer.stop();
    comparator.stop();
    rig.stack.stop().await;
}
