//! The drill on real brokers: what it refuses, what it keeps, and that the launch goes on whatever happens.

use serde_json::Value;
use shadow_control::{ControlFeed, ControlState, LaunchStatus};
use shadow_devstack::Devstack;
use shadow_record::LaunchName;
use tokio_util::sync::CancellationToken;

use super::kill_switch::{ALONE, Hearing, Member, launch};
use super::support::{bare, kafka, run, stack};

/// Waits until the control topic has the launch in this state.
async fn stands(stack: &Devstack, launch: &str, status: LaunchStatus) {
    let (stop, launch): (_, LaunchName) = (CancellationToken::new(), launch.parse().unwrap());
    let mut control = ControlFeed::spawn(&kafka(stack), stop.clone());
    let is = |state: &ControlState| state.launches.get(&launch).is_some_and(|launch| state.status_of(launch) == status);
    control.wait_for(|state| is(state)).await.unwrap();
    stop.cancel();
}

/// A drill that holds its pause.
async fn held(stack: &Devstack, launch: &str) -> tokio::process::Child {
    let mut command = bare(&["drill", "--launch", launch, "--hold", "10m"]);
    command.env("SHADOW_KAFKA_BROKERS", stack.brokers()).env("SHADOW_CLICKHOUSE_URL", stack.clickhouse_url());
    let drill = command.kill_on_drop(true).spawn().unwrap();
    stands(stack, launch, LaunchStatus::Paused).await;
    drill
}

fn tell(drill: &tokio::process::Child, signal: &str) {
    let id = drill.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
}

async fn rows(stack: &Devstack, launch: &str) -> Vec<Value> {
    let query = format!(
        "SELECT trial, by, why, instance, answered, silence, last_send_ms, last_send_after_heard_ms, acknowledged_ms, \
         abs(toFloat64(now64(6)) - toFloat64(at)) < 600 AS lately FROM shadow.drills FINAL WHERE launch = '{launch}' \
         ORDER BY trial, instance FORMAT JSONEachRow"
    );
    let client = clickhouse::Client::default().with_url(stack.clickhouse_url());
    let bytes = client.query_raw(&query).fetch_bytes("JSONEachRow").unwrap().collect().await.unwrap();
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_pulls_the_switch_of_a_sending_launch_keeps_the_evidence_and_lets_go() {
    let Some(stack) = stack().await else { return };
    let _alone = ALONE.lock().await;
    run(stack, &["schema", "apply"]).await.ok();
    launch(stack, "drilled", "drilled-v2").await;
    let members = [
        Member::start(stack, "drilled-1", "drilled-v2", Hearing::Good).await,
        Member::start(stack, "drilled-2", "drilled-v2", Hearing::Good).await,
    ];
    let idle = run(stack, &["drill", "--launch", "drilled-v2"]).await;
    assert_eq!(idle.code, 1, "{idle:?}");
    assert!(idle.err.contains("has sent nothing") && rows(stack, "drilled-v2").await.is_empty(), "{idle:?}");
    stands(stack, "drilled-v2", LaunchStatus::Active).await;

    members.iter().for_each(Member::send_on);
    let args = ["drill", "--launch", "drilled-v2", "--repeat", "2", "--hold", "1s", "--why", "monthly", "--json"];
    let drilled = run(stack, &args).await.json();
    stands(stack, "drilled-v2", LaunchStatus::Active).await;
    assert_eq!(drilled["trials"].as_array().map(Vec::len), Some(2), "{drilled}");
    assert_eq!(drilled["broken"].as_array().map(Vec::len), Some(0), "{drilled}");
    let kept = rows(stack, "drilled-v2").await;
    assert_eq!(kept.len(), 4, "{kept:?}");
    for row in &kept {
        assert_eq!((row["answered"].as_str(), row["silence"].as_str()), (Some("confirmed"), Some("proved")), "{row}");
        assert_eq!((row["why"].as_str(), row["lately"].as_u64()), (Some("drill: monthly"), Some(1)), "{row}");
        assert!(row["last_send_ms"].is_number() && row["acknowledged_ms"].is_number(), "{row}");
        assert!(row["last_send_after_heard_ms"].as_f64().is_some_and(|ms| ms <= 0.0), "{row}");
    }
    for member in members {
        member.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_does_not_confirm_fails_the_drill_and_the_launch_goes_on() {
    let Some(stack) = stack().await else { return };
    let _alone = ALONE.lock().await;
    run(stack, &["schema", "apply"]).await.ok();
    launch(stack, "defiant", "defiant-v2").await;
    let deaf = Member::start(stack, "defiant-1", "defiant-v2", Hearing::Deaf).await;
    deaf.send_on();
    let ran = run(stack, &["drill", "--launch", "defiant-v2", "--timeout", "2s", "--hold", "1s"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("defiant-1 did not confirm") && ran.out.contains("DID NOT HOLD"), "{ran:?}");
    stands(stack, "defiant-v2", LaunchStatus::Active).await;
    assert_eq!(rows(stack, "defiant-v2").await[0]["answered"], "silent");
    deaf.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_is_interrupted_resumes_the_launch() {
    let Some(stack) = stack().await else { return };
    let _alone = ALONE.lock().await;
    run(stack, &["schema", "apply"]).await.ok();
    launch(stack, "cut", "cut-v2").await;
    let member = Member::start(stack, "cut-1", "cut-v2", Hearing::Good).await;
    member.send_on();
    for signal in ["-INT", "-TERM", "-HUP"] {
        let mut drill = held(stack, "cut-v2").await;
        tell(&drill, signal);
        assert_eq!(drill.wait().await.unwrap().code(), Some(130), "{signal}");
        stands(stack, "cut-v2", LaunchStatus::Active).await;
    }
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_does_during_a_drill_outlives_it() {
    let Some(stack) = stack().await else { return };
    let _alone = ALONE.lock().await;
    run(stack, &["schema", "apply"]).await.ok();
    launch(stack, "shared", "shared-v2").await;
    let member = Member::start(stack, "shared-1", "shared-v2", Hearing::Good).await;
    member.send_on();
    let mut drill = held(stack, "shared-v2").await;
    run(stack, &["pause", "--launch", "shared-v2", "--why", "the disk is full"]).await.ok();
    tell(&drill, "-INT");
    assert_eq!(drill.wait().await.unwrap().code(), Some(1), "it has not resumed the launch");
    let shown = run(stack, &["launch", "show", "shared-v2", "--json"]).await.json();
    assert_eq!((&shown["status"], &shown["change"]["why"]), (&"paused".into(), &"the disk is full".into()));
    run(stack, &["resume", "--launch", "shared-v2"]).await.ok();

    let mut drill = held(stack, "shared-v2").await;
    run(stack, &["launch", "rollback", "shared-v2", "--timeout", "10ms"]).await;
    tell(&drill, "-INT");
    assert_eq!(drill.wait().await.unwrap().code(), Some(1));
    stands(stack, "shared-v2", LaunchStatus::RolledBack).await;
    member.leave().await;
}
