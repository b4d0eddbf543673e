//! Asking ClickHouse. Answers come as one JSON object a row, so that a command names only the columns it shows.

use std::path::{Path, PathBuf};

use clickhouse::Client;
use comparator::authorities::{self, Authorities};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shadow_runtime::Secret;
use url::Url;

use crate::failure::{CLICKHOUSE_REMEDY, Failure};

/// Where ClickHouse is. Its user and password come from the environment or a file, never from the command line, where
/// every process of the machine could read them.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Where things are")]
pub(crate) struct ClickHouseArgs {
    /// ClickHouse's HTTP interface; credentials: SHADOW_CLICKHOUSE_USER, SHADOW_CLICKHOUSE_PASSWORD (or ..._FILE)
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "SHADOW_CLICKHOUSE_URL",
        default_value = "http://127.0.0.1:8123"
    )]
    pub(crate) clickhouse_url: Url,

    /// PEM file with the authorities that sign ClickHouse's certificate
    #[arg(long, global = true, value_name = "FILE", env = "SHADOW_CLICKHOUSE_CA")]
    pub(crate) clickhouse_ca: Option<PathBuf>,

    /// The database that holds Shadowline's tables
    #[arg(long, global = true, value_name = "NAME", env = "SHADOW_CLICKHOUSE_DATABASE", default_value = "shadow")]
    pub(crate) clickhouse_database: String,
}

/// A connection to ClickHouse.
#[derive(Clone)]
pub(crate) struct Sql {
    pub(crate) client: Client,
    url: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) database: String,
}

impl Sql {
    /// A client; it connects when first used.
    ///
    /// # Errors
    /// When the URL holds credentials or a credential's file cannot be read.
    pub(crate) fn new(args: &ClickHouseArgs) -> Result<Self, Failure> {
        let url = &args.clickhouse_url;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Failure::usage(
                "the URL of ClickHouse holds credentials",
                "set SHADOW_CLICKHOUSE_USER and SHADOW_CLICKHOUSE_PASSWORD (or ..._FILE) instead",
            ));
        }
        let authorities = args.clickhouse_ca.clone().map(Authorities::try_from).transpose();
        let authorities = authorities
            .map_err(|error| Failure::usage(error.to_string(), "check --clickhouse-ca or SHADOW_CLICKHOUSE_CA"))?;
        let mut client = authorities::client(authorities.as_ref())
            .with_url(url.as_str())
            // Numbers as numbers, and no half an answer when a query fails on its way.
            .with_setting("output_format_json_quote_64bit_integers", "0")
            .with_setting("wait_end_of_query", "1")
            // On a cluster: views join tables that are spread over shards, and what was inserted is there.
            .with_setting("distributed_product_mode", "global")
            .with_setting("distributed_foreground_insert", "1");
        let user = credential("SHADOW_CLICKHOUSE_USER")?;
        if let Some(user) = &user {
            client = client.with_user(user);
        }
        let password = credential("SHADOW_CLICKHOUSE_PASSWORD")?.map(Secret::new);
        if let Some(password) = &password {
            client = client.with_password(password.expose());
        }
        let url = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client, url, user, password, database: args.clickhouse_database.clone() })
    }

    /// The same at another URL.
    pub(crate) fn at(mut self, url: &Url) -> Self {
        self.client = self.client.with_url(url.as_str());
        self.url = url.as_str().trim_end_matches('/').to_owned();
        self
    }

    /// All rows of a query; its `{name:Type}` parameters are filled from `parameters`.
    ///
    /// # Errors
    /// When ClickHouse does not answer or refuses.
    pub(crate) async fn rows<T: DeserializeOwned>(
        &self,
        sql: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Vec<T>, Failure> {
        let mut query = self.client.clone().with_database(&self.database).query_raw(sql);
        for (name, value) in parameters {
            query = query.param(name, value);
        }
        let mut cursor = query.fetch_bytes("JSONEachRow").map_err(|error| self.failure(&error))?;
        let body = cursor.collect().await.map_err(|error| self.failure(&error))?;
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(serde_json::from_slice).collect::<Result<_, _>>().map_err(|error| {
            Failure::internal(format!("a row of ClickHouse has another shape than this version reads: {error}"))
        })
    }

    /// Runs a statement that has no rows to give; its `{name:Type}` parameters are filled from `parameters`.
    ///
    /// # Errors
    /// When ClickHouse does not answer or refuses.
    pub(crate) async fn execute(&self, sql: &str, parameters: &[(&str, &str)]) -> Result<(), Failure> {
        let mut query = self.client.clone().with_database(&self.database).query_raw(sql);
        for (name, value) in parameters {
            query = query.param(name, value);
        }
        query.execute().await.map_err(|error| self.failure(&error))
    }

    /// Inserts rows into `table`; columns that a row does not name get their defaults.
    ///
    /// # Errors
    /// When ClickHouse does not answer or refuses.
    pub(crate) async fn insert<T: Serialize>(&self, table: &str, rows: &[T]) -> Result<(), Failure> {
        let mut statement = format!("INSERT INTO {table} FORMAT JSONEachRow");
        for row in rows {
            statement.push('\n');
            statement.push_str(&serde_json::to_string(row).map_err(Failure::internal)?);
        }
        self.execute(&statement, &[]).await
    }

    /// Says what to do about an error, by what ClickHouse calls it.
    pub(crate) fn failure(&self, error: &clickhouse::error::Error) -> Failure {
        use clickhouse::error::Error;
        let url = &self.url;
        match error {
            Error::Network(cause) => {
                let cause = innermost(cause.as_ref());
                Failure::unreachable(format!("cannot reach ClickHouse at {url}: {cause}"), CLICKHOUSE_REMEDY)
            }
            Error::TimedOut => Failure::unreachable(format!("ClickHouse at {url} did not answer"), CLICKHOUSE_REMEDY),
            other => {
                let text = other.to_string();
                let remedy = remedy_for(&text);
                let first = text.lines().next().unwrap_or_default();
                Failure::negative(format!("ClickHouse at {url}: {first}"), remedy)
            }
        }
    }
}

/// The remedies for what goes wrong before a query is even looked at; names are ClickHouse's.
fn remedy_for(text: &str) -> &'static str {
    if text.contains("UNKNOWN_DATABASE") || text.contains("UNKNOWN_TABLE") {
        "run `shadowctl schema apply`, or name the right database with --clickhouse-database"
    } else if text.contains("AUTHENTICATION_FAILED") || text.contains("REQUIRED_PASSWORD") {
        "set SHADOW_CLICKHOUSE_USER and SHADOW_CLICKHOUSE_PASSWORD (or ..._FILE)"
    } else if text.contains("ACCESS_DENIED") {
        "ask for the right that the message names"
    } else if text.contains("UNKNOWN_IDENTIFIER") {
        "the tables are of another version: run `shadowctl schema apply`"
    } else {
        ""
    }
}

/// The root of a chain of errors: "connection refused" rather than "client error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A credential from `name` or from the file that `name_FILE` names.
pub(crate) fn credential(name: &str) -> Result<Option<String>, Failure> {
    if let Ok(value) = std::env::var(name) {
        return Ok(Some(value));
    }
    let file = format!("{name}_FILE");
    let Some(path) = std::env::var_os(&file) else { return Ok(None) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) => Err(Failure::usage(
            format!("cannot read {} (named by {file}): {error}", Path::new(&path).display()),
            "check the path and its permissions",
        )),
    }
}
