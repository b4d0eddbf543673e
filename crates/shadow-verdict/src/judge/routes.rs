//! How much of the captured traffic the judged routes hold: routes that were hardly replayed must not vanish behind those that were.

use super::sentences::listed;
use super::words::{count, percent};
use super::{Decision, GateResult, Lacking, Needed, rates};
use crate::evidence::ScopeEvidence;
use crate::gates::Gates;

/// Counts routes as they are judged.
pub(super) struct Judged<'a> {
    gates: &'a Gates,
    /// Captured requests that count: all but those of excepted routes.
    captured: u64,
    judged: u64,
    pub(super) lacking: Vec<Lacking>,
    needed: Vec<Needed>,
    excepted: Vec<String>,
}

impl<'a> Judged<'a> {
    /// `captured`: of all routes, and without a route.
    pub(super) fn new(gates: &'a Gates, captured: u64) -> Self {
        Self { gates, captured, judged: 0, lacking: Vec::new(), needed: Vec::new(), excepted: Vec::new() }
    }

    pub(super) fn route(
        &mut self,
        route: &str,
        evidence: &ScopeEvidence,
        share: f64,
        required: bool,
        results: &[GateResult],
    ) {
        let ScopeEvidence { captured, sent, .. } = *evidence;
        let open = results.iter().filter(|result| result.decision == Decision::Insufficient);
        let needed = Needed::of_all(open.clone().map(|result| result.needed));
        let lacks = open.count() > 0;
        if lacks {
            self.lacking.push(Lacking { route: route.to_owned(), captured, sent, share, required });
        }
        if self.gates.excepts(route) {
            self.captured = self.captured.saturating_sub(captured);
            self.excepted.push(route.to_owned());
        } else if lacks {
            self.needed.push(needed);
        } else {
            self.judged += captured;
        }
    }

    /// Too little of it is no fault of the candidate's, so this never fails.
    pub(super) fn result(&self) -> Option<GateResult> {
        let least = self.gates.judged?;
        let mut finding = rates::exact(self.judged, self.captured, least, "captured requests");
        let share = percent(finding.estimate.unwrap_or(0.0));
        let captured = count(self.captured);
        let mut reason = format!(
            "Routes with {share} of {captured} captured requests could be judged, and {} is asked",
            percent(least)
        );
        if finding.decision != Decision::Pass {
            let mut open: Vec<&Lacking> =
                self.lacking.iter().filter(|route| !self.excepted.contains(&route.route)).collect();
            open.sort_by_key(|route| std::cmp::Reverse(route.captured));
            let named: Vec<String> = open.iter().map(|route| described(route)).collect();
            let named: Vec<&str> = named.iter().map(String::as_str).collect();
            if !named.is_empty() {
                reason.push_str(&format!("; not judged: {}", listed(&named)));
            }
            finding.needed = Needed::of_all(self.needed.iter().copied());
        }
        finding.reason = format!("{reason}.");
        Some(finding.of("judged", None, true))
    }
}

fn described(route: &Lacking) -> String {
    let share = percent(route.share);
    let sent = if route.sent == 0 { ", never sent" } else { "" };
    format!("{} ({share}{sent})", route.route)
}
