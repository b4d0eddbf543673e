//! What changed between two control records, place by place: of `launch set`, which changes one, and `audit`, which tells of all.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::table::Table;

/// Longest value that is shown whole, characters.
const SHOWN: usize = 60;

/// One place that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// Where, such as `limits.timeout_ms`.
    pub(crate) what: String,
    /// `none` where there was nothing.
    pub(crate) was: String,
    pub(crate) now: String,
}

/// The places in which two records differ, by name. Who changed them, when and why is no difference.
pub(crate) fn differences(before: Option<&Value>, after: Option<&Value>) -> Vec<Difference> {
    let (mut was, mut now) = (BTreeMap::new(), BTreeMap::new());
    for (record, leaves) in [(before, &mut was), (after, &mut now)] {
        if let Some(record) = record {
            flatten("", record, leaves);
        }
    }
    let shown = |leaves: &BTreeMap<String, String>, what: &str| leaves.get(what).cloned().unwrap_or("none".to_owned());
    let mut places: Vec<&String> = was.keys().chain(now.keys()).collect();
    places.sort();
    places.dedup();
    let compared = places.into_iter().map(|what| Difference {
        was: shown(&was, what),
        now: shown(&now, what),
        what: what.clone(),
    });
    compared.filter(|difference| difference.was != difference.now).collect()
}

fn flatten(place: &str, value: &Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(name, _)| !(place.is_empty() && *name == "change")) {
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                flatten(&place, member, leaves);
            }
        }
        Value::Null => {}
        Value::Array(list) if list.is_empty() => {}
        Value::String(text) => drop(leaves.insert(place.to_owned(), short(text))),
        other => drop(leaves.insert(place.to_owned(), short(&other.to_string()))),
    }
}

/// A value in one line. What is cut is told apart by a digest, so that a difference behind the cut is one all the same.
fn short(text: &str) -> String {
    let lines = text.lines().count();
    if lines <= 1 && text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    use std::hash::{Hash as _, Hasher as _};
    let mut digest = std::hash::DefaultHasher::new();
    text.hash(&mut digest);
    format!("{lines} lines, {} bytes (digest {:08x})", text.len(), digest.finish() as u32)
}

/// Differences as `what  was -> now` lines.
pub(crate) fn render(differences: &[Difference]) -> String {
    let mut table = Table::new(&["changed", "was", "", "now"]);
    for Difference { what, was, now } in differences {
        table.row([what.clone(), was.clone(), "->".to_owned(), now.clone()]);
    }
    table.render()
}

/// Differences in one line.
pub(crate) fn in_one_line(differences: &[Difference]) -> String {
    let each = differences.iter().map(|Difference { what, was, now }| format!("{what} {was} -> {now}"));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_places_that_changed_are_named_and_who_changed_them_is_none() {
        let before = json!({"sample": 0.1, "limits": {"timeout_ms": 10, "max_in_flight": 64}, "isolation": null, "rules": "a\nb",
            "filters": {"routes": []}, "change": {"by": "ann"}});
        let after = json!({"sample": 1.0, "limits": {"timeout_ms": 10, "max_in_flight": 8}, "isolation": "own", "rules": "a\nc",
            "filters": {"routes": ["GET /a"]}, "change": {"by": "bob"}});
        let changed = differences(Some(&before), Some(&after));
        let places: Vec<&str> = changed.iter().map(|difference| difference.what.as_str()).collect();
        assert_eq!(places, ["filters.routes", "isolation", "limits.max_in_flight", "rules", "sample"]);
        assert!(in_one_line(&changed[..3]).starts_with("filters.routes none -> [\"GET /a\"], isolation none -> own"));
        assert!(changed[3].was.starts_with("2 lines, 3 bytes"), "{changed:?}");
        assert!(render(&changed).contains("limits.max_in_flight  64"), "{}", render(&changed));
        assert!(differences(Some(&before), Some(&before)).is_empty());
    }
}
