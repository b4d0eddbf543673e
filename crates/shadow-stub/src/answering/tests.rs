use futures::FutureExt as _;
use shadow_kafka::{KafkaConfig, Producer, ProducerLimits};
use shadow_mask::{MaskKey, Ruleset};
use shadow_record::{RouteTable, Side};

use super::*;
use crate::metrics::tests::metrics;
use crate::publish;
use crate::request::tests::call;
use crate::rules::Rules;

/// Without a broker: what is recorded stays on its way.
fn answering() -> Arc<Answering> {
    let masker = Masker::new(MaskKey::parse(&"k".repeat(32)).unwrap(), Ruleset::default(), RouteTable::default());
    let producer = Producer::new(&KafkaConfig::at("127.0.0.1:1"), &ProducerLimits::default()).unwrap();
    let (metrics, epoch) = (metrics(), Timestamp(1));
    let (service, instance) = ("checkout".parse().unwrap(), "stub".to_owned());
    Arc::new(Answering {
        engine: Engine::new(Rules::none()),
        mirror: None,
        masker: Arc::new(masker),
        control: watch::channel(Arc::default()).1,
        recorder: Recorder { service, instance, epoch, launch: None, side: Side::Candidate },
        publisher: Publisher::new(producer, "shadow.effects.checkout".to_owned(), 1, metrics.clone()),
        metrics,
        sequence: AtomicI64::new(0),
        numbers: Numbers::new(),
        under_way: UnderWay::new(),
    })
}

#[tokio::test]
async fn a_call_whose_caller_gives_up_is_recorded_all_the_same() {
    let answering = answering();
    let mut full = Vec::new();
    for _ in 0..publish::MOST {
        full.push(answering.publisher.place().await);
    }
    // Tokio lets a task poll only so often at a stretch.
    tokio::task::yield_now().await;
    // It has come as far as it can, and its caller goes away.
    assert!(answering.answer(call("POST", "/charge", "", "")).now_or_never().is_none());
    assert_eq!(answering.metrics.counters()["calls_unmatched"], 0);
    drop(full);
    assert_eq!(answering.finish(Duration::from_millis(200)).await, 1, "its record is on its way");
    assert_eq!(answering.metrics.counters()["calls_unmatched"], 1);
}

#[tokio::test]
async fn a_call_that_was_just_answered_is_in_the_account_of_a_stop() {
    let answering = answering();
    answering.answer(call("POST", "/charge", "", "")).await;
    assert_eq!(answering.finish(Duration::from_millis(200)).await, 1);
    assert_eq!(answering.under_way.tasks.len(), 0, "its record was made");
}
