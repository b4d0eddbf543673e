//! A launch with a handshake against a service that is the shadow at times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::http::Uri;
use axum::response::{IntoResponse as _, Response};
use shadow_control::Handshake;
use shadow_record::State;
use tokio::net::TcpListener;

use super::bench::{Answers, Bench, Candidate};

#[derive(Default)]
struct Stage {
    is_shadow: AtomicBool,
    /// Requests other than the handshake's.
    asked: AtomicUsize,
}

async fn answer(stage: Arc<Stage>, uri: Uri) -> Response {
    if uri.path() != "/stage" {
        stage.asked.fetch_add(1, Ordering::SeqCst);
        return "{}".into_response();
    }
    let name = if stage.is_shadow.load(Ordering::SeqCst) { "rehearsal" } else { "production" };
    ([("x-environment", name)], "").into_response()
}

pub(crate) async fn nothing_is_sent_unless_the_handshake_holds(brokers: &str) {
    let mut bench = Bench::new(brokers, "handshake", 1).await;
    let stage = Arc::new(Stage::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answering = stage.clone();
    let app = Router::new().fallback(move |uri: Uri| answer(answering.clone(), uri));
    tokio::spawn(async move { axum::serve(listener, app).await });

    bench.capture_requests(5).await;
    let mut launch = bench.launch(&Candidate::start(Answers::AtOnce).await);
    launch.candidate = url.parse().unwrap();
    let (path, header, value) = ("/stage".to_owned(), "X-Environment".to_owned(), "rehearsal".to_owned());
    launch.replay.handshake = Some(Handshake { path, header, value });
    bench.put(launch).await;
    let replayer = bench.replayer("handshake-1");
    let failed = |wanted: i64| move |s: &shadow_record::Status| s.counters.get("handshake_failed") >= Some(&wanted);
    let shut = bench.heartbeat("handshake-1", failed(2)).await;
    assert_eq!((shut.state, stage.asked.load(Ordering::SeqCst)), (State::Paused, 0));

    stage.is_shadow.store(true, Ordering::SeqCst);
    assert_eq!(bench.outcomes().await.counts()["completed"], 5);

    stage.is_shadow.store(false, Ordering::SeqCst);
    let sent = bench.heartbeat("handshake-1", |s| s.counters.get("completed") == Some(&5)).await;
    let tries = sent.counters["handshake_failed"];
    bench.heartbeat("handshake-1", |s| s.state == State::Paused && failed(tries + 1)(s)).await;
    bench.capture_requests(5).await;
    bench.heartbeat("handshake-1", failed(tries + 2)).await;
    assert_eq!(stage.asked.load(Ordering::SeqCst), 5);

    stage.is_shadow.store(true, Ordering::SeqCst);
    assert_eq!(bench.outcomes().await.counts()["completed"], 10);
    replayer.stop().await;
}
