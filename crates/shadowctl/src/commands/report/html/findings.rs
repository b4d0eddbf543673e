//! The page's questions to ClickHouse, beyond the report's and the verdict's. They go to the shipped views where there is one.

use serde::Deserialize;
use shadow_record::LaunchName;
use shadow_verdict::Reference;

use crate::failure::Failure;
use crate::sql::Sql;

/// Levels of the latency curves.
pub(super) const LEVELS: [f64; 16] =
    [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999];

const FAULTS: &str = "SELECT signature, route, place, kind, transition, exchanges, toString(example_request_ids[1]) AS request, \
     example_primary, example_candidate, left(toString(first_seen), 19) AS first_seen, left(toString(last_seen), 19) AS last_seen, \
     standing, toUInt8(only_stale) AS only_stale, stale_from_s FROM signatures WHERE launch = {launch:String} \
     ORDER BY exchanges DESC, route, place, kind, transition LIMIT {top:UInt32}";

const DRIVERS: &str = "SELECT signature, attribute, `is`, value, exchanges, differing, share, lift FROM drivers \
     WHERE launch = {launch:String}";

const TREND: &str = "SELECT toUnixTimestamp(minute) AS minute, sum(compared) AS compared, sum(differing) AS differing \
     FROM trend WHERE launch = {launch:String} GROUP BY minute ORDER BY minute";

const FAULT_TREND: &str = "SELECT signature, toUnixTimestamp(minute) AS minute, exchanges FROM signature_trend \
     WHERE launch = {launch:String} ORDER BY minute";

const STALENESS: &str = "SELECT staler_than_s, sum(compared) AS compared, sum(differing) AS differing FROM staleness \
     WHERE launch = {launch:String} GROUP BY staler_than_s ORDER BY staler_than_s";

const NOISE: &str = "SELECT route, place, kind, transition, pairs, control_differing, candidate_differing, decision, basis \
     FROM noise WHERE launch = {launch:String} AND decision IN ('noise', 'fault') \
     ORDER BY decision DESC, control_differing DESC, route, place LIMIT 100";

const EXPECTED: &str = "SELECT name, exchanges, left(toString(last_seen), 19) AS last_seen FROM expected_changes \
     WHERE launch = {launch:String} ORDER BY exchanges DESC";

const LAUNCH: &str = "SELECT rules, control FROM launches FINAL WHERE launch = {launch:String}";

/// What the page shows beside report and verdict.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) faults: Vec<Fault>,
    pub(super) drivers: Vec<Driver>,
    pub(super) trend: Vec<Minute>,
    pub(super) fault_trend: Vec<FaultMinute>,
    pub(super) staleness: Vec<Age>,
    pub(super) noise: Vec<Noise>,
    pub(super) expected: Vec<Expected>,
    pub(super) curves: Vec<Curve>,
    /// Comparison rules as TOML.
    pub(super) rules: String,
    /// The control's URL, or empty.
    pub(super) control: String,
}

/// One fault with its earliest example.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Fault {
    pub(super) signature: String,
    pub(super) route: String,
    pub(super) place: String,
    pub(super) kind: String,
    pub(super) transition: String,
    pub(super) exchanges: u64,
    pub(super) request: Option<String>,
    pub(super) example_primary: String,
    pub(super) example_candidate: String,
    pub(super) first_seen: String,
    pub(super) last_seen: String,
    pub(super) standing: String,
    pub(super) only_stale: u8,
    pub(super) stale_from_s: u32,
}

/// What a fault goes together with.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Driver {
    pub(super) signature: String,
    pub(super) attribute: String,
    pub(super) is: String,
    pub(super) value: String,
    pub(super) exchanges: u64,
    pub(super) differing: u64,
    pub(super) share: f64,
    pub(super) lift: f64,
}

/// Compared exchanges of one minute; seconds since 1970.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Minute {
    pub(super) minute: u64,
    pub(super) compared: u64,
    pub(super) differing: u64,
}

/// Exchanges of one fault in one minute.
#[derive(Debug, Default, Deserialize)]
pub(super) struct FaultMinute {
    pub(super) signature: String,
    pub(super) minute: u64,
    pub(super) exchanges: u64,
}

/// Compared exchanges by how old they were when they were sent.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Age {
    pub(super) staler_than_s: u32,
    pub(super) compared: u64,
    pub(super) differing: u64,
}

/// One place that is known to be noise, or not to be.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Noise {
    pub(super) route: String,
    pub(super) place: String,
    pub(super) kind: String,
    pub(super) transition: String,
    pub(super) pairs: u64,
    pub(super) control_differing: u64,
    pub(super) candidate_differing: u64,
    pub(super) decision: String,
    pub(super) basis: String,
}

/// How often an expected change showed.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Expected {
    pub(super) name: String,
    pub(super) exchanges: u64,
    pub(super) last_seen: String,
}

/// Latencies of one route, or of the launch (`route` is empty), microseconds at [`LEVELS`].
#[derive(Debug, Default, Deserialize)]
pub(super) struct Curve {
    pub(super) scope: String,
    pub(super) pairs: u64,
    pub(super) controls: u64,
    pub(super) primary: Vec<f64>,
    pub(super) candidate: Vec<f64>,
    pub(super) control: Vec<f64>,
    pub(super) difference: Vec<f64>,
}

#[derive(Deserialize)]
struct Launch {
    rules: String,
    control: String,
}

/// Asks everything about one launch; `top` bounds the faults.
///
/// # Errors
/// When ClickHouse does not answer or refuses.
pub(super) async fn gather(sql: &Sql, launch: &LaunchName, against: Reference, top: u32) -> Result<Findings, Failure> {
    let of = &[("launch", launch.as_str())][..];
    let top = top.to_string();
    let most = &[("launch", launch.as_str()), ("top", top.as_str())][..];
    // One after the other: a page is in no hurry, and the database has others to serve.
    let known: Vec<Launch> = sql.rows(LAUNCH, of).await?;
    let (rules, control) = known.into_iter().next().map_or_else(Default::default, |row| (row.rules, row.control));
    Ok(Findings {
        faults: sql.rows(FAULTS, most).await?,
        drivers: sql.rows(DRIVERS, of).await?,
        trend: sql.rows(TREND, of).await?,
        fault_trend: sql.rows(FAULT_TREND, of).await?,
        staleness: sql.rows(STALENESS, of).await?,
        noise: sql.rows(NOISE, of).await?,
        expected: sql.rows(EXPECTED, of).await?,
        curves: sql.rows(&curves(against), of).await?,
        rules,
        control,
    })
}

fn curves(against: Reference) -> String {
    let levels = LEVELS.map(|level| level.to_string()).join(", ");
    let answered = "control_status IS NOT NULL AND control_us IS NOT NULL";
    let difference = match against {
        Reference::Primary => format!("quantilesExact({levels})(assumeNotNull(candidate_us - primary_us))"),
        Reference::Control => {
            format!("quantilesExactIf({levels})(ifNull(candidate_us - control_us, 0), {answered})")
        }
    };
    format!(
        "SELECT arrayJoin(['', toString(route)]) AS scope, count() AS pairs, countIf({answered}) AS controls,
    quantilesExact({levels})(assumeNotNull(primary_us)) AS primary,
    quantilesExact({levels})(assumeNotNull(candidate_us)) AS candidate,
    quantilesExactIf({levels})(ifNull(control_us, 0), {answered}) AS control,
    {difference} AS difference
FROM exchanges FINAL
WHERE launch = {{launch:String}} AND outcome = 'completed' AND candidate_us IS NOT NULL AND primary_us IS NOT NULL
GROUP BY scope ORDER BY pairs DESC LIMIT 13"
    )
}
