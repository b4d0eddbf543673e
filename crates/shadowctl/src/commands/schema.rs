//! `shadowctl schema apply`: creates ClickHouse's database, tables and views. Safe to run again; the comparator itself needs
//! no rights to create anything.

use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::sql::Sql;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum SchemaCommand {
    /// Create what is missing and bring views up to date
    Apply {
        #[command(flatten)]
        output: Output,
    },
    /// Print the statements instead of running them
    Print,
}

/// The files of `schemas/clickhouse`, in order.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("0001_tables.sql", include_str!("../../../../schemas/clickhouse/0001_tables.sql")),
    ("0002_views.sql", include_str!("../../../../schemas/clickhouse/0002_views.sql")),
];

pub(crate) async fn run(sql: &Sql, command: SchemaCommand) -> Result<(), Failure> {
    match command {
        SchemaCommand::Print => {
            let files: Vec<&str> = FILES.iter().map(|(_, text)| *text).collect();
            crate::output::print(&files.join("\n"))
        }
        SchemaCommand::Apply { output } => output.show(&apply(sql).await?, |applied| {
            let Applied { database, files, statements } = applied;
            format!("database {database} is up to date: {statements} statements of {}", files.join(", "))
        }),
    }
}

/// What was run.
#[derive(Debug, Serialize)]
pub(crate) struct Applied {
    database: String,
    files: Vec<&'static str>,
    statements: usize,
}

/// Runs every statement of every file.
///
/// # Errors
/// With the file and statement that was refused.
pub(crate) async fn apply(sql: &Sql) -> Result<Applied, Failure> {
    sql.execute(&format!("CREATE DATABASE IF NOT EXISTS {}", quoted(&sql.database))).await?;
    let mut applied = Applied { database: sql.database.clone(), files: Vec::new(), statements: 0 };
    for (name, text) in FILES {
        for statement in statements(text) {
            sql.execute_within(statement).await.map_err(|failure| Failure {
                cause: format!("{name}, `{}`: {}", first_line(statement), failure.cause),
                ..failure
            })?;
            applied.statements += 1;
        }
        applied.files.push(name);
    }
    Ok(applied)
}

/// A name as ClickHouse quotes it.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// The statements of a file: each ends with a semicolon at the end of a line.
fn statements(text: &str) -> impl Iterator<Item = &str> {
    text.split(";\n").map(str::trim).filter(|statement| {
        statement.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
    })
}

fn first_line(statement: &str) -> &str {
    statement.lines().find(|line| !line.starts_with("--") && !line.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_applied_in_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/clickhouse");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".sql"))
            .collect();
        found.sort();
        assert_eq!(FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), found);
    }

    #[test]
    fn a_file_is_cut_into_its_statements() {
        let text = "-- one\nCREATE a\n(\n  b\n);\n\n-- two; not cut\nCREATE c;\n-- the end\n";
        let found: Vec<_> = statements(text).map(first_line).collect();
        assert_eq!(found, ["CREATE a", "CREATE c"]);
    }
}
