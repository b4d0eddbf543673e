//! Which hosts and paths a rule is for. Pure.

use minijinja::Value;

use crate::request::{decoded, map};

/// Whom a rule is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HostPattern {
    Any,
    Exactly(String),
    /// `.example.com`: everything below it.
    Below(String),
}

impl HostPattern {
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, String> {
        let Some(text) = text.map(str::to_ascii_lowercase).filter(|text| text != "*") else { return Ok(Self::Any) };
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text.as_str(), false),
        };
        if name.is_empty() || name.contains(['/', '*', ':', ' ']) {
            return Err(format!("`{text}` is not a host such as api.example.com or *.example.com (no port, no path)"));
        }
        Ok(if below { Self::Below(format!(".{name}")) } else { Self::Exactly(name.to_owned()) })
    }

    pub(crate) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(name) => name == host,
            Self::Below(suffix) => host.ends_with(suffix.as_str()),
        }
    }
}

/// Which paths a rule is for.
#[derive(Debug)]
pub(crate) struct PathPattern(Option<Vec<Segment>>);

#[derive(Debug)]
enum Segment {
    Literal(String),
    Parameter(String),
    Rest(String),
}

impl PathPattern {
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, String> {
        let Some(text) = text else { return Ok(Self(None)) };
        let rest = text.strip_prefix('/').ok_or_else(|| format!("`{text}` does not start with /"))?;
        let mut segments = Vec::new();
        for segment in rest.split('/') {
            if matches!(segments.last(), Some(Segment::Rest(_))) {
                return Err("{rest..} must be last".to_owned());
            }
            let inner = segment.strip_prefix('{').map(|inner| inner.strip_suffix('}').unwrap_or_default());
            segments.push(match inner {
                None => Segment::Literal(segment.to_owned()),
                Some("") => return Err(format!("`{segment}` is not a parameter such as {{id}}")),
                Some(name) => match name.strip_suffix("..") {
                    Some(name) => Segment::Rest(name.to_owned()),
                    None => Segment::Parameter(name.to_owned()),
                },
            });
        }
        Ok(Self(Some(segments)))
    }

    /// What the parameters hold, when it is one of these paths.
    pub(crate) fn matches(&self, path: &str) -> Option<Value> {
        let Some(segments) = &self.0 else { return Some(map::<String>([])) };
        let mut held = Vec::new();
        let mut left = path.strip_prefix('/')?;
        let mut more = true;
        for segment in segments {
            if !more {
                return None;
            }
            if let Segment::Rest(name) = segment {
                held.push((name.clone(), Value::from(decoded(left))));
                return Some(map(held));
            }
            let (part, behind) = left.split_once('/').map_or((left, None), |(part, rest)| (part, Some(rest)));
            match segment {
                Segment::Literal(literal) if literal == part => {}
                Segment::Parameter(name) if !part.is_empty() => held.push((name.clone(), Value::from(decoded(part)))),
                _ => return None,
            }
            (left, more) = (behind.unwrap_or_default(), behind.is_some());
        }
        (!more).then(|| map(held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_whole_or_by_what_they_lie_below() {
        for (pattern, host, expected) in [
            ("*", "x", true),
            ("API.example.com", "api.example.com", true),
            ("api.example.com", "xapi.example.com", false),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
        ] {
            assert_eq!(HostPattern::parse(Some(pattern)).unwrap().matches(host), expected, "{pattern} {host}");
        }
        for wrong in ["a/b", "a:80", "*.", "a.*.b"] {
            assert!(HostPattern::parse(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn paths_match_segment_by_segment_and_give_their_parameters() {
        for (pattern, path, expected) in [
            ("/v1/charges", "/v1/charges", Some("{}")),
            ("/v1/charges", "/v1/charges/", None),
            ("/v1/charges/{id}", "/v1/charges/ch%20_1", Some(r#"{"id":"ch _1"}"#)),
            ("/v1/charges/{id}", "/v1/charges/", None),
            ("/v1/{id}/capture", "/v1/7/capture", Some(r#"{"id":"7"}"#)),
            ("/files/{rest..}", "/files/a/b", Some(r#"{"rest":"a/b"}"#)),
            ("/", "/", Some("{}")),
        ] {
            let found = PathPattern::parse(Some(pattern)).unwrap().matches(path);
            assert_eq!(
                found.map(|held| serde_json::to_string(&held).unwrap()).as_deref(),
                expected,
                "{pattern} {path}"
            );
        }
        assert!(PathPattern::parse(Some("/{a..}/b")).is_err() && PathPattern::parse(Some("/{}")).is_err());
        assert!(PathPattern::parse(None).unwrap().matches("anything").is_some());
    }
}
