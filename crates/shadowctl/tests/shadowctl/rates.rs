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
