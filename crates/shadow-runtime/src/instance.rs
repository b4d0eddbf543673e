//! The name of one running copy of a service, as heartbeats, dead letters and logs show it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that cannot name an instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name an instance; use 1 to 64 of letters, digits, `.`, `_` and `-`")]
pub struct InvalidInstance(String);

/// The name of an instance: stable across restarts, unique among the copies of one service. The host's name unless configured;
/// two copies on one host need names of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instance(String);

impl Instance {
    const MAX: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn legal(c: char) -> bool {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
    }

    /// A legal name that is as close to `host` as can be.
    fn from_host(host: &str) -> Self {
        let name: String = host.chars().take(Self::MAX).map(|c| if Self::legal(c) { c } else { '-' }).collect();
        if name.is_empty() { Self("localhost".to_owned()) } else { Self(name) }
    }
}

impl Default for Instance {
    fn default() -> Self {
        Self::from_host(&rustix::system::uname().nodename().to_string_lossy())
    }
}

impl FromStr for Instance {
    type Err = InvalidInstance;
    fn from_str(name: &str) -> Result<Self, InvalidInstance> {
        if (1..=Self::MAX).contains(&name.len()) && name.chars().all(Self::legal) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidInstance(name.to_owned()))
        }
    }
}

impl TryFrom<String> for Instance {
    type Error = InvalidInstance;
    fn try_from(name: String) -> Result<Self, InvalidInstance> {
        name.parse()
    }
}

impl From<Instance> for String {
    fn from(instance: Instance) -> String {
        instance.0
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_legal_name_whatever_the_host_is_called() {
        assert_eq!(Instance::default(), Instance::default());
        for host in ["", "web-1.example", "ho st/ä", &"x".repeat(300)] {
            let name = Instance::from_host(host);
            assert_eq!(name.as_str().parse::<Instance>().unwrap(), name);
        }
        assert!("a b".parse::<Instance>().unwrap_err().to_string().contains("letters, digits"));
    }
}
