//! The page's own questions to ClickHouse, for its plots. They go to the shipped views where there is one.

use serde::Deserialize;
use shadow_record::LaunchName;
use shadow_verdict::Reference;

use crate::failure::Failure;
use crate::sql::Sql;

/// Levels of the latency curves.
pub(super) const LEVELS: [f64; 16] =
    [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999];

const TREND: &str = "SELECT toUnixTimestamp(minute) AS minute, sum(compared) AS compared, sum(differing) AS differing \
     FROM trend WHERE launch = {launch:String} GROUP BY minute ORDER BY minute";

const FAULT_TREND: &str = "SELECT signature, toUnixTimestamp(minute) AS minute, exchanges FROM signature_trend \
     WHERE launch = {launch:String} ORDER BY minute";

const STALENESS: &str = "SELECT staler_than_s, sum(compared) AS compared, sum(differing) AS differing FROM staleness \
     WHERE launch = {launch:String} GROUP BY staler_than_s ORDER BY staler_than_s";

/// What the page shows beside report and verdict.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) trend: Vec<Minute>,
    pub(super) fault_trend: Vec<FaultMinute>,
    pub(super) staleness: Vec<Age>,
    pub(super) curves: Vec<Curve>,
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

/// Asks what the report and the verdict do not.
///
/// # Errors
/// When ClickHouse does not answer or refuses.
pub(super) async fn gather(sql: &Sql, launch: &LaunchName, against: Reference) -> Result<Findings, Failure> {
    let of = &[("launch", launch.as_str())][..];
    // One after the other: a page is in no hurry, and the database has others to serve.
    Ok(Findings {
        trend: sql.rows(TREND, of).await?,
        fault_trend: sql.rows(FAULT_TREND, of).await?,
        staleness: sql.rows(STALENESS, of).await?,
        curves: sql.rows(&curves(against), of).await?,
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
