//! How far an endless recording may run ahead: so that it never fills the brokers, it waits for the slowest active launch.

use std::ops::ControlFlow;
use std::time::Duration;

use shadow_capture::Recorder;
use shadow_control::{Launch, LaunchStatus};
use shadow_kafka::GroupProgress;
use shadow_record::{ServiceName, topics};
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Kind};
use crate::kafka::Kafka;
use crate::output::note;
use crate::words::count;

/// Time between looks while there is no room.
const LOOK: Duration = Duration::from_millis(500);

/// Room for records ahead of the slowest launch.
pub(super) struct Room {
    kafka: Kafka,
    service: ServiceName,
    most: u64,
    /// Records that may be appended before anyone looks again.
    left: u64,
    /// The last thing that was said.
    said: String,
}

impl Room {
    /// For at most `most` records.
    pub(super) fn of(kafka: Kafka, service: ServiceName, most: u64) -> Self {
        Self { kafka, service, most, left: 0, said: String::new() }
    }

    /// Takes the room of one record, waiting until there is some, or until told to stop.
    ///
    /// Also while Kafka does not answer: a load without an end outlives a broker that is away for a moment.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub(super) async fn take(
        &mut self,
        recorder: &Recorder,
        stop: &CancellationToken,
    ) -> Result<ControlFlow<()>, Failure> {
        while self.left == 0 {
            // Asked before the topic is, so that a record is counted twice rather than not at all.
            let on_their_way = u64::try_from(recorder.account().in_flight).unwrap_or_default();
            let slowest = tokio::select! {
                () = stop.cancelled() => return Ok(ControlFlow::Break(())),
                slowest = self.slowest(recorder.partitions()) => slowest,
            };
            match slowest {
                Err(failure) if failure.kind == Kind::Unreachable => {
                    self.say(format!("waiting for Kafka: {}", failure.cause))
                }
                Err(failure) => return Err(failure),
                Ok(None) => self.say(format!("waiting for an active launch of {}", self.service)),
                Ok(Some((name, lag))) => {
                    self.left = self.most.saturating_sub(lag + on_their_way);
                    let most = count(self.most);
                    self.say(format!("staying at most {most} records ahead of launch {name}; Ctrl-C ends it"));
                }
            }
            if self.left == 0 {
                tokio::select! {
                    () = stop.cancelled() => return Ok(ControlFlow::Break(())),
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }
        self.left -= 1;
        Ok(ControlFlow::Continue(()))
    }

    /// The active launch with the most records before it, and how many.
    async fn slowest(&self, partitions: i32) -> Result<Option<(String, u64)>, Failure> {
        let (topic, control) = (topics::captured(&self.service), self.kafka.control().await?);
        let mut ends = Vec::new();
        for partition in 0..partitions {
            ends.push(self.kafka.admin.watermarks(&topic, partition).await?.1);
        }
        let mut slowest = None;
        let active =
            |launch: &&Launch| launch.service == self.service && control.status_of(launch) == LaunchStatus::Active;
        for launch in control.launches.values().filter(active) {
            let group = GroupProgress::of(&self.kafka.config, &topics::replayer_group(&launch.name))?;
            let committed = group.committed(&topic, partitions).await?;
            let lags = (0..partitions).zip(&ends).map(|(partition, end)| {
                let from = committed.get(&partition).or_else(|| launch.start.get(&partition)).unwrap_or(&0);
                u64::try_from(end - from).unwrap_or_default()
            });
            slowest = slowest.max(Some((lags.sum::<u64>(), launch.name.to_string())));
        }
        Ok(slowest.map(|(lag, name)| (name, lag)))
    }

    fn say(&mut self, text: String) {
        if text != self.said {
            note(&text);
            self.said = text;
        }
    }
}
