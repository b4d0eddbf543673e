//! Order statistics of latencies: how many requests have them decides which are wanted, then ClickHouse picks those.

use std::collections::BTreeMap;

use serde::Deserialize;
use shadow_record::LaunchName;
use shadow_verdict::{Gates, Latencies, Rank, Ranked, Reference, Wanted};

use super::Counts;
use crate::failure::Failure;
use crate::sql::Sql;

/// Microseconds of a request that timed out: beyond any that were measured.
const FOREVER: i64 = 1 << 60;

/// Which requests have latencies on both sides, as SQL. Both sides gave the same class of status, and no server error: a quick
/// refusal is no quick answer. Where just one timed out it took for ever; so the slowest are not left out for being slow.
pub(super) struct Latency {
    pub(super) pair: String,
    candidate: String,
    reference: String,
    difference: String,
}

impl Latency {
    pub(super) fn against(against: Reference) -> Self {
        let (us, status, late) = match against {
            Reference::Primary => ("primary_us", "primary_status", "0"),
            Reference::Control => ("control_us", "control_status", "control_error = 'timeout'"),
        };
        let late = format!("({late})");
        let mine_late = "(outcome = 'failed' AND reason = 'timeout')";
        let mine = "(outcome = 'completed' AND candidate_us IS NOT NULL AND candidate_status < 500)";
        let theirs = format!("({us} IS NOT NULL AND {status} < 500)");
        let same = format!("intDiv(candidate_status, 100) = intDiv({status}, 100)");
        let pair = format!(
            "ifNull(({mine} AND {theirs} AND {same}) OR ({mine_late} AND ({theirs} OR {late})) OR ({mine} AND {late}), 0)"
        );
        let candidate = format!("if({mine_late}, {FOREVER}, ifNull(candidate_us, 0))");
        let reference = format!("if({late}, {FOREVER}, ifNull({us}, 0))");
        // Of two that both waited until the time-out neither is known to be slower.
        let difference = format!(
            "multiIf({mine_late} AND {late}, 0, {mine_late}, {FOREVER}, {late}, -{FOREVER}, ifNull(candidate_us - {us}, 0))"
        );
        Self { pair, candidate, reference, difference }
    }
}

/// Routes whose order statistics are asked for at once, so that the query stays far below what ClickHouse parses.
const AT_ONCE: usize = 200;

/// Order statistics of one scope, microseconds, in the order in which they were wanted.
#[derive(Debug, Deserialize)]
struct Statistics {
    scope: String,
    #[serde(rename = "count")]
    values: u64,
    candidate: Vec<i64>,
    reference: Vec<i64>,
    difference: Vec<i64>,
    primary_p50: Option<i64>,
}

/// What is wanted of one scope.
struct Plan {
    scope: String,
    values: u64,
    ranks: Vec<Rank>,
}

/// Name of the scope of all routes together; a route's is `route ` and its name.
pub(super) const WHOLE: &str = "launch";

/// Latencies of every scope that has any.
///
/// # Errors
/// When ClickHouse does not answer or refuses.
pub(super) async fn gather(
    sql: &Sql,
    launch: &LaunchName,
    gates: &Gates,
    counts: &[Counts],
    against: Reference,
) -> Result<BTreeMap<String, Latencies>, Failure> {
    let mut statistics = BTreeMap::new();
    let plans = plans(gates, counts);
    for plans in plans.chunks(AT_ONCE) {
        let found: Vec<Statistics> = sql.rows(&query(plans, against), &[("launch", launch.as_str())]).await?;
        for found in found {
            let plan = plans.iter().find(|plan| plan.scope == found.scope);
            // Rows that went away meanwhile: nothing is claimed from what is left.
            if let Some(plan) = plan.filter(|plan| found.values >= plan.values) {
                statistics.insert(found.scope.clone(), latencies(plan, &found, against));
            }
        }
    }
    Ok(statistics)
}

pub(super) fn scope_of(route: &str) -> String {
    format!("route {route}")
}

fn plans(gates: &Gates, counts: &[Counts]) -> Vec<Plan> {
    let all = counts.iter().map(|counts| counts.latencies).sum();
    let captured = counts.iter().map(|counts| counts.captured).sum::<u64>().max(1) as f64;
    let whole = Plan { scope: WHOLE.to_owned(), values: all, ranks: Wanted::for_launch(gates, all).ranks().collect() };
    let routes = counts.iter().filter(|counts| !counts.route.is_empty());
    let seen = routes.clone().count();
    let routes = routes.map(|counts| {
        let Counts { route, latencies, .. } = counts;
        let wanted = Wanted::for_route(gates, route, seen, counts.captured as f64 / captured, *latencies);
        Plan { scope: scope_of(route), values: *latencies, ranks: wanted.ranks().collect() }
    });
    std::iter::once(whole).chain(routes).filter(|plan| plan.values > 0).collect()
}

/// The query for the order statistics of these scopes.
fn query(plans: &[Plan], against: Reference) -> String {
    let wanted: BTreeMap<&str, Vec<i64>> =
        plans.iter().map(|plan| (plan.scope.as_str(), plan.ranks.iter().map(|rank| rank.index()).collect())).collect();
    let wanted = serde_json::to_string(&wanted).expect("a map of numbers is JSON");
    let wanted = literal(&wanted);
    let Latency { pair, candidate, reference, difference } = Latency::against(against);
    format!(
        "WITH JSONExtract({wanted}, 'Map(String, Array(Int64))') AS wanted
SELECT scope, length(c) AS count, arrayMap(i -> c[i], wanted[scope]) AS candidate,
    arrayMap(i -> r[i], wanted[scope]) AS reference, arrayMap(i -> d[i], wanted[scope]) AS difference, primary_p50
FROM
(
    SELECT
        arrayJoin(['{WHOLE}', concat('route ', toString(route))]) AS scope,
        arraySort(groupArray({candidate})) AS c,
        arraySort(groupArray({reference})) AS r,
        arraySort(groupArray({difference})) AS d,
        quantileExactOrNull(0.5)(primary_us) AS primary_p50
    FROM exchanges FINAL
    WHERE launch = {{launch:String}} AND {pair}
    GROUP BY scope
)
WHERE mapContains(wanted, scope)"
    )
}

/// A text as ClickHouse's SQL writes it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn latencies(plan: &Plan, found: &Statistics, against: Reference) -> Latencies {
    let ms = |us: &i64| match *us {
        FOREVER.. => f64::INFINITY,
        us if us <= -FOREVER => f64::NEG_INFINITY,
        us => us as f64 / 1000.0,
    };
    let ranked = |us: &[i64]| Ranked::new(plan.values, plan.ranks.iter().copied().zip(us.iter().map(ms)));
    Latencies {
        against,
        primary_p50_ms: found.primary_p50.as_ref().map(ms).filter(|_| against == Reference::Control),
        candidate: ranked(&found.candidate),
        reference: ranked(&found.reference),
        difference: ranked(&found.difference),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_with_quotes_cannot_leave_its_literal() {
        assert_eq!(literal(r"a'b\c"), r"'a\'b\\c'");
    }
}
