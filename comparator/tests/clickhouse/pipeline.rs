//! The comparator as a whole, from topics to views.

use std::time::Duration;

use comparator::config::{ComparatorSection, Config, ServiceSection};
use shadow_control::{ControlRecord, ControlWriter, Launch, ensure_shared_topics};
use shadow_kafka::{Admin, KafkaConfig, Outgoing, Producer, ProducerLimits, TopicSpec};
use shadow_record::{CapturedExchange, Outcome, SkipReason, encode, topics};
use shadow_runtime::units::HumanDuration;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::forwarder::Forwarder;
use crate::stack::Place;
use crate::support::{faulty, launch, range, replayed, traffic};

/// Every comparator compares every launch, so only one test may have a launch at a time.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A launch with its topics and a producer.
pub(crate) struct Line {
    pub(crate) kafka: KafkaConfig,
    pub(crate) launch: Launch,
    producer: Producer,
    control: ControlWriter,
}

impl Line {
    pub(crate) async fn lay(place: &Place, name: &str, partitions: i32) -> Self {
        let kafka = KafkaConfig::at(&place.brokers);
        let mut launch = launch(name);
        launch.service = name.parse().unwrap();
        let admin = Admin::new(&kafka).unwrap();
        ensure_shared_topics(&admin).await.unwrap();
        for topic in [topics::captured(&launch.service), topics::replayed(&launch.service, &launch.name)] {
            admin.ensure_topic(&TopicSpec::deleting(topic, partitions)).await.unwrap();
        }
        let control = ControlWriter::new(&kafka).unwrap();
        control.put(&ControlRecord::Launch(Box::new(launch.clone()))).await.unwrap();
        let producer = Producer::new(&kafka, &ProducerLimits::default()).unwrap();
        Self { kafka, launch, producer, control }
    }

    pub(crate) async fn lift(self) {
        self.control.delete(&ControlRecord::launch_key(&self.launch.name)).await.unwrap();
    }

    /// Queues a record behind those before it; what the tests wait for shows that it arrived.
    pub(crate) fn publish(&self, topic: &str, partition: i32, payload: &[u8]) {
        let out = Outgoing { topic, partition: Some(partition), key: None, payload };
        self.producer.send(out, |_| {}).unwrap();
    }

    /// Waits until the broker has what was published.
    pub(crate) async fn flush(&self) {
        self.producer.flush(Duration::from_secs(60)).await;
    }

    fn capture(&self, partition: i32, payload: &[u8]) {
        self.publish(&topics::captured(&self.launch.service), partition, payload);
    }

    fn replay(&self, partition: i32, payload: &[u8]) {
        self.publish(&topics::replayed(&self.launch.service, &self.launch.name), partition, payload);
    }

    fn outcome(&self, partition: i32, offset: i64, low_watermark: i64, outcome: Outcome) -> Vec<u8> {
        let mut record = replayed(self.launch.name.as_str(), partition, offset, offset, outcome);
        record.low_watermark = low_watermark;
        encode(&record).to_vec()
    }

    pub(crate) fn config(&self, place: &Place, instance: &str) -> Config {
        Config {
            service: ServiceSection { instance: instance.parse().unwrap() },
            comparator: ComparatorSection {
                flush: HumanDuration::from_millis(20),
                batch_rows: 50,
                ..ComparatorSection::default()
            },
            clickhouse: place.clickhouse.clone(),
            kafka: self.kafka.clone(),
            ..Config::default()
        }
    }

    fn start(&self, place: &Place, instance: &str) -> (JoinHandle<anyhow::Result<()>>, CancellationToken) {
        let stop = CancellationToken::new();
        (tokio::spawn(comparator::run(self.config(place, instance), stop.clone())), stop)
    }
}

pub(crate) async fn until(place: &Place, sql: &str, wanted: &str) {
    let mut polls = tokio::time::interval(Duration::from_millis(50));
    let mut last = String::new();
    for _ in 0..2400 {
        polls.tick().await;
        last = place.query(sql).await;
        if last.trim() == wanted {
            return;
        }
    }
    panic!("{sql}\ngave {last}instead of {wanted}");
}

pub(crate) async fn every_offset_is_covered_once_whatever_stands_in_the_topics(place: Place) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let line = Line::lay(&place, "odd", 2).await;
    let (running, stop) = line.start(&place, "c1");
    for (number, record) in traffic(150).iter().enumerate() {
        for partition in 0..2 {
            let garbage = number == 30 && partition == 0;
            let payload = encode(record);
            line.capture(partition, if garbage { b"garbage" } else { &payload });
        }
    }
    for partition in 0..2 {
        // Outcomes come five at a time in reverse; 20 to 29 are a range; 41 rots; 55 comes twice; the last are 100 to 149.
        let skipped = encode(&range("odd", partition, 20, 29, SkipReason::SampledOut));
        for block in (0..150).step_by(5) {
            if block == 20 {
                line.replay(partition, &skipped);
            }
            if (20..30).contains(&block) {
                continue;
            }
            for offset in (block..block + 5).rev() {
                let outcome = match offset {
                    30 if partition == 0 => Outcome::DeadLettered,
                    _ => faulty(offset),
                };
                let payload = line.outcome(partition, offset, block, outcome);
                line.replay(partition, if offset == 41 { b"rotten" } else { &payload });
                if offset == 55 {
                    line.replay(partition, &line.outcome(partition, 55, block, Outcome::DeadLettered));
                }
            }
        }
    }
    // Records that do not belong here.
    line.replay(0, &line.outcome(1, 3, 150, faulty(4)));
    line.replay(1, &encode(&traffic(1)[0]));
    let mut foreign = replayed("other", 0, 3, 3, faulty(4));
    foreign.low_watermark = 3;
    line.replay(0, &encode(&foreign));
    line.replay(0, &encode(&range("odd", 0, 9, 3, SkipReason::Filtered)));
    line.replay(1, &line.outcome(1, 1 << 50, 1 << 50, faulty(5)));

    until(&place, "SELECT captured, pending, balanced FROM ledger_launch WHERE launch = 'odd'", "300\t0\t1").await;
    let reasons = "SELECT outcome, reason, count() FROM exchanges FINAL WHERE launch = 'odd' AND outcome = 'dead_lettered' \
                   GROUP BY ALL ORDER BY ALL";
    // By `faulty`: 17 of every 20 offsets, and offset 30 of one partition, were dead-lettered by the replayer.
    assert_eq!(place.query(reasons).await, "dead_lettered\toutcome_lost\t2\ndead_lettered\tundecodable\t15\n");
    let ranges = "SELECT partition, first_offset, last_offset, reason FROM skipped_ranges FINAL ORDER BY ALL";
    assert_eq!(place.query(ranges).await, "0\t20\t29\tsampled_out\n1\t20\t29\tsampled_out\n");
    // The rest was filed with its reason, and the bookkeeping stored it.
    let letters = "SELECT reason, count() FROM dead_letters FINAL WHERE topic = 'shadow.replayed.odd.odd' GROUP BY ALL ORDER BY ALL";
    until(&place, letters, "undecodable\t4\nunexpected_kind\t2\nwrong_partition\t1").await;
    // The replayer dead-lettered offset 30 in one launch's account; the record itself is filed by whoever cannot read it.
    let letters = "SELECT partition, offset, reason FROM dead_letters FINAL WHERE topic = 'shadow.captured.odd'";
    until(&place, letters, "0\t30\tundecodable").await;
    line.publish(topics::STATUS, 0, b"garbage");
    line.publish(topics::DEAD_LETTER, 0, b"garbage");
    let beside = "SELECT topic, reason FROM dead_letters FINAL WHERE topic IN ('shadow.status', 'shadow.deadletter') ORDER BY ALL";
    until(&place, beside, "shadow.deadletter\tundecodable\nshadow.status\tundecodable").await;
    until(&place, "SELECT count() FROM launches FINAL WHERE launch = 'odd'", "1").await;
    until(&place, "SELECT state FROM instance_status FINAL WHERE role = 'comparator' AND instance = 'c1'", "running")
        .await;
    stop.cancel();
    running.await.unwrap().unwrap();

    // Another comparator takes over where rows were stored, and nothing changes.
    let before = place.views().await;
    let (running, stop) = line.start(&place, "c2");
    line.capture(0, &encode(&traffic(151)[150]));
    line.replay(0, &line.outcome(0, 150, 150, faulty(5)));
    until(&place, "SELECT captured, pending, balanced FROM ledger_launch WHERE launch = 'odd'", "301\t0\t1").await;
    stop.cancel();
    running.await.unwrap().unwrap();
    place.query("ALTER TABLE exchanges DELETE WHERE captured_offset = 150 SETTINGS mutations_sync = 2").await;
    let undone = "INSERT INTO watermarks SELECT launch, service, partition, start_offset, 150, 150, now64(6) + 60 FROM watermarks FINAL";
    place.query(undone).await;
    assert_eq!(place.views().await, before);
    line.lift().await;
}

pub(crate) async fn a_launch_keeps_the_rules_it_began_with(place: Place) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let line = Line::lay(&place, "kept", 1).await;
    let (running, stop) = line.start(&place, "c1");
    let publish = |from: i64, to: i64| {
        for offset in from..to {
            line.capture(0, &encode(&traffic(offset + 1)[offset as usize]));
            line.replay(0, &line.outcome(0, offset, offset, faulty(offset)));
        }
    };
    publish(0, 20);
    until(&place, "SELECT captured, pending, balanced FROM ledger_launch WHERE launch = 'kept'", "20\t0\t1").await;
    let mut other = line.launch.clone();
    other.rules = Some("version = \"8\"".to_owned());
    other.change.why = "other rules".to_owned();
    line.control.put(&ControlRecord::Launch(Box::new(other))).await.unwrap();
    // The bookkeeping and the pipeline follow the same state of control.
    until(&place, "SELECT changed_why FROM launches FINAL WHERE launch = 'kept'", "other rules").await;
    publish(20, 40);
    until(&place, "SELECT captured, pending, balanced FROM ledger_launch WHERE launch = 'kept'", "40\t0\t1").await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let versions = "SELECT DISTINCT rules_version FROM exchanges FINAL WHERE launch = 'kept' AND result != ''";
    assert_eq!(place.query(versions).await, "7\n");
    line.lift().await;
}

pub(crate) async fn every_change_of_the_control_topic_is_written_down_once(place: Place) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let line = Line::lay(&place, "told", 1).await;
    let (first, stop_first) = line.start(&place, "c1");
    let (second, stop_second) = line.start(&place, "c2");
    let history = "SELECT key, deleted, by, why, JSONExtractFloat(value, 'sample') FROM control_changes FINAL \
        WHERE endsWith(key, 'told') ORDER BY version";
    let created = "launch/told\t0\ttest\ttest\t1";
    until(&place, history, created).await;
    stop_first.cancel();
    stop_second.cancel();
    for ended in [first, second] {
        ended.await.unwrap().unwrap();
    }
    // What changes while no comparator is there is in the topic, deletions too.
    let mut less = line.launch.clone();
    less.sample = 0.5;
    less.change.by = "ann".to_owned();
    line.control.put(&ControlRecord::Launch(Box::new(less))).await.unwrap();
    line.control.delete("rate/shadow.captured.told").await.unwrap();
    line.control.put(&ControlRecord::Launch(Box::new(line.launch.clone()))).await.unwrap();
    let told = format!(
        "{created}\nlaunch/told\t0\tann\ttest\t0.5\nrate/shadow.captured.told\t1\t\t\t0\nlaunch/told\t0\ttest\ttest\t1"
    );
    let (running, stop) = line.start(&place, "c3");
    until(&place, history, &told).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    line.lift().await;
}

pub(crate) async fn a_comparator_that_dies_again_and_again_leaves_no_hole_and_no_double(place: Place) {
    const RECORDS: i64 = 1500;
    let _alone = ONE_AT_A_TIME.lock().await;
    let line = Line::lay(&place, "dying", 1).await;
    let records: Vec<CapturedExchange> = traffic(RECORDS);
    let mut published = 0;
    for life in 0..6 {
        let (running, stop) = line.start(&place, &format!("c{life}"));
        let until_here = RECORDS * (life + 1) / 6;
        for offset in published..until_here {
            line.capture(0, &encode(&records[offset as usize]));
            // The outcome of every second offset comes after that of the next.
            if offset % 2 == 1 {
                for spoken in [offset, offset - 1] {
                    line.replay(0, &line.outcome(0, spoken, offset - 1, faulty(spoken)));
                }
            }
        }
        published = until_here;
        // It dies wherever it is now, with rows stored and not committed, or settled and not stored.
        let some = format!("SELECT count() > {} FROM exchanges FINAL", published - 200);
        until(&place, &some, "1").await;
        running.abort();
        let _ = running.await;
        stop.cancel();
    }
    let (running, stop) = line.start(&place, "last");
    until(&place, "SELECT captured, pending, balanced FROM ledger_launch WHERE launch = 'dying'", "1500\t0\t1").await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let expected = |wanted: fn(&Outcome) -> bool| (0..RECORDS).filter(|o| wanted(&faulty(*o))).count();
    let counts = "SELECT sum(completed), sum(failed), sum(skipped), sum(dead_lettered) FROM coverage";
    let wanted = format!(
        "{}\t{}\t{}\t{}",
        expected(|o| matches!(o, Outcome::Completed(_))),
        expected(|o| matches!(o, Outcome::Failed(_))),
        expected(|o| matches!(o, Outcome::Skipped(_))),
        expected(|o| matches!(o, Outcome::DeadLettered)),
    );
    assert_eq!(place.query(counts).await.trim(), wanted);
    line.lift().await;
}

pub(crate) async fn clickhouse_away_midway_loses_nothing(mut place: Place) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let direct = place.clickhouse.url.clone();
    let mut way = Forwarder::to(direct.socket_addrs(|| None).unwrap()[0]).await;
    place.clickhouse.url = format!("http://{}", way.address).parse().unwrap();
    let line = Line::lay(&place, "away", 1).await;
    // It starts without ClickHouse, too.
    let (running, stop) = line.start(&place, "c1");
    way.join().await;
    for (offset, record) in traffic(600).iter().enumerate() {
        let offset = offset as i64;
        line.capture(0, &encode(record));
        line.replay(0, &line.outcome(0, offset, offset, faulty(offset)));
        match offset {
            200 => until(&place, "SELECT count() > 100 FROM exchanges FINAL", "1").await,
            // More than the comparator holds: what does not fit stays in Kafka.
            250 => way.cut().await,
            599 => way.join().await,
            _ => {}
        }
    }
    until(&place, "SELECT captured, pending, balanced FROM ledger_launch WHERE launch = 'away'", "600\t0\t1").await;
    stop.cancel();
    running.await.unwrap().unwrap();
    line.lift().await;
}
