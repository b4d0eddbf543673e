//! Durations and sizes as people write them in a configuration: `"250ms"`, `"3s"`, `"256KiB"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A text that is not the quantity it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a {what}; write a whole number and one of {units}, such as \"{example}\"")]
pub struct InvalidQuantity {
    given: String,
    what: &'static str,
    units: &'static str,
    example: &'static str,
}

/// Splits `250ms` into its number and the factor of its unit; `None` when either is not there or the product overflows.
fn product(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim_start()))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The largest unit that shows the value without a fraction.
fn show(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let whole = units.iter().rev().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor));
    let (name, factor) = whole.unwrap_or(&units[0]);
    write!(f, "{}{name}", value / factor)
}

/// Ascending, in microseconds.
const TIME: [(&str, u64); 6] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];

/// Ascending, in bytes.
const BYTES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A length of time, to the microsecond: `"250ms"`, `"3s"`, `"5m"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HumanDuration(Duration);

impl HumanDuration {
    /// Whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// As the standard library's type.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for HumanDuration {
    type Err = InvalidQuantity;
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let micros = if text.trim() == "0" { Some(0) } else { product(text, &TIME) };
        micros.map(|micros| Self(Duration::from_micros(micros))).ok_or_else(|| InvalidQuantity {
            given: text.to_owned(),
            what: "duration",
            units: "us, ms, s, m, h, d",
            example: "250ms",
        })
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX), &TIME)
    }
}

impl From<Duration> for HumanDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

/// A number of bytes: `"256KiB"`, `"64MiB"`; a plain number is bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "NumberOrText", into = "String")]
pub struct ByteSize(u64);

impl ByteSize {
    /// Bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Multiples of 1,024 bytes.
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// Multiples of 1,048,576 bytes.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory (saturating where `usize` is smaller).
    pub fn as_len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = InvalidQuantity;
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let plain = text.trim().parse::<u64>().ok();
        plain.or_else(|| product(text, &BYTES)).map(Self).ok_or_else(|| InvalidQuantity {
            given: text.to_owned(),
            what: "size",
            units: "B, KiB, MiB, GiB",
            example: "256KiB",
        })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, &BYTES)
    }
}

/// What a size is read from.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a size such as \"256KiB\", or a number of bytes")]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl TryFrom<NumberOrText> for ByteSize {
    type Error = InvalidQuantity;
    fn try_from(given: NumberOrText) -> Result<Self, InvalidQuantity> {
        match given {
            NumberOrText::Number(bytes) => Ok(Self(bytes)),
            NumberOrText::Text(text) => text.parse(),
        }
    }
}

impl TryFrom<String> for HumanDuration {
    type Error = InvalidQuantity;
    fn try_from(text: String) -> Result<Self, InvalidQuantity> {
        text.parse()
    }
}

impl From<HumanDuration> for String {
    fn from(duration: HumanDuration) -> String {
        duration.to_string()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> String {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_back_as_they_are_shown() {
        for text in ["0us", "7us", "250ms", "3s", "90s", "5m", "2h", "1d"] {
            let duration: HumanDuration = text.parse().unwrap();
            assert_eq!(duration.to_string(), text);
        }
        for text in ["0B", "17B", "256KiB", "64MiB", "1GiB"] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size.to_string(), text);
        }
        assert_eq!("1500ms".parse::<HumanDuration>().unwrap().get(), Duration::from_millis(1500));
        assert_eq!(" 64 mib ".parse::<ByteSize>().unwrap(), ByteSize::mib(64));
        assert_eq!(" 0 ".parse::<HumanDuration>().unwrap(), HumanDuration::default());
    }

    #[test]
    fn a_quantity_without_a_known_unit_is_refused_with_an_example() {
        for bad in ["3", "s", "", "1.5s", "-1s", "3 weeks", "99999999999999999999s", "99999999999999999d"] {
            let error = bad.parse::<HumanDuration>().unwrap_err().to_string();
            assert!(error.contains("250ms"), "{error}");
        }
        for bad in ["KiB", "", "1KB", "-1", "1.5MiB", "99999999999999999GiB"] {
            let error = bad.parse::<ByteSize>().unwrap_err().to_string();
            assert!(error.contains("256KiB"), "{error}");
        }
    }
}
