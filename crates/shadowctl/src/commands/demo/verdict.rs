//! Whether a rehearsal of the shop found what was seeded, no less and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use capture_agent::Account;
use serde::Serialize;
use shadow_devstack::KafkaKind;
use shadow_record::LaunchName;
use shadow_shop::{Fault, LoadReport, Partners, Seeded};

use super::world::World;
use crate::commands::devstack;
use crate::commands::report::{Latency, Report};
use crate::failure::Failure;
use crate::sql::Sql;
use crate::table::Table;
use crate::words::count;

/// A load that is later than this is measured by its own queue.
const BUSY: Duration = Duration::from_millis(250);

/// One finding: a difference, or a slower route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Finding {
    route: String,
    place: String,
    kind: String,
    transition: String,
}

impl Finding {
    fn slow(route: &str) -> Self {
        let [place, kind, transition] = ["latency", "slower", ""].map(str::to_owned);
        Self { route: route.to_owned(), place, kind, transition }
    }
}

/// What was seeded against what was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    as_expected: bool,
    regressions: Vec<Regression>,
    /// Exchanges that differ in nothing but what a second copy of the live build differs in too.
    noise: u64,
    /// Found, but not seeded.
    unexpected: Vec<Finding>,
    partners: Asked,
}

/// What the partners were asked.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Asked {
    charges: u64,
    mails: u64,
    /// How many of them by the candidate or the control, which must reach nobody.
    by_shadow: u64,
}

impl Asked {
    pub(super) fn of(partners: &Partners) -> Self {
        Self { charges: partners.charges(), mails: partners.mails(), by_shadow: partners.replayed() }
    }
}

/// One seeded regression and how it showed.
#[derive(Clone, Debug, Serialize)]
struct Regression {
    name: &'static str,
    route: &'static str,
    why: &'static str,
    /// Exchanges on which its first sign showed; pairs of the route for a slow one.
    exchanges: u64,
    missing: Vec<Finding>,
}

impl Outcome {
    /// `latency` is the candidate's beside the control's, which was asked at the same moment: whatever else keeps the machine
    /// busy slows both.
    pub(super) fn of(seeded: &[Seeded], report: &Report, latency: &[Latency], partners: Asked) -> Self {
        let found = findings(report, latency);
        let mut unexpected: BTreeSet<&Finding> = found.keys().collect();
        let mut regressions = Vec::new();
        for seeded in seeded {
            let signs = signs(seeded);
            for sign in &signs {
                unexpected.remove(sign);
            }
            regressions.push(Regression {
                name: seeded.name,
                route: seeded.route,
                why: seeded.why,
                exchanges: signs.first().and_then(|sign| found.get(sign)).copied().unwrap_or(0),
                missing: signs.into_iter().filter(|sign| !found.contains_key(sign)).collect(),
            });
        }
        let unexpected: Vec<Finding> = unexpected.into_iter().cloned().collect();
        let complete = regressions.iter().all(|regression| regression.missing.is_empty());
        let as_expected = complete && unexpected.is_empty() && report.ledger.balanced == 1 && partners.by_shadow == 0;
        let noise = report.match_rate.iter().map(|route| route.noise).sum();
        Self { as_expected, regressions, noise, unexpected, partners }
    }

    pub(super) fn render(&self) -> String {
        let mut table = Table::new(&["seeded regression", "route", ">exchanges", "found", "what it is"]);
        for regression in &self.regressions {
            table.row([
                regression.name.to_owned(),
                regression.route.to_owned(),
                count(regression.exchanges),
                if regression.missing.is_empty() { "yes" } else { "NO" }.to_owned(),
                regression.why.to_owned(),
            ]);
        }
        let mut text = if self.regressions.is_empty() { String::new() } else { table.render() };
        let missing = self.regressions.iter().flat_map(|regression| &regression.missing);
        for (word, finding) in missing.map(|f| ("MISSING", f)).chain(self.unexpected.iter().map(|f| ("UNEXPECTED", f)))
        {
            let Finding { route, place, kind, transition } = finding;
            text.push_str(&format!("{word}: {route}  {place}  {kind}  {transition}\n"));
        }
        let Asked { charges, mails, by_shadow } = self.partners;
        let by_shadow = if by_shadow == 0 { "none".to_owned() } else { format!("{} OF THEM", count(by_shadow)) };
        text.push_str(&format!(
            "the partners were asked for {} charges and {} mails, {by_shadow} by the shadow\n",
            count(charges),
            count(mails)
        ));
        match self.regressions.len() {
            _ if !self.as_expected => {}
            0 => text.push_str("nothing was seeded and nothing was found\n"),
            seeded => text.push_str(&format!("found exactly the {seeded} seeded regressions\n")),
        }
        if self.noise > 0 {
            text.push_str(&format!("{} exchanges differ only in noise\n", count(self.noise)));
        }
        text
    }

    /// The exit code's word; `lag` is how late the latest request of the load was sent.
    ///
    /// # Errors
    /// When something is missing or was not seeded.
    pub(super) fn verdict(&self, lag: Duration) -> Result<(), Failure> {
        if self.as_expected {
            return Ok(());
        }
        let remedy = if lag > BUSY {
            let lag = crate::words::duration(lag);
            format!("this machine is too busy to measure at this rate (requests left {lag} late): try --rate 100")
        } else {
            "the table above tells what is missing or was not seeded; fewer than 2,000 requests may not meet every one"
                .to_owned()
        };
        Err(Failure::negative("what was found is not exactly what was seeded", remedy))
    }
}

/// Everything the report holds against the candidate, with how often.
fn findings(report: &Report, latency: &[Latency]) -> BTreeMap<Finding, u64> {
    let differences = report.signatures.iter().map(|s| {
        let [route, place, kind, transition] = [&s.route, &s.place, &s.kind, &s.transition].map(Clone::clone);
        (Finding { route, place, kind, transition }, s.exchanges)
    });
    let slower = latency.iter().filter(|latency| latency.is_slower());
    differences.chain(slower.map(|latency| (Finding::slow(&latency.route), latency.pairs))).collect()
}

/// Latency of the candidate and, in the place of the primary, of the control.
///
/// # Errors
/// When ClickHouse does not answer.
pub(super) async fn against_control(sql: &Sql, launch: &LaunchName) -> Result<Vec<Latency>, Failure> {
    const QUERY: &str = "SELECT route, pairs, control_p10_ms AS primary_p10_ms, control_p50_ms AS primary_p50_ms, \
         control_p90_ms AS primary_p90_ms, control_p99_ms AS primary_p99_ms, candidate_p10_ms, candidate_p50_ms, \
         candidate_p90_ms, candidate_p99_ms, difference_p50_ms, difference_p90_ms, difference_p99_ms \
         FROM control_latency WHERE launch = {launch:String}";
    sql.rows(QUERY, &[("launch", launch.as_str())]).await
}

/// How a seeded regression must show.
fn signs(seeded: &Seeded) -> Vec<Finding> {
    if matches!(seeded.fault, Fault::Slow { .. }) {
        return vec![Finding::slow(seeded.route)];
    }
    let sign = |difference: &shadow_shop::SeededDifference| Finding {
        route: seeded.route.to_owned(),
        place: difference.place.to_owned(),
        kind: difference.kind.to_owned(),
        transition: difference.transition.to_owned(),
    };
    seeded.differences.iter().map(sign).collect()
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
pub(super) struct Written<'a> {
    as_expected: bool,
    broker: &'static str,
    load: WrittenLoad,
    /// The agent's account.
    agent: BTreeMap<String, i64>,
    outcome: &'a Outcome,
    report: &'a Report,
}

#[derive(Debug, Serialize)]
struct WrittenLoad {
    sent: u64,
    succeeded: u64,
    failed: u64,
    elapsed_ms: f64,
    max_lag_ms: f64,
}

impl<'a> Written<'a> {
    pub(super) fn of(
        world: &World,
        load: &LoadReport,
        account: &Account,
        outcome: &'a Outcome,
        report: &'a Report,
    ) -> Self {
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let LoadReport { sent, succeeded, failed, .. } = *load;
        Self {
            as_expected: outcome.as_expected,
            broker: broker(world.kind),
            load: WrittenLoad { sent, succeeded, failed, elapsed_ms: ms(load.elapsed), max_lag_ms: ms(load.max_lag) },
            agent: account.counters(),
            outcome,
            report,
        }
    }
}

fn broker(kind: KafkaKind) -> &'static str {
    devstack::kind(kind)
}

#[cfg(test)]
mod tests;
