//! The evidence of a ramp's step: the launch's verdict, and whether anything was sent since the step began.

use serde::Deserialize;
use shadow_control::Launch;

use super::decide::Judged;
use crate::commands::verdict;
use crate::failure::Failure;
use crate::sql::Sql;

#[derive(Debug, Deserialize)]
struct Fresh {
    fresh: u64,
}

const FRESH: &str = "SELECT count() AS fresh FROM exchanges FINAL \
    WHERE launch = {launch:String} AND sent_at >= fromUnixTimestamp64Micro({since:Int64})";

/// Judges a launch as `shadowctl verdict` does.
pub(super) async fn judge(sql: &Sql, launch: &Launch) -> Judged {
    gather(sql, launch).await.unwrap_or_else(|failure| Judged::Unknown(failure.cause))
}

async fn gather(sql: &Sql, launch: &Launch) -> Result<Judged, Failure> {
    let since = launch.ramp.as_ref().and_then(|ramp| ramp.since).unwrap_or_default();
    let (name, since) = (launch.name.as_str(), since.micros().to_string());
    let fresh: Vec<Fresh> = sql.rows(FRESH, &[("launch", name), ("since", &since)]).await?;
    let fresh = fresh.first().map_or(0, |row| row.fresh);
    let verdict = verdict::gather(sql, &launch.name, None).await?.verdict;
    Ok(Judged::Verdict { word: verdict.decision, reason: verdict.reason, fresh })
}
