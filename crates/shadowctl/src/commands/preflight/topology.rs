//! The topology as people declare it: a TOML file. Pure; an error names its line.

use std::path::PathBuf;

use serde::Deserialize;
use shadow_control::WritePolicy;
use shadow_record::ServiceName;
use url::Url;

use crate::words;

/// What runs where, and what it may touch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Topology {
    /// The captured service.
    pub(crate) service: ServiceName,
    /// How the shadow is kept from production's stores, in words, as `launch create --isolation` gets it; without it no writes
    /// are replayed but those of `dry_run`.
    pub(crate) isolation: Option<String>,
    /// Requests per second that are to be replayed.
    pub(crate) rate: Option<Rate>,
    /// Production.
    pub(crate) primary: Side,
    /// The next version.
    pub(crate) candidate: Side,
    /// A second copy of the live build, if there is one.
    pub(crate) control: Option<Side>,
    /// What becomes of writes by route, as in the file of `launch create --replay`.
    #[serde(default)]
    pub(crate) writes: Vec<Write>,
    /// As `launch create --allow`.
    #[serde(default)]
    pub(crate) allow: Vec<String>,
    /// As `launch create --deny`.
    #[serde(default)]
    pub(crate) deny: Vec<String>,
    /// Configuration files of the services, to be compared.
    #[serde(default)]
    pub(crate) configs: Configs,
    /// Where Kafka is, `host:port,...`; without it what the command line says.
    pub(crate) kafka: Option<String>,
    /// Where ClickHouse is; without it what the command line says.
    pub(crate) clickhouse: Option<Url>,
}

/// Production, the candidate or the control.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Side {
    /// Where it answers.
    pub(crate) url: Url,
    /// Every store that it can reach with credentials; `[]` when it has none. Not declared is not known.
    pub(crate) stores: Option<Vec<Store>>,
    /// Where its own outbound calls end; not declared counts as `open`.
    #[serde(default)]
    pub(crate) egress: Egress,
    /// Requests per second that it was measured to take.
    pub(crate) capacity: Option<Rate>,
    /// Share of the candidate's requests that it gets; of the control.
    #[serde(default = "tenth")]
    pub(crate) sample: f64,
}

fn tenth() -> f64 {
    0.1
}

/// A place where data is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    /// What it is: `postgres`, `redis`, `s3`, ...
    pub(crate) kind: String,
    /// `host` or `host:port`; several of a cluster with commas between.
    pub(crate) host: String,
    /// Database, bucket, topic prefix; without it the whole server.
    pub(crate) name: Option<String>,
    /// How this side uses it.
    pub(crate) mode: Mode,
    /// Of a store of the shadow: why it is not production's though it is another port of the same host, or a name that does not
    /// resolve where preflight runs. Believed; the same port of the same host stays the same place.
    pub(crate) separate: Option<String>,
}

/// How a side uses a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// It is its own: it may write, and nobody else reads.
    Own,
    /// It has no right to write there.
    ReadOnly,
    /// It may write, and another side uses it too.
    Shared,
    /// A read replica: the store itself takes no writes.
    Replica,
}

/// Where outbound calls end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Egress {
    /// Wherever the code sends them.
    #[default]
    Open,
    /// At stubs.
    Stub,
    /// Nowhere: it makes none, or the network lets none out.
    None,
}

/// What becomes of the writes of one route.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Write {
    /// `POST /orders`, or `*` for every method that is not safe.
    pub(crate) route: String,
    /// As in a launch.
    pub(crate) policy: WritePolicy,
}

/// Paths of configuration files.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Configs {
    pub(crate) agent: Option<PathBuf>,
    pub(crate) replayer: Option<PathBuf>,
    pub(crate) comparator: Option<PathBuf>,
}

/// Requests per second, as `"200/s"`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Rate(pub(crate) f64);

impl TryFrom<String> for Rate {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        words::parse_rate(&text)?
            .map(Self)
            .ok_or_else(|| "a capacity and a wanted rate are numbers, such as 200/s".to_owned())
    }
}

impl Topology {
    /// The declared sides of the shadow, with their names.
    pub(crate) fn shadows(&self) -> impl Iterator<Item = (&'static str, &Side)> {
        [("candidate", &self.candidate)].into_iter().chain(self.control.as_ref().map(|side| ("control", side)))
    }

    /// Whether anything is sent that may write.
    pub(crate) fn writes(&self) -> bool {
        let isolated = self.isolation.as_ref().is_some_and(|words| !words.trim().is_empty());
        let rest = !self.writes.iter().any(|rule| rule.route.trim() == "*");
        self.writes.iter().any(|rule| match rule.policy {
            WritePolicy::Isolated => isolated,
            WritePolicy::DryRun => true,
            WritePolicy::Skip | WritePolicy::RecordOnly => false,
        }) || (isolated && rest)
    }
}

impl Store {
    /// As a person names it.
    pub(crate) fn shown(&self) -> String {
        match &self.name {
            Some(name) => format!("{} {}/{name}", self.kind, self.host),
            None => format!("{} {}", self.kind, self.host),
        }
    }
}
