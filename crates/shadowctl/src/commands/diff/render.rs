//! A comparison as text for people.

use shadow_diff::Difference;

use super::Answer;
use crate::table;

pub(super) fn people(answer: &Answer) -> String {
    let Answer { result, differences, omitted, .. } = answer;
    let places: u64 = differences.iter().map(|difference| u64::from(difference.count)).sum();
    let mut text = match differences.len() {
        0 => format!("{}\n", result.as_str()),
        1 => format!("{}: 1 difference at {}\n", result.as_str(), count(places)),
        many => format!("{}: {many} differences at {}\n", result.as_str(), count(places)),
    };
    for difference in differences {
        text.push('\n');
        text.push_str(&one(difference));
    }
    if *omitted > 0 {
        text.push_str(&format!("\nfurther differences, not listed, at {}\n", count(u64::from(*omitted))));
    }
    if let Some(measured) = &answer.measured {
        text.push_str(&format!("\n{}", measures(measured)));
    }
    for (head, rules) in [("rules used", &answer.rules_used), ("rules that decided nothing here", &answer.rules_unused)]
    {
        if !rules.is_empty() {
            text.push_str(&format!("\n{head}\n{}", rules.iter().map(|rule| format!("  {rule}\n")).collect::<String>()));
        }
    }
    text
}

fn count(places: u64) -> String {
    if places == 1 { "1 place".to_owned() } else { format!("{places} places") }
}

fn one(difference: &Difference) -> String {
    let Difference { place, example, kind, transition, primary, candidate, count, signature, expected } = difference;
    let mut lines = Vec::new();
    if place != example || *count > 1 {
        let more = if *count > 1 { format!(", and {} more", count - 1) } else { String::new() };
        lines.push(("  at", format!("{example}{more}")));
    }
    let side = |text: &str| if text.is_empty() { "-".to_owned() } else { text.replace('\n', "\\n") };
    lines.push(("  primary", side(primary)));
    lines.push(("  candidate", side(candidate)));
    lines.push(("  signature", signature.to_string()));
    if let Some(name) = expected {
        lines.push(("  expected", name.to_string()));
    }
    format!("{place}  {}  {transition}\n{}", kind.as_str(), table::pairs(&lines))
}

fn measures(measured: &shadow_diff::Measured) -> String {
    let mut lines = Vec::new();
    if let Some((primary, candidate)) = &measured.class {
        lines.push(("class", format!("{primary} -> {candidate}")));
    }
    if let Some(difference) = measured.score_difference {
        lines.push(("score difference", difference.to_string()));
    }
    table::pairs(&lines)
}
