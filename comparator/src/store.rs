//! Step 5: store. Inserts rows into ClickHouse until they are there.
//!
//! Guarantee: [`Store::insert_until_stored`] returns `true` only when ClickHouse has acknowledged every row; until then the same
//! rows are inserted again, which the tables' engines make harmless. Nothing rests on deduplication tokens or on the client's
//! own buffer.

use std::time::Duration;

use clickhouse::{Client, RowOwned, RowWrite};
use tokio_util::sync::CancellationToken;

use crate::config::ClickHouseConfig;
use crate::metrics::Metrics;
use crate::schema::TABLES;

mod rows;

pub use rows::{ChangeRow, DeadLetterRow, EffectRow, ExchangeRow, LaunchRow, RangeRow, StatusRow, WatermarkRow};

/// Longest wait for ClickHouse to take a piece of a batch, and then to acknowledge the batch.
const TIMEOUT: Duration = Duration::from_secs(30);
/// First and longest wait between attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// ClickHouse's error codes for a table, a database or a column that does not exist.
const MISSING: &[&str] = &["Code: 60.", "Code: 81.", "Code: 16."];

/// Why rows were not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No answer.
    #[error(
        "cannot reach ClickHouse at {url}: {cause}; check clickhouse.url (or SHADOW_CLICKHOUSE_URL) and that the server is up"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// What happened.
        cause: String,
    },
    /// The schema is not there or is older than this comparator.
    #[error(
        "ClickHouse has not all tables and columns in database `{database}`: {cause}; run `shadowctl schema apply`"
    )]
    Schema {
        /// Which database.
        database: String,
        /// ClickHouse's word.
        cause: String,
    },
    /// It answered and refused.
    #[error("ClickHouse refused: {cause}; check clickhouse.user, its password and its rights to insert")]
    Refused {
        /// ClickHouse's word.
        cause: String,
    },
}

/// Rows that are stored together.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // one list for each table
pub struct Batch {
    pub exchanges: Vec<ExchangeRow>,
    pub ranges: Vec<RangeRow>,
    pub watermarks: Vec<WatermarkRow>,
    pub statuses: Vec<StatusRow>,
    pub dead_letters: Vec<DeadLetterRow>,
    pub launches: Vec<LaunchRow>,
    pub changes: Vec<ChangeRow>,
    pub effects: Vec<EffectRow>,
}

impl Batch {
    /// Rows in all tables.
    pub fn rows(&self) -> usize {
        let Self { exchanges, ranges, watermarks, statuses, dead_letters, launches, changes, effects } = self;
        let account = exchanges.len() + ranges.len() + watermarks.len();
        account + statuses.len() + dead_letters.len() + launches.len() + changes.len() + effects.len()
    }
}

/// ClickHouse, as far as inserting goes.
#[derive(Clone)]
pub struct Store {
    client: Client,
    url: String,
    database: String,
    metrics: Metrics,
}

impl Store {
    /// A store; nothing is connected yet.
    pub fn new(config: &ClickHouseConfig, metrics: Metrics) -> Self {
        // A batch spans as many days as were captured: refused for that, it would be refused whenever it is tried again.
        let client = config
            .client()
            .with_setting("async_insert", "0")
            .with_setting("max_partitions_per_insert_block", "0")
            // On a cluster: stored is what the shards have, not what a node means to send them.
            .with_setting("distributed_foreground_insert", "1");
        Self { client, url: config.url.to_string(), database: config.database.clone(), metrics }
    }

    /// Whether every table is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn check(&self) -> Result<(), StoreError> {
        for table in TABLES {
            let answer = self.client.query(&format!("EXISTS TABLE {table}")).fetch_one::<u8>();
            let exists = match tokio::time::timeout(TIMEOUT, answer).await {
                Ok(answer) => answer.map_err(|error| self.explain(&error))?,
                Err(_) => return Err(self.unreachable("no answer in time")),
            };
            if exists == 0 {
                let cause = format!("table {table} does not exist");
                return Err(StoreError::Schema { database: self.database.clone(), cause });
            }
        }
        Ok(())
    }

    /// Waits until every table is there, saying what it waits for. `false` when `stop` came first.
    pub async fn wait_until_ready(&self, stop: &CancellationToken) -> bool {
        self.persist(stop, "waiting for ClickHouse", || self.check()).await
    }

    /// Inserts until ClickHouse has acknowledged every row. `false` when `stop` came first; then any part may be stored.
    pub async fn insert_until_stored(&self, batch: &Batch, stop: &CancellationToken) -> bool {
        let stored = self.persist(stop, "rows are kept and inserted again", || self.insert(batch)).await;
        if stored {
            self.metrics.stored(batch);
        }
        stored
    }

    /// One attempt to insert every row.
    ///
    /// # Errors
    /// [`StoreError`]; any part may be stored.
    pub async fn insert(&self, batch: &Batch) -> Result<(), StoreError> {
        let Batch { exchanges, ranges, watermarks, statuses, dead_letters, launches, changes, effects } = batch;
        self.insert_rows("exchanges", exchanges).await?;
        self.insert_rows("skipped_ranges", ranges).await?;
        // After the rows they speak of.
        self.insert_rows("watermarks", watermarks).await?;
        self.insert_rows("instance_status", statuses).await?;
        self.insert_rows("dead_letters", dead_letters).await?;
        self.insert_rows("launches", launches).await?;
        self.insert_rows("control_changes", changes).await?;
        self.insert_rows("effects", effects).await
    }

    async fn insert_rows<R>(&self, table: &str, rows: &[R]) -> Result<(), StoreError>
    where
        R: RowOwned + RowWrite,
    {
        if rows.is_empty() {
            return Ok(());
        }
        let inserted = async {
            let mut insert = self.client.insert::<R>(table).await?.with_timeouts(Some(TIMEOUT), Some(TIMEOUT));
            for row in rows {
                insert.write(row).await?;
            }
            insert.end().await
        };
        inserted.await.map_err(|error| self.explain(&error))
    }

    async fn persist<F>(&self, stop: &CancellationToken, meanwhile: &str, attempt: impl Fn() -> F) -> bool
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let (mut wait, longest) = BACKOFF;
        let mut failures = 0u32;
        loop {
            let result = tokio::select! { () = stop.cancelled() => return false, result = attempt() => result };
            match result {
                Ok(()) => {
                    if failures > 0 {
                        tracing::info!(failures, "ClickHouse answers");
                    }
                    return true;
                }
                Err(error) => {
                    self.metrics.insert_failed();
                    // Once when it begins, then about once a minute.
                    if failures.is_multiple_of(6) {
                        tracing::error!(%error, "{meanwhile}");
                    }
                    failures = failures.saturating_add(1);
                }
            }
            tokio::select! { () = stop.cancelled() => return false, () = tokio::time::sleep(wait) => {} }
            wait = (wait * 2).min(longest);
        }
    }

    fn unreachable(&self, cause: &str) -> StoreError {
        StoreError::Unreachable { url: self.url.clone(), cause: cause.to_owned() }
    }

    fn explain(&self, error: &clickhouse::error::Error) -> StoreError {
        use clickhouse::error::Error as E;
        match error {
            E::Network(source) => self.unreachable(&chain(source.as_ref())),
            E::TimedOut => self.unreachable("no answer in time"),
            E::BadResponse(cause) if MISSING.iter().any(|code| cause.contains(code)) => {
                StoreError::Schema { database: self.database.clone(), cause: cause.trim().to_owned() }
            }
            other => StoreError::Refused { cause: chain(other) },
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    text.trim().to_owned()
}
