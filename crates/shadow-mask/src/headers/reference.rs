//! Headers that hold an address: masked as the address they lead to would be.

use crate::pairs::percent_decode;
use crate::scope::{Scope, Syntax, Treatment};

/// A name or address with an optional port, and nothing else.
pub(crate) fn is_host(host: &str) -> bool {
    host.len() <= 255 && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
}

impl Scope<'_> {
    /// Masks an `http` or `https` address or one relative to the service; `None` for anything else. The path is masked as
    /// that of a GET, since a redirect leads to one.
    pub(super) fn reference(&self, value: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_graphic()))?;
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
            _ if text.starts_with('/') && !text.starts_with("//") => ("", text),
            _ => return None,
        };
        let mut masked = String::with_capacity(text.len() + 32);
        let (authority, local) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !scheme.is_empty() {
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            if !is_host(host) {
                return None;
            }
            masked = format!("{scheme}://{host}");
        }
        let (local, fragment) =
            local.split_once('#').map_or((local, None), |(local, fragment)| (local, Some(fragment)));
        let (path, query) = local.split_once('?').map_or((local, None), |(path, query)| (path, Some(query)));
        if !path.is_empty() {
            masked.push_str(&self.path("GET", path));
        }
        if let Some(query) = query {
            masked.push('?');
            masked.push_str(&self.query(query));
        }
        if let Some(fragment) = fragment {
            masked.push('#');
            let value = percent_decode(fragment.as_bytes());
            let action = self.decide(&|| "fragment".to_owned(), Treatment::PLAIN, &value);
            masked.push_str(&String::from_utf8_lossy(&action.written(fragment.as_bytes(), Syntax::Percent)));
        }
        Some(masked)
    }
}
