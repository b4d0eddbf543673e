//! `shadowctl report LAUNCH --html FILE`: one page that a person can send to a colleague. It holds everything it shows: no script,
//! no font and no picture is asked of anybody.
//!
//! Everything that comes from traffic (routes, places, values, attributes) is escaped by the template library; the tests show
//! that a value cannot become markup.

mod findings;
mod page;
mod plot;
mod sections;
#[cfg(test)]
mod tests;

use std::path::Path;

use shadow_record::LaunchName;

use self::findings::Findings;
use super::{Report, gather};
use crate::commands::verdict;
use crate::failure::Failure;
use crate::sql::Sql;

/// Faults listed on the page.
const FAULTS: u32 = 30;

/// What the page shows.
struct Page {
    report: Report,
    answer: verdict::Answer,
    findings: Findings,
    /// When it was made, for people.
    at: String,
}

/// Writes the page of a launch.
///
/// # Errors
/// When ClickHouse does not answer or does not know the launch, or the file cannot be written.
pub(super) async fn write(sql: &Sql, launch: &LaunchName, path: &Path) -> Result<(), Failure> {
    let answer = verdict::gather(sql, launch, None).await?;
    let report = gather(sql, launch, FAULTS).await?;
    let findings = findings::gather(sql, launch, answer.reference).await?;
    let at = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string();
    let text = page::page(&Page { report, answer, findings, at }).into_string();
    std::fs::write(path, text).map_err(|error| {
        Failure::usage(format!("cannot write {}: {error}", path.display()), "check the path and its permissions")
    })
}
