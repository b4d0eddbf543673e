//! `shadowctl schema`: creates ClickHouse's database, tables and views. Safe to run again; the comparator itself needs no
//! right to create anything, so it does not do this when it starts.

use comparator::schema::{self, MIGRATIONS, statements_for};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::sql::Sql;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum SchemaCommand {
    /// Create what is missing and bring views up to date
    #[command(after_help = "\
Examples:
  A server that stands alone:
      shadowctl schema apply
  A cluster of shards and replicas, each node in turn (it needs the macros `shard` and `replica`, and Keeper):
      for node in ch-1 ch-2 ch-3; do
        shadowctl schema apply --cluster shadowline --clickhouse-url https://$node:8443
      done")]
    Apply {
        /// The cluster, as `remote_servers` names it: tables are replicated shards under one distributed table
        #[arg(long, value_name = "NAME")]
        cluster: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Print the statements instead of running them
    Print {
        /// For a node of this cluster
        #[arg(long, value_name = "NAME")]
        cluster: Option<String>,
    },
}

pub(crate) async fn run(sql: &Sql, command: SchemaCommand) -> Result<(), Failure> {
    match command {
        SchemaCommand::Print { cluster: None } => {
            let files: Vec<&str> = MIGRATIONS.iter().map(|(_, text)| *text).collect();
            crate::output::print(&files.join("\n"))
        }
        SchemaCommand::Print { cluster } => {
            let statements = |(_, text): &(&str, &str)| statements_for(text, cluster.as_deref(), &sql.database);
            let statements: Vec<String> = MIGRATIONS.iter().flat_map(statements).collect();
            crate::output::print(&(statements.join(";\n\n") + ";"))
        }
        SchemaCommand::Apply { cluster, output } => {
            output.show(&apply(sql, cluster.as_deref()).await?, Applied::render)
        }
    }
}

/// What was done.
#[derive(Debug, Serialize)]
pub(crate) struct Applied {
    database: String,
    /// Migrations that were run now, in order.
    applied: Vec<&'static str>,
}

impl Applied {
    fn render(&self) -> String {
        let Self { database, applied } = self;
        match applied.as_slice() {
            [] => format!("database {database} was up to date"),
            applied => format!("database {database} is up to date: applied {}", applied.join(", ")),
        }
    }
}

/// Brings the database up to date.
///
/// # Errors
/// With the statement that was refused.
pub(crate) async fn apply(sql: &Sql, cluster: Option<&str>) -> Result<Applied, Failure> {
    let applied = schema::apply(&sql.client, &sql.database, cluster).await.map_err(|error| {
        let failure = sql.failure(&error.source);
        Failure {
            cause: format!("migration {}, statement {}: {}", error.migration, error.number, failure.cause),
            ..failure
        }
    })?;
    Ok(Applied { database: sql.database.clone(), applied })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_applied_or_that_nothing_was_left_to_do() {
        let applied = |applied| Applied { database: "shadow".to_owned(), applied }.render();
        assert_eq!(applied(vec![]), "database shadow was up to date");
        assert_eq!(applied(vec!["1", "2"]), "database shadow is up to date: applied 1, 2");
    }
}
