//! Captured exchanges as an agent would have published them, deterministic by number.

use bytes::Bytes;
use shadow_kafka::{Admin, Delivery, KafkaConfig, Outgoing, Producer, ProducerLimits, TopicSpec};
use shadow_mask::{MaskKey, Masker, RawBody, RawRequest, RawResponse, Ruleset};
use shadow_record::{
    CapturedExchange, RequestId, RouteTable, ServiceName, Source, Timestamp, Withheld, encode, topics,
};

use super::MASKING_KEY;

/// Partitions of the captured topic where a test does not ask for others.
pub const PARTITIONS: i32 = 4;
/// The routes of the test service.
pub const ROUTES: &[&str] = &["* /orders/{id}"];

/// The test service.
pub fn service() -> ServiceName {
    "shop".parse().expect("a name")
}

/// Writes captured records.
pub struct Traffic {
    producer: Producer,
    masker: Masker,
    partitions: i32,
    written: i64,
}

impl Traffic {
    /// Creates the shared topics and the captured one.
    pub async fn prepare(kafka: &KafkaConfig, partitions: i32) -> Self {
        let admin = Admin::new(kafka).expect("settings");
        shadow_control::ensure_shared_topics(&admin).await.expect("topics");
        admin.ensure_topic(&TopicSpec::deleting(topics::captured(&service()), partitions)).await.expect("topic");
        let routes = RouteTable::parse(ROUTES).expect("routes");
        let key = MaskKey::parse(MASKING_KEY).expect("key");
        Self {
            producer: Producer::new(kafka, &ProducerLimits::default()).expect("settings"),
            masker: Masker::new(key, Ruleset::default(), routes),
            partitions,
            written: 0,
        }
    }

    /// Partitions of the captured topic.
    pub fn partitions(&self) -> i32 {
        self.partitions
    }

    /// Records written so far.
    pub fn written(&self) -> i64 {
        self.written
    }

    /// Writes `count` more records, spread over the partitions; each is a `GET /orders/{n}` but for every tenth, a `POST`,
    /// and every fortieth, whose request body was withheld.
    pub async fn write(&mut self, count: i64) {
        let partitions = i64::from(self.partitions);
        self.write_keyed(count, |_, n| ((n % partitions) as i32, None)).await;
    }

    /// Writes `count` more records of so many sessions, which take turns; each session is in one partition.
    pub async fn write_sessions(&mut self, count: i64, sessions: i64) {
        let partitions = i64::from(self.partitions);
        self.write_keyed(count, |masker, n| {
            let session = n % sessions;
            ((session % partitions) as i32, Some(masker.record_key(format!("session-{session}").as_bytes())))
        })
        .await;
    }

    async fn write_keyed(&mut self, count: i64, place: impl Fn(&Masker, i64) -> (i32, Option<[u8; 16]>)) {
        let acknowledged = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
        for n in self.written..self.written + count {
            let payload = encode(&self.exchange(n));
            let (topic, acknowledged) = (topics::captured(&service()), acknowledged.clone());
            let (partition, key) = place(&self.masker, n);
            let key = key.as_ref().map(|key| &key[..]);
            let out = Outgoing { topic: &topic, partition: Some(partition), key, payload: &payload };
            let told = move |delivery| {
                assert!(matches!(delivery, Delivery::Acknowledged { .. }), "{delivery:?}");
                acknowledged.add_permits(1);
            };
            self.producer.send(out, told).expect("the queue takes a test's records");
        }
        self.written += count;
        acknowledged.acquire_many(count as u32).await.expect("open").forget();
    }

    /// Writes bytes that are no record.
    pub async fn write_garbage(&self, topic: &str, partition: i32) {
        let out = Outgoing { topic, partition: Some(partition), key: Some(b"garbage"), payload: b"\xde\xad\xbe\xef" };
        assert!(matches!(self.producer.publish(out).await, Delivery::Acknowledged { .. }));
    }

    fn exchange(&self, n: i64) -> CapturedExchange {
        let method = if n % 10 == 9 { "POST" } else { "GET" };
        let digest = self.masker.digester().finish();
        let body = match n % 40 {
            20 => RawBody::Withheld { length: 9, digest, why: Withheld::Truncated },
            _ => RawBody::Whole(Bytes::new()),
        };
        let request = self.masker.request(RawRequest {
            method: method.to_owned(),
            scheme: "http".to_owned(),
            authority: "shop".to_owned(),
            path: format!("/orders/{n}"),
            query: None,
            headers: http::HeaderMap::new(),
            body,
        });
        let mut headers = http::HeaderMap::new();
        headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        let body = RawBody::Whole(Bytes::from(format!(r#"{{"id":{n},"total":{}}}"#, n * 3)));
        let response = self.masker.response(method, &request.path, RawResponse { status: 200, headers, body });
        CapturedExchange {
            request_id: RequestId::generate(),
            correlation_id: None,
            agent: "agent-1".to_owned(),
            epoch: 1,
            sequence: n,
            service: service(),
            source: Source::Proxy,
            captured_at: Timestamp::now(),
            route: self.masker.route(method, &request.path),
            request,
            response: Some(response),
            error: None,
            first_byte_us: Some(400),
            total_us: 500,
            ruleset: self.masker.ruleset().version().to_owned(),
            key_id: self.masker.key_id().to_owned(),
            sampling_rate: 1.0,
            effects_recorded: false,
        }
    }
}
