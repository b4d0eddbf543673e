//! Points in time as services write them: RFC 3339, HTTP dates, and numbers since 1970.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Scalar;
use crate::document::Kind;

/// Longest text that may be one: `Sunday, 06-Nov-94 08:49:37 GMT` and nanoseconds with an offset are shorter.
const LONGEST: usize = 64;

/// Nanoseconds since 1970. A number's unit is told by its size: seconds below 10^11 (the year 5138), then milli-, micro- and
/// nanoseconds.
pub(super) fn of(scalar: Scalar<'_>) -> Option<i128> {
    if scalar.text.len() > LONGEST {
        return None;
    }
    match scalar.number() {
        Some(_) => epoch(scalar.text),
        None if scalar.kind == Kind::String => written(scalar.text.trim()),
        None => None,
    }
}

fn written(text: &str) -> Option<i128> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_nanosecond());
    }
    // Without an offset: both sides are read alike.
    if let Ok(instant) = text.parse::<DateTime>() {
        return Some(instant.to_zoned(TimeZone::UTC).ok()?.timestamp().as_nanosecond());
    }
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_nanosecond())
}

/// Decimal, since floating point has no room for nanoseconds.
fn epoch(text: &str) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: i128 = whole.parse::<i64>().ok()?.into();
    let scale = match whole {
        0..100_000_000_000 => 9,
        100_000_000_000..100_000_000_000_000 => 6,
        100_000_000_000_000..100_000_000_000_000_000 => 3,
        _ => 0,
    };
    let fraction: String = fraction.chars().chain(std::iter::repeat('0')).take(scale).collect();
    let fraction: i128 = if scale == 0 { 0 } else { fraction.parse::<i64>().ok()?.into() };
    let nanoseconds = whole * 10i128.pow(scale as u32) + fraction;
    Some(if negative { -nanoseconds } else { nanoseconds })
}
