//! What an import came to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use shadow_capture::Account;

use super::append::{Appended, Repeat};
use super::survey::{Broken, Survey};
use crate::words::{self, count};

/// Most broken entries shown to people.
const SHOWN: usize = 50;

/// The answer of `shadowctl import`.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    pub(super) service: String,
    pub(super) topic: String,
    /// Nothing was written.
    pub(super) dry_run: bool,
    /// Of the topic; 0 for a dry run.
    pub(super) partitions: i32,
    /// Under which the records stand in the ledger.
    pub(super) instance: String,
    pub(super) masking_key: String,
    /// When the first request began, and how long the recording is.
    pub(super) began: Option<String>,
    pub(super) length_ms: f64,
    pub(super) passes: u64,
    /// Exchanges in the recording, by host.
    pub(super) hosts: BTreeMap<String, u64>,
    /// Records that Kafka acknowledged; of a dry run, those that would be appended.
    pub(super) imported: i64,
    /// Records that Kafka may have.
    pub(super) in_doubt: i64,
    /// Exchanges with other hosts.
    pub(super) left_out: i64,
    /// Records that Kafka did not take.
    pub(super) dropped: i64,
    /// Exchanges that stand behind one that began later.
    pub(super) out_of_order: u64,
    pub(super) not_replayable: BTreeMap<&'static str, u64>,
    pub(super) broken_count: u64,
    pub(super) broken: Vec<Broken>,
    /// Why the reading ended before the end of the file.
    pub(super) cut: Option<String>,
    /// Before `broken`'s numbers.
    #[serde(skip)]
    pub(super) entry: &'static str,
}

impl Answer {
    /// What the first reading found, and what a dry run says would come of it; an endless one is told of its first pass.
    pub(super) fn add(&mut self, survey: Survey, repeat: Repeat) {
        self.passes = match repeat {
            Repeat::Times(times) => times.get().into(),
            Repeat::Forever => 1,
        };
        if self.dry_run {
            let others = survey.hosts.values().sum::<u64>().saturating_sub(survey.wanted);
            let in_all = |once: u64| i64::try_from(once.saturating_mul(self.passes)).unwrap_or(i64::MAX);
            (self.imported, self.left_out) = (in_all(survey.wanted), in_all(others));
        }
        self.began = survey.began().map(words::when);
        self.length_ms = survey.length().as_secs_f64() * 1000.0;
        self.hosts = survey.hosts;
        self.not_replayable = survey.skipped;
        self.broken_count = survey.broken_count;
        self.broken = survey.broken;
        self.cut = survey.cut;
    }

    /// What came of the appending.
    pub(super) fn settle(&mut self, account: &Account, appended: &Appended) {
        self.imported = account.acknowledged;
        self.in_doubt = account.in_doubt;
        self.left_out = account.excluded_total();
        self.dropped = account.dropped_total();
        self.passes = appended.passes;
        self.out_of_order = appended.late;
    }

    /// Whether something of the recording is missing for a fault in it.
    pub(super) fn is_incomplete(&self) -> bool {
        self.broken_count > 0 || self.cut.is_some()
    }
}

/// For people.
pub(super) fn render(answer: &Answer) -> String {
    let mut text = String::new();
    let done = if answer.dry_run { "would import" } else { "imported" };
    let hosts: Vec<&str> = answer.hosts.keys().map(String::as_str).collect();
    let of = if hosts.len() == 1 { format!(" with {}", hosts[0]) } else { String::new() };
    let _ = writeln!(text, "{done} {} exchanges{of} into {}", count(answer.imported), answer.topic);
    if let Some(began) = &answer.began {
        let _ = writeln!(text, "  recorded from {began} on, {} long", words::millis(answer.length_ms));
    }
    if answer.passes > 1 {
        let _ = writeln!(text, "  appended {} times", count(answer.passes));
    }
    if answer.left_out > 0 {
        let _ = writeln!(text, "  {} with other hosts left out", count(answer.left_out));
    }
    for (what, number) in &answer.not_replayable {
        let _ = writeln!(text, "  {} skipped: {what}", count(*number));
    }
    if answer.out_of_order > 0 {
        let _ = writeln!(
            text,
            "  {} stand behind one that began later: the file is far out of order",
            count(answer.out_of_order)
        );
    }
    if answer.in_doubt + answer.dropped > 0 {
        let _ = writeln!(text, "  {} not taken by Kafka, {} in doubt", count(answer.dropped), count(answer.in_doubt));
    }
    if answer.broken_count > 0 {
        let _ = writeln!(text, "  {} broken:", count(answer.broken_count));
        for Broken { entry, why } in answer.broken.iter().take(SHOWN) {
            let _ = writeln!(text, "    {} {entry}: {why}", answer.entry);
        }
        let more = answer.broken_count.saturating_sub(SHOWN as u64);
        if more > 0 {
            let _ = writeln!(text, "    and {} more (--json lists them)", count(more));
        }
    }
    if let Some(cut) = &answer.cut {
        let _ = writeln!(text, "  {cut}");
    }
    let _ = write!(text, "masked under key {}", answer.masking_key);
    if !answer.dry_run {
        let _ = write!(text, "; in the ledger as {}", answer.instance);
    }
    text
}
