//! Traces: the steps of single requests from capture to verdict, sent to a collector as OTLP over HTTP. Off unless `log.traces` names one.
//!
//! A trace's ID is the request ID, and a step's follows from the request, the launch, the send and the step. So the services' spans link up
//! though no service tells another about them: neither production's headers nor records carry anything for it.
//!
//! Guarantees: whoever records never waits, as spans go through a bounded queue to a thread of its own and are lost when it is full or the
//! collector is away; switched off, a step costs one load. No span holds a body, a header value or a path.

mod steps;

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::Uri;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};
use serde::{Deserialize, Serialize};
use shadow_record::{RequestId, Timestamp};

pub use steps::{captured, compared, replayed, stored};

use super::LogConfig;

/// Spans that may wait for the collector; one takes about half a kilobyte.
const WAITING: usize = 16_384;
/// Longest wait for the collector's answer, and for what waits when the service ends.
const PATIENCE: Duration = Duration::from_secs(2);
/// Where collectors take traces, below their address.
const PATH: &str = "/v1/traces";

/// Where traces go: the HTTP address of an OpenTelemetry collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Collector(String);

/// A text that is no collector's address.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not the address of a collector; write http://host:4318 or https://host/v1/traces")]
pub struct InvalidCollector(String);

impl TryFrom<String> for Collector {
    type Error = InvalidCollector;
    fn try_from(text: String) -> Result<Self, InvalidCollector> {
        match text.parse::<Uri>() {
            Ok(uri) if uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")) => Ok(Self(text)),
            _ => Err(InvalidCollector(text)),
        }
    }
}

impl From<Collector> for String {
    fn from(collector: Collector) -> String {
        collector.0
    }
}

impl Collector {
    /// Where spans are posted.
    fn endpoint(&self) -> String {
        let base = self.0.trim_end_matches('/');
        let bare = base.parse::<Uri>().is_ok_and(|uri| matches!(uri.path(), "" | "/"));
        if bare { format!("{base}{PATH}") } else { base.to_owned() }
    }
}

/// One of so many requests is traced, the same ones by every service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OneIn(NonZeroU32);

impl Default for OneIn {
    fn default() -> Self {
        Self(NonZeroU32::MIN)
    }
}

impl OneIn {
    /// By the random end of the request's ID.
    fn has(self, request: RequestId) -> bool {
        let [.., a, b, c, d] = *request.0.as_bytes();
        u32::from_be_bytes([a, b, c, d]).is_multiple_of(self.0.get())
    }
}

static TRACES: OnceLock<Traces> = OnceLock::new();

#[derive(Debug)]
struct Traces {
    processor: BatchSpanProcessor,
    one_in: OneIn,
    scope: InstrumentationScope,
}

/// The traces' end: dropping it sends what still waits, for two seconds at most.
#[derive(Debug)]
#[must_use = "spans that wait when the process ends are lost without it"]
pub struct Tracing(());

impl Drop for Tracing {
    fn drop(&mut self) {
        if let Some(traces) = TRACES.get()
            && let Err(error) = traces.processor.shutdown_with_timeout(PATIENCE)
        {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

/// Starts tracing if it is configured. To be called outside of an async runtime; a second call changes nothing.
pub fn start(config: &LogConfig, service: &'static str, version: &'static str) -> Option<Tracing> {
    let collector = config.traces.as_ref()?;
    // The HTTP client asks for a TLS provider; whoever came first did the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter =
        reqwest::blocking::Client::builder().timeout(PATIENCE).build().map_err(anyhow::Error::from).and_then(
            |client| {
                let exporter = SpanExporter::builder().with_http().with_http_client(client);
                Ok(exporter.with_endpoint(collector.endpoint()).with_timeout(PATIENCE).build()?)
            },
        );
    let exporter = match exporter {
        Ok(exporter) => exporter,
        Err(error) => {
            tracing::error!(%error, "spans cannot be sent; going on without traces");
            return None;
        }
    };
    let queue = BatchConfigBuilder::default().with_max_queue_size(WAITING).build();
    let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(queue).build();
    let name = [KeyValue::new("service.name", service), KeyValue::new("service.version", version)];
    processor.set_resource(&Resource::builder_empty().with_attributes(name).build());
    let scope = InstrumentationScope::builder("shadowline").build();
    TRACES.set(Traces { processor, one_in: config.traces_one_in, scope }).ok()?;
    tracing::info!("sending traces");
    Some(Tracing(()))
}

/// Whether traces are sent at all: what a span needs is only worth measuring then.
pub fn on() -> bool {
    TRACES.get().is_some()
}

/// One step of a request's way. Its place among the others is its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Capture,
    Send,
    Compare,
    Store,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Send => "send",
            Self::Compare => "compare",
            Self::Store => "store",
        }
    }

    const fn parent(self) -> Option<Self> {
        match self {
            Self::Capture => None,
            Self::Send => Some(Self::Capture),
            Self::Compare => Some(Self::Send),
            Self::Store => Some(Self::Compare),
        }
    }

    const fn kind(self) -> SpanKind {
        match self {
            Self::Capture => SpanKind::Server,
            Self::Send => SpanKind::Client,
            Self::Compare | Self::Store => SpanKind::Internal,
        }
    }

    /// The step's ID, the same wherever and by whatever build it is made: FNV-1a over what tells it from others.
    fn id(self, of: Of<'_>) -> SpanId {
        // The capture belongs to every launch and every send.
        let (launch, send) = if self == Self::Capture { ("", 0) } else { (of.launch, of.send) };
        let parts: [&[u8]; 4] =
            [of.request.0.as_bytes(), self.name().as_bytes(), launch.as_bytes(), &send.to_be_bytes()];
        let hash = parts
            .into_iter()
            .flatten()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        SpanId::from_bytes(hash.max(1).to_be_bytes())
    }
}

/// Whose step it is.
#[derive(Clone, Copy, Debug)]
struct Of<'a> {
    request: RequestId,
    launch: &'a str,
    send: i64,
}

/// Hands a span over, if the request is among those that are traced.
fn record(step: Step, of: Of<'_>, (from, until): (Timestamp, Timestamp), status: Status, attributes: Vec<KeyValue>) {
    let Some(traces) = TRACES.get().filter(|traces| traces.one_in.has(of.request)) else { return };
    let trace = TraceId::from_bytes(*of.request.0.as_bytes());
    traces.processor.on_end(SpanData {
        span_context: SpanContext::new(trace, step.id(of), TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: step.parent().map_or(SpanId::INVALID, |parent| parent.id(of)),
        parent_span_is_remote: true,
        span_kind: step.kind(),
        name: step.name().into(),
        start_time: system_time(from),
        end_time: system_time(until.max(from)),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status,
        instrumentation_scope: traces.scope.clone(),
    });
}

fn system_time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(at.micros()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_an_address_with_or_without_the_path_that_traces_go_to() {
        let endpoint = |text: &str| Collector::try_from(text.to_owned()).map(|collector| collector.endpoint());
        assert_eq!(endpoint("http://otel:4318").unwrap(), "http://otel:4318/v1/traces");
        assert_eq!(endpoint("https://otel:4318/").unwrap(), "https://otel:4318/v1/traces");
        assert_eq!(endpoint("https://eu.example/otlp/v1/traces").unwrap(), "https://eu.example/otlp/v1/traces");
        for bad in ["otel:4318", "grpc://otel:4317", "/v1/traces", ""] {
            assert!(endpoint(bad).unwrap_err().to_string().contains("http://host:4318"), "{bad}");
        }
    }

    #[test]
    fn steps_of_one_send_link_up_and_those_of_another_launch_or_send_stand_apart() {
        let request = RequestId::generate();
        let of = |launch, send| Of { request, launch, send };
        assert_eq!(Step::Send.parent().unwrap().id(of("v2", 7)), Step::Capture.id(of("", 0)));
        assert_eq!(Step::Compare.parent().unwrap().id(of("v2", 7)), Step::Send.id(of("v2", 7)));
        assert_ne!(Step::Send.id(of("v2", 7)), Step::Send.id(of("v3", 7)));
        assert_ne!(Step::Send.id(of("v2", 7)), Step::Send.id(of("v2", 8)));
        assert_ne!(Step::Send.id(of("v2", 7)), Step::Send.id(Of { request: RequestId::generate(), ..of("v2", 7) }));
    }

    #[test]
    fn about_one_in_so_many_requests_is_traced_and_all_of_them_by_default() {
        let ids: Vec<RequestId> = (0..4_000).map(|_| RequestId::generate()).collect();
        let count = |one_in| ids.iter().filter(|id| OneIn(NonZeroU32::new(one_in).unwrap()).has(**id)).count();
        assert_eq!(count(1), 4_000);
        // A false alarm here is rarer than one in a million runs.
        assert!((280..=520).contains(&count(10)), "{}", count(10));
        assert!(ids.iter().all(|id| OneIn::default().has(*id)));
    }
}
