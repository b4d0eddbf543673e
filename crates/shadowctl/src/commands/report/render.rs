//! The report for people: the account first, for nothing below it counts unless it balances.

use std::collections::{BTreeMap, BTreeSet};

use shadow_record::Timestamp;

use super::{Report, SLOWER_FACTOR, SLOWER_MS};
use crate::commands::verdict::effects;
use crate::table::Table;
use crate::words::{count, millis, percent, share, when};

/// Most rows of noise and of unused rules.
const MOST: usize = 20;

impl Report {
    /// The report as text.
    pub(crate) fn render(&self) -> String {
        let mut sections =
            vec![self.account(), self.match_rates(), self.effects.render(), self.signatures(), self.noise()];
        sections.extend([self.expected(), self.agreements(), self.latencies(), self.answers()]);
        sections.retain(|section| !section.is_empty());
        sections.join("\n")
    }

    fn account(&self) -> String {
        let (launch, ledger) = (&self.launch, &self.ledger);
        let control = match launch.control.as_str() {
            "" => "no control".to_owned(),
            url => format!("control {url} for {}", share(launch.control_sample)),
        };
        let mut text = format!(
            "launch {} of {}: {} ({}, sample {}, {control})\n",
            launch.launch,
            launch.service,
            launch.candidate,
            launch.status,
            share(launch.sample)
        );
        if ledger.is_absent() {
            text.push_str("no account yet: the comparator has not read anything of this launch\n");
            return text;
        }
        let balance = if ledger.balanced == 1 { "balances" } else { "DOES NOT BALANCE: trust nothing below" };
        text.push_str(&format!(
            "captured {} = completed {} + failed {} + skipped {} + dead-lettered {} + pending {}; the ledger {balance}\n",
            count(ledger.captured),
            count(ledger.completed),
            count(ledger.failed),
            count(ledger.skipped),
            count(ledger.dead_lettered),
            count(ledger.pending)
        ));
        for reason in &self.coverage {
            text.push_str(&format!("  {} for {}: {}\n", reason.outcome, reason.reason, count(reason.offsets)));
        }
        text
    }

    fn match_rates(&self) -> String {
        let sum = |of: fn(&super::MatchRate) -> u64| self.match_rate.iter().map(of).sum::<u64>();
        let (compared, equal) = (sum(|r| r.compared), sum(|r| r.compared - r.differing));
        if compared == 0 {
            return "match rate: nothing has been compared yet\n".to_owned();
        }
        let mut table =
            Table::new(&["route", ">completed", ">compared", ">noise", ">expected", ">differing", ">match rate"]);
        for rate in &self.match_rate {
            table.row([
                rate.route.clone(),
                count(rate.completed),
                count(rate.compared),
                count(rate.noise),
                count(rate.expected),
                count(rate.differing),
                percent(rate.compared - rate.differing, rate.compared),
            ]);
        }
        let rate = percent(equal, compared);
        format!("match rate {rate} of {} compared\n{}{}", count(compared), self.trends(), table.render())
    }

    /// How the share of differing exchanges went over the time of capture.
    fn trends(&self) -> String {
        let [first, .., last] = self.trend.as_slice() else { return String::new() };
        let steps: Vec<_> = self.trend.iter().map(|step| percent(step.differing, step.compared)).collect();
        let at = |seconds: i64| when(Timestamp(seconds * 1_000_000));
        format!(
            "  differing over time: {} (from {}, last step from {})\n",
            steps.join(", "),
            at(first.since),
            at(last.since)
        )
    }

    /// What counts as a match although it differs.
    fn noise(&self) -> String {
        if self.noise.is_empty() {
            return match self.launch.control.is_empty() {
                true => "noise: unknown without a control, so every difference above may be noise\n".to_owned(),
                false => "noise: none known\n".to_owned(),
            };
        }
        let mut table =
            Table::new(&[">control", ">candidate", ">of pairs", "basis", "route", "place", "kind", "transition"]);
        for row in self.noise.iter().take(MOST) {
            table.row([
                count(row.control_differing),
                count(row.candidate_differing),
                count(row.pairs),
                row.basis.clone(),
                row.route.clone(),
                row.place.clone(),
                effects::kind(&row.place, &row.kind).to_owned(),
                row.transition.clone(),
            ]);
        }
        let more = self.noise.len().saturating_sub(MOST);
        let more = if more > 0 { format!("and {} more\n", count(more as u64)) } else { String::new() };
        format!(
            "noise: {} (two copies of the live build differ here too)\n{}{more}",
            count(self.noise.len() as u64),
            table.render()
        )
    }

    /// Expected changes, and rules that were of no use.
    fn expected(&self) -> String {
        let mut text = String::new();
        if !self.expected_changes.is_empty() {
            let mut table = Table::new(&[">exchanges", "expected change"]);
            for change in &self.expected_changes {
                table.row([count(change.exchanges), change.name.clone()]);
            }
            text.push_str(&table.render());
        }
        for rule in self.unused_rules.iter().take(MOST) {
            text.push_str(&format!("warning: a rule decided nothing so far: {rule}\n"));
        }
        text
    }

    fn agreements(&self) -> String {
        if self.agreement.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["route", "class", ">classified", ">agreement", ">scored", ">mean difference"]);
        for of in &self.agreement {
            table.row([
                of.route.clone(),
                if of.class.is_empty() { "-".to_owned() } else { of.class.clone() },
                count(of.classified),
                percent(of.agreeing, of.classified),
                count(of.scored),
                of.mean_absolute_score_difference.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.4}")),
            ]);
        }
        format!("agreement by the primary's class, and the mean absolute difference of scores\n{}", table.render())
    }

    fn latencies(&self) -> String {
        if self.latency.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&[
            "route",
            ">pairs",
            ">primary p50",
            ">p90",
            ">p99",
            ">candidate p50",
            ">p90",
            ">p99",
            ">difference p50",
            ">p99",
            "",
        ]);
        for l in &self.latency {
            table.row([
                l.route.clone(),
                count(l.pairs),
                millis(l.primary_p50_ms),
                millis(l.primary_p90_ms),
                millis(l.primary_p99_ms),
                millis(l.candidate_p50_ms),
                millis(l.candidate_p90_ms),
                millis(l.candidate_p99_ms),
                millis(l.difference_p50_ms),
                millis(l.difference_p99_ms),
                if l.is_slower() { "SLOWER" } else { "" }.to_owned(),
            ]);
        }
        format!(
            "latency of pairs (SLOWER: the median or the fastest tenth by {SLOWER_MS:.0} ms or more, and {SLOWER_FACTOR:.0} times \
             the primary's)\n{}",
            table.render()
        )
    }

    /// Statuses and failures; routes on which both sides only ever answered with the same classes equally often are left out.
    fn answers(&self) -> String {
        let mut by_route: BTreeMap<&str, BTreeMap<&str, [u64; 2]>> = BTreeMap::new();
        for error in &self.errors {
            let classes = by_route.entry(error.route.as_str()).or_default();
            classes.entry(error.class.as_str()).or_default()[usize::from(error.side != "primary")] += error.exchanges;
        }
        by_route.retain(|_, classes| classes.values().any(|[primary, candidate]| primary != candidate));
        if by_route.is_empty() {
            return "answers: both sides gave the same status classes everywhere\n".to_owned();
        }
        let mut table = Table::new(&["route", "class", ">primary", ">candidate"]);
        for (route, classes) in &by_route {
            for (class, [primary, candidate]) in classes {
                table.row([(*route).to_owned(), (*class).to_owned(), count(*primary), count(*candidate)]);
            }
        }
        let all: BTreeSet<&str> = self.errors.iter().map(|error| error.route.as_str()).collect();
        format!("answers that differ in class ({} of {} routes)\n{}", by_route.len(), all.len(), table.render())
    }
}
