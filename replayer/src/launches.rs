//! One pipeline for each launch that stands on the control topic, started, restarted and stopped as it changes there.
//!
//! Guarantees: a control change reaches every gate, and is acknowledged by a heartbeat, before anything slower is done about
//! it; a launch whose target is refused consumes nothing; one launch's trouble does not touch another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use shadow_control::{Cause, ControlState, Gate, Heart, Launch, LaunchStatus, Leg, Subject};
use shadow_kafka::{KafkaConfig, Producer};
use shadow_mask::Masker;
use shadow_record::{LaunchName, topics};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::alone::Traffic;
use crate::config::ReplayConfig;
use crate::control_leg::Control;
use crate::gates::Gates;
use crate::handshake::{self, Question, Unproved};
use crate::identity::Identities;
use crate::learn::Learned;
use crate::metrics::{Ledger, Metrics, Trouble};
use crate::pipeline::{self, Line, PipelineError};
use crate::publish::Publisher;
use crate::rewrite::Reveal;
use crate::room::Room;
use crate::send::{SendLimits, Sender};
use crate::target::{self, Lists, ProvingResolver, Refusal};
use crate::window::Limits;

/// Before a launch that ended in an error, or whose target was refused, is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What all launches of this instance share.
pub(crate) struct Shared {
    pub(crate) instance: String,
    pub(crate) kafka: KafkaConfig,
    pub(crate) replay: ReplayConfig,
    pub(crate) masker: Arc<Masker>,
    pub(crate) identities: Arc<Identities>,
    pub(crate) producer: Producer,
    pub(crate) metrics: Metrics,
    pub(crate) heart: Heart,
    pub(crate) control: watch::Receiver<Arc<ControlState>>,
    pub(crate) gates: Arc<Gates>,
}

/// One launch that runs here.
struct Running {
    launch: watch::Sender<Arc<Launch>>,
    stop: CancellationToken,
}

/// Runs every launch until `stop`, then waits until all have drained.
pub(crate) async fn supervise(shared: Arc<Shared>, stop: CancellationToken) {
    let mut running: BTreeMap<LaunchName, Running> = BTreeMap::new();
    let mut tasks: JoinSet<LaunchName> = JoinSet::new();
    let mut control = shared.control.clone();
    let mut before = Arc::new(ControlState::empty());
    loop {
        let state = control.borrow_and_update().clone();
        shared.gates.follow(&state, &shared.instance);
        if concerns_gates(&before, &state) {
            shared.heart.beat_now();
        }
        before = state.clone();
        reconcile(&shared, &state, &mut running, &mut tasks);
        tokio::select! {
            () = stop.cancelled() => break,
            Ok(()) = control.changed() => {}
            Some(ended) = tasks.join_next() => forget(&shared, &mut running, ended),
        }
    }
    running.values().for_each(|launch| launch.stop.cancel());
    while let Some(ended) = tasks.join_next().await {
        forget(&shared, &mut running, ended);
    }
}

/// Whether somebody may wait to hear that this instance follows. Shares of rates, about one record a second for each launch, are
/// acknowledged by whom they concern.
fn concerns_gates(before: &ControlState, after: &ControlState) -> bool {
    let but_for_shares =
        |state: &ControlState| ControlState { version: -1, heard_at: None, shares: BTreeMap::new(), ..state.clone() };
    but_for_shares(before) != but_for_shares(after)
}

fn forget(
    shared: &Shared,
    running: &mut BTreeMap<LaunchName, Running>,
    ended: Result<LaunchName, tokio::task::JoinError>,
) {
    match ended {
        Ok(name) => {
            running.remove(&name);
            shared.gates.remove(&name);
            shared.heart.unregister(&name);
        }
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Starts what is new, stops what ended or must begin anew, passes on the rest.
fn reconcile(
    shared: &Arc<Shared>,
    state: &ControlState,
    running: &mut BTreeMap<LaunchName, Running>,
    tasks: &mut JoinSet<LaunchName>,
) {
    for (name, entry) in running.iter() {
        match state.launches.get(name).filter(|launch| runs(launch)) {
            Some(launch) if begins_anew(&entry.launch.borrow(), launch) => entry.stop.cancel(),
            // Shares of the rate are control records too, about one a second: they are no news to a launch.
            Some(launch) => drop(entry.launch.send_if_modified(|current| {
                let news = **current != *launch;
                if news {
                    *current = Arc::new(launch.clone());
                }
                news
            })),
            None => entry.stop.cancel(),
        }
    }
    for (name, launch) in state.launches.iter().filter(|(_, launch)| runs(launch)) {
        if !running.contains_key(name) {
            let gate = shared.gates.make(name);
            gate.follow(state, name, &shared.instance);
            let (tell, follow) = watch::channel(Arc::new(launch.clone()));
            let stop = CancellationToken::new();
            tasks.spawn(keep_running(shared.clone(), follow, gate, stop.clone()));
            running.insert(name.clone(), Running { launch: tell, stop });
        }
    }
}

fn runs(launch: &Launch) -> bool {
    matches!(launch.status, LaunchStatus::Active | LaunchStatus::Paused)
}

/// Whether the change is one that a running pipeline cannot take over.
fn begins_anew(now: &Launch, then: &Launch) -> bool {
    now.service != then.service
        || now.candidate != then.candidate
        || now.control != then.control
        || now.allow != then.allow
        || now.replay.deny != then.replay.deny
        || now.replay.handshake != then.replay.handshake
        || now.replay.learn != then.replay.learn
        || now.replay.problems() != then.replay.problems()
        || now.start != then.start
        || now.limits != then.limits
}

/// Why one run of a pipeline ended.
enum End {
    Stopped,
    Refused(Refusal),
    Failed(LaunchError),
}

/// Why a launch does not run.
#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    #[error("its replay cannot work as written: {0}")]
    Replay(String),
    #[error("cannot set up the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Handshake(#[from] Unproved),
}

/// Runs one launch until it is stopped, beginning again after trouble. Says each trouble once.
async fn keep_running(
    shared: Arc<Shared>,
    launch: watch::Receiver<Arc<Launch>>,
    gate: Arc<Gate>,
    stop: CancellationToken,
) -> LaunchName {
    let name = launch.borrow().name.clone();
    let ledger = shared.metrics.ledger(&name);
    let counters = Arc::new({
        let ledger = ledger.clone();
        move || ledger.counters()
    });
    shared.heart.register(Subject { launch: Some(name.clone()), gate: Some(gate.clone()), counters });
    let mut said = String::new();
    loop {
        let (kind, trouble) = match run_once(&shared, &launch, &gate, &ledger, &stop).await {
            End::Stopped => break,
            End::Refused(refusal) => (Trouble::TargetRefused, refusal.to_string()),
            End::Failed(error) => (Trouble::LaunchError, error.to_string()),
        };
        ledger.trouble(kind);
        if trouble != said {
            tracing::error!(launch = %name, error = trouble, "launch does not run; it is tried again every second");
            said = trouble;
        }
        tokio::select! { () = stop.cancelled() => break, () = tokio::time::sleep(RETRY) => {} }
    }
    name
}

/// Proves the targets, then replays until stopped, refused or failed.
async fn run_once(
    shared: &Shared,
    launch: &watch::Receiver<Arc<Launch>>,
    gate: &Arc<Gate>,
    ledger: &Ledger,
    stop: &CancellationToken,
) -> End {
    let now = launch.borrow().clone();
    let problems = now.replay.problems();
    if !problems.is_empty() {
        return End::Failed(LaunchError::Replay(problems.join("; ")));
    }
    let state = shared.control.borrow().clone();
    if let Err(refusal) = target::prove(&now, &shared.replay.allow, &state).await {
        gate.shut(Cause::Target);
        shared.heart.beat_now();
        return End::Refused(refusal);
    }
    // With a handshake the gate opens when it holds.
    if now.replay.handshake.is_some() {
        gate.shut(Cause::Target);
    }
    gate.release(Cause::Silent);
    let lines = line(shared, launch, gate, ledger).and_then(|line| {
        let questions = questions(shared, &now, &line.traffic)?;
        Ok((Arc::new(line), questions))
    });
    let (line, questions) = match lines {
        Ok(both) => both,
        Err(error) => return End::Failed(error),
    };
    if questions.is_empty() {
        gate.release(Cause::Target);
    }
    shared.heart.beat_now();
    let running = stop.child_token();
    let pipeline = pipeline::run(line, running.clone());
    tokio::pin!(pipeline);
    let refusal = tokio::select! {
        ended = &mut pipeline => return ended.map_or_else(|error| End::Failed(error.into()), |()| End::Stopped),
        refusal = target::refused(&now, &shared.replay.allow, shared.control.clone()) => refusal,
        () = hold(&questions, gate, ledger, &now.name, &shared.heart) => unreachable!("a handshake never ends"),
    };
    gate.shut(Cause::Target);
    shared.heart.beat_now();
    running.cancel();
    drop(pipeline.await);
    End::Refused(refusal)
}

/// Keeps up the handshake, if there is one. Never ends.
async fn hold(questions: &[Question], gate: &Gate, ledger: &Ledger, launch: &LaunchName, heart: &Heart) {
    if questions.is_empty() {
        return std::future::pending().await;
    }
    handshake::keep(questions, gate, ledger, launch, || heart.beat_now()).await;
}

/// What each target is asked in the launch's handshake; nothing without one.
fn questions(shared: &Shared, launch: &Launch, traffic: &Arc<Traffic>) -> Result<Vec<Question>, LaunchError> {
    let Some(handshake) = &launch.replay.handshake else { return Ok(Vec::new()) };
    let lists = Lists::of(launch, &shared.replay.allow)?;
    let control = launch.control.as_ref().map(|control| (&control.url, Leg::Control));
    let targets = [(&launch.candidate, Leg::Candidate)].into_iter().chain(control);
    targets
        .map(|(target, leg)| {
            let resolver =
                ProvingResolver { target: target.clone(), lists: lists.clone(), control: shared.control.clone() };
            Ok(Question::new(handshake, (target, leg), &launch.name, &shared.masker, traffic, resolver)?)
        })
        .collect()
}

fn line(
    shared: &Shared,
    launch: &watch::Receiver<Arc<Launch>>,
    gate: &Arc<Gate>,
    ledger: &Ledger,
) -> Result<Line, LaunchError> {
    let now = launch.borrow().clone();
    let ReplayConfig { drain, max_response_body, connect_timeout, reveal_to, window_records, window_bytes, .. } =
        &shared.replay;
    let limits = SendLimits {
        connect_timeout: connect_timeout.get(),
        timeout: now.limits.timeout(),
        max_response_body: max_response_body.as_len(),
        idle_connections: now.limits.max_in_flight,
    };
    let publisher = Publisher {
        producer: shared.producer.clone(),
        topic: topics::replayed(&now.service, &now.name),
        launch: now.name.clone(),
        instance: shared.instance.clone(),
        ruleset: shared.masker.ruleset().version().to_owned(),
        key_id: shared.masker.key_id().to_owned(),
        ledger: ledger.clone(),
        failing: AtomicBool::new(false),
        broken: CancellationToken::new(),
    };
    let lists = Lists::of(&now, &shared.replay.allow)?;
    let sender = |target: &Url| {
        let (target, lists, control) = (target.clone(), lists.clone(), shared.control.clone());
        Sender::new(limits, ProvingResolver { target, lists, control })
    };
    let control_leg = |to: &shadow_control::Control| -> reqwest::Result<Control> {
        Ok(Control::new(sender(&to.url)?, to.sample, now.limits.max_in_flight))
    };
    Ok(Line {
        sender: sender(&now.candidate)?,
        control_leg: now.control.as_ref().map(control_leg).transpose()?,
        launch: launch.clone(),
        control: shared.control.clone(),
        gate: gate.clone(),
        heart: shared.heart.clone(),
        kafka: shared.kafka.clone(),
        masker: shared.masker.clone(),
        reveal: Reveal::new(shared.masker.clone(), reveal_to.clone()),
        identities: shared.identities.clone(),
        learned: Learned::new(&now.replay.learn, |name| shared.masker.name(name)),
        traffic: Traffic::new(limits.timeout),
        publisher: Arc::new(publisher),
        ledger: ledger.clone(),
        unacknowledged: Room::of(window_bytes.as_len()),
        window: Limits { records: *window_records, bytes: window_bytes.as_len() },
        drain: drain.get(),
    })
}
