//! Kafka absent: the traffic does not notice, and every request is accounted for.

use capture_agent::DropReason;

use crate::support::{Running, config, nobody, run};
use crate::wire::{Origin, ask};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn it_serves_on_without_kafka_and_a_full_queue_is_a_counted_drop() {
    run(async {
        let (origin, _) = Origin::canned(OK).await;
        let mut settings = config(origin.address, &[]);
        settings.capture.queue = 3;
        let running = Running::with(settings).await;
        for number in 0..10 {
            let request = format!("GET /items/{number} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            assert_eq!(ask(running.address(), request.as_bytes()).await.body, b"ok");
        }
        let account = running.stop().await;
        assert_eq!(account.seen, 10);
        assert_eq!(account.dropped_for(DropReason::QueueFull), 7);
        assert_eq!(account.dropped_for(DropReason::Stopped), 3);
    });
}

#[test]
fn a_dead_primary_is_a_502_and_accounted_for() {
    run(async {
        let running = Running::before(nobody()).await;
        let answer = ask(running.address(), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(answer.start.starts_with("HTTP/1.1 502"), "{answer:?}");
        let account = running.stop().await;
        assert_eq!(account.seen, 1);
        assert_eq!(account.dropped_for(DropReason::Stopped), 1);
    });
}

#[test]
fn filters_and_samples_are_accounted_for_and_still_served() {
    run(async {
        let (origin, _) = Origin::canned(OK).await;
        let mut settings = config(origin.address, &[]);
        settings.sampling.rate = 0.0;
        settings.sampling.exclude = vec!["GET /health".into()];
        let running = Running::with(settings).await;
        for path in ["/health", "/items/1", "/items/2"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(ask(running.address(), request.as_bytes()).await.body, b"ok");
        }
        let account = running.stop().await;
        assert_eq!(account.excluded_total(), 1);
        assert_eq!(account.sampled_out, 2);
        assert_eq!(account.dropped_total(), 0);
    });
}

#[test]
fn a_paused_agent_serves_and_captures_nothing() {
    run(async {
        let (origin, _) = Origin::canned(OK).await;
        let running = Running::before(origin.address).await;
        let admin = running.agent.admin_address();
        let pause = b"POST /pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        assert!(ask(admin, pause).await.start.contains(" 200 "));
        assert_eq!(ask(running.address(), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.body, b"ok");
        let metrics = ask(admin, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let metrics = String::from_utf8(metrics.body).unwrap();
        assert!(metrics.contains("shadow_capture_excluded_total{reason=\"paused\"} 1"), "{metrics}");
        assert!(metrics.contains("shadow_capture_seen_total 1"), "{metrics}");
        assert_eq!(running.stop().await.excluded_for(capture_agent::Exclusion::Paused), 1);
    });
}
