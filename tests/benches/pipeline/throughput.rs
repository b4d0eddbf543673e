//! How many records a second pass through replayer and comparator on one core.

use std::time::Instant;

use shadow_kafka::{Event, FetchLimits, GroupConsumer, Start};
use shadow_record::{CapturedExchange, decode, topics};

use super::process::say_memory;
use super::setup::{pin, pin_self};
use super::support::{Rig, test_service, until};
use super::topic::Topic;

/// Records a second through replayer and comparator, each pinned to core 0 with everything else on the other, beside what one
/// core takes to read and decode the same records.
pub(super) async fn throughput() {
    const RECORDS: i64 = 60_000;
    pin_self("1");
    let mut rig = Rig::start().await;
    rig.traffic.write(RECORDS).await;

    let started = Instant::now();
    let group =
        GroupConsumer::subscribe(&rig.kafka, "bench", &[topics::captured(&test_service())], FetchLimits::default())
            .unwrap();
    let mut read = 0;
    let mut reading = started;
    while read < RECORDS {
        match group.recv().await.unwrap() {
            Event::Assigned(list) => {
                let starts: Vec<_> = list.into_iter().map(|at| Start { at, otherwise: 0 }).collect();
                group.start(&starts).await.unwrap();
                reading = Instant::now();
            }
            Event::Record(record) => {
                decode::<CapturedExchange>(&record.payload).unwrap();
                read += 1;
            }
            _ => {}
        }
    }
    let plain = RECORDS as f64 / reading.elapsed().as_secs_f64();
    println!("throughput: reading and decoding alone: {plain:.0} records/s");
    group.close().await;

    // The replayer first, alone; the comparator then finds every outcome waiting.
    let launch = rig.launch("bench", |launch| launch.limits.max_in_flight = 128).await;
    let replayer = rig.replayer("r1");
    pin(replayer.id(), "0");
    let replayer = replayer.ready().await;
    let outcomes = Topic::of_outcomes(&rig, &launch);
    let (first, begun) = until("the first outcomes", || async {
        let n = outcomes.records().await;
        (n > 500).then(|| (n, Instant::now()))
    })
    .await;
    until("all outcomes", || async { (outcomes.records().await >= RECORDS * 95 / 100).then_some(()) }).await;
    let replayed = (outcomes.records().await - first) as f64 / begun.elapsed().as_secs_f64();
    println!("throughput: replayer on one core: {replayed:.0} records/s, {:.2} of reading alone", replayed / plain);
    until("the rest", || async { (outcomes.records().await >= RECORDS).then_some(()) }).await;
    say_memory("at full speed", &[("replayer", &replayer)]);
    replayer.stop();

    let comparator = rig.comparator("c1");
    pin(comparator.id(), "0");
    let begun = Instant::now();
    let comparator = comparator.ready().await;
    rig.settled(&launch, RECORDS).await;
    let compared = RECORDS as f64 / begun.elapsed().as_secs_f64();
    println!("throughput: comparator on one core: {compared:.0} records/s, {:.2} of reading alone", compared / plain);
    say_memory("at full speed", &[("comparator", &comparator)]);
    rig.stack.stop().await;
}
