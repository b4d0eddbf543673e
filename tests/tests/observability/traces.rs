//! Traces: the steps of one request, taken by three services that tell each other nothing about them, arrive linked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use super::support::{Candidate, Rig, Service, free_port, sql, until};

/// Spans with the service that sent each, as they arrive.
type Arrived = Arc<Mutex<Vec<(String, Span)>>>;

/// A collector as OTLP has it: POST, protobuf.
async fn collector() -> (String, Arrived) {
    let arrived = Arrived::default();
    let app = Router::new().route("/v1/traces", post(take)).with_state(arrived.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, arrived)
}

async fn take(State(arrived): State<Arrived>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in request.resource_spans {
        let service = text(&resource.resource.unwrap().attributes, "service.name");
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        arrived.lock().unwrap().extend(spans.map(|span| (service.clone(), span)));
    }
    StatusCode::OK
}

fn text(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key).and_then(|found| found.value.clone()?.value);
    match found {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_one_request_arrive_linked_under_its_id() {
    let rig = Rig::start().await;
    let (url, arrived) = collector().await;
    let (primary, dir, listen) = (Candidate::start().await, tempfile::tempdir().unwrap(), free_port());
    let kafka = format!("[kafka]\nbrokers = \"{}\"\n", rig.kafka.brokers);
    let routes = "[masking]\nroutes = [\"* /orders/{id}\"]\n";
    let agent = format!(
        "[service]\nname = \"shop\"\ninstance = \"agent-1\"\n[listen]\naddress = \"127.0.0.1:{listen}\"\n[primary]\nurl = \"{}\"\n\
         [capture]\npartitions = 4\naccount = {:?}\nlatency_budget = \"off\"\nlag_budget = \"off\"\n{routes}{kafka}",
        primary.url,
        dir.path()
    );
    let comparator =
        format!("[service]\ninstance = \"c1\"\n{kafka}[clickhouse]\nurl = \"{}\"\n", rig.stack.clickhouse_url());
    let agent = Service::start_traced("capture-agent", &agent, &url).ready().await;
    let launch = rig.launch("v2", |_| {}).await;
    let replayer = format!("[service]\ninstance = \"r1\"\n{kafka}{routes}");
    let replayer = Service::start_traced("replayer", &replayer, &url).ready().await;
    let comparator = Service::start_traced("comparator", &comparator, &url).ready().await;
    let answer = reqwest::get(format!("http://127.0.0.1:{listen}/orders/97?token=secret")).await.unwrap();
    assert_eq!(answer.status(), 500);
    rig.settled(&launch, 1).await;

    let trace =
        sql(&rig.stack, "SELECT lower(replaceAll(toString(request_id), '-', '')) FROM shadow.exchanges FINAL").await;
    let spans: BTreeMap<String, (String, Span)> = until("every step's span", || async {
        let arrived = arrived.lock().unwrap();
        let spans: BTreeMap<_, _> =
            arrived.iter().map(|(of, span)| (span.name.clone(), (of.clone(), span.clone()))).collect();
        (spans.len() == 4).then_some(spans)
    })
    .await;
    let mut parent = Vec::new();
    for (name, service) in
        [("capture", "capture-agent"), ("send", "replayer"), ("compare", "comparator"), ("store", "comparator")]
    {
        let (of, span) = &spans[name];
        let id: String = span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((of.as_str(), id.as_str()), (service, trace.trim()), "{name}");
        assert_eq!(span.parent_span_id, parent, "{name} stands below the step before it");
        assert!(span.start_time_unix_nano > 0 && span.end_time_unix_nano >= span.start_time_unix_nano, "{name}");
        let told = format!("{:?}", span.attributes);
        assert!(!told.contains("secret") && !told.contains("/orders/97"), "{name}: {told}");
        parent.clone_from(&span.span_id);
    }
    let of = |name: &str, key: &str| text(&spans[name].1.attributes, key);
    assert_eq!(
        (of("capture", "http.route").as_str(), of("capture", "http.request.method").as_str()),
        ("GET /orders/{id}", "GET")
    );
    assert_eq!(
        (of("capture", "http.response.status_code"), of("send", "http.response.status_code")),
        ("500".to_owned(), "500".to_owned())
    );
    assert_eq!((of("send", "shadow.launch").as_str(), of("compare", "shadow.result").as_str()), ("v2", "matched"));
    replayer.stop();
    comparator.stop();
    agent.stop();
    rig.stack.stop().await;
}
