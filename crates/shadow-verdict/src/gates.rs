//! What a candidate is asked for. Everything has a default, so that no file at all is a sensible set of gates.
//!
//! ```toml
//! confidence = 0.95          # of a pass, and that no gate at all fails falsely
//!
//! [launch]                   # all routes together
//! match_rate = 0.9995
//! coverage = 0.2
//!
//! [routes]                   # each route by itself
//! p99_ratio = 3.0
//! required_share = 0.01      # routes with less of the traffic do not hold up a pass
//! judged = 0.95              # but the judged ones have to hold so much of it together
//! except = ["POST /pay"]     # and these do not count
//!
//! [[route]]                  # one route
//! route = "GET /search"
//! match_rate = 0.99
//! p50_ratio = "off"
//! required = true
//! ```
//!
//! Unknown keys and impossible limits are refused with their line.

mod parse;
#[cfg(test)]
mod tests;

use crate::quantile::Quantile;
use crate::spending::Spending;

pub use parse::GatesError;

/// Gates on a launch and on its routes.
#[derive(Clone, Debug, PartialEq)]
pub struct Gates {
    pub(crate) confidence: f64,
    pub(crate) launch: ScopeGates,
    pub(crate) routes: ScopeGates,
    pub(crate) overrides: Vec<RouteGates>,
    pub(crate) required_share: f64,
    /// Least share of the captured traffic on routes that could be judged; `None`: not asked for.
    pub(crate) judged: Option<f64>,
    /// Routes that a pass does without.
    pub(crate) except: Vec<String>,
}

/// Gates on one route.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteGates {
    pub(crate) route: String,
    pub(crate) gates: ScopeGates,
    pub(crate) required: Option<bool>,
}

/// Gates on a route, or on all together. `None`: not asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopeGates {
    /// Least share of compared answers without an unexpected difference.
    pub match_rate: Option<f64>,
    /// How far the candidate's rate of errors may be above the primary's.
    pub error_rate: Option<ErrorRate>,
    /// Limits on latency.
    pub latency: Vec<LatencyGate>,
    /// Least share of answers that could be compared in full.
    pub comparable: Option<f64>,
    /// Where there is noise: how much more often than the control the candidate may differ, of all pairs.
    pub noise_excess: Option<f64>,
    /// Least share of requests that the candidate answers in any way.
    pub availability: Option<f64>,
    /// Least share of captured requests that were compared; of the launch only.
    pub coverage: Option<f64>,
    /// Least share of answers with the primary's class.
    pub class_agreement: Option<f64>,
    /// Largest mean absolute difference of scores.
    pub score_difference: Option<f64>,
}

/// Rates of errors, absolute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorRate {
    /// An increase up to this is accepted.
    pub allowed: f64,
    /// A pass needs that any increase beyond `allowed` by more than this is excluded: equal rates can never be shown.
    pub margin: f64,
}

/// One limit on latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatencyGate {
    /// Of what.
    pub quantile: Quantile,
    /// How much.
    pub limit: Limit,
}

/// How slow the candidate may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Its quantile may be so many times the reference's; within `slack_ms` of it in any case.
    Ratio {
        /// Times the reference.
        factor: f64,
        /// Milliseconds above the reference that are always accepted.
        slack_ms: f64,
    },
    /// The quantile of candidate minus reference, request by request, may be so many milliseconds.
    Difference {
        /// Milliseconds.
        ms: f64,
    },
}

/// One gate, as it is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Gate {
    MatchRate(f64),
    ErrorRate(ErrorRate),
    Latency(LatencyGate),
    Comparable(f64),
    NoiseExcess(f64),
    Availability(f64),
    Coverage(f64),
    ClassAgreement(f64),
    ScoreDifference(f64),
}

/// What people replace a service by unless they say otherwise: 99.9 % of answers match, the median is within twice the
/// reference's, errors are no more frequent, and nearly all answers could be compared.
impl Default for ScopeGates {
    fn default() -> Self {
        let median = Limit::Ratio { factor: 2.0, slack_ms: DEFAULT_SLACK_MS };
        Self {
            match_rate: Some(0.999),
            error_rate: Some(ErrorRate { allowed: 0.0, margin: 0.001 }),
            latency: vec![LatencyGate { quantile: Quantile::P50, limit: median }],
            comparable: Some(0.99),
            noise_excess: Some(0.02),
            availability: None,
            coverage: None,
            class_agreement: None,
            score_difference: None,
        }
    }
}

/// What one network hop more or less costs: a ratio of fractions of a millisecond says nothing.
const DEFAULT_SLACK_MS: f64 = 1.0;

/// Imagining larger samples costs a thousand times what judging does.
const FORESEEN_ROUTES: usize = 200;

impl Default for Gates {
    fn default() -> Self {
        Self {
            confidence: 0.95,
            launch: ScopeGates::default(),
            routes: ScopeGates::default(),
            overrides: Vec::new(),
            required_share: 0.01,
            judged: Some(0.95),
            except: Vec::new(),
        }
    }
}

impl Gates {
    /// Reads a gates file.
    ///
    /// # Errors
    /// When it is no TOML, names an unknown key, or asks for the impossible; the error names the line.
    pub fn parse(text: &str) -> Result<Self, GatesError> {
        parse::parse(text)
    }

    /// Probability of a right verdict.
    #[must_use]
    pub fn confidence(&self) -> f64 {
        self.confidence
    }

    /// Gates on all routes together.
    #[must_use]
    pub fn launch(&self) -> &ScopeGates {
        &self.launch
    }

    /// Gates on one route.
    #[must_use]
    pub fn route(&self, route: &str) -> &ScopeGates {
        self.named(route).map_or(&self.routes, |named| &named.gates)
    }

    /// Routes that the file names and demands, whether they were seen or not.
    pub fn demanded(&self) -> impl Iterator<Item = &str> {
        self.overrides.iter().filter(|named| named.required == Some(true)).map(|named| named.route.as_str())
    }

    /// Routes that have gates of their own.
    pub(crate) fn named_routes(&self) -> impl Iterator<Item = &str> {
        self.overrides.iter().map(|named| named.route.as_str())
    }

    /// Whether a pass needs this route, which had `share` of the captured traffic.
    pub(crate) fn requires(&self, route: &str, share: f64) -> bool {
        let own = self.named(route).and_then(|named| named.required);
        own.unwrap_or(share >= self.required_share && !self.excepts(route))
    }

    /// Whether a pass does without this route, however much of the traffic it has.
    pub(crate) fn excepts(&self, route: &str) -> bool {
        match self.named(route).and_then(|named| named.required) {
            Some(required) => !required,
            None => self.except.iter().any(|except| except == route),
        }
    }

    /// Whether it is told how much more evidence a route needs: with very many routes, only of those that a pass needs.
    pub(crate) fn foresees(&self, routes: usize, required: bool) -> bool {
        required || routes <= FORESEEN_ROUTES
    }

    pub(crate) fn alpha(&self) -> f64 {
        1.0 - self.confidence
    }

    pub(crate) fn spending(&self) -> Spending {
        Spending::new(self.alpha())
    }

    fn named(&self, route: &str) -> Option<&RouteGates> {
        self.overrides.iter().find(|named| named.route == route)
    }
}

impl ScopeGates {
    /// How many gates can fail.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list().filter(Gate::can_fail).count()
    }

    /// In the order in which they are shown.
    pub(crate) fn list(&self) -> impl Iterator<Item = Gate> {
        let latency = self.latency.iter().copied().map(Gate::Latency);
        let first = self.match_rate.map(Gate::MatchRate).into_iter().chain(self.error_rate.map(Gate::ErrorRate));
        first
            .chain(latency)
            .chain(self.comparable.map(Gate::Comparable))
            .chain(self.noise_excess.map(Gate::NoiseExcess))
            .chain(self.availability.map(Gate::Availability))
            .chain(self.coverage.map(Gate::Coverage))
            .chain(self.class_agreement.map(Gate::ClassAgreement))
            .chain(self.score_difference.map(Gate::ScoreDifference))
    }
}

impl Gate {
    /// What is no fault of the candidate's only holds up a pass.
    fn can_fail(&self) -> bool {
        !matches!(self, Self::Coverage(_) | Self::Comparable(_) | Self::NoiseExcess(_))
    }

    /// As the gates file calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::MatchRate(_) => "match_rate",
            Self::ErrorRate(_) => "error_rate",
            Self::Latency(gate) => gate.name(),
            Self::Comparable(_) => "comparable",
            Self::NoiseExcess(_) => "noise_excess",
            Self::Availability(_) => "availability",
            Self::Coverage(_) => "coverage",
            Self::ClassAgreement(_) => "class_agreement",
            Self::ScoreDifference(_) => "score_difference",
        }
    }
}

impl LatencyGate {
    pub(crate) fn name(&self) -> &'static str {
        match (self.limit, (self.quantile.level() * 100.0).round() as u8) {
            (Limit::Ratio { .. }, 50) => "p50_ratio",
            (Limit::Ratio { .. }, 95) => "p95_ratio",
            (Limit::Ratio { .. }, _) => "p99_ratio",
            (Limit::Difference { .. }, 50) => "p50_difference_ms",
            (Limit::Difference { .. }, 95) => "p95_difference_ms",
            (Limit::Difference { .. }, _) => "p99_difference_ms",
        }
    }
}
