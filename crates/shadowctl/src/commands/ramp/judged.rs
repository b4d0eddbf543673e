//! The evidence of a ramp's step: the launch's verdict, and whether anything was sent since the stay at it began.

use std::time::Duration;

use serde::Deserialize;
use shadow_control::{ControlState, Launch};

use super::decide::{Judged, began};
use crate::commands::verdict;
use crate::failure::Failure;
use crate::sql::Sql;

#[derive(Debug, Deserialize)]
struct Fresh {
    fresh: u64,
}

const FRESH: &str = "SELECT count() AS fresh FROM exchanges FINAL \
    WHERE launch = {launch:String} AND sent_at >= fromUnixTimestamp64Micro({since:Int64})";

/// A launch that cannot be judged for so long must not keep the others from being judged, and rolled back.
const PATIENCE: Duration = Duration::from_secs(30);

/// Judges a launch as `shadowctl verdict` does.
pub(super) async fn judge(sql: &Sql, state: &ControlState, launch: &Launch) -> Judged {
    let judged = tokio::time::timeout(PATIENCE, gather(sql, state, launch)).await;
    let late = || Judged::Unknown(format!("ClickHouse did not answer within {} s", PATIENCE.as_secs()));
    judged.map_or_else(|_| late(), |judged| judged.unwrap_or_else(|failure| Judged::Unknown(failure.cause)))
}

async fn gather(sql: &Sql, state: &ControlState, launch: &Launch) -> Result<Judged, Failure> {
    let since = began(state, launch).unwrap_or_default();
    let (name, since) = (launch.name.as_str(), since.micros().to_string());
    let fresh: Vec<Fresh> = sql.rows(FRESH, &[("launch", name), ("since", &since)]).await?;
    let fresh = fresh.first().map_or(0, |row| row.fresh);
    let verdict = verdict::gather(sql, &launch.name, None).await?.verdict;
    Ok(Judged::Verdict { word: verdict.decision, reason: verdict.reason, fresh })
}
