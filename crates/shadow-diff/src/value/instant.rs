//! Points in time as services write them: RFC 3339, HTTP dates, and numbers since 1970.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Scalar;
use crate::document::Kind;

/// Longest text that may be one: `Sunday, 06-Nov-94 08:49:37 GMT` and nanoseconds with an offset are shorter.
const LONGEST: usize = 64;

/// A point in time, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instant {
    /// Since 1970.
    pub(super) nanoseconds: i128,
    pub(super) notation: Notation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    /// RFC 3339, with an offset whichever.
    Offset,
    /// The same without one.
    Local,
    Http,
    /// Numbers, by their unit.
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// Reads an instant. A number's unit is told by its size: seconds below 10^11 (the year 5138), then milli-, micro- and nanoseconds.
pub(super) fn of(scalar: Scalar<'_>) -> Option<Instant> {
    if scalar.text.len() > LONGEST {
        return None;
    }
    match scalar.number() {
        Some(_) => epoch(scalar.text),
        None if scalar.kind == Kind::String => written(scalar.text.trim()),
        None => None,
    }
}

fn written(text: &str) -> Option<Instant> {
    let instant = |notation, timestamp: jiff::Timestamp| Instant { nanoseconds: timestamp.as_nanosecond(), notation };
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Some(instant(Notation::Offset, timestamp));
    }
    // Without an offset: both sides are read alike. A zone alone says where, but is not applied, so it is none that is read.
    if let Some(local) = text.parse::<DateTime>().ok().filter(|_| !text.contains('[')) {
        return Some(instant(Notation::Local, local.to_zoned(TimeZone::UTC).ok()?.timestamp()));
    }
    Some(instant(Notation::Http, jiff::fmt::rfc2822::parse(text).ok()?.timestamp()))
}

/// Decimal, since floating point has no room for nanoseconds.
fn epoch(text: &str) -> Option<Instant> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: i128 = whole.parse::<i64>().ok()?.into();
    let (scale, notation) = match whole {
        0..100_000_000_000 => (9, Notation::Seconds),
        100_000_000_000..100_000_000_000_000 => (6, Notation::Milliseconds),
        100_000_000_000_000..100_000_000_000_000_000 => (3, Notation::Microseconds),
        _ => (0, Notation::Nanoseconds),
    };
    let fraction: String = fraction.chars().chain(std::iter::repeat('0')).take(scale).collect();
    let fraction: i128 = if scale == 0 { 0 } else { fraction.parse::<i64>().ok()?.into() };
    let nanoseconds = whole * 10i128.pow(scale as u32) + fraction;
    Some(Instant { nanoseconds: if negative { -nanoseconds } else { nanoseconds }, notation })
}
