//! What the comparator counts, for Prometheus and for its heartbeats. The ledger does not rest on these: it comes from rows.

mod all;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::effects::EffectsResult;
use crate::store::Batch;

#[doc(hidden)]
pub use all::every_metric;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLaunch {
    launch: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    launch: String,
    outcome: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEffects {
    launch: String,
    result: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPartition {
    launch: String,
    partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTable {
    table: &'static str,
}

/// The families of this process.
#[derive(Clone, Default)]
pub struct Metrics {
    settled: Family<OfOutcome, Counter>,
    repeated: Family<OfLaunch, Counter>,
    unusable: Family<OfLaunch, Counter>,
    in_memory: Family<OfPartition, Gauge>,
    behind: Family<OfPartition, Gauge>,
    rows: Family<OfTable, Counter>,
    insert_failures: Counter,
    effects_settled: Family<OfEffects, Counter>,
    effects_waiting: Family<OfLaunch, Gauge>,
    effects_held: Family<OfLaunch, Gauge>,
    heartbeat: Arc<Heartbeat>,
}

/// Exchanges that wait.
pub(crate) struct Waiting {
    gauge: Gauge,
    exchanges: i64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.gauge.dec_by(self.exchanges);
    }
}

#[derive(Default)]
struct Heartbeat {
    settled: AtomicI64,
    repeated: AtomicI64,
    unusable: AtomicI64,
    insert_failures: AtomicI64,
    rows: AtomicI64,
}

impl Metrics {
    /// Registers every family.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let Self { settled, repeated, unusable, in_memory, behind, rows, insert_failures, .. } = metrics.clone();
        registry.register("compare_settled", "Captured offsets settled, by outcome and result", settled);
        registry.register("compare_repeated", "Offsets that a replayed record spoke of after another one", repeated);
        registry.register("compare_unusable", "Records of the replayed topic that were dead-lettered", unusable);
        registry.register("compare_in_memory", "Records and outcomes that wait for their counterpart", in_memory);
        registry.register("compare_behind", "Captured offsets without a stored outcome", behind);
        registry.register("compare_rows", "Rows that ClickHouse acknowledged, by table", rows);
        registry.register("compare_insert_failures", "Attempts to insert that failed", insert_failures);
        let Self { effects_settled, effects_waiting, effects_held, .. } = metrics.clone();
        let help = "Exchanges whose outbound calls were judged, by result and why they cannot be compared";
        registry.register("compare_effects_settled", help, effects_settled);
        let help = "Exchanges that wait until their outbound calls have settled";
        registry.register("compare_effects_waiting", help, effects_waiting);
        registry.register("compare_effects_held_bytes", "Outbound calls in memory, bytes", effects_held);
        metrics
    }

    /// `offsets` were settled, but for their outbound calls.
    pub fn classified(&self, offsets: i64) {
        self.heartbeat.settled.fetch_add(offsets, Ordering::Relaxed);
    }

    /// `offsets` were settled, and their rows are stored.
    pub fn settled(&self, launch: &str, outcome: &'static str, result: &'static str, offsets: i64) {
        let of = OfOutcome { launch: launch.to_owned(), outcome, result };
        self.settled.get_or_create(&of).inc_by(offsets.max(0) as u64);
    }

    /// `offsets` had been spoken of before.
    pub fn repeated(&self, launch: &str, offsets: i64) {
        if offsets > 0 {
            self.repeated.get_or_create(&OfLaunch { launch: launch.to_owned() }).inc_by(offsets as u64);
            self.heartbeat.repeated.fetch_add(offsets, Ordering::Relaxed);
        }
    }

    /// A record of the replayed topic could not be used.
    pub fn unusable(&self, launch: &str) {
        self.unusable.get_or_create(&OfLaunch { launch: launch.to_owned() }).inc();
        self.heartbeat.unusable.fetch_add(1, Ordering::Relaxed);
    }

    /// How one partition stands.
    pub fn partition(&self, launch: &str, partition: i32, in_memory: usize, behind: i64) {
        let of = OfPartition { launch: launch.to_owned(), partition };
        self.in_memory.get_or_create(&of).set(in_memory as i64);
        self.behind.get_or_create(&of).set(behind);
    }

    /// The outbound calls of one exchange were judged.
    pub(crate) fn effects_settled(&self, launch: &str, result: EffectsResult) {
        let (result, reason) = (result.as_str(), result.reason());
        self.effects_settled.get_or_create(&OfEffects { launch: launch.to_owned(), result, reason }).inc();
    }

    /// So many exchanges wait until what this returns is dropped.
    pub(crate) fn effects_wait(&self, launch: &str, exchanges: usize) -> Waiting {
        let gauge = self.effects_waiting.get_or_create(&OfLaunch { launch: launch.to_owned() }).clone();
        gauge.inc_by(exchanges as i64);
        Waiting { gauge, exchanges: exchanges as i64 }
    }

    /// So many bytes of outbound calls are in memory.
    pub(crate) fn effects_held(&self, launch: &str, bytes: usize) {
        self.effects_held.get_or_create(&OfLaunch { launch: launch.to_owned() }).set(bytes as i64);
    }

    /// The partition went to another member.
    pub fn forget_partition(&self, launch: &str, partition: i32) {
        let of = OfPartition { launch: launch.to_owned(), partition };
        self.in_memory.remove(&of);
        self.behind.remove(&of);
    }

    pub(crate) fn stored(&self, batch: &Batch) {
        let Batch { exchanges, ranges, watermarks, statuses, dead_letters, launches, changes, effects } = batch;
        for (table, rows) in [
            ("exchanges", exchanges.len()),
            ("skipped_ranges", ranges.len()),
            ("watermarks", watermarks.len()),
            ("instance_status", statuses.len()),
            ("dead_letters", dead_letters.len()),
            ("launches", launches.len()),
            ("control_changes", changes.len()),
            ("effects", effects.len()),
        ] {
            if rows > 0 {
                self.rows.get_or_create(&OfTable { table }).inc_by(rows as u64);
            }
        }
        self.heartbeat.rows.fetch_add(batch.rows() as i64, Ordering::Relaxed);
    }

    pub(crate) fn insert_failed(&self) {
        self.insert_failures.inc();
        self.heartbeat.insert_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The cumulative counters of a heartbeat.
    pub fn counters(&self) -> BTreeMap<String, i64> {
        let read = |name: &str, counter: &AtomicI64| (name.to_owned(), counter.load(Ordering::Relaxed));
        let Heartbeat { settled, repeated, unusable, insert_failures, rows } = &*self.heartbeat;
        BTreeMap::from([
            read("settled", settled),
            read("repeated", repeated),
            read("unusable", unusable),
            read("insert_failures", insert_failures),
            read("rows", rows),
        ])
    }
}
