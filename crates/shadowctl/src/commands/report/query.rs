//! The report's questions to ClickHouse. They go to the views of `schemas/clickhouse`, so that what is printed here can be asked
//! again by hand.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;
use shadow_diff::Rules;
use shadow_record::LaunchName;

use super::{Driver, LaunchRow, MatchRate, Report, SignatureRow};
use crate::commands::verdict::effects;
use crate::commands::{ledger, noise};
use crate::failure::Failure;
use crate::sql::Sql;

const LAUNCH: &str = "SELECT launch, service, candidate, status, sample, control, control_sample, rules FROM launches FINAL WHERE launch = {launch:String}";

const COVERAGE: &str = "SELECT outcome, reason, sum(offsets) AS offsets FROM (
    SELECT outcome, pair.1 AS reason, pair.2 AS offsets FROM (
        SELECT 'failed' AS outcome, failed_by_class AS reasons FROM coverage WHERE launch = {launch:String}
        UNION ALL
        SELECT 'skipped' AS outcome, skipped_by_reason AS reasons FROM coverage WHERE launch = {launch:String}
    ) ARRAY JOIN CAST(reasons, 'Array(Tuple(String, Int64))') AS pair
) GROUP BY outcome, reason HAVING offsets > 0 ORDER BY outcome, offsets DESC, reason";

const MATCH_RATE: &str = "SELECT route, completed, matched, differing, noise, expected, undecided, compared, match_rate \
     FROM match_rate WHERE launch = {launch:String} ORDER BY match_rate ASC NULLS LAST, route";

const LATENCY: &str = "SELECT route, pairs, primary_p10_ms, primary_p50_ms, primary_p90_ms, primary_p99_ms, \
     candidate_p10_ms, candidate_p50_ms, candidate_p90_ms, candidate_p99_ms, \
     difference_p50_ms, difference_p90_ms, difference_p99_ms \
     FROM latency \
     WHERE launch = {launch:String} ORDER BY difference_p50_ms DESC, route";

const ERRORS: &str =
    "SELECT route, side, class, exchanges FROM errors WHERE launch = {launch:String} ORDER BY route, side, class";

const SIGNATURES: &str = "SELECT signature, route, place, kind, transition, exchanges, example_request_ids, \
     example_primary, example_candidate, standing, pairs, control_differing, only_stale, stale_from_s, fresh_exchanges \
     FROM signatures WHERE launch = {launch:String} \
     ORDER BY exchanges DESC, route, place, kind, transition LIMIT {top:UInt32}";

const SIGNATURES_TOTAL: &str = "SELECT uniqExact(signature, route, place, kind, transition) AS total FROM differences \
     WHERE launch = {launch:String}";

const DRIVERS: &str = "SELECT signature, attribute, is, value, share, lift FROM drivers WHERE launch = {launch:String}";

const EXPECTED: &str =
    "SELECT name, exchanges FROM expected_changes WHERE launch = {launch:String} ORDER BY exchanges DESC, name";

const RULE_USE: &str = "SELECT DISTINCT rule FROM rule_use WHERE launch = {launch:String}";

/// At most eight steps of equal length, which is a whole number of minutes.
const TREND: &str = "SELECT first + step * intDiv(row.1 - first, step) AS since, sum(row.2) AS compared, sum(row.3) AS differing \
     FROM (SELECT groupArray((at, compared, differing)) AS rows, min(at) AS first, 60 * (intDiv(intDiv(max(at) - first, 60), 8) + 1) AS step \
         FROM (SELECT toInt64(toUnixTimestamp(minute)) AS at, sum(compared) AS compared, sum(differing) AS differing \
             FROM trend WHERE launch = {launch:String} GROUP BY at)) \
     ARRAY JOIN rows AS row GROUP BY since ORDER BY since";

const AGREEMENT: &str = "SELECT route, class, classified, agreeing, scored, mean_absolute_score_difference FROM agreement \
     WHERE launch = {launch:String} ORDER BY route, class";

#[derive(Deserialize)]
struct RuleUse {
    rule: u16,
}

#[derive(Deserialize)]
struct Total {
    total: u64,
}

/// Asks everything about one launch; `top` bounds the signatures.
///
/// # Errors
/// When ClickHouse does not answer, or does not know the launch.
pub(crate) async fn gather(sql: &Sql, launch: &LaunchName, top: u32) -> Result<Report, Failure> {
    let of = &[("launch", launch.as_str())][..];
    let top = top.to_string();
    let most = &[("launch", launch.as_str()), ("top", top.as_str())][..];
    let (known, ledgers, coverage, match_rate, latency, errors, mut signatures, totals) = tokio::try_join!(
        sql.rows(LAUNCH, of),
        ledger::launches(sql, launch.as_str()),
        sql.rows(COVERAGE, of),
        sql.rows(MATCH_RATE, of),
        sql.rows(LATENCY, of),
        sql.rows(ERRORS, of),
        sql.rows::<SignatureRow>(SIGNATURES, most),
        sql.rows::<Total>(SIGNATURES_TOTAL, of),
    )?;
    let Some(known) = known.into_iter().next() else {
        return Err(Failure::negative(
            format!("ClickHouse knows no launch {launch}"),
            "is the comparator running? `shadowctl launch list` and `shadowctl status` tell",
        ));
    };
    let (mut noise, drivers, expected_changes, rule_use, trend, agreement, effects) = tokio::try_join!(
        noise::signatures(sql, launch),
        sql.rows::<Driver>(DRIVERS, of),
        sql.rows(EXPECTED, of),
        sql.rows::<RuleUse>(RULE_USE, of),
        sql.rows(TREND, of),
        sql.rows(AGREEMENT, of),
        effects::gather(sql, launch),
    )?;
    noise.retain(|row| row.decision == "noise");
    let mut drivers: HashMap<_, _> = drivers.into_iter().map(|driver| (driver.signature.clone(), driver)).collect();
    for signature in &mut signatures {
        signature.driver = drivers.remove(&signature.signature);
    }
    let used: BTreeSet<u16> = rule_use.into_iter().map(|used| used.rule).collect();
    Ok(Report {
        unused_rules: unused(&known, &used, &match_rate),
        launch: known,
        ledger: ledgers.into_iter().next().unwrap_or_default(),
        coverage,
        match_rate,
        latency,
        errors,
        signatures,
        signatures_total: totals.first().map_or(0, |row| row.total),
        noise,
        expected_changes,
        trend,
        agreement,
        effects,
    })
}

/// The launch's rules that are not among the used ones, once there was something to compare.
pub(super) fn unused(launch: &LaunchRow, used: &BTreeSet<u16>, rates: &[MatchRate]) -> Vec<String> {
    if rates.iter().all(|rate| rate.compared == 0) {
        return Vec::new();
    }
    // The comparator reports rules that cannot be used, and compares under the default ones.
    let rules = Rules::parse(&launch.rules).unwrap_or_default();
    rules.list().filter(|(index, _)| !used.contains(index)).map(|(_, words)| words).collect()
}
