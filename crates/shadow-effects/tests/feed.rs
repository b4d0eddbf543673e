//! The feed on a real broker. This binary is also the launcher of the servers, so it has its own `main`.

#![allow(clippy::unwrap_used)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shadow_devstack::{Devstack, KafkaChoice};
use shadow_effects::{Feed, Kept, Reached};
use shadow_kafka::{Admin, Delivery, KafkaConfig, Outgoing, Producer, ProducerLimits, TopicSpec};
use shadow_record::{
    Body, CorrelatedBy, Decision, Request, RequestId, ServiceName, Side, SideEffect, Timestamp, encode, topics,
};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use tokio_util::sync::CancellationToken;

/// Longest wait for anything; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// Enough for everything.
const PLENTY: usize = 64 << 20;

type Shared = Arc<OnceCell<Mutex<Devstack>>>;

fn main() -> ExitCode {
    if let Some(code) = shadow_devstack::launcher_requested() {
        return code;
    }
    let arguments = Arguments::from_args();
    let runtime = Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());
    let stack: Shared = Arc::default();
    macro_rules! trials {
        ($($name:ident),* $(,)?) => {
            vec![$({
                let (stack, runtime): (Shared, Arc<Runtime>) = (stack.clone(), runtime.clone());
                Trial::test(stringify!($name), move || {
                    runtime.block_on(async {
                        let start = || async { Mutex::new(Devstack::builder().kafka(KafkaChoice::Apache).start().await.unwrap()) };
                        // One at a time, for one of them takes the broker away.
                        let stack = stack.get_or_init(start).await.lock().await;
                        tokio::time::timeout(PATIENCE, $name(stack)).await.expect("in time");
                    });
                    Ok(())
                })
            }),*]
        };
    }
    let trials = trials![
        what_was_appended_in_a_time_is_found_in_all_partitions,
        a_time_to_come_is_waited_for,
        a_service_without_a_topic_has_no_effects_until_it_has_one,
        earlier_times_and_forgotten_ones_are_read_again,
        memory_is_bounded_and_the_feed_says_what_it_lost,
        only_what_is_wanted_is_kept,
        who_gives_up_waiting_disturbs_nobody,
        a_broker_that_is_away_is_waited_for,
        a_feed_that_is_stopped_says_so,
        partitions_that_are_added_are_read_too,
        what_retention_took_long_ago_is_no_loss,
        what_retention_may_have_taken_is_one,
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(stack);
    conclusion.exit_code()
}

/// One service's effects on the broker.
struct Topic {
    kafka: KafkaConfig,
    service: ServiceName,
    producer: Producer,
}

impl Topic {
    async fn make(stack: &Devstack, service: &str, partitions: i32) -> Self {
        let topic = Self::of(stack, service);
        topic.create(partitions).await;
        topic
    }

    fn of(stack: &Devstack, service: &str) -> Self {
        let kafka = KafkaConfig::at(stack.brokers());
        let producer = Producer::new(&kafka, &ProducerLimits::default()).unwrap();
        Self { kafka, service: service.parse().unwrap(), producer }
    }

    async fn create(&self, partitions: i32) {
        let spec = TopicSpec::deleting(topics::effects(&self.service), partitions);
        Admin::new(&self.kafka).unwrap().ensure_topic(&spec).await.unwrap();
    }

    /// Appends the effect of one request, and waits until it is there.
    async fn append(&self, partition: i32, request: u128) {
        self.append_bytes(partition, &encode(&effect(&self.service, request))).await;
    }

    async fn append_bytes(&self, partition: i32, payload: &[u8]) {
        let (sent, acknowledged) = tokio::sync::oneshot::channel();
        let topic = topics::effects(&self.service);
        let out = Outgoing { topic: &topic, partition: Some(partition), key: None, payload };
        self.producer.send(out, move |delivery| _ = sent.send(delivery)).unwrap();
        assert!(matches!(acknowledged.await.unwrap(), Delivery::Acknowledged { .. }));
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.kafka.brokers).create().unwrap()
    }

    /// The topic with more partitions, as whoever did not know the others sees it.
    async fn grown(&self, stack: &Devstack, partitions: usize) -> Self {
        let topic = topics::effects(&self.service);
        let more = NewPartitions::new(&topic, partitions);
        self.admin().create_partitions(&[more], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
        let admin = Admin::new(&self.kafka).unwrap();
        while admin.partitions(&topic).await.unwrap() != Some(partitions as i32) {
            tokio::task::yield_now().await;
        }
        Self::of(stack, self.service.as_str())
    }

    /// Does what retention does: nothing is left in the partition.
    async fn empty(&self, partition: i32) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topics::effects(&self.service), partition, Offset::End).unwrap();
        self.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    }

    fn feed(&self, bytes: usize) -> Feed {
        Feed::spawn(self.kafka.clone(), &self.service, |_| true, bytes, CancellationToken::new())
    }
}

fn id(request: u128) -> RequestId {
    RequestId(uuid::Uuid::from_u128(request))
}

/// What a request did; request 0 did not tell.
fn effect(service: &ServiceName, request: u128) -> SideEffect {
    let body =
        Body { content: Some(vec![b'x'; 1000].into()), length: 1000, digest: Default::default(), withheld: None };
    let to = || "pay.example".to_owned();
    SideEffect {
        service: service.clone(),
        side: if request.is_multiple_of(2) { Side::Primary } else { Side::Candidate },
        instance: "stub".to_owned(),
        epoch: 0,
        sequence: 0,
        at: Timestamp::now(),
        total_us: 0,
        request_id: (request > 0).then(|| id(request)),
        launch: None,
        attempt: 0,
        correlated_by: CorrelatedBy::None,
        trace_id: None,
        destination: to(),
        route: "/".to_owned(),
        rule: None,
        decision: Decision::Answered,
        fault: None,
        request: Request {
            method: "POST".to_owned(),
            scheme: "http".to_owned(),
            authority: to(),
            path: "/".to_owned(),
            query: None,
            headers: Vec::new(),
            body,
        },
        response: None,
        ruleset: String::new(),
        key_id: String::new(),
        send: None,
    }
}

/// Everything up to now.
fn from_now(feed: &Feed) -> impl Future<Output = Reached> {
    feed.reach(Timestamp(0), later(Duration::from_millis(1)))
}

fn later(by: Duration) -> Timestamp {
    Timestamp::now().plus(by)
}

fn at(kept: &[Arc<Kept>]) -> Timestamp {
    kept.first().unwrap().appended_at
}

async fn what_was_appended_in_a_time_is_found_in_all_partitions(stack: MutexGuard<'_, Devstack>) {
    let topic = Topic::make(&stack, "spread", 4).await;
    let from = Timestamp::now();
    // One partition stays empty, one has a record that nobody can read.
    for request in 0..30 {
        topic.append((request % 3) as i32, request).await;
    }
    topic.append_bytes(1, b"garbage").await;
    topic.append(1, 7).await;
    let until = later(Duration::from_millis(1));
    let feed = topic.feed(PLENTY);
    assert_eq!(feed.of(id(7)).len(), 0, "nothing is read before it is asked for");
    assert_eq!(feed.reach(from, until).await, Reached::Complete);
    for request in 1..30 {
        let found = feed.of(id(request));
        assert_eq!(found.len(), if request == 7 { 2 } else { 1 }, "request {request}");
        assert!(
            found
                .iter()
                .all(|kept| kept.effect.request_id == Some(id(request)) && kept.partition == (request % 3) as i32)
        );
        assert!(found.is_sorted_by_key(|kept| kept.appended_at));
    }
    assert_eq!(feed.untold(from, until).len(), 1);
    assert!(feed.complete_from() <= from);
    // Again at once, though nothing has been appended since.
    assert_eq!(feed.reach(from, until).await, Reached::Complete);
}

async fn a_time_to_come_is_waited_for(stack: MutexGuard<'_, Devstack>) {
    let topic = Topic::make(&stack, "to-come", 2).await;
    topic.append(0, 1).await;
    let feed = topic.feed(PLENTY);
    let until = later(Duration::from_secs(2));
    let reached = {
        let feed = feed.clone();
        tokio::spawn(async move { feed.reach(Timestamp(0), until).await })
    };
    let mut request = 1;
    while Timestamp::now() < until {
        request += 1;
        topic.append((request % 2) as i32, request).await;
        assert!(Timestamp::now() >= until || !reached.is_finished(), "it was reached before it came");
    }
    assert_eq!(reached.await.unwrap(), Reached::Complete);
    let found: Vec<u128> = (1..=request).filter(|request| !feed.of(id(*request)).is_empty()).collect();
    // The last one or two may have come after it.
    assert!(found.len() + 2 >= request as usize && found.is_sorted(), "{} of {request}", found.len());
}

async fn a_service_without_a_topic_has_no_effects_until_it_has_one(stack: MutexGuard<'_, Devstack>) {
    let topic = Topic::of(&stack, "late");
    let feed = topic.feed(PLENTY);
    let in_an_hour = later(Duration::from_secs(3600));
    assert_eq!(feed.reach(Timestamp(0), in_an_hour).await, Reached::NoTopic, "and nothing is waited for");
    topic.create(2).await;
    topic.append(1, 1).await;
    assert_eq!(from_now(&feed).await, Reached::Complete);
    assert_eq!(feed.of(id(1)).len(), 1);
}

async fn earlier_times_and_forgotten_ones_are_read_again(stack: MutexGuard<'_, Devstack>) {
    let topic = Topic::make(&stack, "earlier", 2).await;
    for request in 1..=20 {
        topic.append((request % 2) as i32, request).await;
    }
    let feed = topic.feed(PLENTY);
    assert_eq!(from_now(&feed).await, Reached::Complete);
    let tenth = at(&feed.of(id(10)));
    let now = later(Duration::from_millis(1));

    let feed = topic.feed(PLENTY);
    assert_eq!(feed.reach(tenth, now).await, Reached::Complete);
    assert_eq!((feed.of(id(1)).len(), feed.of(id(10)).len()), (0, 1), "what was not asked for is not there");
    assert_eq!(feed.reach(Timestamp(0), now).await, Reached::Complete);
    assert_eq!((feed.of(id(1)).len(), feed.of(id(10)).len()), (1, 1));

    feed.forget_before(tenth);
    assert_eq!((feed.of(id(1)).len(), feed.of(id(10)).len()), (0, 1));
    assert_eq!(feed.reach(tenth, now).await, Reached::Complete);
    assert_eq!(feed.of(id(1)).len(), 0);
    assert_eq!(feed.reach(Timestamp(0), now).await, Reached::Complete);
    assert_eq!((feed.of(id(1)).len(), feed.of(id(10)).len()), (1, 1));
    assert_eq!(feed.complete_from(), Timestamp(i64::MIN), "forgetting is no loss");
}

async fn memory_is_bounded_and_the_feed_says_what_it_lost(stack: MutexGuard<'_, Devstack>) {
    const BYTES: usize = 40_000;
    let topic = Topic::make(&stack, "narrow", 2).await;
    for request in 1..=100 {
        topic.append((request % 2) as i32, request).await;
    }
    let feed = topic.feed(BYTES);
    assert_eq!(from_now(&feed).await, Reached::Complete);
    assert!(feed.bytes() <= BYTES && feed.bytes() > BYTES / 2, "{}", feed.bytes());
    let held: Vec<u128> = (1..=100).filter(|request| !feed.of(id(*request)).is_empty()).collect();
    assert!(!held.contains(&1) && held.contains(&100), "{held:?}");
    let lost = feed.complete_from();
    assert!(lost > Timestamp(0) && held.iter().all(|request| at(&feed.of(id(*request))) >= lost));
    // One who needs less is served whole.
    let last = at(&feed.of(id(95)));
    assert_eq!(feed.reach(last, later(Duration::from_millis(1))).await, Reached::Complete);
    assert!(feed.complete_from() <= last && feed.of(id(96)).len() == 1);
}

async fn only_what_is_wanted_is_kept(stack: MutexGuard<'_, Devstack>) {
    let topic = Topic::make(&stack, "wanted", 1).await;
    for request in 1..=10 {
        topic.append(0, request).await;
    }
    let keep = |effect: &mut SideEffect| {
        effect.request.body.content = None;
        effect.side == Side::Primary
    };
    let feed = Feed::spawn(topic.kafka.clone(), &topic.service, keep, PLENTY, CancellationToken::new());
    assert_eq!(from_now(&feed).await, Reached::Complete);
    assert_eq!((feed.of(id(3)).len(), feed.of(id(4)).len()), (0, 1));
    assert_eq!(feed.of(id(4))[0].effect.request.body.content, None);
}

async fn who_gives_up_waiting_disturbs_nobody(stack: MutexGuard<'_, Devstack>) {
    let topic = Topic::make(&stack, "given-up", 1).await;
    topic.append(0, 1).await;
    let feed = topic.feed(PLENTY);
    for _ in 0..200 {
        let hours = feed.reach(Timestamp(0), later(Duration::from_secs(3600)));
        assert!(tokio::time::timeout(Duration::from_millis(1), hours).await.is_err());
    }
    assert_eq!(from_now(&feed).await, Reached::Complete);
    assert_eq!(feed.of(id(1)).len(), 1);
}

async fn a_broker_that_is_away_is_waited_for(mut stack: MutexGuard<'_, Devstack>) {
    let topic = Topic::make(&stack, "away", 2).await;
    topic.append(0, 1).await;
    let feed = topic.feed(PLENTY);
    assert_eq!(from_now(&feed).await, Reached::Complete);
    stack.kafka().kill().unwrap();
    let until = later(Duration::from_secs(1));
    let reached = {
        let feed = feed.clone();
        tokio::spawn(async move { feed.reach(Timestamp(0), until).await })
    };
    let earlier = {
        let feed = topic.feed(PLENTY);
        tokio::spawn(async move { (from_now(&feed).await, feed.of(id(1)).len()) })
    };
    while Timestamp::now() < until {
        tokio::task::yield_now().await;
    }
    assert!(!reached.is_finished() && !earlier.is_finished(), "nobody can know what was appended until then");
    stack.kafka().restart().await.unwrap();
    assert_eq!(reached.await.unwrap(), Reached::Complete);
    assert_eq!(earlier.await.unwrap(), (Reached::Complete, 1));
    topic.append(1, 2).await;
    assert_eq!(from_now(&feed).await, Reached::Complete);
    assert_eq!((feed.of(id(1)).len(), feed.of(id(2)).len()), (1, 1));
}

async fn a_feed_that_is_stopped_says_so(stack: MutexGuard<'_, Devstack>) {
    let topic = Topic::make(&stack, "stopped", 1).await;
    let stop = CancellationToken::new();
    let feed = Feed::spawn(topic.kafka.clone(), &topic.service, |_| true, PLENTY, stop.clone());
    let hours = feed.reach(Timestamp(0), later(Duration::from_secs(3600)));
    let (reached, ()) = tokio::join!(hours, async { stop.cancel() });
    assert_eq!(reached, Reached::Stopped);
    assert_eq!(from_now(&feed).await, Reached::Stopped);
}

async fn partitions_that_are_added_are_read_too(stack: MutexGuard<'_, Devstack>) {
    let topic = Topic::make(&stack, "grown", 1).await;
    topic.append(0, 1).await;
    let feed = topic.feed(PLENTY);
    assert_eq!(from_now(&feed).await, Reached::Complete);
    let topic = topic.grown(&stack, 3).await;
    topic.append(2, 2).await;
    assert_eq!(from_now(&feed).await, Reached::Complete);
    assert_eq!((feed.of(id(1)).len(), feed.of(id(2)).len()), (1, 1));
}

/// A partition that once held something, a long time before anything that is asked for.
async fn emptied(stack: &Devstack, service: &str, settings: &[(&str, &str)]) -> Topic {
    let topic = Topic::of(stack, service);
    let settings = [&[("message.timestamp.type", "LogAppendTime")], settings].concat();
    stack.create_topic(&topics::effects(&topic.service), 1, &settings).await.unwrap();
    topic.append(0, 1).await;
    topic.empty(0).await;
    topic
}

async fn what_retention_took_long_ago_is_no_loss(stack: MutexGuard<'_, Devstack>) {
    for (service, kept) in [("kept-a-week", "604800000"), ("kept-for-ever", "-1")] {
        let topic = emptied(&stack, service, &[("retention.ms", kept)]).await;
        topic.append(0, 2).await;
        let (feed, an_hour_ago) = (topic.feed(PLENTY), Timestamp(Timestamp::now().micros() - 3_600_000_000));
        assert_eq!(feed.reach(an_hour_ago, later(Duration::from_millis(1))).await, Reached::Complete);
        assert_eq!((feed.of(id(2)).len(), feed.complete_from() <= an_hour_ago), (1, true), "{service}");
    }
}

async fn what_retention_may_have_taken_is_one(stack: MutexGuard<'_, Devstack>) {
    let by_size = ("retention.bytes", "1000000000");
    for (service, settings) in [("kept-an-hour", ("retention.ms", "3600000")), ("kept-by-size", by_size)] {
        let topic = emptied(&stack, service, &[settings]).await;
        topic.append(0, 2).await;
        let (feed, an_hour_ago) = (topic.feed(PLENTY), Timestamp(Timestamp::now().micros() - 3_600_000_000));
        assert_eq!(feed.reach(an_hour_ago, later(Duration::from_millis(1))).await, Reached::Complete);
        assert_eq!(feed.complete_from(), at(&feed.of(id(2))), "{service}");
    }
}
