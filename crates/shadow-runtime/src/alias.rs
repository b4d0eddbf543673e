//! Aliases: base URLs that lead to this process and stand for others'. Pure.
//!
//! A service with a configured base URL calls the stub, or the agent's egress, as `http://stub:8090/stripe/v1/charges`; what is meant, and what rules
//! and records speak of, is `api.stripe.com/v1/charges`.

use serde::{Deserialize, Serialize};
use url::Url;

/// One base URL of whoever calls, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// The host that calls name: `stub`, `127.0.0.1`; absent for any.
    #[serde(default)]
    pub host: Option<String>,
    /// The prefix of their paths, such as `/stripe`; it is taken away.
    #[serde(default)]
    pub path: String,
    /// What is meant: `https://api.stripe.com`, with a path of its own if there is one.
    pub to: Url,
}

impl Alias {
    /// Why it cannot be used, if so.
    pub fn problem(&self) -> Option<String> {
        let Self { host, path, to } = self;
        if host.is_none() && path.is_empty() {
            return Some(format!("the one for {to} names neither host nor path: every call would be for it"));
        }
        if !path.is_empty() && (!path.starts_with('/') || path.ends_with('/')) {
            return Some(format!("path `{path}` must start with / and not end with it"));
        }
        let bare = to.query().is_none() && to.fragment().is_none() && to.username().is_empty();
        let usable = matches!(to.scheme(), "http" | "https") && to.has_host() && bare;
        (!usable).then(|| format!("`{to}` is not a base URL such as https://api.example.com"))
    }

    /// The path that is meant by a call for `path`, without a query, to `host` if it names one; `None` when the call is not for this alias.
    pub fn path_meant(&self, host: Option<&str>, path: &str) -> Option<String> {
        let named = |wanted: &String| host.is_some_and(|host| wanted.eq_ignore_ascii_case(host));
        let rest = path.strip_prefix(self.path.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        if !self.host.as_ref().is_none_or(named) {
            return None;
        }
        let path = format!("{}{rest}", self.to.path().trim_end_matches('/'));
        Some(if path.is_empty() { "/".to_owned() } else { path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(host: Option<&str>, path: &str, to: &str) -> Alias {
        Alias { host: host.map(str::to_owned), path: path.to_owned(), to: to.parse().unwrap() }
    }

    #[test]
    fn a_base_url_stands_for_another_one() {
        let (stripe, named) =
            (alias(None, "/stripe", "https://api.stripe.com"), alias(Some("API.example"), "", "http://pay:81/v2/"));
        for (alias, host, path, expected) in [
            (&stripe, None, "/stripe/v1/charges", Some("/v1/charges")),
            (&stripe, Some("stub"), "/stripe", Some("/")),
            (&stripe, None, "/stripes/v1", None),
            (&named, Some("api.EXAMPLE"), "/x", Some("/v2/x")),
            (&named, Some("pay"), "/x", None),
            (&named, None, "/x", None),
        ] {
            assert_eq!(alias.path_meant(host, path).as_deref(), expected, "{alias:?} {host:?} {path}");
        }
    }

    #[test]
    fn what_stands_for_everything_or_for_no_base_url_is_refused() {
        for (host, path, to) in [
            (None, "", "http://a"),
            (None, "/a/", "http://a"),
            (None, "a", "http://a"),
            (None, "/a", "ftp://a"),
            (None, "/a", "http://u@a"),
            (None, "/a", "http://a/?b"),
            (None, "/a", "http://a/#b"),
        ] {
            assert!(alias(host, path, to).problem().is_some(), "{host:?} {path} {to}");
        }
        assert_eq!(alias(Some("a"), "", "https://b/c").problem(), None);
    }
}
