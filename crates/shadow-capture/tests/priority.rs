//! A whole line gives way to the traffic: all threads that it starts but the watchdog have lower priority, and no others.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use shadow_capture::{Capture, CaptureSection, Production, Settings};
use shadow_kafka::KafkaConfig;
use shadow_record::Source;

/// The nice value of every thread of this process.
fn threads() -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread may end while it is looked at.
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).ok());
    // proc_pid_stat(5): field 19; the first after the name in parentheses, in which anything may stand, is field 3.
    let nice = |stat: String| stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap();
    stats.map(nice).collect()
}

#[tokio::test]
async fn masking_and_the_kafka_client_give_way_to_the_traffic() {
    let before = threads();
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "5".repeat(64)).unwrap();
    let masking = format!("key = {{ file = {:?} }}", key.path());
    let settings = Settings {
        service: "shop".parse().unwrap(),
        instance: "a1".to_owned(),
        source: Source::Proxy,
        scheme: "http",
        production: Production::Here(vec!["127.0.0.1:1".to_owned()]),
        capture: CaptureSection { threads: 2, nice: 7, flush: "1ms".parse().unwrap(), ..CaptureSection::default() },
        sampling: Default::default(),
        masking: toml::from_str(&masking).unwrap(),
        kafka: KafkaConfig::at("127.0.0.1:1"),
        effects: None,
    };
    let (capture, observer) = Capture::start(settings).unwrap();
    let after = threads();
    let count = |wanted| after.iter().filter(|nice| **nice == wanted).count();
    let watchdog = 1;
    assert_eq!(count(0), before.len() + watchdog, "nothing else was started: {before:?} {after:?}");
    // Two that mask, the runtime's, and at least two of each of the two Kafka clients.
    assert!(count(7) >= 7 && count(0) + count(7) == after.len(), "{before:?} {after:?}");
    drop(observer);
    capture.finish().await;
}
