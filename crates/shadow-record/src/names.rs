//! Names that people choose, checked once, and the topics that are made of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that cannot be used in a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name: use 1 to 64 of a-z, 0-9 and -, starting with a letter or digit")]
pub struct InvalidName(String);

fn check(name: &str) -> Result<(), InvalidName> {
    let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let fits = (1..=64).contains(&name.len()) && name.bytes().all(legal) && !name.starts_with('-');
    if fits { Ok(()) } else { Err(InvalidName(name.to_owned())) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                check(name).map(|()| Self(name.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                check(&name).map(|()| Self(name))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The logical service under rehearsal, such as `checkout`.
    ServiceName
}
name! {
    /// One dark launch of one candidate, such as `checkout-v2`.
    LaunchName
}

/// Topic and group names.
pub mod topics {
    use super::{LaunchName, ServiceName};

    /// Launches, rates, pauses and known upstreams; compacted, one partition.
    pub const CONTROL: &str = "shadow.control";
    /// Heartbeats of every instance.
    pub const STATUS: &str = "shadow.status";
    /// Records that could not be read.
    pub const DEAD_LETTER: &str = "shadow.deadletter";
    /// How every captured topic begins.
    pub const CAPTURED_PREFIX: &str = "shadow.captured.";

    /// Masked exchanges of one service.
    pub fn captured(service: &ServiceName) -> String {
        format!("{CAPTURED_PREFIX}{service}")
    }

    /// Outcomes of one launch; partition by partition beside the captured topic.
    pub fn replayed(service: &ServiceName, launch: &LaunchName) -> String {
        format!("shadow.replayed.{service}.{launch}")
    }

    /// Outbound calls of one service, whichever version made them.
    pub fn effects(service: &ServiceName) -> String {
        format!("shadow.effects.{service}")
    }

    /// Consumer group that replays one launch; pausing it is the kill switch's back-pressure.
    pub fn replayer_group(launch: &LaunchName) -> String {
        format!("shadow-replayer.{launch}")
    }

    /// Consumer group that compares one launch.
    pub fn comparator_group(launch: &LaunchName) -> String {
        format!("shadow-comparator.{launch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_topic_are_refused() {
        for bad in ["", "-a", "A", "a.b", "a/b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<ServiceName>().is_err(), "{bad}");
        }
        assert_eq!("checkout-2".parse::<LaunchName>().unwrap().as_str(), "checkout-2");
    }
}
