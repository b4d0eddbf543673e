//! Numbers as people read them.

use super::needed::Needed;

/// With thousands separated.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// "1 gate", "2 gates".
pub(super) fn plural(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{} {noun}s", count(number as u64)) }
}

/// With as many digits as tell it from the nearer of 0 and 100 %.
pub(super) fn percent(share: f64) -> String {
    let distance = share.abs().min((1.0 - share.abs()).abs());
    let decimals =
        if distance == 0.0 { 0 } else { (1.0 - (distance * 100.0).log10().floor()).clamp(1.0, 6.0) as usize };
    let text = format!("{:.*}", decimals, share * 100.0);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{} %", if text == "-0" { "0" } else { text })
}

/// Three digits. What timed out is known to be beyond any number.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "unlimited".to_owned();
    }
    let decimals = if value == 0.0 { 0 } else { (2.0 - value.abs().log10().floor()).clamp(0.0, 3.0) as usize };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The end of a sentence that says how much more is needed.
pub(super) fn more(needed: Needed, what: &str) -> String {
    match needed {
        Needed::Nothing | Needed::NotForeseen => String::new(),
        Needed::About(more) => format!("; if it goes on like this, about {} more {what} decide", count(more)),
        Needed::AtLeast(more) => format!("; at least {} more {what} are needed", count(more)),
        Needed::Unknown => "; that is too near the limit to tell how many more are needed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(plural(1, "gate"), "1 gate");
        assert_eq!(plural(1_200, "gate"), "1,200 gates");
        let percents = [1.0, 0.999, 0.999_95, 0.85, 0.0, 0.001, 0.000_012, -0.002].map(percent);
        assert_eq!(percents, ["100 %", "99.9 %", "99.995 %", "85 %", "0 %", "0.1 %", "0.0012 %", "-0.2 %"]);
        assert_eq!([0.0, 0.123_4, 1.5, 123.4, 12_345.6].map(number), ["0", "0.123", "1.5", "123", "12346"]);
    }
}
