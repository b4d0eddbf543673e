//! What a launch cannot be, and what this version cannot read: said at the command line, with what to do.

use shadow_kafka::{Admin, Delivery, Outgoing, Producer, ProducerLimits};
use shadow_record::topics;

use super::support::{captured, kafka, run, run_bare, stack};

#[tokio::test]
async fn a_rate_that_is_none_is_refused_with_what_a_rate_is() {
    for rate in ["0/s", "-5/s", "NaN/s", "inf/s", "1e999/s", "5/fortnight", "/s", "5/", "five/s", "5/s/s", ""] {
        // An argument that begins with a dash would be taken for an option.
        let ran = run_bare(&["rate", "set", "shop", "--", rate]).await;
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{rate}: {ran:?}");
        assert!(ran.err.contains("500/s") || ran.err.contains("shadowctl pause"), "{rate}: {}", ran.err);
    }
}

#[tokio::test]
async fn a_launch_of_a_service_that_nobody_captured_is_refused_and_leaves_nothing_behind() {
    let Some(stack) = stack().await else { return };
    captured(stack, "refusals-known", &[0]).await;
    let create =
        ["launch", "create", "stranger", "--service", "refusals-stranger", "--candidate", "http://127.0.0.1:9"];
    let ran = run(stack, &create).await;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    for part in
        ["shadow.captured.refusals-stranger does not exist", "refusals-known", "what to do: start a capture agent"]
    {
        assert!(ran.err.contains(part), "{}", ran.err);
    }
    assert_eq!(run(stack, &["launch", "show", "stranger"]).await.code, 1);
    let topics = Admin::new(&kafka(stack)).unwrap().topics().await.unwrap();
    assert!(!topics.iter().any(|topic| topic.contains("refusals-stranger")), "{topics:?}");
}

#[tokio::test]
async fn a_launch_written_by_a_newer_version_is_told_of_and_counts_as_paused() {
    let Some(stack) = stack().await else { return };
    captured(stack, "refusals-newer", &[0]).await;
    let create =
        ["launch", "create", "refusals-old", "--service", "refusals-newer", "--candidate", "http://127.0.0.1:9"];
    run(stack, &create).await.ok();
    let producer = Producer::new(&kafka(stack), &ProducerLimits::default()).unwrap();
    let newer = br#"{"format":99,"kind":"launch","name":"refusals-old","what":"nobody knows yet"}"#;
    let key = Some(&b"launch/refusals-old"[..]);
    let out = Outgoing { topic: topics::CONTROL, partition: Some(0), key, payload: newer };
    assert!(matches!(producer.publish(out).await, Delivery::Acknowledged { .. }));
    let list = run(stack, &["launch", "list"]).await;
    assert_eq!(list.code, 0, "{list:?}");
    for part in ["launch/refusals-old has format 99", "upgrade this instance", "counts as paused"] {
        assert!(list.err.contains(part), "{}", list.err);
    }
    let again = run(stack, &create).await;
    assert!(again.code == 1 && again.err.contains("written by a newer version"), "{again:?}");
    // Nobody's notes are left to the tests beside this one.
    let gone = Outgoing { topic: topics::CONTROL, partition: Some(0), key, payload: b"" };
    assert!(matches!(producer.publish(gone).await, Delivery::Acknowledged { .. }));
}
