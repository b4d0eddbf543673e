//! Heartbeats: what each instance is, does and has acknowledged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{LaunchName, Timestamp};

/// One heartbeat. See `schemas/Status.avsc` for units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // documented field by field in the schema
pub struct Status {
    pub instance: String,
    pub role: Role,
    pub service: String,
    pub launch: Option<LaunchName>,
    pub epoch: i64,
    pub sequence: i64,
    pub at: Timestamp,
    pub state: State,
    pub control_version: i64,
    pub heard_at: Option<Timestamp>,
    pub last_send_at: Option<Timestamp>,
    pub counters: BTreeMap<String, i64>,
}

/// Which of the services an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Role {
    Other,
    CaptureAgent,
    Replayer,
    Comparator,
    Stub,
}

/// What an instance, or one launch on it, is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A state this version does not know.
    Other,
    /// Not yet at the end of the control topic.
    Starting,
    /// Doing its work.
    Running,
    /// The kill switch is on.
    Paused,
    /// Finishing what it holds before it stops.
    Draining,
    /// Its last heartbeat.
    Stopped,
}
