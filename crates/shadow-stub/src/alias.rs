//! Whom a call to the stub's own address is meant for. Pure.
//!
//! A service with a configured base URL calls the stub as `http://stub:8080/stripe/v1/charges`; rules and effects speak of
//! `api.stripe.com/v1/charges`.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::request::Call;

/// One base URL of the shadow, and what it stands for.
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
        let usable = matches!(to.scheme(), "http" | "https") && to.has_host() && to.query().is_none();
        (!usable).then(|| format!("`{to}` is not a base URL such as https://api.example.com"))
    }

    pub(crate) fn is_for(&self, call: &Call) -> bool {
        let host_fits = self.host.as_ref().is_none_or(|host| host.eq_ignore_ascii_case(&call.host));
        let below = call.path.strip_prefix(self.path.as_str());
        host_fits && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    pub(crate) fn resolve(&self, call: &mut Call) {
        call.scheme = if self.to.scheme() == "https" { "https" } else { "http" };
        call.host = self.to.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        call.port = self.to.port_or_known_default().unwrap_or(80);
        let rest = call.path.strip_prefix(self.path.as_str()).unwrap_or_default();
        let path = format!("{}{rest}", self.to.path().trim_end_matches('/'));
        call.path = if path.is_empty() { "/".to_owned() } else { path };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::call;

    #[test]
    fn a_base_url_of_the_shadow_stands_for_another_one() {
        let alias = |host: Option<&str>, path: &str, to: &str| Alias {
            host: host.map(str::to_owned),
            path: path.to_owned(),
            to: to.parse().unwrap(),
        };
        for (alias, path, expected) in [
            (alias(None, "/stripe", "https://api.stripe.com"), "/stripe/v1/charges", Some("api.stripe.com/v1/charges")),
            (alias(None, "/stripe", "https://api.stripe.com"), "/stripe", Some("api.stripe.com/")),
            (alias(None, "/stripe", "https://api.stripe.com"), "/stripes/v1", None),
            (alias(Some("API.example"), "", "http://pay:81/v2/"), "/x", Some("pay:81/v2/x")),
            (alias(Some("other"), "", "http://pay"), "/x", None),
        ] {
            let mut call = call("GET", path, "", "");
            let found = alias.is_for(&call).then(|| {
                alias.resolve(&mut call);
                format!("{}{}", call.destination(), call.path)
            });
            assert_eq!(found.as_deref(), expected, "{alias:?} {path}");
        }
        for wrong in [alias(None, "", "http://a"), alias(None, "/a/", "http://a"), alias(None, "/a", "ftp://a")] {
            assert!(wrong.problem().is_some(), "{wrong:?}");
        }
    }
}
