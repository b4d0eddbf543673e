//! `shadowctl status`: who is there and what they are doing.

use std::collections::BTreeMap;

use serde::Serialize;
use shadow_control::{ControlState, Member, StatusBoard};
use shadow_record::{Role, State, Timestamp};

use crate::failure::Failure;
use crate::kafka::{Kafka, MEMBER_PATIENCE};
use crate::output::Output;
use crate::table::Table;
use crate::words;

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Also show instances that are gone
    #[arg(long)]
    all: bool,
    /// Also show every counter
    #[arg(long)]
    counters: bool,
    #[command(flatten)]
    output: Output,
}

/// Everything at one moment.
#[derive(Debug, Serialize)]
struct Answer {
    control_version: i64,
    kill_switch: bool,
    /// Keys of control records that this version cannot read; what they speak of is paused.
    unreadable: Vec<String>,
    members: Vec<Shown>,
    /// What waits, for each launch that live replayers hold partitions of.
    lags: Vec<Lag>,
}

/// Captured records of one launch without an acknowledged outcome.
#[derive(Debug, Serialize)]
struct Lag {
    launch: String,
    /// In all partitions that are held.
    records: i64,
    /// By partition.
    partitions: BTreeMap<i32, i64>,
}

/// One instance, or one launch on it.
#[derive(Debug, Serialize)]
struct Shown {
    instance: String,
    role: Role,
    service: String,
    launch: Option<String>,
    state: State,
    live: bool,
    /// The newest control record it follows; -1 for none.
    control_version: i64,
    heard: String,
    last_send: Option<String>,
    counters: BTreeMap<String, i64>,
    #[serde(skip)]
    heard_at: Timestamp,
    #[serde(skip)]
    last_send_at: Option<Timestamp>,
}

impl Shown {
    fn of(member: &Member, now: Timestamp) -> Self {
        let status = member.status.clone();
        Self {
            live: status.state != State::Stopped && now.since(member.seen) <= MEMBER_PATIENCE,
            instance: status.instance,
            role: status.role,
            service: status.service,
            launch: status.launch.map(String::from),
            state: status.state,
            control_version: status.control_version,
            heard: words::when(member.seen),
            last_send: status.last_send_at.map(words::when),
            counters: status.counters,
            heard_at: member.seen,
            last_send_at: status.last_send_at,
        }
    }

    fn state(&self) -> &'static str {
        match (self.live, self.state) {
            (_, State::Stopped) => "stopped",
            (false, _) => "LOST",
            (true, State::Starting) => "starting",
            (true, State::Running) => "running",
            (true, State::Paused) => "paused",
            (true, State::Draining) => "draining",
            (true, State::Other) => "other",
        }
    }
}

pub(crate) async fn run(kafka: &Kafka, args: StatusArgs) -> Result<(), Failure> {
    let state = kafka.control().await?;
    let board = kafka.board().await?;
    let answer = answer(&state, &board, Timestamp::now(), args.all);
    args.output.show(&answer, |answer| render(answer, Timestamp::now(), args.counters))
}

fn answer(state: &ControlState, board: &StatusBoard, now: Timestamp, all: bool) -> Answer {
    let members: Vec<_> = board.members().map(|member| Shown::of(member, now)).collect();
    Answer {
        lags: lags(&members),
        control_version: state.version,
        kill_switch: state.pauses.get(&None).is_some_and(|pause| pause.paused),
        unreadable: state.unreadable.iter().cloned().collect(),
        members: members.into_iter().filter(|shown| all || shown.live).collect(),
    }
}

/// Backlogs as the holders of the partitions say them in their heartbeats.
fn lags(members: &[Shown]) -> Vec<Lag> {
    let mut lags: BTreeMap<&str, BTreeMap<i32, i64>> = BTreeMap::new();
    for member in members.iter().filter(|member| member.live) {
        let Some(launch) = member.launch.as_deref() else { continue };
        for (counter, lag) in &member.counters {
            if let Some(partition) = counter.strip_prefix("lag.").and_then(|number| number.parse().ok()) {
                lags.entry(launch).or_default().insert(partition, *lag);
            }
        }
    }
    let lag = |(launch, partitions): (&str, BTreeMap<i32, i64>)| Lag {
        launch: launch.to_owned(),
        records: partitions.values().sum(),
        partitions,
    };
    lags.into_iter().map(lag).collect()
}

fn render(answer: &Answer, now: Timestamp, counters: bool) -> String {
    let switch = if answer.kill_switch { "ON: nothing is sent (`shadowctl resume`)" } else { "off" };
    let mut text = format!("control version {}, kill switch {switch}\n", answer.control_version);
    for key in &answer.unreadable {
        text.push_str(&format!("control record {key} is of a newer version; what it speaks of is paused\n"));
    }
    if answer.members.is_empty() {
        text.push_str("no live instances; --all shows those that are gone\n");
        return text;
    }
    let mut table = Table::new(&["instance", "role", "service", "launch", "state", ">control", ">heard", ">last send"]);
    for member in &answer.members {
        table.row([
            member.instance.clone(),
            role(member.role).to_owned(),
            member.service.clone(),
            member.launch.clone().unwrap_or_default(),
            member.state().to_owned(),
            if member.control_version < 0 { String::new() } else { member.control_version.to_string() },
            words::ago(now.since(member.heard_at)),
            member.last_send_at.map(|at| words::ago(now.since(at))).unwrap_or_default(),
        ]);
    }
    text.push_str(&table.render());
    if !answer.lags.is_empty() {
        text.push('\n');
        text.push_str(&lag_table(&answer.lags));
    }
    if counters {
        text.push('\n');
        text.push_str(&counter_table(&answer.members));
    }
    text
}

fn lag_table(lags: &[Lag]) -> String {
    let mut table = Table::new(&["launch", ">waiting", ">partitions", ">most in one"]);
    for lag in lags {
        let most = lag.partitions.values().max().copied().unwrap_or_default();
        table.row([
            lag.launch.clone(),
            words::count(lag.records),
            lag.partitions.len().to_string(),
            words::count(most),
        ]);
    }
    table.render()
}

fn counter_table(members: &[Shown]) -> String {
    let mut table = Table::new(&["instance", "launch", "counter", ">total"]);
    for member in members {
        for (name, total) in &member.counters {
            let launch = member.launch.clone().unwrap_or_default();
            table.row([member.instance.clone(), launch, name.clone(), words::count(*total)]);
        }
    }
    table.render()
}

/// A role as records spell it.
fn role(role: Role) -> &'static str {
    match role {
        Role::CaptureAgent => "capture-agent",
        Role::Replayer => "replayer",
        Role::Comparator => "comparator",
        Role::Stub => "stub",
        Role::Other => "other",
    }
}

#[cfg(test)]
mod tests {
    use shadow_record::Status;

    use super::*;

    #[test]
    fn live_members_are_shown_and_lost_ones_on_demand() {
        let now = Timestamp(1_700_000_000_000_000);
        let mut board = StatusBoard::default();
        for (instance, age) in [("r1", 400_000), ("r2", 60_000_000)] {
            let at = Timestamp(now.micros() - age);
            let status = Status {
                instance: instance.to_owned(),
                role: Role::Replayer,
                service: "shop".to_owned(),
                launch: Some("v2".parse().unwrap()),
                epoch: 1,
                sequence: 1,
                at,
                state: State::Running,
                control_version: 4,
                heard_at: None,
                last_send_at: Some(at),
                counters: [("completed", 12_345), ("lag.0", 1200), ("lag.3", 34)]
                    .map(|(n, c)| (n.to_owned(), c))
                    .into(),
            };
            board.apply(at, status);
        }
        let state = ControlState { version: 4, ..ControlState::empty() };
        insta::assert_snapshot!(render(&answer(&state, &board, now, true), now, true));
        let live = answer(&state, &board, now, false);
        assert!(!render(&live, now, false).contains("r2"));
        assert_eq!((live.lags[0].records, live.lags[0].partitions[&3]), (1234, 34));
        assert!(render(&answer(&state, &StatusBoard::default(), now, false), now, false).contains("no live"));
    }
}
