//! Launches as people and programs see them.

mod replay;

use serde::Serialize;
use shadow_control::{Comparison, Control, ControlState, Launch, StatusBoard};
use shadow_record::{Timestamp, topics};

use super::status_word;
use crate::commands::ramp;
use crate::commands::rate::Origin;
use crate::kafka::MEMBER_PATIENCE;
use crate::table::{Table, pairs};
use crate::words;

/// A launch with what else the control topic says about it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    /// As it stands: paused also where its pause is a record of its own.
    #[serde(flatten)]
    launch: Launch,
    /// Requests per second; `null` for no limit.
    rate_per_second: Option<f64>,
    /// Where that rate comes from.
    rate_origin: Origin,
    /// Captured records that wait for it, as its live replayers tell; `null` when none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<i64>,
    /// Whether the kill switch of all launches holds this one.
    held_by_kill_switch: bool,
}

impl Shown {
    pub(crate) fn of(state: &ControlState, launch: &Launch) -> Self {
        Self {
            launch: state.standing(launch),
            rate_per_second: state.rate_of(&topics::captured(&launch.service), Some(&launch.name)),
            rate_origin: Origin::of(state, &topics::captured(&launch.service), Some(&launch.name)),
            lag: None,
            held_by_kill_switch: state.pauses.get(&None).is_some_and(|pause| pause.paused),
        }
    }

    fn state(&self) -> String {
        let status = status_word(self.launch.status);
        if self.held_by_kill_switch { format!("{status}, kill switch on") } else { status.to_owned() }
    }

    pub(crate) fn render(&self) -> String {
        let Launch {
            name,
            service,
            candidate,
            control,
            sample,
            filters,
            isolation,
            allow,
            comparison,
            rules,
            gates,
            ..
        } = &self.launch;
        let lines = |text: &Option<String>| {
            text.as_ref().map_or("default".to_owned(), |text| format!("{} lines", text.lines().count()))
        };
        let control = control.as_ref().map_or("none".to_owned(), |Control { url, sample }| {
            format!("{url}, {} of what the candidate gets", words::share(*sample))
        });
        let rate = format!("{} ({})", words::rate(self.rate_per_second), self.rate_origin.words());
        let list = |all: &[String], none: &str| if all.is_empty() { none.to_owned() } else { all.join(", ") };
        let start: Vec<String> = self.launch.start.iter().map(|(p, offset)| format!("{p}:{offset}")).collect();
        let change = &self.launch.change;
        let limits = &self.launch.limits;
        let isolated = isolation.clone().filter(|words| !words.trim().is_empty());
        let mut lines = vec![
            ("launch", name.to_string()),
            ("status", self.state()),
            ("service", service.to_string()),
            ("candidate", candidate.to_string()),
            ("control", control),
            ("sample", words::share(*sample)),
            ("ramp", ramp::in_full(&self.launch)),
            ("rate", rate),
            ("methods", list(&filters.methods, "all")),
            ("routes", list(&filters.routes, "all")),
            ("headers", list(&filters.headers, "any")),
            ("isolation", isolated.unwrap_or_else(|| "none declared: safe methods only".to_owned())),
            ("allowed targets", list(allow, "any but production")),
            ("comparison", if *comparison == Comparison::On { "on" } else { "off" }.to_owned()),
            ("rules", lines(rules)),
            ("gates", lines(gates)),
            ("in flight", format!("up to {} for each replayer", limits.max_in_flight)),
            ("timeout", shadow_runtime::units::HumanDuration::from(limits.timeout()).to_string()),
        ];
        lines.extend(replay::lines(&self.launch.replay));
        lines.extend([
            ("start offsets", start.join(" ")),
            ("replayed topic", topics::replayed(service, name)),
            ("changed", format!("{} by {} {}", words::when(change.at), change.by, quoted(&change.why))),
        ]);
        pairs(&lines)
    }
}

fn quoted(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!("({why})") }
}

/// All launches, by name, with what their live replayers tell.
pub(crate) fn list(state: &ControlState, board: &StatusBoard, now: Timestamp) -> Vec<Shown> {
    let each = state.launches.values();
    each.map(|launch| Shown { lag: lag(board, launch, now), ..Shown::of(state, launch) }).collect()
}

/// What waits in all partitions: each is counted by the replayer that holds it.
fn lag(board: &StatusBoard, launch: &Launch, now: Timestamp) -> Option<i64> {
    let members = board.replayers(Some(&launch.name), now, MEMBER_PATIENCE);
    let counters = members.flat_map(|member| &member.status.counters);
    let lags: Vec<i64> = counters.filter(|(name, _)| name.starts_with(LAG)).map(|(_, waiting)| *waiting).collect();
    (!lags.is_empty()).then(|| lags.iter().sum())
}

/// How replayers' counters of waiting records begin; the partition follows.
const LAG: &str = "lag.";

/// The list as a table.
pub(crate) fn table(list: &[Shown]) -> String {
    if list.is_empty() {
        return "no launches; `shadowctl launch create` makes one".to_owned();
    }
    let mut table = Table::new(&[
        "launch",
        "service",
        "status",
        ">sample",
        "ramp",
        ">rate",
        ">lag",
        "candidate",
        "changed",
        "by",
        "why",
    ]);
    for shown in list {
        let launch = &shown.launch;
        table.row([
            launch.name.to_string(),
            launch.service.to_string(),
            shown.state(),
            words::share(launch.sample),
            launch.ramp.as_ref().map(ramp::in_short).unwrap_or_default(),
            words::rate(shown.rate_per_second),
            shown.lag.map(words::count).unwrap_or_default(),
            launch.candidate.to_string(),
            words::when(launch.change.at),
            launch.change.by.clone(),
            launch.change.why.clone(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use shadow_control::{Change, ControlRecord, Pause, Ramp, Rate};
    use shadow_record::{Role, State, Status};

    use super::*;
    use crate::commands::ramp::Steps;

    fn state() -> ControlState {
        let mut state = ControlState::empty();
        let json = r#"{"launch":{"name":"v2","service":"shop","candidate":"http://c:1/","start":{"0":5,"1":0},"sample":0.1,
            "status":"active","change":{"by":"ann","why":"rehearsal","at":1700000000000000}}}"#;
        let launch: ControlRecord = serde_json::from_str(json).unwrap();
        let change = Change { by: "ann".to_owned(), why: String::new(), at: Timestamp(0) };
        let rate = ControlRecord::Rate(Rate {
            topic: "shadow.captured.shop".into(),
            launch: None,
            per_second: Some(50.0),
            change,
        });
        for (offset, record) in [launch, rate].iter().enumerate() {
            state.apply(offset as i64, &record.key(), &record.encode()).unwrap();
        }
        state
    }

    #[test]
    fn the_list_shows_one_launch_a_line() {
        let board = StatusBoard::default();
        insta::assert_snapshot!(table(&list(&state(), &board, Timestamp(0))));
        assert!(table(&[]).contains("launch create"));
    }

    #[test]
    fn a_launch_with_a_pause_of_its_own_is_shown_as_paused_and_by_whom() {
        let mut state = state();
        let change = Change { by: "bob".to_owned(), why: "too slow".to_owned(), at: Timestamp(1_700_000_001_000_000) };
        let pause = ControlRecord::Pause(Pause::of_launch("v2".parse().unwrap(), true, change));
        state.apply(9, &pause.key(), &pause.encode()).unwrap();
        let text = table(&list(&state, &StatusBoard::default(), Timestamp(0)));
        assert!(text.contains("paused") && text.contains("bob") && text.contains("too slow"), "{text}");
    }

    #[test]
    fn what_waits_is_the_sum_over_the_partitions_of_live_members() {
        let state = state();
        let mut board = StatusBoard::default();
        for (instance, seen, counters) in [
            ("r1", 10_000_000, &[("lag.0", 5), ("completed", 9)][..]),
            ("r2", 10_000_000, &[("lag.1", 7)]),
            ("gone", 0, &[("lag.2", 1)]),
        ] {
            let status = Status {
                instance: instance.to_owned(),
                role: Role::Replayer,
                service: String::new(),
                launch: Some("v2".parse().unwrap()),
                epoch: 1,
                sequence: 1,
                at: Timestamp(0),
                state: State::Running,
                control_version: 1,
                heard_at: None,
                last_send_at: None,
                counters: counters.iter().map(|(name, total)| ((*name).to_owned(), *total)).collect(),
            };
            board.apply(Timestamp(seen), status);
        }
        assert_eq!(list(&state, &board, Timestamp(10_000_000))[0].lag, Some(12));
        assert_eq!(list(&state, &StatusBoard::default(), Timestamp(0))[0].lag, None);
    }

    #[test]
    fn one_launch_is_shown_in_full() {
        let state = state();
        let launch = state.launches.values().next().unwrap();
        insta::assert_snapshot!(Shown::of(&state, launch).render());
        insta::assert_snapshot!(crate::output::json(&Shown::of(&state, launch)));
        let control = Some(Control { url: "http://d:1/".parse().unwrap(), sample: 0.25 });
        let whole = Launch { control, gates: Some("a\nb".to_owned()), ..launch.clone() };
        let shown = Shown::of(&state, &whole).render();
        assert!(shown.contains("control          http://d:1/, 25 % of what the candidate gets\n"), "{shown}");
        assert!(shown.contains("gates            2 lines\n"), "{shown}");
        assert!(shown.contains("ramp             none"), "{shown}");
        let Ok(Steps(steps)) = "1%:10m,100%:1h".parse() else { unreachable!("two steps") };
        let ramp = Some(Ramp { at: 1, why: "verdict pass".to_owned(), ..Ramp::of(steps) });
        let shown = Shown::of(&state, &Launch { ramp, ..launch.clone() }).render();
        assert!(shown.contains("ramp             2 of 2 (1%:10m, 100%:1h): verdict pass\n"), "{shown}");
    }
}
