//! Exchanges of a recording instead of traffic: the same sessions, masking, partitions and account as an agent's.
//!
//! Nobody is being served here, so the order is kept and what is full is waited for: an agent drops, a [`Recorder`] waits. To the
//! rest of the flow it is an agent of its own that captured what the recording holds, at the times that the recording names.
//!
//! Guarantees: only masked records go to Kafka; a panic while masking costs one exchange, counted; records of one session keep their
//! order; the account ends only when Kafka has given its word on every record, or had its time.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use shadow_control::{Heart, HeartConfig, LastWord, Subject, ensure_shared_topics};
use shadow_kafka::{Admin, KafkaConfig, KafkaError, ProducerLimits, SendError, TopicSpec};
use shadow_mask::{Masker, RawBody, RawRequest, RawResponse};
use shadow_record::{CaptureError, RequestId, Role, ServiceName, Source, Timestamp, Withheld, encode, topics};
use shadow_runtime::masking_counters;
use tokio_util::sync::CancellationToken;

use crate::head::OpenHead;
use crate::ledger::{Account, DropReason, Exclusion, Ledger, Settlement};
use crate::mask::{Mask, Masked, Open};
use crate::publish::Publisher;
use crate::sample::Sampler;

/// Bytes that may wait for the brokers.
const OUTBOX: usize = 32 << 20;
/// How long a record may wait for the brokers: nobody is in a hurry, and a broker may be restarting.
const DELIVERY: Duration = Duration::from_secs(60);
/// Time between looks at a full queue.
const ROOM: Duration = Duration::from_millis(2);

/// An exchange as a recording holds it, before masking. It must not leave the process.
#[derive(Debug)]
pub struct Recorded {
    /// When the request began.
    pub captured_at: Timestamp,
    /// The request.
    pub request: RawRequest,
    /// The answer, if there is one.
    pub response: Option<RawResponse>,
    /// Why there is none.
    pub error: Option<CaptureError>,
    /// From then to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// From then to its end.
    pub total: Duration,
}

/// Makes records of recorded exchanges. Does no I/O.
pub struct Sealer {
    mask: Mask,
    sampler: Sampler,
    body_limit: usize,
    ledger: Arc<Ledger>,
}

impl Sealer {
    /// For one service, as `instance`. The sampler says what names a session; its filters and rate are of no matter here.
    pub fn new(
        service: ServiceName,
        instance: String,
        masker: Arc<Masker>,
        sampler: Sampler,
        body_limit: usize,
    ) -> Self {
        let ledger = Ledger::open();
        let epoch = ledger.epoch();
        let (source, scheme, sampling_rate) = (Source::Import, "http", 1.0);
        let mask = Mask { masker, service, instance, epoch, sampling_rate, source, scheme };
        Self { mask, sampler, body_limit, ledger }
    }

    /// Bytes of the record that an exchange becomes.
    pub fn size(&self, exchange: Recorded) -> usize {
        self.seal(exchange, 0).payload.len()
    }

    fn seal(&self, exchange: Recorded, sequence: i64) -> Masked {
        let Recorded { captured_at, mut request, mut response, error, first_byte, total } = exchange;
        request.body = self.bounded(request.body);
        if let Some(answer) = &mut response {
            answer.body = self.bounded(std::mem::replace(&mut answer.body, RawBody::empty()));
        }
        let id = RequestId::generate();
        let key = self.mask.key(self.session(&request).as_deref(), id);
        let effects_recorded = false;
        let open = Open { id, sequence, captured_at, request, response, error, first_byte, total, effects_recorded };
        Masked { key, payload: encode(&self.mask.masked(open)) }
    }

    fn session(&self, request: &RawRequest) -> Option<Vec<u8>> {
        let head = OpenHead {
            method: request.method.clone(),
            authority: request.authority.clone(),
            path: request.path.clone(),
            query: None,
            headers: request.headers.clone(),
        };
        self.sampler.session(&head).map(<[u8]>::to_vec)
    }

    /// What the agent's tee does to a body that is too long.
    fn bounded(&self, body: RawBody) -> RawBody {
        match body {
            RawBody::Whole(bytes) if bytes.len() > self.body_limit => {
                let mut digester = self.mask.masker.digester();
                digester.update(&bytes);
                let (length, digest) = (bytes.len() as u64, digester.finish());
                RawBody::Withheld { length, digest, why: Withheld::Truncated }
            }
            body => body,
        }
    }
}

/// An exchange that cannot become a record.
#[derive(Debug, thiserror::Error)]
pub enum Unrecordable {
    /// The Kafka client refuses it.
    #[error("its record is refused: {0}")]
    Refused(String),
    /// Masking panicked on it.
    #[error("masking it panicked; please report what kind of message it is")]
    Panicked,
    /// Told to stop while Kafka's queue was full.
    #[error("stopped while waiting for Kafka")]
    Stopped,
}

/// Appends the exchanges of a recording to the captured topic.
pub struct Recorder {
    sealer: Sealer,
    publisher: Publisher,
    heart: Heart,
    beating: CancellationToken,
    partitions: i32,
}

impl Recorder {
    /// Makes sure of the topics, with `partitions` if the captured one must be created, and begins an account.
    ///
    /// # Errors
    /// When Kafka is not there or refuses.
    pub async fn start(sealer: Sealer, kafka: &KafkaConfig, partitions: i32) -> Result<Self, KafkaError> {
        let (service, instance) = (&sealer.mask.service, &sealer.mask.instance);
        let admin = Admin::new(kafka)?;
        let topic = topics::captured(service);
        let partitions = match admin.ensure_topic(&TopicSpec::deleting(&topic, partitions)).await {
            Ok(()) => partitions,
            Err(KafkaError::PartitionCount { found, .. }) => found,
            Err(error) => return Err(error),
        };
        ensure_shared_topics(&admin).await?;
        let limits = ProducerLimits { queue_bytes: OUTBOX, message_timeout: DELIVERY };
        let publisher = Publisher::new(kafka, &limits, topic)?;
        publisher.open(partitions);
        let beating = CancellationToken::new();
        let config = HeartConfig::of(kafka, instance, Role::CaptureAgent, service.as_str());
        let heart = Heart::spawn(HeartConfig { epoch: sealer.ledger.epoch(), ..config }, beating.clone())?;
        let (ledger, masker) = (sealer.ledger.clone(), sealer.mask.masker.clone());
        let counters = Arc::new(move || -> BTreeMap<String, i64> {
            ledger.account().counters().into_iter().chain(masking_counters(&masker)).collect()
        });
        heart.register(Subject { launch: None, gate: None, counters });
        Ok(Self { sealer, publisher, heart, beating, partitions })
    }

    /// Partitions that the topic has.
    pub fn partitions(&self) -> i32 {
        self.partitions
    }

    /// Masks an exchange and queues it. Waits, blocking the thread, while the queue is full, unless told to stop.
    ///
    /// # Errors
    /// [`Unrecordable`]; the exchange is in the account as dropped.
    pub fn append(&self, exchange: Recorded, stop: &CancellationToken) -> Result<(), Unrecordable> {
        let mut ticket = self.sealer.ledger.see();
        let sequence = ticket.sequence();
        let Ok(masked) = catch_unwind(AssertUnwindSafe(|| self.sealer.seal(exchange, sequence))) else {
            ticket.dropped(DropReason::MaskPanic);
            return Err(Unrecordable::Panicked);
        };
        loop {
            match self.publisher.offer(&masked, ticket) {
                Ok(()) => return Ok(()),
                Err((refused, SendError::Invalid(why))) => {
                    refused.dropped(DropReason::Unpublishable);
                    return Err(Unrecordable::Refused(why));
                }
                Err((waiting, SendError::QueueFull)) if stop.is_cancelled() => {
                    waiting.dropped(DropReason::KafkaQueueFull);
                    return Err(Unrecordable::Stopped);
                }
                Err((waiting, SendError::QueueFull)) => {
                    ticket = waiting;
                    std::thread::sleep(ROOM);
                }
            }
        }
    }

    /// Counts an exchange that the filters leave out.
    pub fn leave_out(&self) {
        self.sealer.ledger.see().settle(Settlement::Excluded(Exclusion::Filtered));
    }

    /// The account now.
    pub fn account(&self) -> Account {
        self.sealer.ledger.account()
    }

    /// Waits for Kafka's word on every record, says the last word and gives the final account; and whether Kafka has it.
    pub async fn finish(self) -> (Account, LastWord) {
        // Longer than the client's own patience, which ends every record one way or the other.
        self.publisher.flush(DELIVERY + Duration::from_secs(5)).await;
        self.sealer.ledger.close();
        self.beating.cancel();
        let word = self.heart.stopped().await;
        (self.sealer.ledger.account(), word)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shadow_mask::MaskKey;
    use shadow_record::{CapturedExchange, decode};

    use super::*;
    use crate::sample::SamplingConfig;

    fn sealer() -> Sealer {
        let masker = Masker::new(MaskKey::parse(&"k".repeat(32)).unwrap(), Default::default(), Default::default());
        let sampling = SamplingConfig { session_cookie: Some("sid".to_owned()), ..SamplingConfig::default() };
        let sampler = Sampler::new(&sampling).unwrap();
        Sealer::new("shop".parse().unwrap(), "import-1".to_owned(), Arc::new(masker), sampler, 20)
    }

    fn asked(cookie: &'static str, body: &'static str) -> Recorded {
        let headers = [("cookie", cookie), ("content-type", "text/plain")];
        let headers =
            headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).into_iter().collect();
        Recorded {
            captured_at: Timestamp(7),
            request: RawRequest {
                method: "POST".to_owned(),
                scheme: "https".to_owned(),
                authority: "shop.example".to_owned(),
                path: "/orders".to_owned(),
                query: None,
                headers,
                body: RawBody::Whole(Bytes::from_static(body.as_bytes())),
            },
            response: None,
            error: Some(CaptureError::Timeout),
            first_byte: None,
            total: Duration::from_millis(3),
        }
    }

    fn record(masked: &Masked) -> CapturedExchange {
        decode(&masked.payload).unwrap()
    }

    #[test]
    fn a_recorded_exchange_becomes_a_masked_record_of_its_own_time_and_scheme() {
        let record = record(&sealer().seal(asked("sid=1", "alice@example.org"), 4));
        assert_eq!((record.source, record.sequence, record.captured_at), (Source::Import, 4, Timestamp(7)));
        assert_eq!((record.request.scheme.as_str(), record.total_us), ("https", 3000));
        assert!(!format!("{record:?}").contains("alice"));
    }

    #[test]
    fn exchanges_of_one_session_share_a_key_and_others_have_their_own() {
        let sealer = sealer();
        let key = |cookie| sealer.seal(asked(cookie, ""), 0).key;
        assert_eq!(key("sid=1; a=2"), key("sid=1"));
        assert_ne!(key("sid=1"), key("sid=2"));
        assert_ne!(key("a=1"), key("a=1"));
    }

    #[test]
    fn a_body_beyond_the_limit_leaves_as_length_and_digest() {
        let body = record(&sealer().seal(asked("", "more than twenty bytes"), 0)).request.body;
        assert_eq!((body.content, body.length, body.withheld), (None, 22, Some(Withheld::Truncated)));
        assert_eq!(body.digest.len(), 32);
    }
}
