//! Capturing that starts, ends or is dropped, without Kafka.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use http_body_util::BodyExt as _;
use shadow_capture::DropReason;
use shadow_runtime::Secret;
use tower::ServiceExt as _;

use super::*;

/// Settings that work, with nobody where Kafka should be.
fn config(accounts: &tempfile::TempDir) -> Config {
    let mut config = Config::default()
        .service("checkout".parse().unwrap())
        .address("127.0.0.1:1")
        .brokers("127.0.0.1:1")
        .masking_key(Secret::new("5".repeat(64)));
    config.capture.account = Some(accounts.path().to_owned());
    config.capture.flush = "1ms".parse().unwrap();
    config
}

fn app(capture: &Capturing) -> Router {
    Router::new().route("/", get(|| async { "served" })).layer(capture.layer())
}

async fn ask(app: &Router) {
    let answer = app.clone().oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "served");
}

#[tokio::test]
async fn without_kafka_the_service_serves_and_every_request_is_accounted_for() {
    let accounts = tempfile::tempdir().unwrap();
    let capture = start(config(&accounts)).await.unwrap();
    let app = app(&capture);
    ask(&app).await;
    capture.pause();
    ask(&app).await;
    capture.resume();
    ask(&app).await;
    assert_eq!(capture.account().in_flight, 2);
    drop(app);
    let account = capture.finish().await;
    assert!(account.balances() && account.in_flight == 0, "{account:?}");
    assert_eq!((account.seen, account.excluded_total(), account.dropped_for(DropReason::Stopped)), (3, 1, 2));
}

#[tokio::test]
async fn a_service_serves_on_when_capturing_has_ended_before_it() {
    let accounts = tempfile::tempdir().unwrap();
    for finish in [true, false] {
        let capture = start(config(&accounts)).await.unwrap();
        let app = app(&capture);
        if finish {
            capture.finish().await;
        } else {
            drop(capture);
        }
        ask(&app).await;
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_all_at_once_and_nothing_starts() {
    let Err(StartError::Config(error)) = start(Config::default()).await else { panic!("it started") };
    let told = error.to_string();
    for key in ["service.name", "layer.addresses", "masking.key"] {
        assert!(told.contains(&format!("{key}: is missing; ")), "{told}");
    }
}

#[tokio::test]
async fn the_metrics_tell_what_was_seen_and_how_long_it_was_kept() {
    let accounts = tempfile::tempdir().unwrap();
    let capture = start(config(&accounts)).await.unwrap();
    ask(&app(&capture)).await;
    let mut registry = Registry::with_prefix("shadow");
    capture.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "shadow_capture_seen_total 1",
        "shadow_capture_added_latency_seconds_count 1",
        "shadow_capture_added_latency_seconds_bucket{le=\"+Inf\"} 1",
        "shadow_capture_watchdog_trips_total 0",
        "shadow_capture_watchdog_paused 0",
        "# TYPE shadow_capture_thread_lag_seconds histogram",
    ] {
        assert!(text.lines().any(|told| told == line), "no `{line}` in\n{text}");
    }
    capture.finish().await;
}
