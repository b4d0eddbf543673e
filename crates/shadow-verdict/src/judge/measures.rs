//! What is measured besides the gates, with intervals at the same confidence: no decision rests on it.

use serde::Serialize;

use super::Unit;
use super::latency::{measure_name, percentile};
use crate::evidence::{Evidence, ScopeEvidence};
use crate::interval::Interval;
use crate::paired::PairedErrors;
use crate::proportion::Proportion;
use crate::quantile::Quantile;

/// One measured value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measure {
    /// The route; `None` for all together.
    pub route: Option<String>,
    /// What was measured: `availability`, `p95_difference_ms`, `candidate_p99_ms`, ...
    pub measure: String,
    /// Of which class of the primary's; for `class_agreement` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// What it is counted in.
    pub unit: Unit,
    /// The observed value.
    pub estimate: Option<f64>,
    /// Plausible values at the gates' confidence, at any time.
    pub interval: Interval,
    /// How many requests it rests on.
    pub sample: u64,
}

pub(super) fn measures(evidence: &Evidence, alpha: f64) -> Vec<Measure> {
    let mut all = Vec::new();
    let share = evidence.launch.compared as f64 / evidence.captured.max(1) as f64;
    all.push(Measure {
        route: None,
        measure: "coverage".to_owned(),
        class: None,
        unit: Unit::Share,
        estimate: (evidence.captured > 0).then_some(share),
        interval: Interval { low: share, high: share },
        sample: evidence.captured,
    });
    scope(&mut all, None, &evidence.launch, alpha);
    for (route, evidence) in &evidence.routes {
        scope(&mut all, Some(route), evidence, alpha);
    }
    all
}

fn scope(all: &mut Vec<Measure>, route: Option<&String>, evidence: &ScopeEvidence, alpha: f64) {
    let mut share = |measure: &str, class: Option<&str>, events: Proportion, sample: u64| {
        let bad = events.interval(alpha);
        all.push(Measure {
            route: route.cloned(),
            measure: measure.to_owned(),
            class: class.map(str::to_owned),
            unit: Unit::Share,
            estimate: events.estimate().map(|rate| 1.0 - rate),
            interval: Interval { low: 1.0 - bad.high, high: 1.0 - bad.low },
            sample,
        });
    };
    share("availability", None, evidence.unanswered(), evidence.sent);
    if let Some(control) = &evidence.control {
        let quiet = evidence.compared.saturating_sub(evidence.noise);
        share("noise_share", None, Proportion::new(evidence.compared, quiet), evidence.compared);
        let answered = control.asked.saturating_sub(control.failed);
        share("control_failed", None, Proportion::new(control.asked, answered), control.asked);
    }
    for class in &evidence.classes {
        let events = Proportion::new(class.pairs, class.pairs.saturating_sub(class.agreeing));
        share("class_agreement", Some(&class.class), events, class.pairs);
    }
    if let Some(control) = &evidence.control {
        let errors = control.errors;
        let to_control = PairedErrors::new(errors.pairs, errors.only_candidate, errors.only_primary);
        for (measure, excess, sample) in [
            ("noise_excess", control.excess(), control.pairs),
            ("error_rate_against_control", to_control, errors.pairs),
        ] {
            all.push(Measure {
                route: route.cloned(),
                measure: measure.to_owned(),
                class: None,
                unit: Unit::Share,
                estimate: excess.estimate(),
                interval: excess.interval(alpha),
                sample,
            });
        }
    }
    if evidence.scores.pairs > 0 {
        let scores = evidence.score_differences();
        all.push(Measure {
            route: route.cloned(),
            measure: "score_difference".to_owned(),
            class: None,
            unit: Unit::Share,
            estimate: scores.estimate(),
            interval: scores.interval(alpha),
            sample: evidence.scores.pairs,
        });
    }
    let Some(latencies) = &evidence.latencies else { return };
    for quantile in [Quantile::P50, Quantile::P95, Quantile::P99] {
        let difference = format!("{}_difference_ms", percentile(quantile));
        for (measure, ranked) in [
            (measure_name(quantile, None), &latencies.candidate),
            (measure_name(quantile, Some(latencies.against)), &latencies.reference),
            (difference, &latencies.difference),
        ] {
            all.push(Measure {
                route: route.cloned(),
                measure,
                class: None,
                unit: Unit::Milliseconds,
                estimate: ranked.estimate(quantile),
                interval: ranked.interval(quantile, alpha),
                sample: ranked.values(),
            });
        }
    }
}
