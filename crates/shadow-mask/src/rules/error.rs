//! What is wrong with rules, and where.

use serde::Deserialize;

use super::compile::Refusal;

/// Rules that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("masking rules, {place}: {reason}")]
pub struct RulesError {
    place: Place,
    /// What in the rule is to blame, to find its line.
    at: String,
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Line(usize),
    /// Counted from 1; 0 is the part before the first rule.
    Rule(usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Rule(0) => f.write_str("head"),
            Self::Rule(rule) => write!(f, "rule {rule}"),
        }
    }
}

impl RulesError {
    /// The line to blame, from 1; `None` when the rules were not read from their own text.
    pub fn line(&self) -> Option<usize> {
        match self.place {
            Place::Line(line) => Some(line),
            Place::Rule(_) => None,
        }
    }

    /// What is wrong, without the place.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(super) fn in_rule(rule: usize, refusal: Refusal) -> Self {
        Self { place: Place::Rule(rule), at: refusal.at, reason: refusal.reason }
    }

    pub(super) fn from_toml(text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start);
        Self { place: Place::Line(line_of(text, start)), at: String::new(), reason: error.message().replace('\n', " ") }
    }

    /// The same error with the line of the text to blame.
    pub(super) fn in_text(self, text: &str) -> Self {
        let Place::Rule(rule) = self.place else { return self };
        let (start, end) = rule.checked_sub(1).map_or((0, text.len()), |index| rule_span(text, index));
        let within = text.get(start..end).and_then(|rule| rule.find(&self.at)).unwrap_or(0);
        Self { place: Place::Line(line_of(text, start + within)), ..self }
    }
}

/// Where the rule of that index begins and where the next one does.
fn rule_span(text: &str, index: usize) -> (usize, usize) {
    #[derive(Deserialize)]
    struct Spans {
        #[serde(default)]
        rule: Vec<toml::Spanned<serde::de::IgnoredAny>>,
    }
    let spans = toml::from_str::<Spans>(text).map(|spans| spans.rule).unwrap_or_default();
    let start = |index: usize| spans.get(index).map(|rule| rule.span().start);
    (start(index).unwrap_or(0), start(index + 1).unwrap_or(text.len()))
}

fn line_of(text: &str, byte: usize) -> usize {
    1 + text.as_bytes()[..byte.min(text.len())].iter().filter(|b| **b == b'\n').count()
}
