//! `shadowctl launch forget`: removes what ClickHouse has of a launch that is off the control topic.
//!
//! A row deleted by hand unbalances the launch's ledger, because the others still say that it must be there. Here everything that a ledger
//! is made of goes together, the watermarks last: whoever looks meanwhile sees what is not complete yet as unbalanced, never as balanced, and
//! a command that was interrupted is given again. What has no part in the books stays: the history of control, and what was decided about noise.

use serde::{Deserialize, Serialize};
use serde_json::json;
use shadow_control::{ControlRecord, ControlState};
use shadow_record::LaunchName;

use super::{change, status_word};
use crate::failure::Failure;
use crate::kafka::Kafka;
use crate::output::{Output, note};
use crate::sql::Sql;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Only a launch that was deleted (`shadowctl launch delete`) can be forgotten: nobody writes rows of it any more. Its reports, verdict and ledger
are gone afterwards; who launched what, and who forgot it, stays in `shadowctl audit`. Giving the command again does no harm.

It needs a user of ClickHouse that may SELECT and ALTER DELETE on the database, and INSERT into control_changes. On a cluster, give it
once on a node of each shard; it says so as long as another one has rows.

Examples:
  shadowctl launch forget checkout-v2                          # how many rows that would be
  shadowctl launch forget checkout-v2 --yes --why 'disk is full'")]
pub(crate) struct ForgetArgs {
    /// The launch
    name: LaunchName,
    /// Confirms that its rows are to be deleted for good
    #[arg(long)]
    yes: bool,
    /// Why, for whoever looks at it later
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Tables with rows of launches, in the order in which these are deleted. The watermarks say that the launch has a ledger at all.
const BY_LAUNCH: &[&str] =
    &["exchanges", "skipped_ranges", "effects", "instance_status", "drills", "dead_letters", "launches", "watermarks"];

/// What was deleted.
#[derive(Debug, Serialize)]
struct Forgotten {
    launch: LaunchName,
    /// Rows by table, those of this node where there are more; only tables that had any.
    rows: Vec<Rows>,
}

#[derive(Debug, Serialize)]
struct Rows {
    table: &'static str,
    rows: u64,
}

impl Forgotten {
    fn total(&self) -> u64 {
        self.rows.iter().map(|of| of.rows).sum()
    }

    fn render(&self) -> String {
        if self.rows.is_empty() {
            return format!("no table has rows of launch {}", self.launch);
        }
        let lines = self.rows.iter().map(|Rows { table, rows }| format!("  deleted  {rows} rows of {table}\n"));
        let head = format!("launch {} is forgotten: {} rows\n", self.launch, self.total());
        let stays = "  stays    its history: `shadowctl audit`; what was decided about noise belongs to the service";
        [head].into_iter().chain(lines).chain([stays.to_owned()]).collect()
    }
}

pub(super) async fn run(kafka: &Kafka, sql: &Sql, args: ForgetArgs) -> Result<(), Failure> {
    let ForgetArgs { name, yes, why, output } = args;
    let state = kafka.control().await?;
    refuse_standing(&state, &name)?;
    let spread = spread(sql).await?;
    let mut found = Forgotten { launch: name.clone(), rows: Vec::new() };
    for &table in BY_LAUNCH {
        let rows = count(sql, &part(table, spread), &name).await?;
        if rows > 0 {
            found.rows.push(Rows { table, rows });
        }
    }
    if !found.rows.is_empty() {
        if !yes {
            let cause = format!("this would delete {} rows of launch {name} for good", found.total());
            return Err(Failure::usage(cause, "add --yes"));
        }
        // First of all, so that nothing is deleted that nobody is known to have deleted.
        remember(sql, &state, &found, why).await?;
    }
    for Rows { table, rows } in &found.rows {
        note(&format!("deleting {rows} rows of {table}"));
        let delete =
            format!("ALTER TABLE {} DELETE WHERE {} SETTINGS mutations_sync = 1", part(table, spread), of(table));
        sql.execute(&delete, &[("launch", name.as_str())]).await?;
    }
    output.show(&found, Forgotten::render)?;
    for &table in BY_LAUNCH {
        let left = count(sql, table, &name).await?;
        if left > 0 {
            return Err(Failure::negative(
                format!("{left} rows of launch {name} are left in {table}, on other shards or written meanwhile"),
                "give the command again on a node of each shard (--clickhouse-url), while no comparator works on the launch",
            ));
        }
    }
    Ok(())
}

/// # Errors
/// When the launch still stands on the control topic, or nobody can tell.
fn refuse_standing(state: &ControlState, name: &LaunchName) -> Result<(), Failure> {
    if let Some(launch) = state.launches.get(name) {
        return Err(Failure::negative(
            format!(
                "launch {name} is {}, not deleted: comparators may still write rows of it",
                status_word(launch.status)
            ),
            format!("end it if it has not ended, and delete it: `shadowctl launch delete {name}`"),
        ));
    }
    if state.unreadable.contains(&ControlRecord::launch_key(name)) {
        let cause = format!("the control record of launch {name} cannot be read: it may be running");
        return Err(Failure::negative(cause, "use the version of shadowctl that wrote it"));
    }
    Ok(())
}

/// Whether tables are shards of a cluster's.
async fn spread(sql: &Sql) -> Result<bool, Failure> {
    #[derive(Deserialize)]
    struct Table {
        engine: String,
    }
    let engines = "SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = 'exchanges'";
    let tables: Vec<Table> = sql.rows(engines, &[]).await?;
    Ok(tables.iter().any(|table| table.engine == "Distributed"))
}

/// This node's own part of a table.
fn part(table: &str, spread: bool) -> String {
    if spread { format!("{table}_local") } else { table.to_owned() }
}

/// Which rows of a table are the launch's. Letters that could not be read say it by their topic, `shadow.replayed.<service>.<launch>`; in
/// neither name there is a dot.
fn of(table: &str) -> &'static str {
    match table {
        "dead_letters" => {
            "startsWith(topic, 'shadow.replayed.') AND splitByChar('.', toString(topic))[-1] = {launch:String}"
        }
        _ => "launch = {launch:String}",
    }
}

async fn count(sql: &Sql, table: &str, name: &LaunchName) -> Result<u64, Failure> {
    #[derive(Deserialize)]
    struct Count {
        rows: u64,
    }
    let condition = of(table.trim_end_matches("_local"));
    let counted = format!("SELECT count() AS rows FROM {table} WHERE {condition}");
    let counts: Vec<Count> = sql.rows(&counted, &[("launch", name.as_str())]).await?;
    Ok(counts.first().map_or(0, |count| count.rows))
}

/// Writes down who forgets what and why, beside the changes of control.
async fn remember(sql: &Sql, state: &ControlState, found: &Forgotten, why: Option<String>) -> Result<(), Failure> {
    const ROW: &str = "\
INSERT INTO control_changes (version, at, key, kind, subject, launch, by, why, value)
SELECT {version:Int64}, now64(6), concat('forgotten/', {launch:String}), 'forgotten', {launch:String}, {launch:String}, {by:String}, {why:String},
    {value:String}";
    let change = change(why);
    let (version, value) = (state.version.to_string(), json!({ "rows": found.rows }).to_string());
    let launch = ("launch", found.launch.as_str());
    sql.execute(ROW, &[("version", &version), launch, ("by", &change.by), ("why", &change.why), ("value", &value)])
        .await
}

#[cfg(test)]
mod tests {
    use comparator::schema::{MIGRATIONS, TABLES};

    use super::*;

    /// What a launch's end leaves as it is: control's history, and decisions of a service.
    const STAYS: [&str; 2] = ["control_changes", "noise_profiles"];

    #[test]
    fn every_table_with_a_launch_is_cleared_or_named_as_one_that_stays() {
        for (_, text) in MIGRATIONS {
            for table in text.split("CREATE TABLE IF NOT EXISTS ").skip(1) {
                let name = table.split_whitespace().next().unwrap();
                let columns = table.split("ENGINE").next().unwrap();
                if columns.lines().any(|line| line.trim_start().starts_with("launch ")) {
                    assert!(BY_LAUNCH.contains(&name) != STAYS.contains(&name), "{name}");
                }
            }
        }
        for table in TABLES {
            assert!(BY_LAUNCH.contains(table) != STAYS.contains(table), "{table}");
        }
    }

    #[test]
    fn it_says_what_was_deleted_and_what_stays() {
        let mut forgotten = Forgotten { launch: "v2".parse().unwrap(), rows: Vec::new() };
        assert_eq!(forgotten.render(), "no table has rows of launch v2");
        forgotten.rows = vec![Rows { table: "exchanges", rows: 40 }, Rows { table: "watermarks", rows: 2 }];
        let told = forgotten.render();
        assert!(told.starts_with("launch v2 is forgotten: 42 rows\n  deleted  40 rows of exchanges\n"), "{told}");
        assert!(told.contains("shadowctl audit"), "{told}");
    }
}
