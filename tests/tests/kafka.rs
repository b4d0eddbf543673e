//! The Kafka layer on Apache Kafka: rebalances, expiry, tails, deliveries, heartbeats and the lease.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shadow_control::{Cause, Gate, Heart, HeartConfig, Subject};
use shadow_kafka::{
    Admin, Delivery, Event, FetchLimits, GroupConsumer, KafkaConfig, KafkaError, Outgoing, Producer, ProducerLimits,
    SendError, Start, Tail, TailEvent, TailFrom, TopicPartition, TopicSpec,
};
use shadow_record::{Role, State, Status, decode, topics};
use support::{kafka_of, stack};
use tokio_util::sync::CancellationToken;

fn producer(kafka: &KafkaConfig) -> Producer {
    Producer::new(kafka, &ProducerLimits::default()).unwrap()
}

async fn fill(producer: &Producer, topic: &str, partition: i32, from: i64, count: i64) {
    for n in from..from + count {
        let payload = n.to_string();
        let key = Some(payload.as_bytes());
        let out = Outgoing { topic, partition: Some(partition), key, payload: payload.as_bytes() };
        assert_eq!(producer.publish(out).await, Delivery::Acknowledged { partition, offset: n });
    }
}

async fn delete_below(kafka: &KafkaConfig, topic: &str, partition: i32, offset: i64) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &kafka.brokers).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
    admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

async fn assigned(member: &GroupConsumer) -> Vec<TopicPartition> {
    loop {
        match member.recv().await.unwrap() {
            Event::Assigned(list) => return list,
            Event::Revoked(_) => member.release().await.unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

fn starts(list: &[TopicPartition], otherwise: i64) -> Vec<Start> {
    list.iter().map(|at| Start { at: at.clone(), otherwise }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebalance_hands_over_exactly_what_was_not_committed_and_keeps_equal_partitions_together() {
    let stack = stack().await;
    let kafka = kafka_of(&stack);
    let admin = Admin::new(&kafka).unwrap();
    let names = ["left".to_owned(), "right".to_owned()];
    for name in &names {
        admin.ensure_topic(&TopicSpec::deleting(name, 4)).await.unwrap();
    }
    let producer = producer(&kafka);
    for partition in 0..4 {
        fill(&producer, "left", partition, 0, 10).await;
    }

    let first = GroupConsumer::subscribe(&kafka, "group", &names, FetchLimits::default()).unwrap();
    let all = assigned(&first).await;
    assert_eq!(all.len(), 8);
    first.start(&starts(&all, 0)).await.unwrap();
    let mut seen = 0;
    while seen < 40 {
        if let Event::Record(_) = first.recv().await.unwrap() {
            seen += 1;
        }
    }
    let committed: Vec<_> = (0..4).map(|p| (at("left", p), 7)).collect();
    first.commit(&committed).await.unwrap();
    // What a member paused is read again when the partition is assigned to it anew.
    first.pause(&all).unwrap();

    let second = GroupConsumer::subscribe(&kafka, "group", &names, FetchLimits::default()).unwrap();
    let (ours, theirs) = tokio::join!(assigned(&first), assigned(&second));
    for side in [&ours, &theirs] {
        let partitions = |topic: &str| -> BTreeSet<i32> {
            side.iter().filter(|at| &*at.topic == topic).map(|at| at.partition).collect()
        };
        assert_eq!(partitions("left"), partitions("right"));
        assert_eq!(partitions("left").len(), 2);
    }
    let started = second.start(&starts(&theirs, 0)).await.unwrap();
    first.start(&starts(&ours, 0)).await.unwrap();
    for s in started {
        let (committed, position) = if &*s.at.topic == "left" { (Some(7), 7) } else { (None, 0) };
        assert_eq!((s.committed, s.position, s.expired), (committed, position, None));
    }
    for member in [&first, &second] {
        let mut offsets = Vec::new();
        while offsets.len() < 6 {
            if let Event::Record(record) = member.recv().await.unwrap() {
                offsets.push(record.offset);
            }
        }
        offsets.sort_unstable();
        assert_eq!(offsets, [7, 7, 8, 8, 9, 9]);
    }
    first.close().await;
    second.close().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_lost_to_retention_are_reported_at_the_start_and_midway() {
    let stack = stack().await;
    let kafka = kafka_of(&stack);
    let names = ["t".to_owned()];
    Admin::new(&kafka).unwrap().ensure_topic(&TopicSpec::deleting("t", 2)).await.unwrap();
    let producer = producer(&kafka);
    fill(&producer, "t", 0, 0, 100).await;
    fill(&producer, "t", 1, 0, 10).await;
    delete_below(&kafka, "t", 0, 30).await;

    let member = GroupConsumer::subscribe(&kafka, "g", &names, FetchLimits::default()).unwrap();
    let list = assigned(&member).await;
    let started = member.start(&starts(&list, 5)).await.unwrap();
    let of = |p| started.iter().find(|s| s.at.partition == p).unwrap();
    assert_eq!((of(0).expired, of(0).position), (Some((5, 29)), 30));
    assert_eq!((of(1).expired, of(1).position), (None, 5));

    let mut next = [30, 5];
    while next != [100, 10] {
        match member.recv().await.unwrap() {
            Event::Record(record) => {
                assert_eq!(record.offset, next[record.partition as usize]);
                next[record.partition as usize] += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    // While partition 0 is paused, records come and go: when it is read again, what it missed is named.
    member.pause(&[at("t", 0)]).unwrap();
    fill(&producer, "t", 0, 100, 20).await;
    delete_below(&kafka, "t", 0, 110).await;
    member.resume(&[at("t", 0)]).unwrap();
    // Asked as pipelines ask, between ticks: a cancelled question must not lose what was found.
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let event = loop {
        tokio::select! {
            biased;
            _ = ticks.tick() => {}
            event = member.recv() => break event.unwrap(),
        }
    };
    let Event::Expired { at: lost, first, last } = event else { panic!("not expired") };
    assert_eq!((lost.partition, first, last), (0, 100, 109));
    let Event::Record(record) = member.recv().await.unwrap() else { panic!("no record") };
    assert_eq!((record.partition, record.offset), (0, 110));
    assert!(matches!(
        member.start(&[Start { at: at("t", 1), otherwise: 99 }]).await,
        Err(KafkaError::Truncated { wanted: 99, high: 10, .. })
    ));
    member.close().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_says_once_that_it_caught_up_and_then_follows() {
    let stack = stack().await;
    let kafka = kafka_of(&stack);
    Admin::new(&kafka).unwrap().ensure_topic(&TopicSpec::compacted("c")).await.unwrap();
    let producer = producer(&kafka);
    let empty = Tail::open(&kafka, "c", TailFrom::Start).await.unwrap();
    assert!(matches!(empty.recv().await.unwrap(), TailEvent::CaughtUp));
    fill(&producer, "c", 0, 0, 3).await;
    let tail = Tail::open(&kafka, "c", TailFrom::Start).await.unwrap();
    for offset in 0..3 {
        let TailEvent::Record(record) = tail.recv().await.unwrap() else { panic!("too early") };
        assert_eq!(record.offset, offset);
    }
    assert!(matches!(tail.recv().await.unwrap(), TailEvent::CaughtUp));
    let end = Tail::open(&kafka, "c", TailFrom::End).await.unwrap();
    fill(&producer, "c", 0, 3, 1).await;
    loop {
        if let TailEvent::Record(record) = end.recv().await.unwrap() {
            assert_eq!(record.offset, 3);
            break;
        }
    }
    let since = Tail::open(&kafka, "c", TailFrom::Since(shadow_record::Timestamp::now())).await.unwrap();
    let TailEvent::Record(record) = since.recv().await.unwrap() else { panic!("a short topic is read whole") };
    assert_eq!(record.offset, 0);
    let missing = Tail::open(&kafka, "missing", TailFrom::Start).await.err().unwrap();
    assert!(missing.to_string().contains("does not exist"), "{missing}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_keep_their_partition_count_and_deliveries_say_what_is_certain() {
    let mut stack = stack().await;
    let kafka = kafka_of(&stack);
    let admin = Admin::new(&kafka).unwrap();
    admin.ensure_topic(&TopicSpec::deleting("t", 2)).await.unwrap();
    admin.ensure_topic(&TopicSpec::deleting("t", 2)).await.unwrap();
    let error = admin.ensure_topic(&TopicSpec::deleting("t", 3)).await.unwrap_err();
    assert!(error.to_string().contains("has 2 partitions, not 3"), "{error}");

    let limits = ProducerLimits { queue_bytes: 64 << 10, message_timeout: Duration::from_secs(2) };
    let producer = Producer::new(&kafka, &limits).unwrap();
    let out = Outgoing { topic: "t", partition: Some(0), key: None, payload: b"x" };
    assert_eq!(producer.publish(out).await, Delivery::Acknowledged { partition: 0, offset: 0 });
    let too_large = vec![0; 5 << 20];
    let refused = producer.send(Outgoing { payload: &too_large, ..out }, |_| {}).unwrap_err();
    assert!(matches!(refused, SendError::Invalid(_)), "{refused}");

    // With the broker gone a send still returns at once; what was queued ends in doubt, what did not fit was never queued.
    stack.kafka().kill().unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let payload = [0; 8 << 10];
    let mut queued = 0;
    let full = loop {
        let tell = tell.clone();
        match producer.send(Outgoing { payload: &payload, ..out }, move |delivery| drop(tell.send(delivery))) {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, SendError::QueueFull);
    for _ in 0..queued {
        assert!(matches!(told.recv().await.unwrap(), Delivery::InDoubt(_)));
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_loses_kafka_stops_sending_and_goes_on_when_it_is_back() {
    let mut stack = stack().await;
    let kafka = kafka_of(&stack);
    shadow_control::ensure_shared_topics(&Admin::new(&kafka).unwrap()).await.unwrap();
    let stop = CancellationToken::new();
    let config = HeartConfig {
        interval: Duration::from_millis(100),
        lease: Duration::from_millis(1500),
        ..HeartConfig::of(&kafka, "r1", Role::Replayer, "shop")
    };
    let heart = Heart::spawn(config, stop.clone()).unwrap();
    let gate = Arc::new(Gate::new());
    gate.release(Cause::Starting);
    assert!(!gate.is_open(), "no lease yet");
    let launch = "v2".parse().unwrap();
    heart.register(Subject { launch: Some(launch), gate: Some(gate.clone()), counters: Arc::new(Default::default) });
    gate.opened().await;
    assert!(gate.pass());

    stack.kafka().kill().unwrap();
    gate.shutting().await;
    assert!(gate.is_shut_by(Cause::Lease) && !gate.pass());

    stack.kafka().restart().await.unwrap();
    gate.opened().await;

    gate.shut(Cause::Admin);
    heart.beat_now();
    stop.cancel();
    heart.stopped().await;
    let tail = Tail::open(&kafka, topics::STATUS, TailFrom::Start).await.unwrap();
    let mut last = None;
    while let TailEvent::Record(record) = tail.recv().await.unwrap() {
        last = Some(decode::<Status>(&record.payload).unwrap());
    }
    let last = last.unwrap();
    assert_eq!((last.state, last.last_send_at), (State::Stopped, gate.last_send()));
    stack.stop().await;
}
