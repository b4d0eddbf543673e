//! Reading a gates file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{DEFAULT_SLACK_MS, ErrorRate, Gates, LatencyGate, Limit, RouteGates, ScopeGates};
use crate::quantile::Quantile;

/// Gates that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("gates, line {line}: {problem}")]
pub struct GatesError {
    /// Line of the text, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

/// More of them are a mistake, and would make every look slow.
const MAX_ROUTES: usize = 1_000;

/// What a number may be.
#[derive(Clone, Copy)]
struct Range {
    low: f64,
    /// Excluded.
    high: f64,
    /// Whether `low` is excluded too.
    open: bool,
    words: &'static str,
}

const SHARE: Range = Range { low: 0.0, high: 1.0, open: true, words: "a share between 0 and 1, both excluded" };
const RATE: Range = Range { low: 0.0, high: 1.0, open: false, words: "a share from 0 to below 1" };
const MS: Range = Range { low: 0.0, high: 1e9, open: false, words: "milliseconds from 0 up" };
const FACTOR: Range = Range { low: 0.0, high: 1e6, open: true, words: "a factor above 0" };
const CONFIDENCE: Range = Range { low: 0.5, high: 1.0, open: true, words: "a probability above 0.5 and below 1" };

const KEYS: &str = "match_rate, error_rate, error_rate_margin, p50_ratio, p95_ratio, p99_ratio, p50_difference_ms, \
                    p95_difference_ms, p99_difference_ms, latency_slack_ms, comparable, noise_excess, availability, \
                    class_agreement, score_difference";

type Value<'a> = Spanned<DeValue<'a>>;

pub(super) fn parse(text: &str) -> Result<Gates, GatesError> {
    let lines = Lines(text);
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        lines.error(at, error.message().to_owned())
    })?;
    let table = table.get_ref();
    let mut gates = Gates::default();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "confidence" => gates.confidence = lines.number(value, CONFIDENCE)?,
            "launch" => gates.launch = launch(&lines, lines.table(value)?)?,
            "routes" => {
                let table = lines.table(value)?;
                gates.routes = scope(&lines, table, ScopeGates::default(), &["required_share", "judged", "except"])?;
                if let Some(share) = table.get("required_share") {
                    gates.required_share = lines.number(share, RATE)?;
                }
                if let Some(share) = table.get("judged") {
                    gates.judged = lines.setting(share, SHARE)?;
                }
                if let Some(routes) = table.get("except") {
                    gates.except = lines.texts(routes)?;
                }
            }
            // After the gates of all routes are known.
            "route" => {}
            other => {
                let known = "confidence, [launch], [routes] and [[route]]";
                return Err(lines.error(key.span().start, format!("unknown key {other:?}; there are {known}")));
            }
        }
    }
    if let Some(named) = table.get("route") {
        let DeValue::Array(named) = named.get_ref() else {
            return Err(lines.error(named.span().start, "gates on one route are written [[route]]".to_owned()));
        };
        for value in named {
            let own = route(&lines, value, &gates)?;
            gates.overrides.push(own);
        }
    }
    Ok(gates)
}

fn launch(lines: &Lines<'_>, table: &DeTable<'_>) -> Result<ScopeGates, GatesError> {
    let mut gates = scope(lines, table, ScopeGates::default(), &["coverage"])?;
    if let Some(value) = table.get("coverage") {
        gates.coverage = lines.setting(value, SHARE)?;
    }
    Ok(gates)
}

fn route(lines: &Lines<'_>, value: &Value<'_>, gates: &Gates) -> Result<RouteGates, GatesError> {
    let table = lines.table(value)?;
    let at = value.span().start;
    let Some(name) = table.get("route") else {
        return Err(lines.error(at, "[[route]] lacks its key route, as in route = \"GET /search\"".to_owned()));
    };
    let at = name.span().start;
    let DeValue::String(name) = name.get_ref() else {
        return Err(lines.error(at, "route is a text, as in route = \"GET /search\"".to_owned()));
    };
    if gates.named(name).is_some() {
        return Err(lines.error(at, format!("the route {name:?} has gates already")));
    }
    if gates.overrides.len() == MAX_ROUTES {
        return Err(lines.error(at, format!("more than {MAX_ROUTES} routes have gates of their own")));
    }
    let required = match table.get("required").map(|value| (value.span().start, value.get_ref())) {
        None => None,
        Some((_, DeValue::Boolean(required))) => Some(*required),
        Some((at, _)) => return Err(lines.error(at, "required is true or false".to_owned())),
    };
    let own = scope(lines, table, gates.routes.clone(), &["route", "required"])?;
    Ok(RouteGates { route: name.to_string(), gates: own, required })
}

/// `gates` with what the table says instead; `own` are keys that the caller reads.
fn scope(
    lines: &Lines<'_>,
    table: &DeTable<'_>,
    mut gates: ScopeGates,
    own: &[&str],
) -> Result<ScopeGates, GatesError> {
    let mut allowed = gates.error_rate.map(|gate| gate.allowed);
    let mut margin = gates.error_rate.map_or(0.001, |gate| gate.margin);
    let mut slack_ms = gates.slack_ms();
    let quantiles = [Quantile::P50, Quantile::P95, Quantile::P99];
    let mut ratios = quantiles.map(|quantile| gates.ratio(quantile));
    let mut differences = quantiles.map(|quantile| gates.difference(quantile));
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "match_rate" => gates.match_rate = lines.setting(value, SHARE)?,
            "error_rate" => allowed = lines.setting(value, RATE)?,
            "error_rate_margin" => margin = lines.number(value, SHARE)?,
            "p50_ratio" => ratios[0] = lines.setting(value, FACTOR)?,
            "p95_ratio" => ratios[1] = lines.setting(value, FACTOR)?,
            "p99_ratio" => ratios[2] = lines.setting(value, FACTOR)?,
            "p50_difference_ms" => differences[0] = lines.setting(value, MS)?,
            "p95_difference_ms" => differences[1] = lines.setting(value, MS)?,
            "p99_difference_ms" => differences[2] = lines.setting(value, MS)?,
            "latency_slack_ms" => slack_ms = lines.number(value, MS)?,
            "comparable" => gates.comparable = lines.setting(value, SHARE)?,
            "noise_excess" => gates.noise_excess = lines.setting(value, SHARE)?,
            "availability" => gates.availability = lines.setting(value, SHARE)?,
            "class_agreement" => gates.class_agreement = lines.setting(value, SHARE)?,
            "score_difference" => gates.score_difference = lines.setting(value, SHARE)?,
            other if own.contains(&other) => {}
            other => {
                let problem = format!("unknown key {other:?}; here may stand {KEYS}, {}", own.join(", "));
                return Err(lines.error(key.span().start, problem));
            }
        }
    }
    if let Some(allowed) = allowed.filter(|allowed| allowed + margin >= 1.0) {
        let at = ["error_rate", "error_rate_margin"]
            .into_iter()
            .find_map(|key| table.get(key))
            .map_or(0, |v| v.span().start);
        let problem =
            format!("error_rate {allowed} and error_rate_margin {margin} together allow every request to fail");
        return Err(lines.error(at, problem));
    }
    gates.error_rate = allowed.map(|allowed| ErrorRate { allowed, margin });
    gates.latency.clear();
    for ((quantile, ratio), difference) in quantiles.into_iter().zip(ratios).zip(differences) {
        let ratio = ratio.map(|factor| Limit::Ratio { factor, slack_ms });
        let limits = ratio.into_iter().chain(difference.map(|ms| Limit::Difference { ms }));
        gates.latency.extend(limits.map(|limit| LatencyGate { quantile, limit }));
    }
    Ok(gates)
}

/// The text, to say where something is wrong.
struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn error(&self, at: usize, problem: String) -> GatesError {
        let before = self.0.get(..at).unwrap_or(self.0);
        GatesError { line: before.matches('\n').count() + 1, problem }
    }

    fn table<'t, 'd>(&self, value: &'t Value<'d>) -> Result<&'t DeTable<'d>, GatesError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.error(value.span().start, "this is a table, as in [routes] or [[route]]".to_owned())),
        }
    }

    /// A number, or nothing for `"off"`.
    fn setting(&self, value: &Value<'_>, range: Range) -> Result<Option<f64>, GatesError> {
        match value.get_ref() {
            DeValue::String(word) if word == "off" => Ok(None),
            _ => self.number(value, range).map(Some),
        }
    }

    /// A list of routes.
    fn texts(&self, value: &Value<'_>) -> Result<Vec<String>, GatesError> {
        let wrong = |at: usize| self.error(at, "except is a list of routes, as in [\"POST /pay\"]".to_owned());
        let DeValue::Array(list) = value.get_ref() else { return Err(wrong(value.span().start)) };
        if list.len() > MAX_ROUTES {
            return Err(self.error(value.span().start, format!("more than {MAX_ROUTES} routes are excepted")));
        }
        let text = |value: &Value<'_>| match value.get_ref() {
            DeValue::String(route) => Ok(route.to_string()),
            _ => Err(wrong(value.span().start)),
        };
        list.iter().map(text).collect()
    }

    fn number(&self, value: &Value<'_>, range: Range) -> Result<f64, GatesError> {
        let shown = match value.get_ref() {
            DeValue::Integer(number) if number.radix() != 10 => {
                let problem = format!(
                    "{} in base {} is not taken here; write it as a decimal number",
                    number.as_str(),
                    number.radix()
                );
                return Err(self.error(value.span().start, problem));
            }
            DeValue::Integer(number) => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::String(word) => format!("{word:?}"),
            _ => "this".to_owned(),
        };
        let number: f64 = shown.parse().unwrap_or(f64::NAN);
        let above = if range.open { number > range.low } else { number >= range.low };
        if above && number < range.high {
            return Ok(number);
        }
        Err(self.error(value.span().start, format!("{shown} is not {}", range.words)))
    }
}

impl ScopeGates {
    fn ratio(&self, quantile: Quantile) -> Option<f64> {
        self.latency.iter().find_map(|gate| match gate.limit {
            Limit::Ratio { factor, .. } if gate.quantile == quantile => Some(factor),
            _ => None,
        })
    }

    fn difference(&self, quantile: Quantile) -> Option<f64> {
        self.latency.iter().find_map(|gate| match gate.limit {
            Limit::Difference { ms } if gate.quantile == quantile => Some(ms),
            _ => None,
        })
    }

    fn slack_ms(&self) -> f64 {
        let slack = self.latency.iter().find_map(|gate| match gate.limit {
            Limit::Ratio { slack_ms, .. } => Some(slack_ms),
            Limit::Difference { .. } => None,
        });
        slack.unwrap_or(DEFAULT_SLACK_MS)
    }
}
