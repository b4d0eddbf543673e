//! A member of a launch's group that has a share of a core, and which partitions it holds.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use shadow_record::LaunchName;

use super::process::cpu;
use super::quota::{Controller, Group};
use super::support::{Rig, Service, until};

/// Which service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Replayer,
    Comparator,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Replayer { "replayer" } else { "comparator" })
    }
}

/// A running member. Its process ends before its group is removed: fields drop in this order.
pub(super) struct Member {
    service: Service,
    kind: Kind,
    _group: Group,
}

impl Member {
    /// Starts it with `share` of a core.
    ///
    /// # Errors
    /// Where its group cannot be made; with the remedy.
    pub(super) fn start(
        rig: &Rig,
        kind: Kind,
        number: usize,
        controller: &Controller,
        share: f64,
    ) -> Result<Self, String> {
        let name = format!("{kind}-{number}");
        let group = controller.group(&name, share)?;
        let service = match kind {
            Kind::Replayer => rig.replayer(&name),
            Kind::Comparator => rig.comparator(&name),
        };
        group.take(service.id());
        Ok(Self { service, kind, _group: group })
    }

    /// Waits until it is ready.
    pub(super) async fn ready(&self) {
        let url = format!("{}/readyz", self.service.admin());
        until("a member to be ready", || async {
            reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()).then_some(())
        })
        .await;
    }

    /// Processor time so far.
    pub(super) fn cpu(&self) -> Duration {
        cpu(self.service.id())
    }

    /// The partitions of the launch that it holds, by its metrics.
    async fn holds(&self, launch: &LaunchName) -> BTreeSet<i32> {
        let metric = match self.kind {
            Kind::Replayer => "shadow_replay_lag{",
            Kind::Comparator => "shadow_compare_behind{",
        };
        let answer = reqwest::get(format!("{}/metrics", self.service.admin())).await.unwrap();
        let (text, launch) = (answer.text().await.unwrap(), format!("launch=\"{launch}\""));
        let lines = text.lines().filter(|line| line.starts_with(metric) && line.contains(&launch));
        let partitions = lines.map(|line| {
            let (_, after) = line.split_once("partition=\"").unwrap();
            after.split('"').next().unwrap().parse().unwrap()
        });
        partitions.collect()
    }
}

/// Waits until the members share out all partitions evenly, and gives who holds which.
pub(super) async fn hold_all(members: &[Member], launch: &LaunchName, partitions: i32) -> Vec<BTreeSet<i32>> {
    let each = partitions as usize / members.len();
    until("the members to share out the partitions", || async {
        let mut held = Vec::new();
        for member in members {
            held.push(member.holds(launch).await);
        }
        let all: BTreeSet<i32> = held.iter().flatten().copied().collect();
        (all.len() == partitions as usize && held.iter().all(|held| held.len() == each)).then_some(held)
    })
    .await
}
