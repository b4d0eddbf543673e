//! The kill switch on a real broker, against members that obey, that do not, and that are gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shadow_control::{
    Change, ControlFeed, ControlRecord, ControlState, ControlWriter, Gate, Heart, HeartConfig, Launch, LaunchStatus,
    Subject,
};
use shadow_devstack::Devstack;
use shadow_record::{LaunchName, Role};
use tokio_util::sync::CancellationToken;

use super::support::{captured, kafka, run, stack};

/// The switch of everything reaches the members of all tests: one test at a time.
pub(crate) static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How a member takes to the control topic.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Hearing {
    Good,
    /// It beats, and follows what was said before it started only.
    Deaf,
}

/// A replayer without a replay: heartbeats and a gate.
pub(crate) struct Member {
    heart: Heart,
    gate: Arc<Gate>,
    stop: CancellationToken,
}

impl Member {
    pub(crate) async fn start(stack: &Devstack, instance: &str, launch: &str, hearing: Hearing) -> Self {
        let stop = CancellationToken::new();
        let launch: LaunchName = launch.parse().unwrap();
        let mut control = ControlFeed::spawn(&kafka(stack), stop.clone());
        let heart = HeartConfig::of(&kafka(stack), instance, Role::Replayer, "");
        let heart = Heart::spawn(heart, stop.clone()).unwrap();
        let gate = Arc::new(Gate::new());
        let known = control.wait_for(|state| state.launches.contains_key(&launch)).await.unwrap().clone();
        gate.follow(&known, &launch, instance);
        let counters = Arc::new(BTreeMap::new);
        heart.register(Subject { launch: Some(launch.clone()), gate: Some(gate.clone()), counters });
        gate.opened().await;
        assert!(gate.pass());
        if hearing == Hearing::Good {
            let (heart, gate, instance) = (heart.clone(), gate.clone(), instance.to_owned());
            tokio::spawn(async move {
                while control.changed().await.is_ok() {
                    gate.follow(&control.borrow_and_update().clone(), &launch, &instance);
                    heart.beat_now();
                }
            });
        }
        Self { heart, gate, stop }
    }

    /// Sends something through the gate every few milliseconds until it leaves.
    pub(crate) fn send_on(&self) {
        let (gate, stop) = (self.gate.clone(), self.stop.clone());
        tokio::spawn(async move {
            let mut sends = tokio::time::interval(Duration::from_millis(5));
            while !stop.is_cancelled() {
                sends.tick().await;
                let _sent = gate.pass();
            }
        });
    }

    pub(crate) async fn leave(self) {
        self.stop.cancel();
        self.heart.stopped().await;
    }
}

pub(crate) async fn launch(stack: &Devstack, service: &str, launch: &str) {
    captured(stack, service, &[0]).await;
    let args = ["launch", "create", launch, "--service", service, "--candidate", "http://127.0.0.1:9"];
    run(stack, &args).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_confirmed_by_every_live_member_and_so_is_the_resume() {
    let Some(stack) = stack().await else { return };
    let _alone = ALONE.lock().await;
    launch(stack, "obedient", "obedient-v2").await;
    let members = [
        Member::start(stack, "obedient-1", "obedient-v2", Hearing::Good).await,
        Member::start(stack, "obedient-2", "obedient-v2", Hearing::Good).await,
    ];
    let paused = run(stack, &["pause", "--launch", "obedient-v2", "--json"]).await.json();
    let confirmed = paused["members"].as_array().unwrap();
    assert_eq!(confirmed.len(), 2, "{paused}");
    for member in confirmed {
        assert_eq!(member["answered"], "confirmed", "{paused}");
        assert!(member["acknowledged_after_ms"].is_number() && member["last_send_after_ms"].is_number(), "{paused}");
    }
    let resumed = run(stack, &["resume", "--launch", "obedient-v2"]).await.ok();
    assert_eq!(resumed.matches("confirmed").count(), 2, "{resumed}");

    let status = run(stack, &["status", "--json"]).await.json();
    let live = status["members"].as_array().unwrap();
    assert!(live.iter().any(|member| member["instance"] == "obedient-1" && member["state"] == "running"), "{status}");
    for member in members {
        member.leave().await;
    }
    let gone = run(stack, &["pause", "--launch", "obedient-v2"]).await.ok();
    assert!(gone.contains("no live replayers"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_does_not_confirm_is_named_and_the_pause_fails() {
    let Some(stack) = stack().await else { return };
    let _alone = ALONE.lock().await;
    launch(stack, "deaf", "deaf-v2").await;
    let good = Member::start(stack, "hearing-1", "deaf-v2", Hearing::Good).await;
    let deaf = Member::start(stack, "deaf-1", "deaf-v2", Hearing::Deaf).await;
    let ran = run(stack, &["launch", "pause", "deaf-v2", "--timeout", "3s"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("not confirmed") && ran.err.contains("deaf-1 (launch deaf-v2)"), "{}", ran.err);
    assert!(!ran.err.contains("hearing-1") && ran.out.contains("NO ANSWER"), "{ran:?}");
    for member in [good, deaf] {
        member.leave().await;
    }
}

#[tokio::test]
async fn a_launch_that_an_earlier_version_paused_is_resumed_and_one_that_has_ended_is_not() {
    let Some(stack) = stack().await else { return };
    let _alone = ALONE.lock().await;
    launch(stack, "elder", "elder-v2").await;
    let name: LaunchName = "elder-v2".parse().unwrap();
    let stop = CancellationToken::new();
    let mut control = ControlFeed::spawn(&kafka(stack), stop.clone());
    let known = control.wait_for(|state| state.launches.contains_key(&name)).await.unwrap().clone();
    let elder = |status| {
        let change = Change::by("ann", "as it was");
        ControlRecord::Launch(Box::new(Launch { status, change, ..known.launches[&name].clone() }))
    };
    let writer = ControlWriter::new(&kafka(stack)).unwrap();
    writer.put(&elder(LaunchStatus::Paused)).await.unwrap();
    let status = async || run(stack, &["launch", "show", "elder-v2", "--json"]).await.json()["status"].clone();
    assert_eq!(status().await, "paused");
    run(stack, &["resume", "--launch", "elder-v2"]).await.ok();
    assert_eq!(status().await, "active");

    writer.put(&elder(LaunchStatus::RolledBack)).await.unwrap();
    for command in ["pause", "resume"] {
        let refused = run(stack, &[command, "--launch", "elder-v2"]).await;
        assert!(refused.code == 1 && refused.err.contains("has ended: rolled_back"), "{refused:?}");
    }
    assert_eq!(status().await, "rolled_back");

    run(stack, &["launch", "delete", "elder-v2"]).await.ok();
    let gone = |state: &ControlState| !state.launches.contains_key(&name) && !state.launch_pauses.contains_key(&name);
    let forgotten = control.wait_for(|state| gone(state));
    tokio::time::timeout(Duration::from_secs(10), forgotten).await.unwrap().unwrap();
    stop.cancel();
}

#[tokio::test]
async fn the_switch_of_everything_is_written_even_when_nobody_is_there() {
    let Some(stack) = stack().await else { return };
    let _alone = ALONE.lock().await;
    let stop = CancellationToken::new();
    let mut control = ControlFeed::spawn(&kafka(stack), stop.clone());
    let everything = |paused: bool| {
        move |state: &Arc<shadow_control::ControlState>| {
            state.pauses.get(&None).is_some_and(|pause| pause.paused == paused)
        }
    };
    // Other tests have members of their own, which this pauses too: what is asserted is the record.
    run(stack, &["pause", "--timeout", "10ms", "--why", "drill"]).await;
    tokio::time::timeout(Duration::from_secs(10), control.wait_for(everything(true))).await.unwrap().unwrap();
    run(stack, &["resume", "--timeout", "10ms"]).await;
    tokio::time::timeout(Duration::from_secs(10), control.wait_for(everything(false))).await.unwrap().unwrap();
    stop.cancel();
}
