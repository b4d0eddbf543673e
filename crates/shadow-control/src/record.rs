//! Control records: JSON, so that they can be read with any Kafka tool at three in the morning.

use serde::{Deserialize, Serialize};
use shadow_record::{LaunchName, ServiceName, Timestamp};

use crate::{Launch, Shares};

/// Newest record format this build writes and reads. 2 came with a launch's control leg and gates, 3 with how it replays, its ramp,
/// its header filters, rates and pauses of single launches, and shares of a rate.
const FORMAT: u32 = 3;

/// Why a control record could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Written by a newer version.
    #[error("control record {key} has format {found}, this version reads up to {FORMAT}: upgrade this instance")]
    Newer {
        /// Record key.
        key: String,
        /// Its format.
        found: u32,
    },
    /// Not a control record.
    #[error("control record {key} is not readable: {cause}")]
    Unreadable {
        /// Record key.
        key: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// Who changed something, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Person or instance.
    pub by: String,
    /// Free text.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

impl Change {
    /// A change made now.
    pub fn by(by: impl Into<String>, why: impl Into<String>) -> Self {
        Self { by: by.into(), why: why.into(), at: Timestamp::now() }
    }
}

/// The kill switch of everything, of one instance, or of one launch. Never of both at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The instance that it is for; `None` for every instance.
    pub instance: Option<String>,
    /// The launch that it is for; `None` for every launch. A key of its own, so that whoever changes the launch at the same moment
    /// does not carry its pause in the launch's record, and cannot undo it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch: Option<LaunchName>,
    /// Paused or going on.
    pub paused: bool,
    /// Who, when, why.
    pub change: Change,
}

impl Pause {
    /// That of one launch.
    pub fn of_launch(launch: LaunchName, paused: bool, change: Change) -> Self {
        Self { instance: None, launch: Some(launch), paused, change }
    }
}

/// How fast one captured topic is replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// The captured topic.
    pub topic: String,
    /// The launch it is for; `None` for each launch of the topic that has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch: Option<LaunchName>,
    /// Requests per second over all replayers; `None` for no limit.
    pub per_second: Option<f64>,
    /// Who, when, why.
    pub change: Change,
}

/// Where an agent's primary and the agent itself listen: addresses that no launch may target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// The service captured there.
    pub service: ServiceName,
    /// The agent.
    pub instance: String,
    /// `host:port` as configured and `ip:port` as resolved.
    pub addresses: Vec<String>,
    /// Who, when, why.
    pub change: Change,
}

/// One record of the control topic; the newest of each key holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlRecord {
    /// A launch as it now is.
    Launch(Box<Launch>),
    /// A rate as it now is.
    Rate(Rate),
    /// The kill switch as it now is.
    Pause(Pause),
    /// Where production is.
    Upstream(Upstream),
    /// How a launch's rate is shared among partitions; replayers write it.
    Shares(Shares),
}

/// The value: `{"format":1,"record":{"launch":{...}}}`.
#[derive(Serialize)]
struct Outgoing<'a> {
    format: u32,
    record: &'a ControlRecord,
}

#[derive(Deserialize)]
struct Incoming {
    record: ControlRecord,
}

/// Read first, so that a record of a newer format is called that and not unreadable.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// Key prefix of launches; what follows is the name.
pub(crate) const LAUNCH_KEY: &str = "launch/";
/// Key prefix of rates; what follows is the captured topic, and `/` with the launch where it is for one.
pub(crate) const RATE_KEY: &str = "rate/";
/// Key prefix of upstreams.
pub(crate) const UPSTREAM_KEY: &str = "upstream/";
/// Key prefix of shares; what follows is the launch. Nothing is paused by one that cannot be read: shares are equal then.
pub(crate) const SHARES_KEY: &str = "shares/";
/// Key prefix of pauses.
pub(crate) const PAUSE_KEY: &str = "pause/";

impl ControlRecord {
    /// The record's key.
    pub fn key(&self) -> String {
        match self {
            Self::Launch(launch) => Self::launch_key(&launch.name),
            Self::Rate(Rate { topic, launch: None, .. }) => format!("{RATE_KEY}{topic}"),
            Self::Rate(Rate { topic, launch: Some(launch), .. }) => format!("{RATE_KEY}{topic}/{launch}"),
            Self::Pause(Pause { launch: Some(launch), .. }) => Self::pause_key(launch),
            Self::Pause(Pause { instance: None, .. }) => format!("{PAUSE_KEY}all"),
            Self::Pause(Pause { instance: Some(instance), .. }) => format!("{PAUSE_KEY}instance/{instance}"),
            Self::Upstream(upstream) => format!("{UPSTREAM_KEY}{}/{}", upstream.service, upstream.instance),
            Self::Shares(shares) => Self::shares_key(&shares.launch),
        }
    }

    /// The key of a launch.
    pub fn launch_key(name: &LaunchName) -> String {
        format!("{LAUNCH_KEY}{name}")
    }

    /// The key of a launch's pause.
    pub fn pause_key(launch: &LaunchName) -> String {
        format!("{PAUSE_KEY}launch/{launch}")
    }

    /// The key of a launch's shares.
    pub fn shares_key(launch: &LaunchName) -> String {
        format!("{SHARES_KEY}{launch}")
    }

    /// The oldest format that can say this, so that instances of an earlier version read what does not concern them.
    fn format(&self) -> u32 {
        match self {
            Self::Launch(launch)
                if !launch.replay.is_default() || launch.ramp.is_some() || !launch.filters.headers.is_empty() =>
            {
                3
            }
            Self::Launch(launch) if launch.control.is_some() || launch.gates.is_some() => 2,
            Self::Rate(Rate { launch: Some(_), .. }) | Self::Pause(Pause { launch: Some(_), .. }) | Self::Shares(_) => {
                3
            }
            _ => 1,
        }
    }

    /// The record's value.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&Outgoing { format: self.format(), record: self })
            .expect("control records have string keys only")
    }

    /// Reads a value that stood under `key`.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn decode(key: &str, value: &[u8]) -> Result<Self, ControlError> {
        let unreadable = |cause: String| ControlError::Unreadable { key: key.to_owned(), cause };
        let head: Head = serde_json::from_slice(value).map_err(|e| unreadable(e.to_string()))?;
        if head.format > FORMAT {
            return Err(ControlError::Newer { key: key.to_owned(), found: head.format });
        }
        let Incoming { record } = serde_json::from_slice(value).map_err(|e| unreadable(e.to_string()))?;
        if record.key() == key { Ok(record) } else { Err(unreadable(format!("it belongs under {}", record.key()))) }
    }
}
