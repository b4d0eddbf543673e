//! What a drill came to: rows for ClickHouse, a table of percentiles for people, and whether the switch held.

use std::time::Duration;

use serde::Serialize;
use shadow_control::Change;
use shadow_record::{LaunchName, Timestamp};

use super::evidence::{Evidence, Silence};
use crate::commands::pause::roll::Answered;
use crate::failure::Failure;
use crate::table::Table;
use crate::words;

/// One pull of the switch.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Trial {
    #[serde(skip)]
    pub(crate) begun_at: Timestamp,
    pub(crate) control_version: i64,
    /// From the beginning of the command until its record was known to stand.
    #[serde(skip)]
    pub(crate) appended: Duration,
    /// Until the last member had confirmed.
    #[serde(skip)]
    pub(crate) all_confirmed: Duration,
    pub(crate) members: Vec<Evidence>,
    /// The candidate's own count of requests at the begin and at the end of the hold, where it was asked.
    pub(crate) counted: Option<(u64, u64)>,
}

/// A row of the table `drills`, whose comments in the schema explain the columns.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    drill: i64,
    trial: u32,
    at: String,
    by: String,
    why: String,
    launch: LaunchName,
    instance: String,
    control_version: i64,
    answered: Answered,
    silence: Silence,
    appended_ms: f64,
    heard_ms: Option<f64>,
    acknowledged_ms: Option<f64>,
    last_send_ms: Option<f64>,
    last_send_after_heard_ms: Option<f64>,
    candidate_before: Option<u64>,
    candidate_after: Option<u64>,
}

impl Trial {
    /// One row for each member; the drill is named by when it was `started_at`.
    pub(crate) fn rows(&self, trial: u32, started_at: Timestamp, launch: &LaunchName, change: &Change) -> Vec<Row> {
        let row = |member: &Evidence| Row {
            drill: started_at.micros(),
            trial,
            at: seconds(self.begun_at),
            by: change.by.clone(),
            why: change.why.clone(),
            launch: launch.clone(),
            instance: member.instance.clone(),
            control_version: self.control_version,
            answered: member.answered,
            silence: member.silence,
            appended_ms: ms(self.appended),
            heard_ms: member.heard_ms,
            acknowledged_ms: member.acknowledged_ms,
            last_send_ms: member.last_send_ms,
            last_send_after_heard_ms: member.last_send_after_heard_ms,
            candidate_before: self.counted.map(|(before, _)| before),
            candidate_after: self.counted.map(|(_, after)| after),
        };
        self.members.iter().map(row).collect()
    }
}

/// Seconds since 1970 with microseconds, as ClickHouse reads times.
fn seconds(at: Timestamp) -> String {
    format!("{}.{:06}", at.micros().div_euclid(1_000_000), at.micros().rem_euclid(1_000_000))
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// All trials.
#[derive(Debug, Serialize)]
pub(crate) struct Drilled {
    launch: LaunchName,
    summary: Vec<Line>,
    /// What did not hold, in words; empty when the switch held.
    broken: Vec<String>,
    trials: Vec<Trial>,
    /// Whether every member has confirmed that it goes on.
    resumed: bool,
}

/// One figure over all members and trials.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Line {
    what: &'static str,
    n: usize,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Line {
    /// By nearest rank; `None` without figures.
    fn of(what: &'static str, figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        let rank = |share: f64| sorted.get(((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1)).copied();
        Some(Self { what, n: sorted.len(), p50_ms: rank(0.5)?, p99_ms: rank(0.99)?, max_ms: rank(1.0)? })
    }
}

impl Drilled {
    pub(crate) fn of(launch: LaunchName, trials: Vec<Trial>, resumed: bool) -> Self {
        let members = || trials.iter().flat_map(|trial| &trial.members);
        let summary = [
            Line::of("last send after the command", members().filter_map(|m| m.last_send_ms)),
            Line::of("last send after the member heard it", members().filter_map(|m| m.last_send_after_heard_ms)),
            Line::of("confirmed after the command", members().filter_map(|m| m.acknowledged_ms)),
            Line::of("all members confirmed, as seen here", trials.iter().map(|trial| ms(trial.all_confirmed))),
        ];
        let broken = trials.iter().enumerate().flat_map(|(index, trial)| broken(index + 1, trial)).collect();
        Self { launch, summary: summary.into_iter().flatten().collect(), broken, trials, resumed }
    }

    pub(crate) fn render(&self) -> String {
        let members = self.trials.iter().map(|trial| trial.members.len()).max().unwrap_or_default();
        let verb = if self.broken.is_empty() { "held" } else { "DID NOT HOLD" };
        let resumed =
            if self.resumed { "the launch is resumed" } else { "that the launch is resumed is NOT CONFIRMED" };
        let mut text = format!(
            "the kill switch of launch {} {verb} in {} trials with {members} members; {resumed}\n",
            self.launch,
            self.trials.len()
        );
        let mut table = Table::new(&["", ">n", ">p50", ">p99", ">most"]);
        for Line { what, n, p50_ms, p99_ms, max_ms } in &self.summary {
            let [p50, p99, max] = [*p50_ms, *p99_ms, *max_ms].map(after);
            table.row([(*what).to_owned(), n.to_string(), p50, p99, max]);
        }
        text.push_str(&table.render());
        self.broken.iter().for_each(|broken| text.push_str(&format!("{broken}\n")));
        text.push_str("the evidence is in the table drills\n");
        text
    }

    /// # Errors
    /// When a member did not confirm, did not prove its silence, or sent something afterwards.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        match self.broken.as_slice() {
            [] => Ok(()),
            [first, ..] => Err(Failure::negative(
                format!("the kill switch did not hold: {first}"),
                "look at that member's log; until it is explained, stop it by ending its process",
            )),
        }
    }
}

fn after(ms: f64) -> String {
    if ms <= 0.0 { "none".to_owned() } else { words::millis(ms) }
}

fn broken(number: usize, trial: &Trial) -> Vec<String> {
    let of = |member: &Evidence| {
        let why = match (member.answered, member.silence) {
            (Answered::Confirmed | Answered::Stopped, Silence::Broken) => "sent a request after it had confirmed",
            (Answered::Confirmed | Answered::Stopped, Silence::Unproved) => "has not shown that it stayed silent",
            _ => "did not confirm",
        };
        format!("trial {number}: {} {why}", member.instance)
    };
    let nobody = trial.members.is_empty().then(|| format!("trial {number}: no member was there"));
    let counted = trial.counted.filter(|(before, after)| before != after);
    let counted = counted.map(|(before, after)| {
        format!("trial {number}: the candidate counted {} requests while paused", after.wrapping_sub(before))
    });
    trial.members.iter().filter(|m| !m.holds()).map(of).chain(nobody).chain(counted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(instance: &str, last_send_ms: f64) -> Evidence {
        Evidence {
            instance: instance.to_owned(),
            answered: Answered::Confirmed,
            heard_ms: Some(20.0),
            acknowledged_ms: Some(31.0),
            last_send_ms: Some(last_send_ms),
            last_send_after_heard_ms: Some(-1.0),
            silence: Silence::Proved,
        }
    }

    fn trial(members: Vec<Evidence>) -> Trial {
        let (appended, all_confirmed) = (Duration::from_millis(12), Duration::from_millis(44));
        Trial {
            begun_at: Timestamp(1_700_000_000_000_042),
            control_version: 7,
            appended,
            all_confirmed,
            members,
            counted: None,
        }
    }

    #[test]
    fn a_drill_that_held_shows_its_percentiles() {
        let trials = (1..=100).map(|n| trial(vec![member("r1", f64::from(n)), member("r2", 0.5)])).collect();
        let drilled = Drilled::of("v2".parse().unwrap(), trials, true);
        assert!(drilled.verdict().is_ok());
        insta::assert_snapshot!(drilled.render());
    }

    #[test]
    fn whatever_did_not_hold_is_named_by_trial_and_member() {
        let silent = Evidence { answered: Answered::Silent, silence: Silence::Unproved, ..member("r2", 0.0) };
        let sent = Evidence { silence: Silence::Broken, ..member("r3", 0.0) };
        let counted = Trial { counted: Some((10, 12)), ..trial(vec![member("r1", 1.0)]) };
        let drilled =
            Drilled::of("v2".parse().unwrap(), vec![trial(vec![silent, sent]), counted, trial(vec![])], false);
        assert_eq!(
            drilled.broken,
            [
                "trial 1: r2 did not confirm",
                "trial 1: r3 sent a request after it had confirmed",
                "trial 2: the candidate counted 2 requests while paused",
                "trial 3: no member was there",
            ]
        );
        assert!(drilled.verdict().unwrap_err().cause.contains("r2 did not confirm"));
        assert!(drilled.render().contains("is NOT CONFIRMED"), "{}", drilled.render());
    }

    #[test]
    fn times_are_written_as_clickhouse_reads_them() {
        assert_eq!(seconds(trial(vec![]).begun_at), "1700000000.000042");
    }
}
