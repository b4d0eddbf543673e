//! The places of a request where a learnt value may stand: path segments, values of the query, of headers and cookies, of the body. Pure.
//!
//! Guarantees: only whole values are replaced, decoded as their place writes them and encoded as it needs them; what is not replaced stays as it
//! was written.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use shadow_control::RequestPart;
use shadow_record::Request;

use super::Issued;
use super::body::{is_form, is_json, json};

/// All but the unreserved characters (RFC 3986, 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The request with every value replaced that `lookup` knows.
pub(super) fn substituted(captured: &Request, mut lookup: impl FnMut(&str, RequestPart) -> Option<Issued>) -> Request {
    let mut request = captured.clone();
    request.path = segments(&captured.path, |value| lookup(value, RequestPart::Path));
    request.query = captured.query.as_deref().map(|query| pairs(query, |value| lookup(value, RequestPart::Query)));
    for header in &mut request.headers {
        let mut lookup = |value: &str| lookup(value, RequestPart::Header).map(|issued| issued.text);
        let replaced = match header.name.as_str() {
            "content-type" => None,
            "cookie" => Some(cookies(&header.value, lookup)),
            "authorization" | "proxy-authorization" => match header.value.split_once(' ') {
                Some((scheme, value)) => lookup(value).map(|issued| format!("{scheme} {issued}")),
                None => lookup(&header.value),
            },
            _ => lookup(&header.value),
        };
        if let Some(replaced) = replaced {
            header.value = replaced;
        }
    }
    let content_type = captured.header("content-type").unwrap_or_default();
    if let Some(content) = &captured.body.content {
        let lookup = |value: &str| lookup(value, RequestPart::Body);
        if is_json(content_type) {
            request.body.content = Some(json(content, lookup));
        } else if is_form(content_type)
            && let Ok(form) = std::str::from_utf8(content)
        {
            request.body.content = Some(pairs(form, lookup).into());
        }
    }
    request
}

fn segments(path: &str, mut lookup: impl FnMut(&str) -> Option<Issued>) -> String {
    let replaced = path.split('/').map(|segment| match lookup(&percent_decode(segment)) {
        Some(issued) if !segment.is_empty() => Cow::Owned(encoded(&issued.text)),
        _ => Cow::Borrowed(segment),
    });
    replaced.collect::<Vec<_>>().join("/")
}

/// `name=value&...`, of queries and forms.
fn pairs(pairs: &str, mut lookup: impl FnMut(&str) -> Option<Issued>) -> String {
    let replaced = pairs.split('&').map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let issued = lookup(&percent_decode(&value.replace('+', " ")))?;
        Some(format!("{name}={}", encoded(&issued.text)))
    });
    let replaced =
        pairs.split('&').zip(replaced).map(|(pair, replaced)| replaced.map_or(Cow::Borrowed(pair), Cow::Owned));
    replaced.collect::<Vec<_>>().join("&")
}

/// `name=value; ...`, values as they are written.
fn cookies(line: &str, mut lookup: impl FnMut(&str) -> Option<String>) -> String {
    let replaced = line.split(';').map(|pair| match pair.split_once('=') {
        Some((name, value)) => match lookup(value.trim()) {
            Some(issued) => Cow::Owned(format!("{name}={issued}")),
            None => Cow::Borrowed(pair),
        },
        None => Cow::Borrowed(pair),
    });
    replaced.collect::<Vec<_>>().join(";")
}

fn encoded(value: &str) -> String {
    utf8_percent_encode(value, ENCODED).to_string()
}

pub(super) fn percent_decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}
