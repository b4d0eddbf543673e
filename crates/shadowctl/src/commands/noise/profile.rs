//! Writing the noise profile of a service: a launch's noise frozen for the next ones, and decisions by hand.

use serde::{Deserialize, Serialize};
use shadow_record::LaunchName;

use super::{Decision, EntryArgs};
use crate::commands::launch::change;
use crate::failure::Failure;
use crate::sql::Sql;

/// What was entered.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Entered {
    pub(super) service: String,
    /// Version of the service's profile with these entries.
    pub(super) version: u64,
    pub(super) entries: Vec<Entry>,
}

/// An entry as it was stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) signature: String,
    pub(super) route: String,
    pub(super) place: String,
    pub(super) kind: String,
    pub(super) transition: String,
    pub(super) origin: String,
    pub(super) decision: String,
    pub(super) expires_at: String,
}

#[derive(Deserialize)]
struct Next {
    service: String,
    version: u64,
}

/// The launch's service, and the next version of its profile.
const NEXT: &str = "SELECT service, (SELECT max(version) FROM noise_profiles \
         WHERE service = (SELECT any(service) FROM watermarks WHERE launch = {launch:String})) + 1 AS version \
     FROM watermarks WHERE launch = {launch:String} LIMIT 1";

const ENTERED: &str = "SELECT signature, route, place, kind, transition, origin, decision, \
         formatDateTime(expires_at, '%FT%TZ') AS expires_at \
     FROM noise_profiles FINAL WHERE service = {service:String} AND version = {version:UInt64} ORDER BY route, place, kind, transition";

const COLUMNS: &str = "INSERT INTO noise_profiles (service, version, signature, route, place, kind, transition, origin, decision, \
         launch, pairs, control_differing, candidate_differing, by, why, learnt_at, expires_at)";

/// What ends both insertions, from the parameters.
const WHO: &str = "{by:String}, {why:String}, now64(6), now64(6) + toIntervalDay({days:UInt32})";

/// Keeps what the launch's evidence shows to be noise.
///
/// # Errors
/// When there is nothing to keep, or ClickHouse does not answer or refuses.
pub(super) async fn freeze(sql: &Sql, launch: &LaunchName, entry: &EntryArgs) -> Result<Entered, Failure> {
    let insert = format!(
        "{COLUMNS} SELECT service, {{version:UInt64}}, signature, route, place, kind, transition, 'frozen', 'noise', launch, \
         pairs, control_differing, candidate_differing, {WHO} \
         FROM noise WHERE launch = {{launch:String}} AND evidence = 'noise'"
    );
    let entered = enter(sql, launch, &insert, entry, &[]).await?;
    if entered.entries.is_empty() {
        return Err(Failure::negative(
            format!("the evidence of {launch} shows no noise, so nothing was kept"),
            "give the launch a control (`launch create --control URL`), or wait: 30 pairs of a route, of which 3 differ on the control, \
             are the least that shows noise",
        ));
    }
    Ok(entered)
}

/// Enters what was decided by hand about a signature that the launch shows.
///
/// # Errors
/// When the launch does not show the signature, or ClickHouse does not answer or refuses.
pub(super) async fn overrule(
    sql: &Sql,
    launch: &LaunchName,
    signature: &str,
    decision: Decision,
    entry: &EntryArgs,
) -> Result<Entered, Failure> {
    let insert = format!(
        "{COLUMNS} SELECT any(service), {{version:UInt64}}, signature, any(route), any(place), any(kind), any(transition), 'overruled', \
         {{decision:String}}, {{launch:String}}, max(pairs), max(control_differing), max(candidate_differing), {WHO} \
         FROM (SELECT service, signature, route, place, kind, transition, pairs, control_differing, candidate_differing \
               FROM noise WHERE launch = {{launch:String}} AND signature = {{signature:String}} \
               UNION ALL \
               SELECT service, signature, route, place, kind, transition, 0, 0, 0 \
               FROM differences WHERE launch = {{launch:String}} AND signature = {{signature:String}}) \
         GROUP BY signature"
    );
    let more = [("signature", signature), ("decision", decision.as_str())];
    let entered = enter(sql, launch, &insert, entry, &more).await?;
    if entered.entries.is_empty() {
        return Err(Failure::negative(
            format!("{launch} shows no signature {signature}"),
            format!("`shadowctl noise show {launch}` and `shadowctl report {launch} --json` list them"),
        ));
    }
    Ok(entered)
}

async fn enter(
    sql: &Sql,
    launch: &LaunchName,
    insert: &str,
    entry: &EntryArgs,
    more: &[(&str, &str)],
) -> Result<Entered, Failure> {
    let next: Vec<Next> = sql.rows(NEXT, &[("launch", launch.as_str())]).await?;
    let Some(Next { service, version }) = next.into_iter().next() else {
        return Err(Failure::negative(
            format!("ClickHouse holds nothing of a launch {launch}"),
            "is the comparator running? `shadowctl launch list` and `shadowctl status` tell",
        ));
    };
    let change = change(entry.why.clone());
    let (version_text, days) = (version.to_string(), entry.days.to_string());
    let mut parameters = vec![
        ("launch", launch.as_str()),
        ("version", &version_text),
        ("by", &change.by),
        ("why", &change.why),
        ("days", &days),
    ];
    parameters.extend(more);
    sql.execute(insert, &parameters).await?;
    let of = [("service", service.as_str()), ("version", &version_text)];
    let entries = sql.rows(ENTERED, &of).await?;
    Ok(Entered { service, version, entries })
}
