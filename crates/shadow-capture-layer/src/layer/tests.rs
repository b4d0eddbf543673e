//! What the layer hands over for each way an exchange can end, in front of real services.

use std::convert::Infallible;
use std::io;
use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::body::Body as AxumBody;
use axum::http::HeaderMap;
use axum::routing::{any, get, post};
use crossbeam_channel::Receiver;
use futures::FutureExt as _;
use futures::channel::mpsc;
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use shadow_capture::tee::{Budget, Limits, Teed};
use shadow_capture::{Exclusion, Ledger, Pause, RawExchange, Sampler, SamplingConfig, handover};
use shadow_mask::{MaskKey, Masker, Ruleset};
use shadow_record::RouteTable;
use tower::{ServiceExt as _, service_fn};

use super::*;

/// A layer whose queue is in the hands of the test.
struct Bench {
    layer: CaptureLayer,
    queue: Receiver<RawExchange>,
    ledger: Arc<Ledger>,
    pause: Arc<Pause>,
}

impl Bench {
    fn new() -> Self {
        let key = MaskKey::parse(&"0f".repeat(32)).unwrap();
        let masker = Arc::new(Masker::new(key, Ruleset::default(), RouteTable::default()));
        let (handover, queue) = handover::queue(8);
        let (ledger, pause) = (Ledger::open(), Arc::<Pause>::default());
        let layer = CaptureLayer::new(Arc::new(Observer {
            ledger: ledger.clone(),
            sampler: Sampler::new(&SamplingConfig::default()).unwrap(),
            limits: Limits { body: 1 << 10, budget: Budget::of(1 << 20), masker },
            handover,
            pause: pause.clone(),
            alarm: Default::default(),
            latency: Default::default(),
            effects: None,
        }));
        Self { layer, queue, ledger, pause }
    }

    /// The body that a client gets of a service that answers with this one.
    async fn answered(&self, body: AxumBody) -> ResponseBody<AxumBody> {
        let mut answer = Some(Response::new(body));
        let service = service_fn(move |_: Request<RequestBody<AxumBody>>| {
            futures::future::ok::<_, Infallible>(answer.take().expect("asked once"))
        });
        self.layer.layer(service).oneshot(request("GET", "")).await.unwrap().into_body()
    }

    /// The one exchange that was handed over.
    fn only(&self) -> RawExchange {
        let exchange = self.queue.try_recv().expect("one exchange was handed over");
        assert!(self.queue.is_empty() && self.ledger.account().in_flight == 1, "and nothing else is open");
        exchange
    }

    fn excluded(&self, why: Exclusion) -> (i64, usize) {
        assert_eq!(self.ledger.account().in_flight, 0);
        (self.ledger.account().excluded_for(why), self.queue.len())
    }
}

fn request(method: &str, body: impl Into<AxumBody>) -> Request<AxumBody> {
    Request::builder().method(method).uri("/orders/7?q=1").header("host", "shop.test").body(body.into()).unwrap()
}

fn whole(teed: &Teed) -> &[u8] {
    match teed {
        Teed::Whole(held) => &held.bytes,
        other => panic!("not whole: {other:?}"),
    }
}

fn cut(teed: &Teed) -> &[u8] {
    match teed {
        Teed::Cut(held) => &held.bytes,
        other => panic!("not cut: {other:?}"),
    }
}

/// A body that the test writes frame by frame.
fn written() -> (mpsc::UnboundedSender<Result<Frame<Bytes>, io::Error>>, AxumBody) {
    let (sender, frames) = mpsc::unbounded();
    (sender, AxumBody::new(StreamBody::new(frames)))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, io::Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

#[tokio::test]
async fn a_whole_exchange_is_handed_over_as_the_service_had_it() {
    let bench = Bench::new();
    let echo = |body: String| async move { (StatusCode::CREATED, [("x-a", "1")], body) };
    let app: Router = Router::new().route("/orders/{id}", post(echo)).layer(bench.layer.clone());
    let answer = app.oneshot(request("POST", "hello")).await.unwrap();
    assert_eq!((answer.status(), &answer.headers()["x-a"]), (StatusCode::CREATED, &"1".parse().unwrap()));
    assert_eq!(answer.headers()["content-length"], "5", "the length stays known");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");

    let exchange = bench.only();
    assert_eq!(exchange.error, None);
    let head = exchange.head.copy.open().unwrap();
    assert_eq!((head.method.as_str(), head.authority.as_str()), ("POST", "shop.test"));
    assert_eq!((head.path.as_str(), head.query.as_deref()), ("/orders/7", Some("q=1")));
    assert_eq!(whole(&exchange.request_body), b"hello");
    let answer = exchange.response.unwrap();
    assert_eq!((answer.status, whole(&answer.body)), (201, &b"hello"[..]));
    assert!(exchange.first_byte.unwrap() <= exchange.total);
}

#[tokio::test]
async fn any_tower_service_can_be_wrapped() {
    let bench = Bench::new();
    let service = service_fn(|request: Request<RequestBody<Empty<Bytes>>>| async move {
        assert_eq!(request.uri(), "/plain");
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"answer"))))
    });
    let request = Request::builder().uri("/plain").body(Empty::new()).unwrap();
    let answer = bench.layer.layer(service).oneshot(request).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "answer");
    assert_eq!(whole(&bench.only().response.unwrap().body), b"answer");
}

#[tokio::test]
async fn frames_of_a_stream_pass_as_they_come_with_their_trailers() {
    let bench = Bench::new();
    let (writer, body) = written();
    let mut body = bench.answered(body).await;
    for part in ["first ", "second "] {
        assert!(body.frame().now_or_never().is_none(), "nothing has been written");
        writer.unbounded_send(data(part)).unwrap();
        let frame = body.frame().now_or_never().expect("passes at once").unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
    }
    assert!(bench.queue.is_empty(), "it is not over");
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    writer.unbounded_send(Ok(Frame::trailers(trailers.clone()))).unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
    drop(writer);
    assert!(body.frame().await.is_none());
    let exchange = bench.only();
    assert_eq!((exchange.error, whole(&exchange.response.unwrap().body)), (None, &b"first second "[..]));
}

#[tokio::test]
async fn a_body_that_fails_fails_for_the_client_and_leaves_what_came() {
    let bench = Bench::new();
    let (writer, body) = written();
    writer.unbounded_send(data("some")).unwrap();
    writer.unbounded_send(Err(io::ErrorKind::ConnectionReset.into())).unwrap();
    assert!(bench.answered(body).await.collect().await.is_err());
    let exchange = bench.only();
    assert_eq!((exchange.error, cut(&exchange.response.unwrap().body)), (Some(CaptureError::Reset), &b"some"[..]));
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_the_clients_doing_and_the_services_answer_stands() {
    let bench = Bench::new();
    let app: Router =
        Router::new().route("/orders/{id}", post(|_: String| async { "never" })).layer(bench.layer.clone());
    let (writer, body) = written();
    writer.unbounded_send(data("part")).unwrap();
    writer.unbounded_send(Err(io::ErrorKind::UnexpectedEof.into())).unwrap();
    let answer = app.oneshot(request("POST", body)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    answer.into_body().collect().await.unwrap();
    let exchange = bench.only();
    assert_eq!((exchange.error, cut(&exchange.request_body)), (Some(CaptureError::ClientAborted), &b"part"[..]));
    assert_eq!(exchange.response.unwrap().status, 400);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_accounted_for() {
    let bench = Bench::new();
    let busy = service_fn(|_: Request<RequestBody<AxumBody>>| {
        futures::future::pending::<Result<Response<AxumBody>, Infallible>>()
    });
    let mut service = bench.layer.layer(busy);
    for polls in 0..3 {
        let mut answer = service.call(request("GET", ""));
        for _ in 0..polls {
            assert!((&mut answer).now_or_never().is_none());
        }
        assert!(bench.queue.is_empty(), "it is not over");
        drop(answer);
        let exchange = bench.only();
        assert_eq!((exchange.error, exchange.response.is_none()), (Some(CaptureError::ClientAborted), true));
    }
}

#[tokio::test]
async fn a_client_that_leaves_within_the_answer_leaves_what_passed() {
    let bench = Bench::new();
    let (writer, body) = written();
    writer.unbounded_send(data("begun")).unwrap();
    let mut body = bench.answered(body).await;
    assert!(body.frame().await.is_some());
    drop(body);
    let exchange = bench.only();
    let answer = exchange.response.unwrap();
    assert_eq!((exchange.error, cut(&answer.body)), (Some(CaptureError::ClientAborted), &b"begun"[..]));
}

#[tokio::test]
async fn a_panic_of_the_service_is_its_own_and_its_request_is_accounted_for() {
    let bench = Bench::new();
    let at_once = service_fn(
        |_: Request<RequestBody<AxumBody>>| -> futures::future::Ready<Result<Response<AxumBody>, Infallible>> {
            panic!("in call")
        },
    );
    let later = service_fn(|_: Request<RequestBody<AxumBody>>| async {
        tokio::task::yield_now().await;
        if true {
            panic!("in poll");
        }
        Ok::<_, Infallible>(Response::new(AxumBody::empty()))
    });
    let first = AssertUnwindSafe(bench.layer.layer(at_once).oneshot(request("POST", "x"))).catch_unwind().await;
    assert_eq!(first.err().unwrap().downcast_ref(), Some(&"in call"));
    let exchange = bench.only();
    assert_eq!((exchange.error, exchange.response.is_none()), (Some(CaptureError::Other), true));
    drop(exchange);
    let second = AssertUnwindSafe(bench.layer.layer(later).oneshot(request("POST", "x"))).catch_unwind().await;
    assert_eq!(second.err().unwrap().downcast_ref(), Some(&"in poll"));
    assert_eq!(bench.only().error, Some(CaptureError::Other));
}

#[tokio::test]
async fn an_error_of_the_service_reaches_its_caller_unchanged() {
    let bench = Bench::new();
    let service =
        service_fn(|_: Request<RequestBody<AxumBody>>| futures::future::err::<Response<AxumBody>, _>("its own"));
    assert_eq!(bench.layer.layer(service).oneshot(request("GET", "")).await.err(), Some("its own"));
    assert_eq!(bench.only().error, Some(CaptureError::Other));
}

#[tokio::test]
async fn tunnels_are_counted_and_nothing_of_them_is_kept() {
    let bench = Bench::new();
    for (method, status) in [("GET", 101), ("CONNECT", 200)] {
        let service = service_fn(move |_: Request<RequestBody<AxumBody>>| {
            futures::future::ok::<_, Infallible>(
                Response::builder().status(status).body(AxumBody::from("raw")).unwrap(),
            )
        });
        let answer = bench.layer.layer(service).oneshot(request(method, "raw")).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "raw");
    }
    assert_eq!(bench.excluded(Exclusion::Tunnel), (2, 0));
}

#[tokio::test]
async fn an_answer_whose_body_is_never_sent_is_whole() {
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let bench = Bench::new();
        let answer = move || async move { (StatusCode::from_u16(status).unwrap(), "described, not sent") };
        let app: Router = Router::new().route("/orders/{id}", any(answer)).layer(bench.layer.clone());
        // As a server does: it drops the body unread.
        drop(app.oneshot(request(method, "")).await.unwrap());
        let exchange = bench.only();
        let answer = exchange.response.unwrap();
        assert_eq!((exchange.error, answer.status, whole(&answer.body)), (None, status, &b""[..]));
    }
}

#[tokio::test]
async fn while_capturing_is_paused_requests_pass_and_what_is_added_is_still_measured() {
    let bench = Bench::new();
    let app: Router = Router::new().route("/orders/{id}", get(|| async { "served" })).layer(bench.layer.clone());
    bench.pause.set_by_watchdog(true);
    let answer = app.clone().oneshot(request("GET", "")).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "served");
    assert_eq!(bench.excluded(Exclusion::Overload), (1, 0));
    assert_eq!(bench.layer.observer.latency.added.count(), 1);
    bench.pause.set_by_watchdog(false);
    app.oneshot(request("GET", "")).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(bench.only().error, None);
}
