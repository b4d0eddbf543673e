//! Puts evidence against gates.
//!
//! A gate passes when its interval, at the gates' confidence, lies wholly on the right side of the limit; it fails when a wider
//! interval, at that gate's part of the shared risk ([`Spending`](crate::Spending)), lies wholly on the wrong side; otherwise
//! the evidence is insufficient. The launch fails if any gate fails, and passes only if every required one passes and nothing
//! else speaks against it (`sentences`).

mod latency;
mod matches;
mod measures;
mod models;
mod needed;
mod rates;
mod routes;
mod sentences;
#[cfg(test)]
mod tests;
mod words;

use serde::Serialize;

use crate::evidence::{Evidence, ScopeEvidence};
use crate::gates::{Gate, Gates, ScopeGates};
use crate::interval::Interval;

pub use measures::Measure;
pub use needed::Needed;

use words::percent;

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
    /// Requests that were captured.
    pub captured: u64,
    /// Of those, the ones that were sent to the candidate.
    pub sent: u64,
    /// Share of all that was captured one by one.
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
    /// What else has to be known of this verdict, in sentences.
    pub notes: Vec<String>,
    /// Every gate: the launch's, then each route's.
    pub gates: Vec<GateResult>,
    /// Routes on which some gate can neither pass nor fail yet.
    pub lacking: Vec<Lacking>,
    /// What is measured besides, whether asked for or not.
    pub measures: Vec<Measure>,
}

/// What a gate is judged on.
#[derive(Clone, Copy)]
struct Case<'a> {
    evidence: &'a ScopeEvidence,
    /// Risk of a false pass.
    pass: f64,
    /// Risk of a false fail.
    fail: f64,
    confidence: f64,
    /// Whether to tell how much more is needed.
    foresee: bool,
}

impl Case<'_> {
    /// What an open gate needs; `grown` decides on a sample so many times as large, `clean` on so many good requests alone.
    fn needed(
        &self,
        decision: Decision,
        sample: u64,
        grown: impl Fn(f64) -> Decision,
        clean: impl Fn(u64) -> Decision,
    ) -> Needed {
        match (decision, sample) {
            (Decision::Insufficient, _) if !self.foresee => Needed::NotForeseen,
            (Decision::Insufficient, 0) => Needed::from_nothing(|requests| clean(requests) != Decision::Insufficient),
            (Decision::Insufficient, _) => Needed::after(sample, |factor| grown(factor) != Decision::Insufficient),
            _ => Needed::Nothing,
        }
    }
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
    let (spending, pass, confidence) = (gates.spending(), gates.alpha(), gates.confidence);
    let whole = provable(evidence, pass);
    let fail = spending.launch(gates.launch.count());
    let launch = Case { evidence: &whole, pass, fail, confidence, foresee: true };
    let mut results = results(&launch, &gates.launch, evidence.captured, None, true);
    let mut of_routes = Vec::new();
    let mut judged = routes::Judged::new(gates, evidence.launch.captured);
    let seen = evidence.routes.len();
    let unseen: Vec<&str> =
        gates.named_routes().filter(|name| evidence.routes.iter().all(|(route, _)| route != name)).collect();
    let nothing = ScopeEvidence::default();
    let demanded = gates.demanded().filter(|name| unseen.contains(name)).map(|name| (name, &nothing));
    for (route, of_route) in evidence.routes.iter().map(|(route, of)| (route.as_str(), of)).chain(demanded) {
        let asked = gates.route(route);
        let share = of_route.captured as f64 / evidence.launch.captured.max(1) as f64;
        let required = gates.requires(route, share);
        let fail = spending.route(seen, asked.count());
        let case = Case { evidence: of_route, pass, fail, confidence, foresee: gates.foresees(seen, required) };
        let found = self::results(&case, asked, evidence.captured, Some(route), required);
        judged.route(route, of_route, share, required, &found);
        of_routes.extend(found);
    }
    results.extend(judged.result());
    results.extend(of_routes);
    let lacking = judged.lacking;
    let hindrance = sentences::hindrance(evidence);
    let decision = decide(evidence.balanced, &results, hindrance.is_some());
    Verdict {
        decision,
        reason: sentences::reason(decision, evidence, &results, &lacking, hindrance),
        confidence,
        notes: sentences::notes(gates, evidence, &unseen),
        measures: measures::measures(evidence, pass),
        gates: results,
        lacking,
    }
}

/// The launch as a whole, without what routes whose control is no measure would prove.
fn provable(evidence: &Evidence, pass: f64) -> ScopeEvidence {
    let mut whole = evidence.launch.clone();
    for (_, route) in evidence.routes.iter().filter(|(_, route)| route.control_deviates(pass)) {
        whole.without_proof_of(route);
    }
    whole
}

fn results(case: &Case<'_>, asked: &ScopeGates, captured: u64, route: Option<&str>, required: bool) -> Vec<GateResult> {
    let result = |gate: &'static str, finding: Finding| finding.of(gate, route, required);
    let own = asked.list().filter_map(|gate| Some(result(gate.name(), find(gate, case, captured)?)));
    let control = case.evidence.control.filter(|control| asked.match_rate.is_some() && control.deviates(case.pass));
    own.chain(control.map(|control| result("control", matches::deviating(case, &control)))).collect()
}

impl Finding {
    fn of(self, gate: &'static str, route: Option<&str>, required: bool) -> GateResult {
        let Self { decision, asked, unit, estimate, interval, sample, needed, reason } = self;
        let route = route.map(str::to_owned);
        GateResult { route, gate, decision, required, asked, unit, estimate, interval, sample, needed, reason }
    }
}

/// `None`: the gate is about something that this scope does not have.
fn find(gate: Gate, case: &Case<'_>, captured: u64) -> Option<Finding> {
    Some(match gate {
        Gate::MatchRate(least) => matches::match_rate(case, least),
        Gate::ErrorRate(asked) => rates::error_rate(case, asked),
        Gate::Latency(asked) => latency::latency(case, asked),
        Gate::Comparable(least) => rates::comparable(case, least),
        Gate::NoiseExcess(most) => {
            let control = case.evidence.control.filter(|control| !control.deviates(case.pass));
            matches::noise_excess(case, &control.filter(|_| case.evidence.noise > 0)?, most)
        }
        Gate::Availability(least) => rates::availability(case, least),
        Gate::Coverage(least) => rates::coverage(case.evidence.compared, captured, least),
        Gate::ClassAgreement(least) => models::class_agreement(case, least),
        Gate::ScoreDifference(most) => models::score_difference(case, most),
    })
}

fn decide(balanced: Option<bool>, results: &[GateResult], hindered: bool) -> Decision {
    let mut required = results.iter().filter(|result| result.required).peekable();
    if balanced == Some(false) {
        return Decision::Unbalanced;
    }
    if results.iter().any(|result| result.decision == Decision::Fail) {
        return Decision::Fail;
    }
    let asked = balanced.is_some() && required.peek().is_some();
    let shown = asked && required.all(|result| result.decision == Decision::Pass);
    if shown && !hindered { Decision::Pass } else { Decision::Insufficient }
}
