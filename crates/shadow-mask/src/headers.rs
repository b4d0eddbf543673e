//! Headers: which go, which stay, and how the rest is masked.
//!
//! In order: hop-by-hop headers, lengths and `host` go (the record says them otherwise); credentials go unless a rule names
//! them; of a bearer token, claims that the rules name are kept apart (`claims`); the content type stays; cookies are masked pair by pair (`cookies`) and addresses part by part (`reference`); headers of the allow-list stay
//! if their value is plain; everything else is one value. Order and repetition of what stays are kept.

mod claims;
mod cookies;
mod reference;

use http::HeaderMap;
use shadow_record::Header;

pub use claims::CLAIMS_HEADER;
pub(crate) use reference::is_host;

use crate::names;
use crate::pairs::percent_decode;
use crate::rules::{Place, Strategy};
use crate::scope::{Action, Scope, Syntax, Treatment};
use crate::token::REDACTED;

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
    ORIGINAL_CODING,
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

/// Authentication schemes whose credentials are one value.
const SCHEMES: &[&str] = &["apikey", "basic", "bearer", "dpop", "jwt", "token"];

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

/// How the record of an answer tells the coding its body came in, as the record's body is in none.
const ORIGINAL_CODING: &str = "original-content-encoding";

/// Whether a body was taken out of its content coding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoded {
    Yes,
    No,
}

impl Scope<'_> {
    /// Masks all headers of a message.
    pub(crate) fn headers(&self, headers: &HeaderMap, decoded: Decoded) -> Vec<Header> {
        let connection = connection_options(headers);
        let mut masked = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            let name = name.as_str();
            // Only the masker itself says what it kept of a token.
            if NOT_RECORDED.contains(&name)
                || name == CLAIMS_HEADER
                || connection.iter().any(|option| option.eq_ignore_ascii_case(name))
            {
                continue;
            }
            let Some(value) = self.header(name, value.as_bytes()) else { continue };
            if name == "content-encoding" && decoded == Decoded::Yes {
                masked.push(Header::of(ORIGINAL_CODING, value));
            } else if name == "content-type" {
                masked.push(Header::of(name, value));
            } else {
                masked.push(Header::of(String::from_utf8_lossy(&self.header_name(name)), value));
            }
        }
        masked
    }

    /// Standard names, and those made of known words; a client may send any.
    fn header_name<'n>(&self, name: &'n str) -> std::borrow::Cow<'n, [u8]> {
        let standard = KEPT.contains(&name) || is_credential(name);
        if standard || self.treatment(Place::Header, name.as_bytes()).is(Strategy::Keep) {
            return name.as_bytes().into();
        }
        self.name(name.as_bytes())
    }

    /// The masked value of one header line; `None` for a line that goes.
    fn header(&self, name: &str, value: &[u8]) -> Option<String> {
        let masked = match name {
            _ if self.hides(value) || !self.hidden.is_empty() && self.hides(&percent_decode(value)) => {
                REDACTED.as_bytes().to_vec()
            }
            "content-type" => self.content_type(value),
            "cookie" => self.cookie(value)?,
            "set-cookie" => self.set_cookie(value)?,
            "authorization" | "proxy-authorization" => {
                self.credentials(name, self.rule_by_name(Place::Header, name.as_bytes())?, value)?
            }
            _ if is_credential(name) => self.apply(name, self.rule_by_name(Place::Header, name.as_bytes())?, value)?,
            _ => match self.treatment(Place::Header, name.as_bytes()) {
                treatment @ Treatment::Rule(_) => self.apply(name, treatment, value)?,
                treatment => self.unnamed(name, treatment, value),
            },
        };
        // Only a rule can keep bytes that are no text; a record's headers are text.
        Some(String::from_utf8(masked).unwrap_or_else(|e| self.tokenizer().token(e.as_bytes()).as_str().to_owned()))
    }

    /// No rule applies: it says how the body is to be read, by the candidate and by us. What is not made of known words
    /// is written as the general type that is read the same way.
    fn content_type(&self, value: &[u8]) -> Vec<u8> {
        if value == crate::body::JSON.as_bytes() {
            return value.to_vec();
        }
        if let Some(multipart) = crate::multipart::rewritten_type(value) {
            return multipart;
        }
        if self.is_public(value) {
            return value.to_vec();
        }
        match crate::body::general_type(value) {
            Some(general) => general.into_bytes(),
            None => self
                .decide(&|| "header content-type".to_owned(), Treatment::SECRET, value)
                .written(value, Syntax::Plain),
        }
    }

    /// What stands behind the scheme is the value: an answer that issued it has the same token.
    fn credentials(&self, name: &str, treatment: Treatment<'_>, value: &[u8]) -> Option<Vec<u8>> {
        let (scheme, rest) = match value.iter().position(|b| *b == b' ') {
            Some(at) if SCHEMES.iter().any(|scheme| scheme.as_bytes().eq_ignore_ascii_case(&value[..at])) => {
                value.split_at(at + 1)
            }
            _ => (&b""[..], value),
        };
        Some([scheme, &self.apply(name, treatment, rest.trim_ascii())?].concat())
    }

    fn apply(&self, name: &str, treatment: Treatment<'_>, value: &[u8]) -> Option<Vec<u8>> {
        match self.decide(&|| self.header_place(name), treatment, value) {
            Action::Drop => None,
            action => Some(action.written(value, Syntax::Plain)),
        }
    }

    fn header_place(&self, name: &str) -> String {
        format!("header {}", String::from_utf8_lossy(&self.header_name(name)))
    }

    /// A header that no rule names.
    fn unnamed(&self, name: &str, treatment: Treatment<'_>, value: &[u8]) -> Vec<u8> {
        if KEPT.contains(&name) && self.is_public(value) {
            return value.to_vec();
        }
        if matches!(name, "location" | "content-location" | "referer" | "origin")
            && let Some(masked) = self.reference(value)
        {
            return masked.into_bytes();
        }
        self.decide(&|| self.header_place(name), treatment, value).written(value, Syntax::Plain)
    }

    /// Whether the value of an allow-listed header says what such headers say, in words that are known.
    pub(super) fn is_public(&self, value: &[u8]) -> bool {
        let known = |value: &[u8]| self.profile == crate::rules::Profile::Detect || names::are_known_words(value);
        is_plain(value) && known(value)
    }
}

/// The headers that are hop-by-hop because `Connection` says so.
fn connection_options(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(http::header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).collect()
}
