//! Rates on a real broker.

use std::sync::Arc;

use shadow_control::{ControlFeed, ControlState};
use tokio_util::sync::CancellationToken;

use super::support::{captured, kafka, run, stack};

#[tokio::test]
async fn a_rate_that_was_set_is_shown_and_reaches_whoever_follows_the_control_topic() {
    let Some(stack) = stack().await else { return };
    captured(stack, "rated", &[0]).await;
    let stop = CancellationToken::new();
    let mut control = ControlFeed::spawn(&kafka(stack), stop.clone());
    let mut wait_for = async |rate: Option<f64>| {
        let holds = |state: &Arc<ControlState>| {
            state.rate("shadow.captured.rated", None).is_some_and(|found| found.per_second == rate)
        };
        control.wait_for(holds).await.unwrap();
    };
    let set = run(stack, &["rate", "set", "rated", "30/min", "--why", "warm up"]).await.ok();
    assert!(set.contains("shadow.captured.rated: 30/min") && set.contains("was unlimited"), "{set}");
    wait_for(Some(0.5)).await;
    let shown = run(stack, &["rate", "show", "shadow.captured.rated", "--json"]).await.json();
    assert_eq!((&shown[0]["per_second"], &shown[0]["why"]), (&0.5.into(), &"warm up".into()));

    let set = run(stack, &["rate", "set", "shadow.captured.rated", "unlimited"]).await.ok();
    assert!(set.contains("was 30/min") && set.contains("no launch replays this topic"), "{set}");
    wait_for(None).await;
    let all = run(stack, &["rate", "show"]).await.ok();
    assert!(all.lines().any(|line| line.starts_with("shadow.captured.rated") && line.contains("unlimited")), "{all}");
    stop.cancel();
}

#[tokio::test]
async fn a_launch_may_have_a_rate_of_its_own_until_it_is_taken_away() {
    let Some(stack) = stack().await else { return };
    for service in ["own-rate", "other-rate"] {
        captured(stack, service, &[0]).await;
    }
    let create = ["launch", "create", "own-v2", "--service", "own-rate", "--candidate", "http://127.0.0.1:9"];
    run(stack, &create).await.ok();
    run(stack, &["rate", "set", "own-rate", "10/s"]).await.ok();
    let of_launch = async || {
        let shown = run(stack, &["rate", "show", "own-rate", "--json"]).await.json();
        assert_eq!(shown[0]["launch"], serde_json::Value::Null);
        (shown[1]["per_second"].clone(), shown[1]["origin"].clone())
    };
    assert_eq!(of_launch().await, (10.0.into(), "topic".into()));
    let set = run(stack, &["rate", "set", "own-rate", "2/s", "--launch", "own-v2"]).await.ok();
    assert!(set.contains("2/s for launch own-v2, its own (was 10/s"), "{set}");
    assert_eq!(of_launch().await, (2.0.into(), "launch".into()));
    let set = run(stack, &["rate", "set", "own-rate", "20/s"]).await.ok();
    assert!(set.contains("not for own-v2, with a rate of its own"), "{set}");
    let shown = run(stack, &["launch", "show", "own-v2"]).await.ok();
    assert!(shown.contains("2/s (its own)"), "{shown}");

    let unset = ["rate", "unset", "own-rate", "--launch", "own-v2"];
    let text = run(stack, &unset).await.ok();
    assert!(text.contains("20/s for launch own-v2, the topic's (was 2/s"), "{text}");
    assert_eq!(of_launch().await, (20.0.into(), "topic".into()));
    for (args, hint) in [
        (&unset[..], "has no rate of its own"),
        (&["rate", "set", "other-rate", "1/s", "--launch", "own-v2"], "replays shadow.captured.own-rate"),
        (&["rate", "set", "own-rate", "1/s", "--launch", "nobody"], "there is no launch nobody"),
    ] {
        let ran = run(stack, args).await;
        assert!(ran.code == 1 && ran.err.contains(hint), "{args:?}: {ran:?}");
    }
    run(stack, &["rate", "unset", "own-rate"]).await.ok();
    assert_eq!(of_launch().await, (serde_json::Value::Null, "default".into()));
}

#[tokio::test]
async fn a_misspelt_service_gets_no_rate() {
    let Some(stack) = stack().await else { return };
    captured(stack, "spelt", &[0]).await;
    let ran = run(stack, &["rate", "set", "splet", "5/s"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(ran.err.contains("shadow.captured.splet does not exist") && ran.err.contains("spelt"), "{ran:?}");
}
