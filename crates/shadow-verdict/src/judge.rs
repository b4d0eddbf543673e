//! Puts evidence against gates.
//!
//! A gate passes when its interval, at the gates' confidence, lies wholly on the right side of the limit; it fails when a wider
//! interval, at that gate's part of the shared risk ([`Spending`](crate::Spending)), lies wholly on the wrong side; otherwise
//! the evidence is insufficient. The launch fails if any gate fails, and passes only if every required one passes.

mod latency;
mod measures;
mod needed;
mod rates;
#[cfg(test)]
mod tests;
mod words;

use serde::Serialize;

use crate::evidence::{Evidence, ScopeEvidence};
use crate::gates::{Gate, Gates, ScopeGates};
use crate::interval::Interval;

pub use measures::Measure;
pub use needed::Needed;

use words::{count, percent, plural};

/// What is said about a launch, or by a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// What is asked for is shown.
    Pass,
    /// It is shown to be violated.
    Fail,
    /// Neither is shown yet.
    Insufficient,
    /// Requests are unaccounted for, so nothing is shown; of a launch only.
    Unbalanced,
}

impl Decision {
    /// As commands and pages write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Insufficient => "insufficient",
            Self::Unbalanced => "unbalanced",
        }
    }
}

/// What a value is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Parts of one.
    Share,
    /// Times the reference.
    Factor,
    /// Milliseconds.
    Milliseconds,
}

impl Unit {
    /// A value as people read it: `99.93 %`, `1.2 times`, `17.3 ms`; an infinite one as `any`.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => "any".to_owned(),
            Self::Share => percent(value),
            Self::Factor => format!("{} times", words::number(value)),
            Self::Milliseconds => format!("{} ms", words::number(value)),
        }
    }
}

/// The limit of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// The value may not be below.
    AtLeast(f64),
    /// The value may not be above.
    AtMost(f64),
}

/// What one gate says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateResult {
    /// The route; `None` for all together.
    pub route: Option<String>,
    /// The gate, as the gates file calls it.
    pub gate: &'static str,
    /// Whether what it asks for is shown.
    pub decision: Decision,
    /// Whether a pass of the launch needs this one.
    pub required: bool,
    /// Its limit.
    pub asked: Asked,
    /// What limit, estimate and interval are counted in.
    pub unit: Unit,
    /// The observed value.
    pub estimate: Option<f64>,
    /// Plausible values at the gates' confidence, at any time.
    pub interval: Interval,
    /// How many requests it rests on.
    pub sample: u64,
    /// How many more it needs.
    pub needed: Needed,
    /// All of this in one sentence.
    pub reason: String,
}

/// A route that lacks evidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lacking {
    /// The route.
    pub route: String,
    /// Requests that were sent to the candidate.
    pub sent: u64,
    /// Their share of all that were sent.
    pub share: f64,
    /// Whether it holds up a pass.
    pub required: bool,
}

/// What is said about a launch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// In one word.
    pub decision: Decision,
    /// In one sentence.
    pub reason: String,
    /// Of a pass, and that no gate at all fails falsely.
    pub confidence: f64,
    /// Every gate: the launch's, then each route's in the order in which they appeared.
    pub gates: Vec<GateResult>,
    /// Routes on which some gate can neither pass nor fail yet.
    pub lacking: Vec<Lacking>,
    /// What is measured besides, whether asked for or not.
    pub measures: Vec<Measure>,
}

/// What a gate is judged on.
struct Case<'a> {
    evidence: &'a ScopeEvidence,
    /// Risk of a false pass.
    pass: f64,
    /// Risk of a false fail.
    fail: f64,
    confidence: f64,
}

/// What came of it, without where and whether required.
struct Finding {
    decision: Decision,
    asked: Asked,
    unit: Unit,
    estimate: Option<f64>,
    interval: Interval,
    sample: u64,
    needed: Needed,
    reason: String,
}

/// Judges a launch.
#[must_use]
pub fn judge(gates: &Gates, evidence: &Evidence) -> Verdict {
    let (spending, pass) = (gates.spending(), gates.alpha());
    let launch = Case {
        evidence: &evidence.launch,
        pass,
        fail: spending.launch(gates.launch.count()),
        confidence: gates.confidence,
    };
    let mut results = results(&launch, &gates.launch, evidence, None, true);
    let mut lacking = Vec::new();
    let whole = evidence.launch.sent.max(1) as f64;
    let unseen = gates.demanded().filter(|name| evidence.routes.iter().all(|(route, _)| route != name));
    let nothing = ScopeEvidence::default();
    let routes = evidence.routes.iter().map(|(route, evidence)| (route.as_str(), evidence));
    for (order, (route, of_route)) in routes.chain(unseen.map(|route| (route, &nothing))).enumerate() {
        let asked = gates.route(route);
        let share = of_route.sent as f64 / whole;
        let required = gates.requires(route, share);
        let fail = spending.route(order, asked.count());
        let case = Case { evidence: of_route, pass, fail, confidence: gates.confidence };
        let of_route_results = self::results(&case, asked, evidence, Some(route), required);
        if of_route_results.iter().any(|result| result.decision == Decision::Insufficient) {
            lacking.push(Lacking { route: route.to_owned(), sent: of_route.sent, share, required });
        }
        results.extend(of_route_results);
    }
    let decision = decide(evidence.balanced, &results);
    Verdict {
        decision,
        reason: reason(decision, evidence, &results, &lacking),
        confidence: gates.confidence,
        measures: measures::measures(evidence, pass),
        gates: results,
        lacking,
    }
}

fn results(
    case: &Case<'_>,
    asked: &ScopeGates,
    evidence: &Evidence,
    route: Option<&str>,
    required: bool,
) -> Vec<GateResult> {
    let result = |gate: Gate| {
        let Finding { decision, asked, unit, estimate, interval, sample, needed, reason } = find(gate, case, evidence);
        let (route, gate) = (route.map(str::to_owned), gate.name());
        GateResult { route, gate, decision, required, asked, unit, estimate, interval, sample, needed, reason }
    };
    asked.list().map(result).collect()
}

fn find(gate: Gate, case: &Case<'_>, evidence: &Evidence) -> Finding {
    match gate {
        Gate::MatchRate(least) => rates::match_rate(case, least),
        Gate::ErrorRate(asked) => rates::error_rate(case, asked),
        Gate::Latency(asked) => latency::latency(case, asked),
        Gate::Availability(least) => rates::availability(case, least),
        Gate::Coverage(least) => rates::coverage(case.evidence.compared, evidence.captured, least),
        Gate::ClassAgreement(least) => rates::class_agreement(case, least),
        Gate::ScoreDifference(most) => rates::score_difference(case, most),
    }
}

fn decide(balanced: Option<bool>, results: &[GateResult]) -> Decision {
    let mut required = results.iter().filter(|result| result.required).peekable();
    if balanced == Some(false) {
        Decision::Unbalanced
    } else if results.iter().any(|result| result.decision == Decision::Fail) {
        Decision::Fail
    } else if balanced.is_none() || required.peek().is_none() || !required.all(|r| r.decision == Decision::Pass) {
        Decision::Insufficient
    } else {
        Decision::Pass
    }
}

/// Gates named in the sentence on a launch; the others are counted.
const NAMED: usize = 3;

fn reason(decision: Decision, evidence: &Evidence, results: &[GateResult], lacking: &[Lacking]) -> String {
    let required = results.iter().filter(|result| result.required).count();
    match decision {
        Decision::Unbalanced => {
            "The ledger does not balance: some captured request is unaccounted for or counted twice, so nothing is shown."
                .to_owned()
        }
        Decision::Fail => {
            let failing: Vec<&GateResult> = results.iter().filter(|r| r.decision == Decision::Fail).collect();
            let verb = if failing.len() == 1 { "fails" } else { "fail" };
            format!("{} of {} {verb}: {}.", failing.len(), plural(results.len(), "gate"), names(&failing))
        }
        Decision::Pass => {
            let optional: Vec<&Lacking> = lacking.iter().filter(|route| !route.required).collect();
            let all = format!("All {} pass", plural(required, "required gate"));
            if optional.is_empty() {
                return format!("{all}.");
            }
            let share: f64 = optional.iter().map(|route| route.share).sum();
            let routes = plural(optional.len(), "route");
            format!("{all}; {routes} with {} of the traffic could not be judged.", percent(share))
        }
        Decision::Insufficient if evidence.captured == 0 || evidence.balanced.is_none() => {
            "Nothing of this launch was accounted for yet.".to_owned()
        }
        Decision::Insufficient if required == 0 => "No gate is asked for, so nothing can be shown.".to_owned(),
        Decision::Insufficient => {
            let open = |r: &&GateResult| r.required && r.decision == Decision::Insufficient;
            let open: Vec<&GateResult> = results.iter().filter(open).collect();
            let verb = if open.len() == 1 { "lacks" } else { "lack" };
            let more = match Needed::of_all(open.iter().map(|result| result.needed)) {
                Needed::About(more) => format!("; about {} more comparable requests would decide", count(more)),
                Needed::AtLeast(more) => format!("; at least {} more comparable requests are needed", count(more)),
                Needed::Nothing | Needed::Unknown => String::new(),
            };
            let all = plural(required, "required gate");
            format!("{} of {all} {verb} evidence: {}{more}.", open.len(), names(&open))
        }
    }
}

fn names(results: &[&GateResult]) -> String {
    let name = |result: &&GateResult| match &result.route {
        Some(route) => format!("{} of {route}", result.gate),
        None => format!("{} of the launch", result.gate),
    };
    let mut names: Vec<String> = results.iter().take(NAMED).map(name).collect();
    if results.len() > NAMED {
        names.push(format!("{} more", results.len() - NAMED));
    }
    names.join(", ")
}
