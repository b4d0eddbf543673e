//! The text of `/metrics`, read back: which families there are, of which type, with which labels.

use std::collections::{BTreeMap, BTreeSet};

/// One family of metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Family {
    /// `counter`, `gauge`, `histogram` or `info`.
    pub(crate) kind: String,
    /// What it means.
    pub(crate) help: String,
    /// The names of its labels, without `le`, which buckets have.
    pub(crate) labels: BTreeSet<String>,
}

/// Families by name, without the suffix that samples have.
pub(crate) type Families = BTreeMap<String, Family>;

impl Family {
    /// The names of this family's samples.
    pub(crate) fn samples(&self, name: &str) -> Vec<String> {
        let suffixes: &[&str] = match self.kind.as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
    }

    /// What it is counted in: the end of its name, as Prometheus has it.
    pub(crate) fn unit(name: &str) -> &'static str {
        ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit)).unwrap_or("")
    }
}

/// Reads an exposition.
pub(crate) fn parse(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# ") {
            let mut words = described.splitn(3, ' ');
            let (Some(what), Some(name)) = (words.next(), words.next()) else { continue };
            let rest = words.next().unwrap_or_default();
            match what {
                "TYPE" => families.entry(name.to_owned()).or_default().kind = rest.to_owned(),
                "HELP" => families.entry(name.to_owned()).or_default().help = rest.to_owned(),
                _ => {}
            }
        } else if let Some((name, labels)) = sample(line) {
            let of = |families: &Families| {
                families.iter().find(|(family, f)| f.samples(family).contains(&name)).map(|(family, _)| family.clone())
            };
            let family = of(&families).unwrap_or_else(|| panic!("a sample of no family: {line}"));
            let known = &mut families.get_mut(&family).unwrap().labels;
            known.extend(labels.into_iter().filter(|label| label != "le"));
        }
    }
    families
}

/// The name of a sample and those of its labels.
fn sample(line: &str) -> Option<(String, Vec<String>)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let mut labels = Vec::new();
    let mut rest = rest.strip_prefix('{').unwrap_or_default();
    while let Some((label, value)) = rest.split_once("=\"") {
        labels.push(label.to_owned());
        let mut escaped = false;
        let closing = value.find(|c| match c {
            '\\' if !escaped => {
                escaped = true;
                false
            }
            '"' if !escaped => true,
            _ => {
                escaped = false;
                false
            }
        })?;
        rest = value[closing + 1..].trim_start_matches(',');
        if rest.starts_with('}') {
            break;
        }
    }
    Some((name.to_owned(), labels))
}

#[test]
fn an_exposition_is_read_as_it_is_written() {
    let text = "# HELP shadow_a_seconds A thing.\n# TYPE shadow_a_seconds histogram\n# UNIT shadow_a_seconds seconds\n\
                shadow_a_seconds_bucket{launch=\"v=\\\"2\",le=\"0.5\"} 1\nshadow_a_seconds_sum{launch=\"v2\"} 0.1\n\
                # HELP shadow_b B.\n# TYPE shadow_b counter\nshadow_b_total 7\n# EOF\n";
    let families = parse(text);
    let (a, b) = (&families["shadow_a_seconds"], &families["shadow_b"]);
    assert_eq!((a.kind.as_str(), a.help.as_str()), ("histogram", "A thing."));
    assert_eq!(a.labels, BTreeSet::from(["launch".to_owned()]));
    assert_eq!((b.kind.as_str(), b.labels.len(), Family::unit("shadow_a_seconds")), ("counter", 0, "seconds"));
}
