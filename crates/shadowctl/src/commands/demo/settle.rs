//! Waiting until every captured request has its outcome and its row. Decided by offsets and rows, never by time: only when
//! nothing moves any more is it given up.

use std::time::Duration;

use shadow_kafka::{Tail, TailEvent, TailFrom};
use shadow_record::{LaunchName, topics};
use tokio::time::Instant;

use super::progress::Meter;
use super::services::View;
use super::world::{PARTITIONS, World};
use crate::commands::ledger::{self, LaunchLedger};
use crate::failure::Failure;
use crate::kafka::apply_status;

/// How often the ledger is asked, at most.
const LOOK: Duration = Duration::from_millis(250);
/// How long nothing may move before waiting is given up.
const STALLED: Duration = Duration::from_secs(60);

/// Shows how far replay and comparison are, for as long as the load runs.
pub(super) async fn follow(world: &World, launch: &LaunchName, view: &View, meter: &Meter) -> Failure {
    match watch(world, launch, view, meter, |_| false).await {
        Err(failure) => failure,
        Ok(()) => Failure::internal("the account was followed to an end that it has not"),
    }
}

/// Resolves when everything that the agent captured has its outcome and its row, and the ledger balances.
///
/// # Errors
/// When nothing moves any more, saying where it hangs.
pub(super) async fn settle(world: &World, launch: &LaunchName, view: &View, meter: &Meter) -> Result<(), Failure> {
    watch(world, launch, view, meter, Place::is_settled).await
}

/// How far everything is.
#[derive(Clone, Debug, Default, PartialEq)]
struct Place {
    /// Requests that the agent has not settled.
    in_flight: i64,
    /// Records that the brokers acknowledged to the agent.
    acknowledged: i64,
    /// Records in the captured topic.
    captured: i64,
    /// Offsets with an acknowledged outcome, as the replayer counts them.
    replayed: i64,
    ledger: LaunchLedger,
}

impl Place {
    /// Offsets with a row or range in ClickHouse.
    fn compared(&self) -> i64 {
        self.ledger.captured - self.ledger.pending
    }

    fn is_settled(&self) -> bool {
        let ledger = &self.ledger;
        self.in_flight == 0
            && self.captured >= self.acknowledged
            && ledger.captured == self.captured
            && ledger.pending == 0
            && ledger.uncompared == 0
            && ledger.balanced == 1
    }
}

async fn watch(
    world: &World,
    launch: &LaunchName,
    view: &View,
    meter: &Meter,
    done: impl Fn(&Place) -> bool,
) -> Result<(), Failure> {
    let replayed = std::sync::atomic::AtomicI64::new(0);
    tokio::select! {
        failure = count_replayed(world, launch, &replayed) => Err(failure),
        ended = look(world, launch, view, meter, &replayed, done) => ended,
    }
}

/// Keeps `replayed` at what the replayer's heartbeats say.
async fn count_replayed(world: &World, launch: &LaunchName, replayed: &std::sync::atomic::AtomicI64) -> Failure {
    let following = async {
        let tail = Tail::open(&world.kafka.config, topics::STATUS, TailFrom::Start).await?;
        let mut board = shadow_control::StatusBoard::default();
        loop {
            let TailEvent::Record(record) = tail.recv().await? else { continue };
            apply_status(&mut board, &record);
            let members = board.members().filter(|m| m.status.launch.as_ref() == Some(launch));
            let outcomes = members.flat_map(|m| m.status.counters.iter()).filter(|(name, _)| is_outcome(name));
            replayed.store(outcomes.map(|(_, count)| count).sum(), std::sync::atomic::Ordering::Relaxed);
        }
    };
    let ended: Result<(), Failure> = following.await;
    ended.err().unwrap_or_else(|| Failure::internal("the status topic ended"))
}

/// Counters of a replayer that count offsets with an outcome; others count sends and retries.
fn is_outcome(name: &str) -> bool {
    name == "completed" || name == "dead_lettered" || name.starts_with("failed_") || name.starts_with("skipped_")
}

async fn look(
    world: &World,
    launch: &LaunchName,
    view: &View,
    meter: &Meter,
    replayed: &std::sync::atomic::AtomicI64,
    done: impl Fn(&Place) -> bool,
) -> Result<(), Failure> {
    let (mut last, mut moved) = (Place::default(), Instant::now());
    loop {
        let began = Instant::now();
        let account = view.account();
        let place = Place {
            in_flight: account.in_flight,
            acknowledged: account.acknowledged,
            captured: captured(world).await?,
            replayed: replayed.load(std::sync::atomic::Ordering::Relaxed),
            ledger: ledger::launches(&world.sql, launch.as_str()).await?.into_iter().next().unwrap_or_default(),
        };
        meter.behind(place.replayed.max(0) as u64, place.compared().max(0) as u64);
        if done(&place) {
            return Ok(());
        }
        if place != last {
            (last, moved) = (place, began);
        } else if moved.elapsed() >= STALLED {
            meter.finish();
            return Err(stalled(&last));
        }
        // The ledger's query grows with its tables: a long demo must not spend itself on looking.
        tokio::time::sleep(LOOK.max(4 * began.elapsed())).await;
    }
}

/// Records in the captured topic since the launch began.
async fn captured(world: &World) -> Result<i64, Failure> {
    let topic = topics::captured(&world.service);
    let mut records = 0;
    for partition in 0..PARTITIONS {
        let (_, high) = world.kafka.admin.watermarks(&topic, partition).await?;
        records += high;
    }
    Ok(records)
}

fn stalled(place: &Place) -> Failure {
    let where_ = if place.in_flight > 0 || place.captured < place.acknowledged {
        "the capture agent"
    } else if place.replayed < place.captured {
        "the replayer"
    } else {
        "the comparator"
    };
    let Place { in_flight, acknowledged, captured, replayed, .. } = place;
    let LaunchLedger { pending, uncompared, balanced, .. } = place.ledger;
    Failure::negative(
        format!(
            "nothing has moved for {} s; it hangs at {where_}: acknowledged {acknowledged}, in flight {in_flight}, \
             captured {captured}, replayed {replayed}, in ClickHouse {}, pending {pending}, uncompared {uncompared}, \
             balanced {balanced}",
            STALLED.as_secs(),
            place.compared(),
        ),
        "run it again with SHADOW_LOG_LEVEL=info and report what it says",
    )
}
