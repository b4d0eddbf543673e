//! The verdict's questions to ClickHouse: counts from deduplicated rows with noise told from fault, then (`latency`) the order
//! statistics of the latencies that those counts call for.

mod latency;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use shadow_record::LaunchName;
use shadow_verdict::{ClassCounts, ControlEvidence, Evidence, Gates, Pairs, Reference, ScopeEvidence, Scores, State};

use crate::commands::ledger;
use crate::failure::Failure;
use crate::sql::Sql;

/// Counts of each route, of everything that was captured one by one. What was never the candidate's to answer (the kill switch, a
/// refused target) is not sent; an error is a server error or no answer at all; what a client gave up on is no error of the
/// primary's.
fn counts(against: Reference) -> String {
    let pair = latency::Latency::against(against).pair;
    format!(
        "\
WITH
    ['killed', 'target_refused', 'request_invalid'] AS not_theirs,
    (outcome IN ('completed', 'failed') AND NOT has(not_theirs, reason)) AS sent_out,
    (outcome = 'failed' OR ifNull(candidate_status, 0) >= 500) AS candidate_erred,
    (ifNull(primary_status, 0) >= 500 OR primary_error NOT IN ('', 'client_aborted')) AS primary_erred,
    (sent_out AND (primary_status IS NOT NULL OR primary_erred)) AS known,
    (sent_out AND (control_status IS NOT NULL OR control_error != '') AND NOT has(not_theirs, control_error)) AS of_control,
    (control_status IS NULL OR control_status >= 500) AS control_erred,
    (of_control AND primary_status IS NOT NULL) AS beside,
    (verdict_result = 'differing') AS differs
SELECT
    toString(route) AS route,
    count() AS captured,
    countIf(sent_out) AS sent,
    countIf(outcome = 'completed') AS answered,
    countIf(verdict_result IN ('matched', 'differing', 'noise', 'expected')) AS compared,
    countIf(outcome = 'completed' AND verdict_result = '') AS uncompared,
    countIf(verdict_result = 'conflict') AS conflicts,
    countIf(differs) AS differing,
    countIf(differs AND has(differences.standing, 'fault')) AS faulty,
    countIf(differs AND differences_omitted = 0 AND notEmpty(differences.standing) AND NOT has(differences.standing, 'fault')) AS undecided,
    countIf(verdict_result = 'noise') AS noise,
    countIf(beside) AS control_asked,
    countIf(beside AND control_status IS NULL) AS control_failed,
    countIf(beside AND intDiv(control_status, 100) != intDiv(primary_status, 100)) AS control_other_status,
    countIf(paired) AS control_pairs,
    countIf(paired AND candidate_deviates AND NOT control_deviates) AS excess_candidate,
    countIf(paired AND control_deviates AND NOT candidate_deviates) AS excess_control,
    countIf(of_control) AS control_errors,
    countIf(of_control AND candidate_erred AND NOT control_erred) AS control_only_candidate,
    countIf(of_control AND control_erred AND NOT candidate_erred) AS control_only_control,
    countIf(known) AS pairs,
    countIf(known AND candidate_erred AND NOT primary_erred) AS only_candidate,
    countIf(known AND primary_erred AND NOT candidate_erred) AS only_primary,
    sumMapIf(map(if(outcome = 'failed', toString(reason), concat('status ', toString(ifNull(candidate_status, 0)))), 1::UInt64),
        known AND candidate_erred AND NOT primary_erred) AS failures,
    countIf({pair}) AS latencies,
    countIf(score_difference IS NOT NULL) AS scored,
    sumIf(least(abs(ifNull(score_difference, 0)), 1), score_difference IS NOT NULL) AS score_sum,
    countIf(abs(ifNull(score_difference, 0)) > 1) AS scores_cut,
    groupUniqArrayIf(10)(toString(rules_version), rules_version != '') AS rules_versions
FROM judged
WHERE launch = {{launch:String}}
GROUP BY route
ORDER BY route"
    )
}

const CLASSES: &str = "SELECT toString(route) AS route, class, classified AS pairs, agreeing FROM agreement \
     WHERE launch = {launch:String} AND classified > 0 ORDER BY route, class";

#[derive(Debug, Default, Deserialize)]
struct Counts {
    route: String,
    captured: u64,
    sent: u64,
    answered: u64,
    compared: u64,
    uncompared: u64,
    conflicts: u64,
    differing: u64,
    faulty: u64,
    undecided: u64,
    noise: u64,
    control_asked: u64,
    control_failed: u64,
    control_other_status: u64,
    control_pairs: u64,
    excess_candidate: u64,
    excess_control: u64,
    control_errors: u64,
    control_only_candidate: u64,
    control_only_control: u64,
    pairs: u64,
    only_candidate: u64,
    only_primary: u64,
    failures: BTreeMap<String, u64>,
    latencies: u64,
    scored: u64,
    score_sum: f64,
    scores_cut: u64,
    rules_versions: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Class {
    route: String,
    class: String,
    pairs: u64,
    agreeing: u64,
}

/// Everything that `gates` look at.
///
/// # Errors
/// When ClickHouse does not answer or refuses.
pub(super) async fn gather(
    sql: &Sql,
    launch: &LaunchName,
    gates: &Gates,
    against: Reference,
    state: State,
) -> Result<Evidence, Failure> {
    let of = &[("launch", launch.as_str())][..];
    let asked = counts(against);
    let (ledgers, counts, classes) = tokio::try_join!(
        ledger::launches(sql, launch.as_str()),
        sql.rows::<Counts>(&asked, of),
        sql.rows::<Class>(CLASSES, of),
    )?;
    let ledger = ledgers.into_iter().next();
    let mut latencies = latency::gather(sql, launch, gates, &counts, against).await?;
    let versions: BTreeSet<&String> = counts.iter().flat_map(|counts| &counts.rules_versions).collect();
    let mut evidence = Evidence {
        balanced: ledger.as_ref().map(|ledger| ledger.balanced == 1),
        captured: ledger.map_or(0, |ledger| ledger.captured.max(0) as u64),
        state,
        rules_versions: versions.len() as u64,
        ..Evidence::default()
    };
    for counts in &counts {
        let own = classes.iter().filter(|class| class.route == counts.route);
        let scope = ScopeEvidence {
            classes: own
                .map(|c| ClassCounts { class: c.class.clone(), pairs: c.pairs, agreeing: c.agreeing })
                .collect(),
            latencies: latencies.remove(&latency::scope_of(&counts.route)),
            ..scope(counts, against)
        };
        add(&mut evidence.launch, &scope);
        // What has no route counts in the whole alone.
        if !counts.route.is_empty() {
            evidence.routes.push((counts.route.clone(), scope));
        }
    }
    evidence.launch.failures.sort_by_key(|(_, failed)| std::cmp::Reverse(*failed));
    if against == Reference::Control {
        // Also where no row tells of it.
        evidence.launch.control.get_or_insert_default();
    }
    evidence.launch.latencies = latencies.remove(latency::WHOLE);
    Ok(evidence)
}

fn scope(counts: &Counts, against: Reference) -> ScopeEvidence {
    let Counts { captured, sent, answered, compared, uncompared, conflicts, differing, .. } = *counts;
    let Counts { faulty, undecided, noise, pairs, only_candidate, only_primary, .. } = *counts;
    let control = ControlEvidence {
        asked: counts.control_asked,
        failed: counts.control_failed,
        other_status: counts.control_other_status,
        pairs: counts.control_pairs,
        only_candidate: counts.excess_candidate,
        only_control: counts.excess_control,
        errors: Pairs {
            pairs: counts.control_errors,
            only_candidate: counts.control_only_candidate,
            only_primary: counts.control_only_control,
        },
    };
    let mut failures: Vec<(String, u64)> = counts.failures.iter().map(|(class, n)| (class.clone(), *n)).collect();
    failures.sort_by_key(|(_, failed)| std::cmp::Reverse(*failed));
    ScopeEvidence {
        captured,
        sent,
        answered,
        compared,
        uncompared,
        conflicts,
        differing,
        faulty,
        undecided,
        noise,
        control: (against == Reference::Control).then_some(control),
        pairs: Pairs { pairs, only_candidate, only_primary },
        failures,
        latencies: None,
        classes: Vec::new(),
        scores: Scores { pairs: counts.scored, absolute_sum: counts.score_sum, cut: counts.scores_cut },
    }
}

fn add(whole: &mut ScopeEvidence, part: &ScopeEvidence) {
    whole.captured += part.captured;
    whole.sent += part.sent;
    whole.answered += part.answered;
    whole.compared += part.compared;
    whole.uncompared += part.uncompared;
    whole.conflicts += part.conflicts;
    whole.differing += part.differing;
    whole.faulty += part.faulty;
    whole.undecided += part.undecided;
    whole.noise += part.noise;
    add_pairs(&mut whole.pairs, part.pairs);
    if let Some(part) = part.control {
        let whole = whole.control.get_or_insert_default();
        whole.asked += part.asked;
        whole.failed += part.failed;
        whole.other_status += part.other_status;
        whole.pairs += part.pairs;
        whole.only_candidate += part.only_candidate;
        whole.only_control += part.only_control;
        add_pairs(&mut whole.errors, part.errors);
    }
    for (class, failed) in &part.failures {
        match whole.failures.iter_mut().find(|(known, _)| known == class) {
            Some((_, known)) => *known += failed,
            None => whole.failures.push((class.clone(), *failed)),
        }
    }
    whole.scores.pairs += part.scores.pairs;
    whole.scores.absolute_sum += part.scores.absolute_sum;
    whole.scores.cut += part.scores.cut;
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

fn add_pairs(whole: &mut Pairs, part: Pairs) {
    whole.pairs += part.pairs;
    whole.only_candidate += part.only_candidate;
    whole.only_primary += part.only_primary;
}

#[cfg(test)]
mod tests {
    use super::*;

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
