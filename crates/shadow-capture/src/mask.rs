//! Makes a raw exchange one that may leave, on threads of its own, of lower priority (`beside`).
//!
//! Guarantee: a panic while masking costs one exchange, counted; the thread goes on. Nothing raw goes further than this file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, TryRecvError, select};
use shadow_mask::{Masker, RawBody, RawRequest, RawResponse};
use shadow_record::{CaptureError, CapturedExchange, RequestId, ServiceName, Source, Timestamp, Withheld, encode};
use shadow_runtime::telemetry::traces;

use crate::effects::Meanwhile;
use crate::head::OpenHead;
use crate::ledger::DropReason;
use crate::observe::{RawAnswer, RawExchange, RawHead};
use crate::publish::Publisher;
use crate::tee::Teed;

/// How long a masking thread that has found the queue empty sleeps before it looks again. Threads that wait on the queue itself would
/// have to be woken by whoever fills it: a system call for each request, paid by the hot path. So they come and look instead,
/// and a record is older by this much at most.
const IDLE: Duration = Duration::from_millis(5);

/// Header by which clients tell their own requests apart.
pub(crate) const CORRELATION: &str = "x-request-id";

/// Turns raw exchanges into records.
pub(crate) struct Mask {
    /// Hides what is private.
    pub(crate) masker: Arc<Masker>,
    /// The captured service.
    pub(crate) service: ServiceName,
    /// This agent.
    pub(crate) instance: String,
    /// Start of this process.
    pub(crate) epoch: Timestamp,
    /// Share of the traffic that is captured.
    pub(crate) sampling_rate: f64,
    /// Where exchanges are seen.
    pub(crate) source: Source,
    /// `http` or `https`, as clients use it; unless an exchange says it itself.
    pub(crate) scheme: &'static str,
}

/// A record ready to be produced.
pub(crate) struct Masked {
    /// HMAC of the session, else of the request ID.
    pub(crate) key: [u8; 16],
    /// The encoded record.
    pub(crate) payload: Bytes,
}

/// A raw exchange without its place in the account.
pub(crate) struct RawParts {
    /// Number of the request in this epoch.
    pub(crate) sequence: i64,
    /// Arrival of the request.
    pub(crate) captured_at: Timestamp,
    /// The request's head.
    pub(crate) head: RawHead,
    /// The request's body.
    pub(crate) request_body: Teed,
    /// The primary's answer.
    pub(crate) response: Option<RawAnswer>,
    /// Why there is none, or no whole one.
    pub(crate) error: Option<CaptureError>,
    /// Arrival to the response's head.
    pub(crate) first_byte: Option<Duration>,
    /// Arrival to the end.
    pub(crate) total: Duration,
}

/// A raw exchange as the masker reads it, wherever it comes from.
pub(crate) struct Open {
    /// Given here, never the client's.
    pub(crate) id: RequestId,
    /// Number of the request in this epoch.
    pub(crate) sequence: i64,
    /// Arrival of the request.
    pub(crate) captured_at: Timestamp,
    /// The request.
    pub(crate) request: RawRequest,
    /// The primary's answer.
    pub(crate) response: Option<RawResponse>,
    /// Why there is none, or no whole one.
    pub(crate) error: Option<CaptureError>,
    /// Arrival to the response's head.
    pub(crate) first_byte: Option<Duration>,
    /// Arrival to the end.
    pub(crate) total: Duration,
    /// Whether every call that the primary made meanwhile was recorded.
    pub(crate) effects_recorded: bool,
}

impl Mask {
    /// The record and its key.
    pub(crate) fn seal(&self, raw: RawParts) -> Masked {
        let key = self.key(raw.head.session.as_deref(), raw.head.id);
        let exchange = self.masked(self.opened(raw));
        traces::captured(&exchange);
        Masked { key, payload: encode(&exchange) }
    }

    /// The key of a record: of the session, else of the request, which then stands alone.
    pub(crate) fn key(&self, session: Option<&[u8]>, id: RequestId) -> [u8; 16] {
        self.masker.record_key(session.unwrap_or(id.0.as_bytes()))
    }

    fn opened(&self, raw: RawParts) -> Open {
        let masker = &self.masker;
        let opened = "a copied head was parsed when it was seen";
        let OpenHead { method, authority, path, query, headers } = raw.head.copy.open().expect(opened);
        let response = raw.response.map(|answer| raw_answer(masker, answer));
        let effects_recorded = raw.head.meanwhile.as_ref().is_some_and(Meanwhile::all_recorded);
        let (scheme, body) = (self.scheme.to_owned(), raw_body(masker, &raw.request_body));
        Open {
            id: raw.head.id,
            sequence: raw.sequence,
            captured_at: raw.captured_at,
            request: RawRequest { method, scheme, authority, path, query, headers, body },
            response,
            error: raw.error,
            first_byte: raw.first_byte,
            total: raw.total,
            effects_recorded,
        }
    }

    /// The masked record.
    pub(crate) fn masked(&self, raw: Open) -> CapturedExchange {
        let masker = &self.masker;
        let RawRequest { method, path, headers, .. } = &raw.request;
        let response = raw.response.map(|answer| masker.response(method, path, answer));
        let correlation = headers.get(CORRELATION).and_then(|value| value.to_str().ok()).map(|id| masker.value(id));
        let route = masker.route(method, path);
        let request = masker.request(raw.request);
        CapturedExchange {
            request_id: raw.id,
            correlation_id: correlation,
            agent: self.instance.clone(),
            epoch: self.epoch.micros(),
            sequence: raw.sequence,
            service: self.service.clone(),
            source: self.source,
            captured_at: raw.captured_at,
            route,
            request,
            response,
            error: raw.error,
            first_byte_us: raw.first_byte.map(micros),
            total_us: micros(raw.total),
            ruleset: masker.ruleset().version().to_owned(),
            key_id: masker.key_id().to_owned(),
            sampling_rate: self.sampling_rate,
            effects_recorded: raw.effects_recorded,
        }
    }
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// An answer as the masker takes it.
pub(crate) fn raw_answer(masker: &Masker, answer: RawAnswer) -> RawResponse {
    let body = raw_body(masker, &answer.body);
    let headers = answer.lines.open().expect("a copied head was parsed when it was seen");
    RawResponse { status: answer.status, headers, body }
}

/// The teed body as the masker takes it. The share of the budget lives until the caller drops the tee.
pub(crate) fn raw_body(masker: &Masker, teed: &Teed) -> RawBody {
    match teed {
        Teed::Whole(held) => RawBody::Whole(held.bytes.clone()),
        Teed::Cut(held) => {
            let mut digester = masker.digester();
            digester.update(&held.bytes);
            RawBody::Withheld { length: held.bytes.len() as u64, digest: digester.finish(), why: Withheld::Aborted }
        }
        Teed::Digested { length, digest, why } => {
            RawBody::Withheld { length: *length, digest: digest.clone(), why: *why }
        }
    }
}

/// What the threads do to each exchange: [`Mask::seal`].
pub(crate) type Seal = Arc<dyn Fn(RawParts) -> Masked + Send + Sync>;

/// The masking threads. They end when the hot path is gone and the queue is drained, or when told to stop.
pub(crate) struct Workers {
    threads: Vec<JoinHandle<()>>,
    stop: crossbeam_channel::Sender<()>,
}

impl Workers {
    /// Starts `count` threads on the queue, named after what they mask.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(
        name: &str,
        count: usize,
        queue: &Receiver<RawExchange>,
        seal: Seal,
        publisher: &Publisher,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let start = |number| {
            let worker = Worker {
                queue: queue.clone(),
                stopped: stopped.clone(),
                seal: seal.clone(),
                publisher: publisher.clone(),
            };
            std::thread::Builder::new().name(format!("{name}-{number}")).spawn(move || worker.run())
        };
        Ok(Self { threads: (0..count).map(start).collect::<Result<_, _>>()?, stop })
    }

    /// Waits for the threads to finish the queue, at most `patience`; what is left then is counted as dropped.
    pub(crate) async fn finish(self, patience: Duration) {
        let Self { threads, stop } = self;
        let mut joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|t| drop(t.join())));
        if tokio::time::timeout(patience, &mut joined).await.is_err() {
            tracing::warn!("exchanges were still waiting for masking or for Kafka; they are dropped");
            drop(stop);
            let _ = joined.await;
        }
    }
}

struct Worker {
    queue: Receiver<RawExchange>,
    /// Disconnected when the agent may wait no longer.
    stopped: Receiver<()>,
    seal: Seal,
    publisher: Publisher,
}

impl Worker {
    fn run(self) {
        // Until the topic is known nothing can be published; the bounded queue holds what it can.
        select! {
            recv(self.publisher.opened()) -> _ => {}
            recv(self.stopped) -> _ => return self.drop_the_rest(),
        }
        while !self.told_to_stop() {
            match self.queue.try_recv() {
                Ok(exchange) => self.handle(exchange),
                Err(TryRecvError::Disconnected) => return,
                // Not a plain sleep, so that a stop is heard at once.
                Err(TryRecvError::Empty) => drop(self.stopped.recv_timeout(IDLE)),
            }
        }
        self.drop_the_rest();
    }

    fn told_to_stop(&self) -> bool {
        self.stopped.try_recv() == Err(TryRecvError::Disconnected)
    }

    fn handle(&self, exchange: RawExchange) {
        let RawExchange { ticket, captured_at, head, request_body, response, error, first_byte, total } = exchange;
        let sequence = ticket.sequence();
        let raw = RawParts { sequence, captured_at, head, request_body, response, error, first_byte, total };
        match catch_unwind(AssertUnwindSafe(|| (self.seal)(raw))) {
            Ok(masked) => self.publisher.publish(&masked, ticket),
            Err(_) => ticket.dropped(DropReason::MaskPanic),
        }
    }

    fn drop_the_rest(&self) {
        for exchange in self.queue.try_iter() {
            exchange.ticket.dropped(DropReason::Stopped);
        }
    }
}

#[cfg(test)]
mod tests {
    use shadow_kafka::{KafkaConfig, ProducerLimits};

    use super::*;
    use crate::handover;
    use crate::ledger::Ledger;

    /// A publisher that refuses what the tests' records are: larger than any record may be.
    fn refusing() -> Publisher {
        let limits = ProducerLimits::default();
        let publisher = Publisher::new(&KafkaConfig::at("127.0.0.1:1"), &limits, "none".into()).unwrap();
        publisher.open(1);
        publisher
    }

    fn oversized() -> Masked {
        Masked { key: [0; 16], payload: vec![0; 8 << 20].into() }
    }

    #[tokio::test]
    async fn while_masking_gets_no_time_the_queue_fills_and_the_rest_is_dropped_without_waiting() {
        let ledger = Ledger::open();
        let (handover, queue) = handover::queue(2);
        let (entered, entries) = crossbeam_channel::unbounded();
        let (release, released) = crossbeam_channel::bounded::<()>(0);
        let starved: Seal = Arc::new(move |_| {
            entered.send(()).unwrap();
            // Until the sender is gone.
            let _ = released.recv();
            oversized()
        });
        let workers = Workers::start("mask", 1, &queue, starved, &refusing()).unwrap();
        handover.offer(RawExchange::without_answer(ledger.see(), "/0"));
        entries.recv().unwrap();
        for _ in 0..7 {
            handover.offer(RawExchange::without_answer(ledger.see(), "/"));
        }
        let meanwhile = ledger.account();
        assert_eq!((meanwhile.dropped_for(DropReason::QueueFull), meanwhile.in_flight), (5, 3), "{meanwhile:?}");
        drop((handover, release));
        workers.finish(Duration::from_secs(20)).await;
        let account = ledger.account();
        assert_eq!((account.dropped_for(DropReason::Unpublishable), account.in_flight), (3, 0), "{account:?}");
    }

    #[tokio::test]
    async fn a_stop_that_may_wait_no_longer_drops_what_is_queued() {
        let ledger = Ledger::open();
        let (handover, queue) = handover::queue(8);
        let publisher = Publisher::new(&KafkaConfig::at("127.0.0.1:1"), &ProducerLimits::default(), "none".into());
        let workers = Workers::start("mask", 2, &queue, Arc::new(|_| oversized()), &publisher.unwrap()).unwrap();
        handover.offer(RawExchange::without_answer(ledger.see(), "/"));
        workers.finish(Duration::ZERO).await;
        assert_eq!(ledger.account().dropped_for(DropReason::Stopped), 1);
    }

    #[tokio::test]
    async fn a_panic_while_masking_costs_one_exchange_and_the_thread_goes_on() {
        let ledger = Ledger::open();
        let (handover, queue) = handover::queue(8);
        let seal: Seal = Arc::new(|raw: RawParts| {
            assert_ne!(raw.sequence, 1, "provoked");
            oversized()
        });
        let workers = Workers::start("mask", 1, &queue, seal, &refusing()).unwrap();
        for path in ["/0", "/1", "/2"] {
            handover.offer(RawExchange::without_answer(ledger.see(), path));
        }
        drop(handover);
        workers.finish(Duration::from_secs(20)).await;
        let account = ledger.account();
        assert!(account.balances() && account.in_flight == 0, "{account:?}");
        assert_eq!(account.dropped_for(DropReason::MaskPanic), 1);
        assert_eq!(account.dropped_for(DropReason::Unpublishable), 2);
    }
}
