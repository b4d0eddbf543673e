//! Quantities as people read and write them.

use std::time::Duration;

use shadow_record::Timestamp;

/// `12345` as `12,345`.
pub(crate) fn count(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// A share as `99.93 %`. Never rounded up to 100 % or down to 0 %: those two words are kept for "all" and "none".
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    if part == whole {
        return "100 %".to_owned();
    }
    if part == 0 {
        return "0 %".to_owned();
    }
    let hundredths = (part as f64 / whole as f64 * 10_000.0).round().clamp(1.0, 9_999.0);
    format!("{:.2} %", hundredths / 100.0)
}

/// A fraction that was chosen, not measured: `0.1` as `10 %`.
pub(crate) fn share(fraction: f64) -> String {
    format!("{} %", trimmed(fraction * 100.0))
}

/// Milliseconds with three significant digits: `0.42 ms`, `17.3 ms`, `2.05 s`.
pub(crate) fn millis(ms: f64) -> String {
    let (value, unit) = if ms.abs() >= 1000.0 { (ms / 1000.0, "s") } else { (ms, "ms") };
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0} {unit}"),
        v if v >= 10.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.2} {unit}"),
    }
}

/// A length of time, as [`millis`].
pub(crate) fn duration(duration: Duration) -> String {
    millis(duration.as_secs_f64() * 1000.0)
}

/// How long ago, in whole seconds, minutes, hours or days.
pub(crate) fn ago(since: Duration) -> String {
    let seconds = since.as_secs();
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// A time in UTC to the second: `2026-01-31T12:00:00Z`.
pub(crate) fn when(at: Timestamp) -> String {
    match jiff::Timestamp::from_second(at.micros().div_euclid(1_000_000)) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{} us", at.micros()),
    }
}

/// Reads a time such as `2026-01-31T12:00:00Z` or with an offset.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    text.parse::<jiff::Timestamp>().map(|time| Timestamp(time.as_microsecond())).map_err(|error| error.to_string())
}

/// Requests per second; `None` is no limit.
pub(crate) fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => "unlimited".to_owned(),
        Some(rate) if rate >= 1.0 => format!("{}/s", trimmed(rate)),
        Some(rate) if rate * 60.0 >= 1.0 => format!("{}/min", trimmed(rate * 60.0)),
        Some(rate) => format!("{}/h", trimmed(rate * 3600.0)),
    }
}

fn trimmed(number: f64) -> String {
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Reads `500/s`, `30/min`, `100/h` or `unlimited`.
pub(crate) fn parse_rate(text: &str) -> Result<Option<f64>, String> {
    const FORMS: &str = "write 500/s, 30/min, 100/h or unlimited";
    if text == "unlimited" {
        return Ok(None);
    }
    let (number, unit) = text.split_once('/').ok_or(FORMS)?;
    let seconds = match unit.trim() {
        "s" | "sec" | "second" => 1.0,
        "m" | "min" | "minute" => 60.0,
        "h" | "hour" => 3600.0,
        _ => return Err(FORMS.to_owned()),
    };
    match number.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(Some(number / seconds)),
        Ok(_) => Err("a rate is above zero; `shadowctl pause` stops sending".to_owned()),
        Err(_) => Err(FORMS.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_back_as_they_are_shown() {
        for text in ["500/s", "30/min", "12.5/s", "7/h", "unlimited"] {
            assert_eq!(rate(parse_rate(text).unwrap()), text);
        }
        for bad in ["0/s", "-1/s", "500", "5/day", "x/s", "inf/s", "NaN/s", ""] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_share_is_called_all_or_none_only_when_it_is() {
        assert_eq!(percent(99_999, 100_000), "99.99 %");
        assert_eq!(percent(1, 100_000), "0.01 %");
        assert_eq!((percent(5, 5), percent(0, 5), percent(0, 0)), ("100 %".into(), "0 %".into(), "-".into()));
    }

    #[test]
    fn numbers_and_times_are_short() {
        assert_eq!([share(1.0), share(0.1), share(0.0005)], ["100 %", "10 %", "0.05 %"]);
        assert_eq!([count(1), count(1234), count(-1_234_567)], ["1", "1,234", "-1,234,567"]);
        assert_eq!(
            [millis(0.421), millis(17.26), millis(512.0), millis(2050.0)],
            ["0.42 ms", "17.3 ms", "512 ms", "2.05 s"]
        );
        assert_eq!(when(Timestamp(1_700_000_000_999_999)), "2023-11-14T22:13:20Z");
        assert_eq!(parse_time("2023-11-14T23:13:20+01:00").unwrap(), Timestamp(1_700_000_000_000_000));
        assert!(parse_time("yesterday").is_err());
    }
}
