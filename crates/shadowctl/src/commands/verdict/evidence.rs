//! The verdict's questions to ClickHouse: counts from deduplicated rows with noise told from fault, then the order statistics of
//! the latencies that those counts call for.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use shadow_record::LaunchName;
use shadow_verdict::{
    ClassCounts, Evidence, Gates, Latencies, Pairs, Rank, Ranked, Reference, ScopeEvidence, Scores, Wanted,
};

use crate::commands::ledger;
use crate::failure::Failure;
use crate::sql::Sql;

/// Counts of each route, by first appearance. What was never the candidate's to answer (the kill switch, a refused target) is
/// left out; an error is a server error or no answer at all; what a client gave up on is no error of the primary's.
const COUNTS: &str = "\
WITH
    (outcome IN ('completed', 'failed') AND reason NOT IN ('killed', 'target_refused', 'request_invalid')) AS sent_out,
    (outcome = 'failed' OR ifNull(candidate_status, 0) >= 500) AS candidate_erred,
    (ifNull(primary_status, 0) >= 500 OR primary_error NOT IN ('', 'client_aborted')) AS primary_erred,
    (sent_out AND (primary_status IS NOT NULL OR primary_erred)) AS known
SELECT
    toString(route) AS route,
    countIf(sent_out) AS sent,
    countIf(outcome = 'completed') AS answered,
    countIf(verdict_result IN ('matched', 'differing', 'noise', 'expected')) AS compared,
    countIf(verdict_result = 'differing') AS differing,
    countIf(known) AS pairs,
    countIf(known AND candidate_erred AND NOT primary_erred) AS only_candidate,
    countIf(known AND primary_erred AND NOT candidate_erred) AS only_primary,
    countIf(outcome = 'completed' AND candidate_us IS NOT NULL AND primary_us IS NOT NULL) AS primary_latencies,
    countIf(outcome = 'completed' AND candidate_us IS NOT NULL AND control_status IS NOT NULL AND control_us IS NOT NULL) AS control_latencies,
    countIf(score_difference IS NOT NULL) AS scored,
    sumIf(least(abs(ifNull(score_difference, 0)), 1), score_difference IS NOT NULL) AS score_sum
FROM judged
WHERE launch = {launch:String} AND outcome IN ('completed', 'failed')
GROUP BY route
ORDER BY min((captured_at, partition, captured_offset))";

const CLASSES: &str = "SELECT toString(route) AS route, class, classified AS pairs, agreeing FROM agreement \
     WHERE launch = {launch:String} AND classified > 0 ORDER BY route, class";

/// Routes whose order statistics are asked for at once, so that the query stays far below what ClickHouse parses.
const AT_ONCE: usize = 200;

#[derive(Debug, Default, Deserialize)]
struct Counts {
    route: String,
    sent: u64,
    answered: u64,
    compared: u64,
    differing: u64,
    pairs: u64,
    only_candidate: u64,
    only_primary: u64,
    primary_latencies: u64,
    control_latencies: u64,
    scored: u64,
    score_sum: f64,
}

#[derive(Debug, Deserialize)]
struct Class {
    route: String,
    class: String,
    pairs: u64,
    agreeing: u64,
}

/// Order statistics of one scope, microseconds, in the order in which they were wanted.
#[derive(Debug, Deserialize)]
struct Statistics {
    scope: String,
    #[serde(rename = "count")]
    values: u64,
    candidate: Vec<i64>,
    reference: Vec<i64>,
    difference: Vec<i64>,
}

/// What is wanted of one scope.
struct Plan {
    scope: String,
    values: u64,
    ranks: Vec<Rank>,
}

/// Name of the scope of all routes together; a route's is `route ` and its name.
const WHOLE: &str = "launch";

/// Everything that `gates` look at.
///
/// # Errors
/// When ClickHouse does not answer or refuses.
pub(super) async fn gather(
    sql: &Sql,
    launch: &LaunchName,
    gates: &Gates,
    against: Reference,
) -> Result<Evidence, Failure> {
    let of = &[("launch", launch.as_str())][..];
    let (ledgers, counts, classes) = tokio::try_join!(
        ledger::launches(sql, launch.as_str()),
        sql.rows::<Counts>(COUNTS, of),
        sql.rows::<Class>(CLASSES, of),
    )?;
    let ledger = ledgers.into_iter().next();
    let mut statistics = BTreeMap::new();
    let plans = plans(gates, &counts, against);
    for plans in plans.chunks(AT_ONCE) {
        let found: Vec<Statistics> = rows(sql, &query(plans, against), of).await?;
        for found in found {
            let plan = plans.iter().find(|plan| plan.scope == found.scope);
            // Rows that went away meanwhile: nothing is claimed from what is left.
            if let Some(plan) = plan.filter(|plan| found.values >= plan.values) {
                statistics.insert(found.scope.clone(), latencies(plan, &found, against));
            }
        }
    }
    let mut evidence = Evidence {
        balanced: ledger.as_ref().map(|ledger| ledger.balanced == 1),
        captured: ledger.map_or(0, |ledger| ledger.captured.max(0) as u64),
        ..Evidence::default()
    };
    for counts in counts {
        let own = classes.iter().filter(|class| class.route == counts.route);
        let scope = ScopeEvidence {
            classes: own
                .map(|c| ClassCounts { class: c.class.clone(), pairs: c.pairs, agreeing: c.agreeing })
                .collect(),
            latencies: statistics.remove(&scope_of(&counts.route)),
            ..scope(&counts)
        };
        add(&mut evidence.launch, &scope);
        evidence.routes.push((counts.route, scope));
    }
    evidence.launch.latencies = statistics.remove(WHOLE);
    Ok(evidence)
}

async fn rows<T: DeserializeOwned>(sql: &Sql, query: &str, of: &[(&str, &str)]) -> Result<Vec<T>, Failure> {
    if query.is_empty() { Ok(Vec::new()) } else { sql.rows(query, of).await }
}

fn scope_of(route: &str) -> String {
    format!("route {route}")
}

fn plans(gates: &Gates, counts: &[Counts], against: Reference) -> Vec<Plan> {
    let values = |counts: &Counts| match against {
        Reference::Primary => counts.primary_latencies,
        Reference::Control => counts.control_latencies,
    };
    let all = counts.iter().map(values).sum();
    let whole = Plan { scope: WHOLE.to_owned(), values: all, ranks: Wanted::for_launch(gates, all).ranks().collect() };
    let routes = counts.iter().enumerate().map(|(order, counts)| {
        let wanted = Wanted::for_route(gates, &counts.route, order, values(counts));
        Plan { scope: scope_of(&counts.route), values: values(counts), ranks: wanted.ranks().collect() }
    });
    std::iter::once(whole).chain(routes).filter(|plan| plan.values > 0).collect()
}

/// The query for the order statistics of these scopes; empty when none has values.
fn query(plans: &[Plan], against: Reference) -> String {
    if plans.is_empty() {
        return String::new();
    }
    let wanted: BTreeMap<&str, Vec<i64>> =
        plans.iter().map(|plan| (plan.scope.as_str(), plan.ranks.iter().map(|rank| rank.index()).collect())).collect();
    let wanted = serde_json::to_string(&wanted).expect("a map of numbers is JSON");
    let wanted = literal(&wanted);
    let (reference, answered) = match against {
        Reference::Primary => ("primary_us", "1"),
        Reference::Control => ("control_us", "control_status IS NOT NULL"),
    };
    format!(
        "WITH JSONExtract({wanted}, 'Map(String, Array(Int64))') AS wanted
SELECT scope, length(c) AS count, arrayMap(i -> c[i], wanted[scope]) AS candidate,
    arrayMap(i -> r[i], wanted[scope]) AS reference, arrayMap(i -> d[i], wanted[scope]) AS difference
FROM
(
    SELECT
        arrayJoin(['{WHOLE}', concat('route ', toString(route))]) AS scope,
        arraySort(groupArray(assumeNotNull(candidate_us))) AS c,
        arraySort(groupArray(assumeNotNull({reference}))) AS r,
        arraySort(groupArray(assumeNotNull(candidate_us - {reference}))) AS d
    FROM exchanges FINAL
    WHERE launch = {{launch:String}} AND outcome = 'completed' AND {answered}
        AND candidate_us IS NOT NULL AND {reference} IS NOT NULL
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
    let ranked = |us: &[i64]| {
        let ms = us.iter().map(|us| *us as f64 / 1000.0);
        Ranked::new(plan.values, plan.ranks.iter().copied().zip(ms))
    };
    Latencies {
        against,
        candidate: ranked(&found.candidate),
        reference: ranked(&found.reference),
        difference: ranked(&found.difference),
    }
}

fn scope(counts: &Counts) -> ScopeEvidence {
    let Counts { sent, answered, compared, differing, pairs, only_candidate, only_primary, .. } = *counts;
    ScopeEvidence {
        sent,
        answered,
        compared,
        differing,
        pairs: Pairs { pairs, only_candidate, only_primary },
        latencies: None,
        classes: Vec::new(),
        scores: Scores { pairs: counts.scored, absolute_sum: counts.score_sum },
    }
}

fn add(whole: &mut ScopeEvidence, part: &ScopeEvidence) {
    whole.sent += part.sent;
    whole.answered += part.answered;
    whole.compared += part.compared;
    whole.differing += part.differing;
    whole.pairs.pairs += part.pairs.pairs;
    whole.pairs.only_candidate += part.pairs.only_candidate;
    whole.pairs.only_primary += part.pairs.only_primary;
    whole.scores.pairs += part.scores.pairs;
    whole.scores.absolute_sum += part.scores.absolute_sum;
    for class in &part.classes {
        match whole.classes.iter_mut().find(|known| known.class == class.class) {
            Some(known) => {
                known.pairs += class.pairs;
                known.agreeing += class.agreeing;
            }
            None => whole.classes.push(class.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_with_quotes_cannot_leave_its_literal() {
        assert_eq!(literal(r"a'b\c"), r"'a\'b\\c'");
    }

    #[test]
    fn the_launch_is_the_sum_of_its_routes() {
        let class = |class: &str, pairs| ClassCounts { class: class.to_owned(), pairs, agreeing: 1 };
        let part = |classes| ScopeEvidence {
            sent: 3,
            pairs: Pairs { pairs: 2, only_candidate: 1, only_primary: 0 },
            classes,
            ..ScopeEvidence::default()
        };
        let mut whole = ScopeEvidence::default();
        add(&mut whole, &part(vec![class("cat", 2)]));
        add(&mut whole, &part(vec![class("cat", 3), class("dog", 4)]));
        assert_eq!((whole.sent, whole.pairs.only_candidate), (6, 2));
        let classes: Vec<_> = whole.classes.iter().map(|c| (c.class.as_str(), c.pairs, c.agreeing)).collect();
        assert_eq!(classes, [("cat", 5, 2), ("dog", 4, 1)]);
    }
}
