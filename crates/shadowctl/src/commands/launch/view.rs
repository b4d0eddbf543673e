//! Launches as people and programs see them.

use serde::Serialize;
use shadow_control::{Comparison, Control, ControlState, Launch};
use shadow_record::topics;

use super::status_word;
use crate::table::{Table, pairs};
use crate::words;

/// A launch with what else the control topic says about it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown<'a> {
    #[serde(flatten)]
    launch: &'a Launch,
    /// Requests per second; `null` for no limit.
    rate_per_second: Option<f64>,
    /// Whether the kill switch of all launches holds this one.
    held_by_kill_switch: bool,
}

impl<'a> Shown<'a> {
    pub(crate) fn of(state: &ControlState, launch: &'a Launch) -> Self {
        Self {
            launch,
            rate_per_second: state.rate_of(&topics::captured(&launch.service), Some(&launch.name)),
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
        } = self.launch;
        let lines = |text: &Option<String>| {
            text.as_ref().map_or("default".to_owned(), |text| format!("{} lines", text.lines().count()))
        };
        let control = control.as_ref().map_or("none".to_owned(), |Control { url, sample }| {
            format!("{url}, {} of what the candidate gets", words::share(*sample))
        });
        let list = |all: &[String], none: &str| if all.is_empty() { none.to_owned() } else { all.join(", ") };
        let start: Vec<String> = self.launch.start.iter().map(|(p, offset)| format!("{p}:{offset}")).collect();
        let change = &self.launch.change;
        let (limits, isolated) = (&self.launch.limits, isolation.clone());
        pairs(&[
            ("launch", name.to_string()),
            ("status", self.state()),
            ("service", service.to_string()),
            ("candidate", candidate.to_string()),
            ("control", control),
            ("sample", words::share(*sample)),
            ("rate", words::rate(self.rate_per_second)),
            ("methods", list(&filters.methods, "all")),
            ("routes", list(&filters.routes, "all")),
            ("isolation", isolated.unwrap_or_else(|| "none declared: safe methods only".to_owned())),
            ("allowed targets", list(allow, "any but production")),
            ("comparison", if *comparison == Comparison::On { "on" } else { "off" }.to_owned()),
            ("rules", lines(rules)),
            ("gates", lines(gates)),
            ("in flight", format!("up to {} for each replayer", limits.max_in_flight)),
            ("timeout", shadow_runtime::units::HumanDuration::from(limits.timeout()).to_string()),
            ("start offsets", start.join(" ")),
            ("replayed topic", topics::replayed(service, name)),
            ("changed", format!("{} by {} {}", words::when(change.at), change.by, quoted(&change.why))),
        ])
    }
}

fn quoted(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!("({why})") }
}

/// All launches, by name.
pub(crate) fn list(state: &ControlState) -> Vec<Shown<'_>> {
    state.launches.values().map(|launch| Shown::of(state, launch)).collect()
}

/// The list as a table.
pub(crate) fn table(list: &[Shown<'_>]) -> String {
    if list.is_empty() {
        return "no launches; `shadowctl launch create` makes one".to_owned();
    }
    let mut table =
        Table::new(&["launch", "service", "status", ">sample", ">rate", "candidate", "changed", "by", "why"]);
    for shown in list {
        let launch = shown.launch;
        table.row([
            launch.name.to_string(),
            launch.service.to_string(),
            shown.state(),
            words::share(launch.sample),
            words::rate(shown.rate_per_second),
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
    use shadow_control::{Change, ControlRecord, Rate};
    use shadow_record::Timestamp;

    use super::*;

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
        insta::assert_snapshot!(table(&list(&state())));
        assert!(table(&[]).contains("launch create"));
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
    }
}
