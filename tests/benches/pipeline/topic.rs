//! One topic from outside: how many records it holds, and what they are.

use shadow_kafka::{Admin, Consumed, Tail, TailEvent, TailFrom};
use shadow_record::{LaunchName, topics};

use super::support::{Rig, test_service, until};

/// A topic of which nothing was deleted yet, asked again and again by one client.
pub(super) struct Topic {
    admin: Admin,
    name: String,
}

impl Topic {
    pub(super) fn new(rig: &Rig, name: String) -> Self {
        Self { admin: Admin::new(&rig.kafka).unwrap(), name }
    }

    /// The outcomes of a launch.
    pub(super) fn of_outcomes(rig: &Rig, launch: &LaunchName) -> Self {
        Self::new(rig, topics::replayed(&test_service(), launch))
    }

    /// Records of each partition; none where there is no such topic yet.
    pub(super) async fn by_partition(&self) -> Vec<i64> {
        let mut records = Vec::new();
        for partition in 0..self.admin.partitions(&self.name).await.unwrap().unwrap_or(0) {
            // A new partition finds its leader in a moment.
            let marks = || async { self.admin.watermarks(&self.name, partition).await.ok() };
            records.push(until("a partition's end", marks).await.1);
        }
        records
    }

    /// Records of all partitions.
    pub(super) async fn records(&self) -> i64 {
        self.by_partition().await.iter().sum()
    }

    /// Deletes it.
    pub(super) async fn delete(&self) {
        self.admin.delete_topic(&self.name).await.unwrap();
    }
}

/// Calls `f` with each record that the topic holds now.
pub(super) async fn each_record(rig: &Rig, topic: &str, mut f: impl FnMut(&Consumed)) {
    let tail = Tail::open(&rig.kafka, topic, TailFrom::Start).await.unwrap();
    while let TailEvent::Record(record) = tail.recv().await.unwrap() {
        f(&record);
    }
}
