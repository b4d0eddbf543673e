//! Headers: which go, which stay, and how the rest is masked.
//!
//! In order: hop-by-hop headers, lengths and `host` go (the record says them otherwise); credentials go unless a rule names
//! them; the content type stays; cookies are masked pair by pair (`cookies`) and addresses part by part (`reference`); headers of the allow-list stay
//! if their value is plain; everything else is one value. Order and repetition of what stays are kept.

mod cookies;
mod reference;

use http::HeaderMap;
use shadow_record::Header;

pub(crate) use reference::is_host;

use crate::rules::{Place, Strategy};
use crate::scope::{Action, Scope};

/// Meaningful for one connection only (RFC 9110, 7.6.1), or said elsewhere in the record.
const NOT_RECORDED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Values of these describe the message or the protocol, not a person, and services branch on them.
const KEPT: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-expose-headers",
    "access-control-max-age",
    "access-control-request-headers",
    "access-control-request-method",
    "age",
    "allow",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-range",
    "content-type",
    "date",
    "expires",
    "if-modified-since",
    "if-unmodified-since",
    "last-modified",
    "pragma",
    "prefer",
    "range",
    "retry-after",
    "vary",
    "x-content-type-options",
    "x-frame-options",
    "x-requested-with",
];

/// Whole names of headers that carry credentials; further ones are known by their endings.
const CREDENTIALS: &[&str] = &[
    "api-key",
    "apikey",
    "authentication-info",
    "authorization",
    "cf-access-jwt-assertion",
    "dpop",
    "ocp-apim-subscription-key",
    "proxy-authorization",
    "www-authenticate",
    "x-access-key",
    "x-amzn-oidc-data",
    "x-api-key",
    "x-apikey",
    "x-auth",
    "x-client-cert",
    "x-forwarded-client-cert",
    "x-functions-key",
    "x-goog-iap-jwt-assertion",
    "x-jwt",
    "x-jwt-assertion",
];
const CREDENTIAL_ENDINGS: &[&str] =
    &["token", "accesstoken", "-api-key", "-apikey", "-auth-key", "-access-key", "-secret", "-password", "-signature"];

/// Longest value of an allow-listed header that is kept.
const MAX_KEPT_VALUE: usize = 512;

/// Whether a rule can select a header (lower case) by its name; `host` is selected in the authority.
pub(crate) fn is_recorded(name: &str) -> bool {
    name == "host" || !NOT_RECORDED.contains(&name)
}

/// Whether a header (lower case) carries credentials by its name.
pub(crate) fn is_credential(name: &str) -> bool {
    CREDENTIALS.contains(&name) || CREDENTIAL_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Whether the value of an allow-listed header is what such values look like: no `@`, no escapes, no long numbers.
fn is_plain(value: &[u8]) -> bool {
    let mut digits = 0;
    value.len() <= MAX_KEPT_VALUE
        && value.iter().all(|b| {
            digits = if b.is_ascii_digit() { digits + 1 } else { 0 };
            digits <= 6 && (b.is_ascii_alphanumeric() || b" !#$&'*+,-./:;=^_\"".contains(b))
        })
}

impl Scope<'_> {
    /// Masks all headers of a message.
    pub(crate) fn headers(&self, headers: &HeaderMap) -> Vec<Header> {
        let connection = connection_options(headers);
        let mut masked = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            let name = name.as_str();
            if NOT_RECORDED.contains(&name) || connection.iter().any(|option| option.eq_ignore_ascii_case(name)) {
                continue;
            }
            if let Some(value) = self.header(name, value.as_bytes()) {
                masked.push(Header::of(name, value));
            }
        }
        masked
    }

    /// The masked value of one header line; `None` for a line that goes.
    fn header(&self, name: &str, value: &[u8]) -> Option<String> {
        let masked = match name {
            "content-type" => self.content_type(value),
            "cookie" => self.cookie(value)?,
            "set-cookie" => self.set_cookie(value)?,
            _ if is_credential(name) => self.apply(self.strategy_by_name(Place::Header, name.as_bytes())?, value)?,
            _ => match self.strategy(Place::Header, name.as_bytes()) {
                Some(strategy) => self.apply(strategy, value)?,
                None => self.unnamed(name, value),
            },
        };
        // Only a rule can keep bytes that are no text; a record's headers are text.
        Some(String::from_utf8(masked).unwrap_or_else(|e| self.token(e.as_bytes())))
    }

    /// No rule applies: it says how the body is to be read, by the candidate and by us. Parameters that are not plain are cut off.
    fn content_type(&self, value: &[u8]) -> Vec<u8> {
        let essence = value.split(|b| *b == b';').next().unwrap_or_default();
        match [value, essence].into_iter().find(|value| is_plain(value)) {
            Some(plain) => plain.to_vec(),
            None => self.decide(Some(Strategy::Token), value).written(value).to_vec(),
        }
    }

    fn apply(&self, strategy: Strategy, value: &[u8]) -> Option<Vec<u8>> {
        match self.decide(Some(strategy), value) {
            Action::Drop => None,
            action => Some(action.written(value).to_vec()),
        }
    }

    /// A header that no rule names.
    fn unnamed(&self, name: &str, value: &[u8]) -> Vec<u8> {
        if KEPT.contains(&name) && is_plain(value) {
            return value.to_vec();
        }
        if matches!(name, "location" | "content-location" | "referer" | "origin")
            && let Some(masked) = self.reference(value)
        {
            return masked.into_bytes();
        }
        self.decide(None, value).written(value).to_vec()
    }

    fn token(&self, value: &[u8]) -> String {
        self.masker.tokenizer.token(value).as_str().to_owned()
    }
}

/// The headers that are hop-by-hop because `Connection` says so.
fn connection_options(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(http::header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).collect()
}
