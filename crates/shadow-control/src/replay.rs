//! How a launch replays what it wants: timing, order, protection of the shadow, writes, targets, what is learnt from answers.
//!
//! Pure data, as it stands on the control topic and in the file of `shadowctl launch create --replay`. Everything has a default,
//! and the defaults are the safe ones. No secret stands here: identities are the replayer's own configuration.

mod place;
mod problems;
mod writes;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use place::JsonPlace;
pub use problems::may_be_set;
pub use writes::Sending;

/// How a launch replays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Replay {
    /// What the launch's and its control's samples choose among.
    pub sample_by: SampleBy,
    /// When requests leave.
    pub timing: Timing,
    /// Records captured longer ago than this are skipped as `too_old`, seconds; `None` for no limit.
    pub max_age_s: Option<u64>,
    /// Which requests wait for which.
    pub order: Order,
    /// How long a request may wait for those before it in its session; then it is skipped as `session_stuck`, milliseconds.
    pub session_limit_ms: u64,
    /// Whether the ceiling on requests in flight follows latency and errors, up to the launch's `max_in_flight`.
    pub adaptive: bool,
    /// When nothing is sent for a while because the shadow is ill.
    pub breaker: Breaker,
    /// What becomes of requests by route; the first that matches holds.
    pub writes: Vec<WriteRule>,
    /// What the shadow issues in place of the primary, to be put into later requests of the session.
    pub learn: Vec<LearnRule>,
    /// Targets that are refused: `host`, `host:port` or a network such as `10.0.0.0/8`.
    pub deny: Vec<String>,
    /// What a target must answer before anything is sent to it.
    pub handshake: Option<Handshake>,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            sample_by: SampleBy::default(),
            timing: Timing::default(),
            max_age_s: None,
            order: Order::default(),
            session_limit_ms: 30_000,
            adaptive: true,
            breaker: Breaker::default(),
            writes: Vec::new(),
            learn: Vec::new(),
            deny: Vec::new(),
            handshake: None,
        }
    }
}

impl Replay {
    /// Whether nothing was chosen, so that an earlier version can read the launch.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Longest age of a record.
    pub fn max_age(&self) -> Option<Duration> {
        self.max_age_s.map(Duration::from_secs)
    }

    /// Longest wait for the requests before it in a session.
    pub fn session_limit(&self) -> Duration {
        Duration::from_millis(self.session_limit_ms)
    }
}

/// What a sample chooses among.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleBy {
    /// Single requests: the statistics of the verdict assume these.
    #[default]
    Request,
    /// Whole sessions: what later requests of a session need was sent too.
    Session,
}

/// When requests leave. The topic's rate is the ceiling of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// As fast as the rate allows.
    #[default]
    Rate,
    /// As far apart as they were captured, divided by `speed` (above 0; 2 is twice as fast).
    Original {
        /// The factor.
        speed: f64,
    },
}

/// Which requests wait for which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Requests of one session leave in order, each after the answer to the one before.
    #[default]
    Session,
    /// None waits for another.
    None,
}

/// When nothing is sent for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// Whether there is one.
    pub enabled: bool,
    /// Share of failed requests (no answer, or a status from 500 where the primary had none) from which it opens, above 0 to 1.
    pub failures: f64,
    /// A request slower than this counts as slow, milliseconds; `None` for no limit.
    pub slow_ms: Option<u64>,
    /// Share of slow requests from which it opens, above 0 to 1.
    pub slow: f64,
    /// Requests that must have ended within `window_s` before it may open.
    pub least: u32,
    /// Over how long shares are taken, seconds.
    pub window_s: u64,
    /// How long it stays open before single requests try again, seconds.
    pub open_s: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { enabled: true, failures: 0.5, slow_ms: None, slow: 0.8, least: 20, window_s: 10, open_s: 5 }
    }
}

/// What becomes of the requests of one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteRule {
    /// A route's name such as `POST /orders`, or `*` for all that are not safe by method.
    pub route: String,
    /// What becomes of them.
    pub policy: WritePolicy,
    /// Of [`WritePolicy::DryRun`]: the header that is added, `name: value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Of [`WritePolicy::DryRun`]: the query parameter that is added, `name=value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

/// What becomes of requests that may change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WritePolicy {
    /// Not sent; skipped as `write_policy`.
    Skip,
    /// Sent when the launch declares an isolation boundary: what methods that are not safe get without a rule.
    Isolated,
    /// Sent with a header or a parameter that the service understands, with or without an isolation boundary.
    DryRun,
    /// Not sent; recorded under its route as `record_only`.
    RecordOnly,
}

/// Something that the shadow issues in its answers in place of the primary: an identifier, a token, a session cookie. Exactly one of
/// `header`, `cookie` and `json` names where it stands in the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnRule {
    /// Its name in records and counters.
    pub name: String,
    /// The route whose answers hold it; `None` for every route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The response header that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The cookie, set by the answer, that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// Where it stands in a JSON body, as a path such as `$.order.id` or `$.items[*].id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
    /// Where in later requests of the session it is put; empty for everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub into: Vec<RequestPart>,
}

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestPart {
    /// Segments of the path.
    Path,
    /// Values of the query.
    Query,
    /// Values of headers, cookies among them, and what stands behind an authentication scheme.
    Header,
    /// Strings and numbers of a JSON body, values of a form.
    Body,
}

/// A question that only the shadow answers as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// Path that is asked for with GET, such as `/healthz`.
    pub path: String,
    /// Header that the answer must have.
    pub header: String,
    /// The value it must have.
    pub value: String,
}
