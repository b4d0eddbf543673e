//! What the scenarios share: captured records in, outcomes out, a candidate that counts, a replayer per instance.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use bytes::Bytes;
use replayer::config::Config;
use shadow_control::{
    Change, ControlRecord, ControlWriter, Launch, MARK_HEADER, Pause, Rate, StatusBoard, ensure_shared_topics,
    in_baggage,
};
use shadow_kafka::{
    Admin, Delivery, KafkaConfig, Outgoing, Producer, ProducerLimits, Tail, TailEvent, TailFrom, TopicSpec,
};
use shadow_record::{
    AnyRecord, Body, CapturedExchange, LaunchName, Outcome, ReplayedExchange, Request, RequestId, ServiceName,
    SkipReason, Source, State, Status, Timestamp, decode, decode_any, encode, topics,
};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Longest wait for anything; a scenario that needs it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One service with its captured topic, on a broker shared with the other scenarios.
pub(crate) struct Bench {
    pub(crate) kafka: KafkaConfig,
    pub(crate) service: ServiceName,
    pub(crate) launch: LaunchName,
    pub(crate) producer: Producer,
    pub(crate) control: ControlWriter,
    partitions: i32,
    /// Next offset of each partition.
    pub(crate) ends: BTreeMap<i32, i64>,
}

impl Bench {
    pub(crate) async fn new(brokers: &str, service: &str, partitions: i32) -> Self {
        let kafka = KafkaConfig::at(brokers);
        let admin = Admin::new(&kafka).unwrap();
        ensure_shared_topics(&admin).await.unwrap();
        let service: ServiceName = service.parse().unwrap();
        admin.ensure_topic(&TopicSpec::deleting(topics::captured(&service), partitions)).await.unwrap();
        Self {
            producer: Producer::new(&kafka, &ProducerLimits::default()).unwrap(),
            control: ControlWriter::new(&kafka).unwrap(),
            launch: format!("{service}-v2").parse().unwrap(),
            ends: (0..partitions).map(|p| (p, 0)).collect(),
            kafka,
            service,
            partitions,
        }
    }

    pub(crate) fn launch(&self, candidate: &Candidate) -> Launch {
        let change = Change::by("test", "test");
        Launch::of(self.launch.clone(), self.service.clone(), candidate.url(), change)
    }

    pub(crate) async fn put(&self, launch: Launch) -> i64 {
        self.control.put(&ControlRecord::Launch(Box::new(launch))).await.unwrap()
    }

    pub(crate) async fn pause_all(&self, paused: bool) -> i64 {
        let change = Change::by("test", "test");
        self.control.put(&ControlRecord::Pause(Pause { instance: None, launch: None, paused, change })).await.unwrap()
    }

    pub(crate) async fn rate(&self, per_second: Option<f64>) {
        let (topic, change) = (topics::captured(&self.service), Change::by("test", "test"));
        self.control.put(&ControlRecord::Rate(Rate { topic, launch: None, per_second, change })).await.unwrap();
    }

    /// Appends a record to the captured topic and gives its offset.
    pub(crate) async fn capture(&mut self, partition: i32, payload: &[u8]) -> i64 {
        let offset = self.capture_in(partition, payload).await;
        self.ends.insert(partition, offset + 1);
        offset
    }

    /// The same without noting it.
    pub(crate) async fn capture_in(&self, partition: i32, payload: &[u8]) -> i64 {
        let topic = topics::captured(&self.service);
        let record = Outgoing { topic: &topic, partition: Some(partition), key: None, payload };
        let Delivery::Acknowledged { offset, .. } = self.producer.publish(record).await else { panic!("not written") };
        offset
    }

    pub(crate) async fn capture_requests(&mut self, count: usize) {
        let topic = topics::captured(&self.service);
        let written = (0..count).map(|n| {
            let (producer, topic, partition) = (self.producer.clone(), topic.clone(), n as i32 % self.partitions);
            let payload = encode(&self.exchange("GET", &format!("/items/{n}")));
            async move {
                let out = Outgoing { topic: &topic, partition: Some(partition), key: None, payload: &payload };
                producer.publish(out).await
            }
        });
        for delivery in futures::future::join_all(written).await {
            let Delivery::Acknowledged { partition, offset } = delivery else { panic!("{delivery:?}") };
            let end = self.ends.entry(partition).or_default();
            *end = (*end).max(offset + 1);
        }
    }

    /// Does what retention does: removes the records of a partition below `offset`.
    pub(crate) async fn delete_before(&self, partition: i32, offset: i64) {
        use rdkafka::admin::{AdminClient, AdminOptions};
        let mut list = rdkafka::TopicPartitionList::new();
        let topic = topics::captured(&self.service);
        list.add_partition_offset(&topic, partition, rdkafka::Offset::Offset(offset)).unwrap();
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka.brokers);
        let admin: AdminClient<rdkafka::client::DefaultClientContext> = config.create().unwrap();
        admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
    }

    pub(crate) fn exchange(&self, method: &str, path: &str) -> CapturedExchange {
        CapturedExchange {
            request_id: RequestId::generate(),
            correlation_id: None,
            agent: "a1".to_owned(),
            epoch: 1,
            sequence: 0,
            service: self.service.clone(),
            source: Source::Proxy,
            captured_at: Timestamp::now(),
            route: format!("{method} /items/{{id}}"),
            request: Request {
                method: method.to_owned(),
                scheme: "http".to_owned(),
                authority: "shop.example".to_owned(),
                path: path.to_owned(),
                query: None,
                headers: vec![],
                body: Body { content: Some(Bytes::new()), length: 0, digest: Bytes::new(), withheld: None },
            },
            response: None,
            error: None,
            first_byte_us: None,
            total_us: 1,
            ruleset: "1".to_owned(),
            key_id: "k".to_owned(),
            sampling_rate: 1.0,
            effects_recorded: false,
        }
    }

    pub(crate) fn replayer(&self, instance: &str) -> Replayer {
        self.replayer_with(instance, |_| {})
    }

    pub(crate) fn replayer_with(&self, instance: &str, change: impl FnOnce(&mut Config)) -> Replayer {
        let mut config = Config { kafka: self.kafka.clone(), ..Config::default() };
        config.service.instance = instance.parse().unwrap();
        config.masking.key = Some(shadow_runtime::Secret::new("k".repeat(32)));
        change(&mut config);
        let stop = CancellationToken::new();
        Replayer { running: tokio::spawn(replayer::run(config, stop.clone())), stop }
    }

    /// Every record of the replayed topic up to the one that completes the coverage, with the account checked on the way.
    pub(crate) async fn outcomes(&self) -> Account {
        let mut account = Account { ends: self.ends.clone(), ..Account::default() };
        let whole = tokio::time::timeout(PATIENCE, async {
            let topic = topics::replayed(&self.service, &self.launch);
            let admin = Admin::new(&self.kafka).unwrap();
            while admin.partitions(&topic).await.unwrap().is_none() {
                tokio::task::yield_now().await;
            }
            let tail = Tail::open(&self.kafka, &topic, TailFrom::Start).await.unwrap();
            while !account.is_whole() {
                if let TailEvent::Record(record) = tail.recv().await.unwrap() {
                    account.apply(record.partition, decode_any(&record.payload).unwrap());
                }
            }
        });
        assert!(whole.await.is_ok(), "not covered in time: {account:?}");
        account
    }

    /// Waits until the launch's heartbeat on `instance` satisfies `wanted`.
    pub(crate) async fn heartbeat(&self, instance: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut board = StatusBoard::default();
        let found = tokio::time::timeout(PATIENCE, async {
            let tail = Tail::open(&self.kafka, topics::STATUS, TailFrom::Start).await.unwrap();
            loop {
                if let TailEvent::Record(record) = tail.recv().await.unwrap() {
                    board.apply(record.appended_at, decode(&record.payload).unwrap());
                }
                let member = board
                    .members()
                    .find(|m| m.status.instance == instance && m.status.launch.as_ref() == Some(&self.launch));
                if let Some(member) = member.filter(|m| wanted(&m.status)) {
                    return member.status.clone();
                }
            }
        });
        match found.await {
            Ok(status) => status,
            Err(_) => {
                let of_launch = board.members().filter(|m| m.status.launch.as_ref() == Some(&self.launch));
                panic!("no such heartbeat of {instance}: {:#?}", of_launch.collect::<Vec<_>>())
            }
        }
    }

    pub(crate) async fn acknowledged(&self, instance: &str, version: i64, state: State) -> Status {
        self.heartbeat(instance, |s| s.control_version >= version && s.state == state).await
    }
}

/// A running replayer.
pub(crate) struct Replayer {
    running: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Replayer {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.running).await;
        ended.expect("it stops in time").expect("it does not panic").expect("it ends well");
    }
}

/// A candidate that counts what it is asked, and may hold its answers back.
pub(crate) struct Candidate {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
    hold: Arc<Notify>,
    marks: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Answers {
    AtOnce,
    /// Only after [`Candidate::let_go`].
    Held,
}

impl Candidate {
    pub(crate) async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, hold) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let marks = Arc::new(Mutex::new(Vec::new()));
        let (counter, gate, seen) = (asked.clone(), hold.clone(), marks.clone());
        let app = Router::new().fallback(move |headers: HeaderMap| {
            let (counter, gate, seen) = (counter.clone(), gate.clone(), seen.clone());
            async move {
                let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
                let baggage = text("baggage").unwrap_or_default();
                let mark = text(MARK_HEADER).filter(|mark| in_baggage(&baggage).any(|member| member == *mark));
                seen.lock().unwrap().push(mark.unwrap_or_default());
                counter.fetch_add(1, Ordering::SeqCst);
                if answers == Answers::Held {
                    gate.notified().await;
                }
                "{}"
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, asked, hold, marks }
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://{}/", self.address).parse().unwrap()
    }

    /// The marks of all requests so far; empty for one whose baggage carries another than its header.
    pub(crate) fn marks(&self) -> Vec<String> {
        self.marks.lock().unwrap().clone()
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) async fn asked_at_least(&self, count: usize) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while self.asked() < count {
                tokio::task::yield_now().await;
            }
        });
        assert!(waited.await.is_ok(), "asked only {} of {count} times", self.asked());
    }

    pub(crate) fn let_go(&self) {
        self.hold.notify_waiters();
    }
}

/// What the replayed topic says of each captured offset: the first word counts.
#[derive(Debug, Default)]
pub(crate) struct Account {
    ends: BTreeMap<i32, i64>,
    covered: BTreeMap<i32, BTreeMap<i64, &'static str>>,
    pub(crate) duplicates: usize,
    pub(crate) attempts: BTreeSet<(i32, i64)>,
    /// Everything but the ranges.
    pub(crate) records: Vec<ReplayedExchange>,
}

impl Account {
    fn apply(&mut self, partition: i32, record: AnyRecord) {
        let (spoken_of, low, first, last, label) = match record {
            AnyRecord::ReplayedExchange(r) => {
                let label = match r.outcome {
                    Outcome::Completed(_) => "completed",
                    Outcome::Failed(class) => class.as_str(),
                    Outcome::Skipped(reason) => reason.as_str(),
                    Outcome::DeadLettered => "dead_lettered",
                };
                assert_eq!(r.request_id.is_none(), label == "dead_lettered");
                if r.sent_at.is_some() {
                    self.attempts.insert((r.partition, r.offset));
                }
                let spoken_of = (r.partition, r.low_watermark, r.offset, r.offset, label);
                self.records.push(*r);
                spoken_of
            }
            AnyRecord::SkippedRange(r) => (r.partition, r.low_watermark, r.first, r.last, r.reason.as_str()),
            other => panic!("{} does not belong here", other.name()),
        };
        assert_eq!(spoken_of, partition, "an outcome stands in the partition of its captured record");
        let covered = self.covered.entry(partition).or_default();
        let below = (0..low).find(|offset| !covered.contains_key(offset));
        assert_eq!(below, None, "the watermark {low} promises offsets that have no outcome yet");
        for offset in first..=last {
            match covered.entry(offset) {
                std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(label)),
                std::collections::btree_map::Entry::Occupied(_) => self.duplicates += 1,
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.ends.iter().all(|(p, end)| {
            let covered = self.covered.get(p).map_or(0, |c| c.range(..end).count());
            covered as i64 == *end
        })
    }

    pub(crate) fn label(&self, partition: i32, offset: i64) -> &'static str {
        self.covered[&partition][&offset]
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for label in self.covered.values().flat_map(BTreeMap::values) {
            *counts.entry(*label).or_default() += 1;
        }
        counts
    }
}

pub(crate) const SAMPLED_OUT: &str = SkipReason::SampledOut.as_str();

/// Everything above `info` that was logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn start() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let filter = tracing_subscriber::EnvFilter::new("warn");
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(move || writer.clone()).init();
        log
    }

    pub(crate) fn expect_only(&self, provoked: &[&str]) {
        let said = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        let unexpected: Vec<_> = said.lines().filter(|line| !provoked.iter().any(|p| line.contains(p))).collect();
        assert!(unexpected.is_empty(), "unexpected in the log: {unexpected:#?}");
    }
}

impl std::io::Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
