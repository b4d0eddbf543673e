//! The report for people: the account first, for nothing below it counts unless it balances.

use std::collections::{BTreeMap, BTreeSet};

use super::{Latency, Report, SLOWER_FACTOR, SLOWER_MS};
use crate::table::Table;
use crate::words::{count, millis, percent, share};

/// Longest excerpt of an example, in characters.
const EXCERPT: usize = 32;

impl Report {
    /// The report as text.
    pub(crate) fn render(&self) -> String {
        let sections = [self.account(), self.match_rates(), self.signatures(), self.latencies(), self.answers()];
        sections.join("\n")
    }

    fn account(&self) -> String {
        let (launch, ledger) = (&self.launch, &self.ledger);
        let mut text = format!(
            "launch {} of {}: {} ({}, sample {})\n",
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
        let mut table = Table::new(&["route", ">completed", ">compared", ">differing", ">match rate"]);
        for rate in &self.match_rate {
            table.row([
                rate.route.clone(),
                count(rate.completed),
                count(rate.compared),
                count(rate.differing),
                percent(rate.compared - rate.differing, rate.compared),
            ]);
        }
        format!("match rate {} of {} compared\n{}", percent(equal, compared), count(compared), table.render())
    }

    fn signatures(&self) -> String {
        if self.signatures_total == 0 {
            return "signatures: no differences\n".to_owned();
        }
        let mut table = Table::new(&[">exchanges", "route", "place", "kind", "transition", "primary", "candidate"]);
        for s in &self.signatures {
            table.row([
                count(s.exchanges),
                s.route.clone(),
                s.place.clone(),
                s.kind.clone(),
                s.transition.clone(),
                excerpt(&s.example_primary),
                excerpt(&s.example_candidate),
            ]);
        }
        let shown = self.signatures.len() as u64;
        let head = match self.signatures_total {
            total if total > shown => format!("signatures: {} of {}, most frequent first", count(shown), count(total)),
            total => format!("signatures: {}", count(total)),
        };
        format!("{head}\n{}", table.render())
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

/// The beginning of an example; a dash where the side has nothing.
fn excerpt(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let mut shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT).collect();
    if text.chars().count() > EXCERPT {
        shown.push('…');
    }
    shown
}
