//! Whether throughput grows with members: one, two and three replayers, then comparators, over twelve partitions. Each member is held to the same small
//! share of a core, so that not the machine but the members are what there is too little of. Counts of members take turns in rounds, so that
//! whatever else the machine does meets all of them.

use std::time::{Duration, Instant};

use shadow_control::ControlRecord;
use shadow_record::LaunchName;

use super::member::{Kind, Member, hold_all};
use super::process::Cores;
use super::quota::Controller;
use super::stats;
use super::support::{Rig, sql, stack, until};
use super::topic::Topic;

const PARTITIONS: i32 = 12;
const MEMBERS: [usize; 3] = [1, 2, 3];
/// Captured records for each second of a measurement: more than three members get through, their start included. A debug build, which gets through
/// a tenth, is only for seeing that this works.
const RECORDS_A_SECOND: u64 = if cfg!(debug_assertions) { 800 } else { 8_000 };
/// Times that a measurement is begun before it is given up.
const ATTEMPTS: u32 = 3;
/// How much longer than its time a measurement may last, which is for ever where a member has died.
const STALLED: Duration = Duration::from_secs(60);
/// Less of their shares used, or less of the cores idle, and something else than the members may have been the bound.
const LEAST_USED: f64 = 0.85;
const LEAST_IDLE: f64 = 0.1;
/// Between looks at how far it is.
const LOOK: Duration = Duration::from_millis(100);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) rounds: usize,
    /// Of one measurement.
    pub(super) length: Duration,
    /// Of one core, for each member.
    pub(super) share: f64,
}

/// One measurement.
struct Leg {
    /// Records a second.
    rate: f64,
    /// Of the members' shares, how much they used.
    used: f64,
    /// Of all cores' time, how much nobody used.
    idle: f64,
}

/// Measures and prints.
///
/// # Errors
/// Where processes cannot be held to a share; with the remedy.
pub(super) async fn scale(asked: Scale) -> Result<(), String> {
    let mut bench =
        Bench { controller: Controller::find()?, rig: Rig::on(stack().await, PARTITIONS).await, asked, launches: 0 };
    // In pieces that the producer's queue takes.
    while bench.rig.traffic.written() < bench.records() {
        let left = bench.records() - bench.rig.traffic.written();
        bench.rig.traffic.write(left.min(20_000)).await;
    }
    bench.measure(Kind::Replayer).await?;
    bench.measure(Kind::Comparator).await?;
    bench.rig.stack.stop().await;
    Ok(())
}

struct Bench {
    rig: Rig,
    controller: Controller,
    asked: Scale,
    launches: u32,
}

impl Bench {
    fn records(&self) -> i64 {
        (self.asked.length.as_secs() * RECORDS_A_SECOND) as i64
    }

    async fn measure(&mut self, kind: Kind) -> Result<(), String> {
        let mut legs: [Vec<Leg>; 3] = Default::default();
        for round in 0..self.asked.rounds {
            let mut order = MEMBERS;
            order.rotate_left(round % MEMBERS.len());
            for members in order {
                let leg = self.undisturbed(kind, members).await?;
                let Leg { rate, used, idle } = leg;
                println!(
                    "scale: round {round}: {members} x {kind}: {rate:.0} records/s, {:.0} % of the shares, {:.0} % idle",
                    100.0 * used,
                    100.0 * idle
                );
                legs[members - 1].push(leg);
            }
        }
        self.report(kind, &legs);
        Ok(())
    }

    async fn undisturbed(&mut self, kind: Kind, members: usize) -> Result<Leg, String> {
        for _ in 0..ATTEMPTS {
            match self.leg(kind, members).await? {
                Ok(leg) => return Ok(leg),
                Err(disturbed) => println!("scale: {members} x {kind}: {disturbed}; again"),
            }
        }
        Err(format!(
            "{members} x {kind}: not measured in {ATTEMPTS} attempts: the machine is too busy, or the share of a core does not suit it"
        ))
    }

    /// One measurement, or why it is none.
    async fn leg(&mut self, kind: Kind, count: usize) -> Result<Result<Leg, String>, String> {
        self.launches += 1;
        let name = format!("scale-{}", self.launches);
        let (launch, members) = match kind {
            // They are there before the launch is, and join its group at the same moment.
            Kind::Replayer => {
                let members = self.members(kind, count).await?;
                (self.launch(&name).await, members)
            }
            Kind::Comparator => {
                let launch = self.launch(&name).await;
                self.replay(&launch).await;
                (launch, self.members(kind, count).await?)
            }
        };
        let outcomes = Topic::of_outcomes(&self.rig, &launch);
        let leg = self.count(kind, &launch, &outcomes, &members).await;
        drop(members);
        self.rig.control.delete(&ControlRecord::launch_key(&launch)).await.map_err(|error| error.to_string())?;
        outcomes.delete().await;
        Ok(leg)
    }

    async fn members(&self, kind: Kind, count: usize) -> Result<Vec<Member>, String> {
        let mut members = Vec::new();
        for number in 1..=count {
            members.push(Member::start(&self.rig, kind, number, &self.controller, self.asked.share)?);
        }
        for member in &mut members {
            member.ready().await;
        }
        Ok(members)
    }

    /// A launch that sends as fast as it can: neither a ceiling that learns from the times of throttled members, nor a breaker.
    async fn launch(&self, name: &str) -> LaunchName {
        let launch = self.rig.launch(name, |launch| {
            launch.isolation = Some("an answer without a store".to_owned());
            launch.limits.max_in_flight = 128;
            launch.replay.adaptive = false;
            launch.replay.breaker.enabled = false;
        });
        launch.await
    }

    /// Replays all of it with a member that nothing holds back, so that every outcome waits.
    async fn replay(&self, launch: &LaunchName) {
        let (outcomes, _replayer) = (Topic::of_outcomes(&self.rig, launch), self.rig.replayer("unlimited"));
        until("all outcomes", || async { (outcomes.records().await >= self.records()).then_some(()) }).await;
    }

    /// Counts from when every member holds its partitions and works, until the time is over or records run out. A comparator stores what its client
    /// fetched, one partition after the other; a replayer takes turns, so there each partition counts.
    async fn count(
        &self,
        kind: Kind,
        launch: &LaunchName,
        outcomes: &Topic,
        members: &[Member],
    ) -> Result<Leg, String> {
        let held = hold_all(members, launch, PARTITIONS).await;
        let far = async || match kind {
            Kind::Replayer => outcomes.by_partition().await,
            Kind::Comparator => self.rows(launch).await,
        };
        let wanted = if kind == Kind::Replayer { PARTITIONS as usize } else { 1 };
        let begun = |by_partition: &[i64]| by_partition.iter().filter(|records| **records > 0).count() >= wanted;
        let mut last = until("the first records", || async {
            let by_partition = far().await;
            begun(&by_partition).then(|| by_partition.iter().sum::<i64>())
        })
        .await;
        let ends = |by_partition: &[i64]| match kind {
            Kind::Replayer => by_partition.iter().any(|n| *n >= self.records() / i64::from(PARTITIONS) * 95 / 100),
            Kind::Comparator => by_partition.iter().sum::<i64>() >= self.records() * 4 / 5,
        };
        let (mut first, mut looks) = (None, tokio::time::interval(LOOK));
        let since = Instant::now();
        let (first, newest) = loop {
            looks.tick().await;
            assert!(since.elapsed() < self.asked.length + STALLED, "nothing moves any more at {last} records");
            let by_partition = far().await;
            let records = by_partition.iter().sum();
            // Rows come in batches: from one to another is a whole number of them.
            if records <= last {
                continue;
            }
            last = records;
            let now = Moment::of(records, members);
            let Some(begun) = first.take() else {
                first = Some(now);
                continue;
            };
            if ends(&by_partition) || now.at - begun.at >= self.asked.length {
                break (begun, now);
            }
            first = Some(begun);
        };
        let leg = Moment::between(&first, &newest, self.asked.share * members.len() as f64);
        if newest.at - first.at < self.asked.length / 2 {
            return Err(format!("the records ran out after {:.1} s", (newest.at - first.at).as_secs_f64()));
        }
        match hold_all(members, launch, PARTITIONS).await == held {
            true => Ok(leg),
            false => Err("partitions changed hands meanwhile".to_owned()),
        }
    }

    /// Exchanges of each partition with a row.
    async fn rows(&self, launch: &LaunchName) -> Vec<i64> {
        let query = format!(
            "SELECT uniqExact(captured_offset) FROM shadow.exchanges WHERE launch = '{launch}' GROUP BY partition"
        );
        sql(&self.rig.stack, &query).await.lines().map(|count| count.parse().unwrap()).collect()
    }

    fn report(&self, kind: Kind, legs: &[Vec<Leg>; 3]) {
        let Scale { rounds, share, .. } = self.asked;
        println!(
            "| {kind}s with {share} of a core each, {rounds} rounds | records/s | times one | least and most | of the shares used | of all cores' time idle |"
        );
        println!("|---|---|---|---|---|---|");
        let of = |legs: &[Leg], what: fn(&Leg) -> f64| legs.iter().map(what).collect::<Vec<f64>>();
        let rates = legs.each_ref().map(|legs| of(legs, |leg| leg.rate));
        for (legs, (rate, members)) in legs.iter().zip(rates.iter().zip(MEMBERS)) {
            let ratios = rate.iter().zip(&rates[0]).map(|(rate, one)| rate / one);
            let (least, most) =
                ratios.fold((f64::MAX, 0.0), |(least, most), ratio| (ratio.min(least), ratio.max(most)));
            let typical = |what| stats::typical(&of(legs, what)).value;
            println!(
                "| {members} | {:.0} | {:.2} | {least:.2}, {most:.2} | {:.0} % | {:.0} % |",
                stats::typical(rate).value,
                stats::ratio(rate, &rates[0]).value,
                100.0 * typical(|leg| leg.used),
                100.0 * typical(|leg| leg.idle)
            );
            if typical(|leg| leg.used) < LEAST_USED || typical(|leg| leg.idle) < LEAST_IDLE {
                println!("scale: DISCARD the line above: not the members' shares were the bound");
            }
        }
    }
}

/// How far it was at one moment.
struct Moment {
    at: Instant,
    records: i64,
    cpu: Duration,
    cores: Cores,
}

impl Moment {
    fn of(records: i64, members: &[Member]) -> Self {
        Self { at: Instant::now(), records, cpu: members.iter().map(Member::cpu).sum(), cores: Cores::now() }
    }

    /// What happened between two moments to members that may use `shares` of a core together.
    fn between(first: &Self, last: &Self, shares: f64) -> Leg {
        let took = (last.at - first.at).as_secs_f64();
        Leg {
            rate: (last.records - first.records) as f64 / took,
            used: (last.cpu - first.cpu).as_secs_f64() / took / shares,
            idle: last.cores.idle_since(&first.cores),
        }
    }
}
