//! `shadowctl audit`: who changed what on the control topic, when and why, as comparators wrote it down in ClickHouse.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shadow_record::{LaunchName, Timestamp};
use shadow_runtime::units::HumanDuration;

use super::differences::{Difference, differences, in_one_line};
use crate::failure::Failure;
use crate::output::Output;
use crate::sql::Sql;
use crate::table::Table;
use crate::words;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
With --launch: what was written about the launch since it was created, the rates it follows, and the kill switch of everything.

Examples:
  shadowctl audit --launch checkout-v2
  shadowctl audit --since 2h
  shadowctl audit --since 2026-01-31T12:00:00Z --json")]
pub(crate) struct AuditArgs {
    /// Only what concerns this launch
    #[arg(long)]
    launch: Option<LaunchName>,
    /// Only what changed since then: a time (RFC 3339), or how long ago, such as `2h`
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// Most changes to show, the newest
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    output: Output,
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = text.parse::<HumanDuration>() {
        return Ok(Timestamp(Timestamp::now().micros() - ago.get().as_micros() as i64));
    }
    words::parse_time(text)
        .map_err(|_| "write a time such as 2026-01-31T12:00:00Z, or how long ago, such as 2h".to_owned())
}

/// Each change beside what stood under its key before. A deletion carries no name, so it has that of the record before it, which
/// shadowctl writes for it.
const CHANGES: &str = "\
SELECT version, at_us, key, kind, subject, deleted, value, before, if(deleted, by_before, by) AS by, if(deleted, why_before, why) AS why
FROM
(
    SELECT version, at, toInt64(toUnixTimestamp64Micro(at)) AS at_us, key, kind, subject, launch, by, why, deleted, value,
        lagInFrame(value) OVER earlier AS before, lagInFrame(by) OVER earlier AS by_before, lagInFrame(why) OVER earlier AS why_before
    FROM control_changes FINAL
    WINDOW earlier AS (PARTITION BY key ORDER BY at, version ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
WHERE at_us >= {since:Int64}
    AND ({launch:String} = '' OR ((launch = {launch:String} OR key = 'pause/all'
            OR key = (SELECT concat('rate/shadow.captured.', any(service)) FROM launches FINAL WHERE launch = {launch:String}))
        AND (at, version) >= (SELECT min((at, version)) FROM control_changes WHERE key = concat('launch/', {launch:String}))))
ORDER BY at DESC, version DESC
LIMIT {limit:UInt32}";

#[derive(Debug, Deserialize)]
struct Row {
    version: i64,
    at_us: i64,
    key: String,
    kind: String,
    subject: String,
    deleted: u8,
    value: String,
    before: String,
    by: String,
    why: String,
}

/// One change.
#[derive(Debug, Serialize)]
struct Shown {
    control_version: i64,
    at: String,
    key: String,
    kind: String,
    subject: String,
    by: String,
    why: String,
    /// `created`, `changed`, `deleted`, or `forgotten`: the rows of a launch.
    what: &'static str,
    /// Of a change: the places that are not what they were.
    changed: Vec<Difference>,
    /// The record, `null` when it was deleted or could not be read.
    value: Option<Value>,
}

impl Shown {
    fn of(row: Row) -> Self {
        let read = |text: &str| serde_json::from_str::<Value>(text).ok();
        let (before, value) = (read(&row.before), read(&row.value));
        let what = match (row.deleted == 1, &before) {
            _ if row.kind == "forgotten" => "forgotten",
            (true, _) => "deleted",
            (false, None) => "created",
            (false, Some(_)) => "changed",
        };
        let changed = if what == "changed" { differences(before.as_ref(), value.as_ref()) } else { Vec::new() };
        Self {
            control_version: row.version,
            at: words::when(Timestamp(row.at_us)),
            key: row.key,
            kind: row.kind,
            subject: row.subject,
            by: row.by,
            why: row.why,
            what,
            changed,
            value,
        }
    }

    fn what(&self) -> String {
        match self.changed.as_slice() {
            [] => self.what.to_owned(),
            changed => in_one_line(changed),
        }
    }
}

pub(crate) async fn run(sql: &Sql, args: AuditArgs) -> Result<(), Failure> {
    let launch = args.launch.as_ref().map_or("", LaunchName::as_str);
    let since = args.since.unwrap_or_default().micros().to_string();
    let limit = args.limit.to_string();
    let rows: Vec<Row> = sql.rows(CHANGES, &[("launch", launch), ("since", &since), ("limit", &limit)]).await?;
    // The newest were asked for; people read from the oldest on.
    let shown: Vec<Shown> = rows.into_iter().rev().map(Shown::of).collect();
    args.output.show(&shown, |shown| people(shown))
}

fn people(all: &[Shown]) -> String {
    if all.is_empty() {
        return "no changes; comparators write them down, within a second or two".to_owned();
    }
    let mut table = Table::new(&["at", ">control", "kind", "subject", "what", "by", "why"]);
    for shown in all {
        table.row([
            shown.at.clone(),
            shown.control_version.to_string(),
            shown.kind.clone(),
            shown.subject.clone(),
            shown.what(),
            shown.by.clone(),
            shown.why.clone(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(deleted: u8, before: &str, value: &str) -> Row {
        let text = str::to_owned;
        let (key, kind, subject, by, why) = (text("rate/t"), text("rate"), text("t"), text("ann"), text("warm"));
        Row { version: 3, at_us: 0, key, kind, subject, deleted, value: text(value), before: text(before), by, why }
    }

    #[test]
    fn each_change_says_what_it_changed() {
        let shown = [
            Shown::of(row(0, "", r#"{"per_second":1.5,"change":{"by":"ann"}}"#)),
            Shown::of(row(
                0,
                r#"{"per_second":1.5,"change":{"by":"ann"}}"#,
                r#"{"per_second":2.0,"change":{"by":"bob"}}"#,
            )),
            Shown::of(row(1, r#"{"per_second":2.0}"#, "")),
        ];
        let what: Vec<String> = shown.iter().map(Shown::what).collect();
        assert_eq!(what, ["created", "per_second 1.5 -> 2.0", "deleted"]);
        assert!(people(&shown).contains("rate  t        per_second 1.5 -> 2.0  ann  warm"), "{}", people(&shown));
        let again = Row { kind: "forgotten".to_owned(), ..row(0, r#"{"rows":[]}"#, r#"{"rows":[1]}"#) };
        assert_eq!(Shown::of(again).what(), "forgotten");
        assert!(people(&[]).contains("no changes"));
    }

    #[test]
    fn a_beginning_is_a_time_or_how_long_ago() {
        assert_eq!(since("1970-01-01T00:00:01Z"), Ok(Timestamp(1_000_000)));
        assert!(since("2h").unwrap() < Timestamp::now());
        assert!(since("yesterday").unwrap_err().contains("2h"));
    }
}
