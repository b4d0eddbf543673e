//! A launch: one dark launch of one candidate, and which captured exchanges it wants.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shadow_record::{LaunchName, Request, RequestId, ServiceName};
use url::Url;

use crate::ramp::Ramp;
use crate::record::Change;
use crate::replay::{Replay, SampleBy};

/// One dark launch, as it stands on the control topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Its name; consumer groups and the replayed topic are named after it.
    pub name: LaunchName,
    /// The service whose traffic it replays.
    pub service: ServiceName,
    /// Base URL of the candidate.
    pub candidate: Url,
    /// A second copy of the live build, to tell noise from fault; `None` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// Share of the captured exchanges to replay, 0 to 1.
    #[serde(default = "one")]
    pub sample: f64,
    /// What else to leave out.
    #[serde(default)]
    pub filters: Filters,
    /// How the candidate is kept from production's stores, in the operator's words. `None`: only safe methods are replayed.
    #[serde(default)]
    pub isolation: Option<String>,
    /// When not empty, the only `host`, `host:port` or networks (`10.1.0.0/16`) that may be a target.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Whether answers are compared.
    #[serde(default)]
    pub comparison: Comparison,
    /// Comparison rules as TOML; `None` for none.
    #[serde(default)]
    pub rules: Option<String>,
    /// Gates of the verdict as TOML; `None` for the default ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates: Option<String>,
    /// First captured offset of each partition that belongs to the launch; partitions not named start at 0.
    pub start: BTreeMap<i32, i64>,
    /// Whether it runs.
    pub status: LaunchStatus,
    /// Bounds of its replay.
    #[serde(default)]
    pub limits: LaunchLimits,
    /// How it replays.
    #[serde(default, skip_serializing_if = "Replay::is_default")]
    pub replay: Replay,
    /// Its sample's way up; `None` for a sample that people set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<Ramp>,
    /// Who created or last changed it, when and why.
    pub change: Change,
}

/// The control leg of a launch: some requests go to a second copy of the live build at the same moment as to the candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Base URL of the copy. It is held to the same rules as the candidate.
    pub url: Url,
    /// Share of the requests sent to the candidate that are also sent there, 0 to 1.
    #[serde(default = "Control::default_sample")]
    pub sample: f64,
}

impl Control {
    /// The share where none is named: a tenth.
    pub const fn default_sample() -> f64 {
        0.1
    }
}

/// What a launch leaves out; empty lists leave nothing out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// Methods to replay.
    pub methods: Vec<String>,
    /// Route names to replay, such as `GET /orders/{id}`.
    pub routes: Vec<String>,
    /// Headers that a request must have, as `name` or `name=value` with the masked value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
}

/// Whether the answers of a launch are compared or it only measures load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Compared.
    #[default]
    On,
    /// Only recorded.
    Off,
}

/// Where a launch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchStatus {
    /// Replaying.
    Active,
    /// Stopped by a person or a guard; goes on where it stopped. Records of this version say it in a [`Pause`](crate::Pause) of the
    /// launch instead, see [`ControlState::status_of`](crate::ControlState::status_of).
    Paused,
    /// Ended: the candidate went live.
    Promoted,
    /// Ended: the candidate was withdrawn.
    RolledBack,
}

impl LaunchStatus {
    /// As the control topic spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled_back",
        }
    }

    /// Whether it was promoted or rolled back: it never runs again.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Promoted | Self::RolledBack)
    }
}

/// Bounds of a launch's replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LaunchLimits {
    /// Requests in flight to the candidate from one replayer.
    pub max_in_flight: usize,
    /// Longest wait for an answer, milliseconds.
    pub timeout_ms: u64,
}

impl Default for LaunchLimits {
    fn default() -> Self {
        Self { max_in_flight: 64, timeout_ms: 10_000 }
    }
}

impl LaunchLimits {
    /// Longest wait for an answer.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

fn one() -> f64 {
    1.0
}

impl Launch {
    /// An active launch of all that was captured from offset 0 on, under the default limits: safe methods only, compared.
    pub fn of(name: LaunchName, service: ServiceName, candidate: Url, change: Change) -> Self {
        Self {
            name,
            service,
            candidate,
            control: None,
            sample: 1.0,
            filters: Filters::default(),
            isolation: None,
            allow: Vec::new(),
            comparison: Comparison::On,
            rules: None,
            gates: None,
            start: BTreeMap::new(),
            status: LaunchStatus::Active,
            limits: LaunchLimits::default(),
            replay: Replay::default(),
            ramp: None,
            change,
        }
    }

    /// First captured offset of `partition` that belongs to this launch.
    pub fn start_of(&self, partition: i32) -> i64 {
        self.start.get(&partition).copied().unwrap_or(0)
    }

    /// Whether the filters let this exchange through.
    pub fn selects(&self, request: &Request, route: &str) -> bool {
        let Filters { methods, routes, headers } = &self.filters;
        let has = |wanted: &String| match wanted.split_once('=') {
            None => request.header(wanted).is_some(),
            Some((name, value)) => request.headers.iter().any(|h| h.name == name && h.value == value),
        };
        (methods.is_empty() || methods.contains(&request.method))
            && (routes.is_empty() || routes.iter().any(|r| r == route))
            && headers.iter().all(has)
    }

    /// Whether the exchange is in the launch's sample; `session` is the key of its record. Salted with the launch's name, so that
    /// samples of launches and agents are independent; a pure function, so that every replayer decides alike.
    pub fn in_sample(&self, id: &RequestId, session: &[u8]) -> bool {
        falls_below(self.sample, [self.name.as_str().as_bytes(), self.sampled(id, session)])
    }

    /// What the sample chooses among.
    fn sampled<'a>(&self, id: &'a RequestId, session: &'a [u8]) -> &'a [u8] {
        match self.replay.sample_by {
            SampleBy::Session if !session.is_empty() => session,
            _ => id.0.as_bytes(),
        }
    }

    /// Where the exchange goes besides to the candidate: the control's URL, when the exchange is in the control's sample. That
    /// sample depends on the launch's name too, but not on [`Launch::in_sample`].
    pub fn control_of(&self, id: &RequestId, session: &[u8]) -> Option<&Url> {
        let control = self.control.as_ref()?;
        falls_below(control.sample, [self.name.as_str().as_bytes(), b"control", self.sampled(id, session)])
            .then_some(&control.url)
    }
}

/// Whether the parts' hash, as a number from 0 up to 1, lies below `share`. No part but the last may hold a zero byte.
fn falls_below<const N: usize>(share: f64, parts: [&[u8]; N]) -> bool {
    // 53 bits fit a double exactly.
    share >= 1.0 || ((hash(parts) >> 11) as f64) < share * (1u64 << 53) as f64
}

/// A hash of the parts. No part but the last may hold a zero byte.
pub(crate) fn hash<const N: usize>(parts: [&[u8]; N]) -> u64 {
    let mut hash = FNV_OFFSET;
    for (number, part) in parts.into_iter().enumerate() {
        let separator: &[u8] = if number == 0 { &[] } else { &[0] };
        for byte in separator.iter().chain(part) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }
    // FNV leaves its high bits poorly mixed for short inputs; this finaliser (MurmurHash3's) spreads them.
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(name: &str, sample: f64) -> Launch {
        let (name, candidate) = (name.parse().unwrap(), "http://127.0.0.1:1".parse().unwrap());
        Launch { sample, ..Launch::of(name, "shop".parse().unwrap(), candidate, Change::by("test", "test")) }
    }

    #[test]
    fn samples_have_their_size_and_launches_do_not_share_them() {
        let (a, b) = (launch("a", 0.25), launch("b", 0.25));
        let ids: Vec<_> = (0..40_000).map(|_| RequestId::generate()).collect();
        let in_a = ids.iter().filter(|id| a.in_sample(id, &[])).count() as f64;
        let in_both = ids.iter().filter(|id| a.in_sample(id, &[]) && b.in_sample(id, &[])).count() as f64;
        assert!((in_a / 40_000.0 - 0.25).abs() < 0.02, "{in_a}");
        assert!((in_both / 40_000.0 - 0.0625).abs() < 0.01, "{in_both}");
        assert!(!ids.iter().any(|id| launch("a", 0.0).in_sample(id, &[])));
    }

    #[test]
    fn a_sample_of_sessions_takes_all_of_one_or_none() {
        let mut launch = launch("a", 0.25);
        launch.replay.sample_by = SampleBy::Session;
        let taken = |session: &[u8]| (0..50).filter(|_| launch.in_sample(&RequestId::generate(), session)).count();
        let sessions = (0..2000).map(|n: u32| taken(&n.to_be_bytes()));
        let whole = sessions
            .map(|taken| {
                if taken == 50 {
                    1
                } else {
                    assert_eq!(taken, 0);
                    0
                }
            })
            .sum::<usize>() as f64;
        assert!((whole / 2000.0 - 0.25).abs() < 0.05, "{whole}");
    }

    #[test]
    fn the_control_sample_is_a_share_of_the_launchs_and_independent_of_it() {
        let mut launch = launch("a", 0.25);
        let id = RequestId::generate();
        assert_eq!(launch.control_of(&id, &[]), None, "no control leg");
        let url: Url = "http://127.0.0.1:2".parse().unwrap();
        launch.control = Some(Control { url: url.clone(), sample: 1.0 });
        assert_eq!(launch.control_of(&id, &[]), Some(&url));
        launch.control = Some(Control { url, sample: 0.1 });
        let sent: Vec<_> = (0..80_000).map(|_| RequestId::generate()).filter(|id| launch.in_sample(id, &[])).collect();
        let both = sent.iter().filter(|id| launch.control_of(id, &[]).is_some()).count() as f64;
        assert!((both / sent.len() as f64 - 0.1).abs() < 0.015, "{both} of {}", sent.len());
    }
}
