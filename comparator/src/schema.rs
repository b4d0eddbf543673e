//! The tables and views in ClickHouse, as migrations; `shadowctl schema apply` runs them.
//!
//! Every statement may be run again, and a migration that is recorded with the same text is not: applying twice changes
//! nothing. Once one was run, all behind it are run again, for ClickHouse fixes the columns of a view when it is created.

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

mod cluster;

/// Every migration in order, first of the tables, then of the views: its name and its statements, each ending with a semicolon
/// at the end of a line.
pub const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_tables", include_str!("../../schemas/clickhouse/0001_tables.sql")),
    ("0002_control_and_noise", include_str!("../../schemas/clickhouse/0002_control_and_noise.sql")),
    ("0003_replay_control", include_str!("../../schemas/clickhouse/0003_replay_control.sql")),
    ("0004_effects", include_str!("../../schemas/clickhouse/0004_effects.sql")),
    ("views/1_noise", include_str!("../../schemas/clickhouse/views/1_noise.sql")),
    ("views/2_results", include_str!("../../schemas/clickhouse/views/2_results.sql")),
    ("views/3_differences", include_str!("../../schemas/clickhouse/views/3_differences.sql")),
    ("views/4_drivers", include_str!("../../schemas/clickhouse/views/4_drivers.sql")),
    ("views/5_ledger", include_str!("../../schemas/clickhouse/views/5_ledger.sql")),
    ("views/6_effects", include_str!("../../schemas/clickhouse/views/6_effects.sql")),
];

/// Tables that the comparator inserts into.
pub const TABLES: &[&str] = &[
    "exchanges",
    "skipped_ranges",
    "watermarks",
    "instance_status",
    "dead_letters",
    "launches",
    "control_changes",
    "effects",
];

/// A migration failed.
#[derive(Debug, thiserror::Error)]
#[error("schema migration {migration}, statement {number}: {source}")]
pub struct SchemaError {
    /// Which migration.
    pub migration: &'static str,
    /// Which of its statements, from 1.
    pub number: usize,
    /// ClickHouse's answer.
    pub source: clickhouse::error::Error,
}

#[derive(Row, Serialize, Deserialize)]
struct Applied {
    name: String,
    checksum: u64,
}

/// The statements of a migration, in order, as a server runs them: one that stands alone, or each node of `cluster`.
pub fn statements_for(text: &str, cluster: Option<&str>, database: &str) -> Vec<String> {
    match cluster {
        None => statements(text).map(str::to_owned).collect(),
        Some(name) => statements(text).flat_map(|statement| cluster::on_cluster(statement, name, database)).collect(),
    }
}

/// Creates `database` and brings its tables and views up to date. Gives the names of the migrations that were run. With `cluster`, the server is
/// one node of it, and every node is to be brought up to date in the same way.
///
/// # Errors
/// [`SchemaError`] with the statement that failed; what was applied before it stays.
pub async fn apply(client: &Client, database: &str, cluster: Option<&str>) -> Result<Vec<&'static str>, SchemaError> {
    let of = |migration, number| move |source| SchemaError { migration, number, source };
    let create = format!("CREATE DATABASE IF NOT EXISTS `{}`", database.replace('`', "``"));
    execute(&client.clone().with_database("default"), &create).await.map_err(of("database", 1))?;
    let client = client.clone().with_database(database).with_validation(false);
    execute(&client, RECORD).await.map_err(of("record", 1))?;
    let done = "SELECT name, checksum FROM schema_migrations FINAL";
    let done: Vec<Applied> = client.query(done).fetch_all().await.map_err(of("record", 2))?;
    let mut applied = Vec::new();
    for &(migration, text) in MIGRATIONS {
        let checksum = checksum(text);
        if applied.is_empty() && done.iter().any(|d| d.name == migration && d.checksum == checksum) {
            continue;
        }
        for (index, statement) in statements_for(text, cluster, database).iter().enumerate() {
            execute(&client, statement).await.map_err(of(migration, index + 1))?;
        }
        let record = format!("INSERT INTO schema_migrations (name, checksum) VALUES ('{migration}', {checksum})");
        execute(&client, &record).await.map_err(of(migration, 0))?;
        applied.push(migration);
    }
    Ok(applied)
}

const RECORD: &str = "CREATE TABLE IF NOT EXISTS schema_migrations
    (name String, checksum UInt64, applied_at DateTime64(6, 'UTC') DEFAULT now64(6))
    ENGINE = ReplacingMergeTree(applied_at) ORDER BY name";

async fn execute(client: &Client, statement: &str) -> clickhouse::error::Result<()> {
    // A question mark would be a parameter.
    client.query(&statement.replace('?', "??")).execute().await
}

/// The statements of a migration, without text that is only comments.
fn statements(text: &str) -> impl Iterator<Item = &str> {
    let says_something = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with("--");
    text.split(";\n").map(str::trim).filter(move |statement| statement.lines().any(says_something))
}

/// FNV-1a: tells whether a text changed, and is the same in every build.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_in_order_and_repeatable() {
        assert!(MIGRATIONS.is_sorted(), "tables come before views");
        for (name, text) in MIGRATIONS {
            for statement in statements(text) {
                let first = statement.lines().find(|l| !l.is_empty() && !l.starts_with("--")).unwrap();
                let repeatable = ["IF NOT EXISTS", "OR REPLACE", "IF EXISTS"].iter().any(|words| first.contains(words));
                assert!(repeatable, "{name}: {first}");
            }
        }
    }

    #[test]
    fn every_table_of_the_comparator_is_made_by_a_migration() {
        for table in TABLES {
            let made = format!("CREATE TABLE IF NOT EXISTS {table}\n");
            assert!(MIGRATIONS.iter().any(|(_, text)| text.contains(&made)), "{table}");
        }
    }
}
