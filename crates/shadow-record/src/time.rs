//! Wall-clock time as the records carry it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The system clock's reading.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(since.as_micros() as i64)
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// From Kafka's milliseconds since 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1000)
    }

    /// Time from `earlier` to this one; zero when the clock went backwards.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// This time plus `by`.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by.as_micros() as i64))
    }
}
