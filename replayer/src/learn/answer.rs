//! Pairs of values that stand at the same place of two answers. Pure.

use http::HeaderMap;
use serde_json::Value;
use shadow_mask::{RawBody, RawResponse, decode_content};
use shadow_record::Response;

use super::body::is_json;
use super::request::percent_decode;
use super::{Issued, Pair, Place, Rule};

/// What the rules find in both answers, and how many places only the primary's has.
pub(super) fn pairs<'r>(
    rules: impl Iterator<Item = (usize, &'r Rule)>,
    primary: &Response,
    answer: &RawResponse,
    masked: &dyn Fn(&str) -> String,
) -> (Vec<Pair>, usize) {
    let (mut pairs, mut missed) = (Vec::new(), 0);
    // Parsed when the first rule needs them.
    let mut documents = None;
    for (rule, Rule { place, .. }) in rules {
        let mut found = |primary: &str, issued: Issued| {
            pairs.push(Pair { rule, primary: primary.to_owned(), issued });
        };
        match place {
            Place::Header(known_as, name) => {
                let ours = primary.headers.iter().filter(|h| h.name == *name || h.name == *known_as);
                let mut theirs = texts(&answer.headers, name);
                for header in ours {
                    match theirs.next() {
                        Some(issued) if matches!(name.as_str(), "location" | "content-location") => {
                            segments(&header.value, issued, &mut found);
                        }
                        Some(issued) => found(&header.value, Issued::text(issued)),
                        None => missed += 1,
                    }
                }
            }
            Place::Cookie(known_as, name) => {
                let lines = primary.headers.iter().filter(|h| h.name == "set-cookie").map(|h| h.value.as_str());
                let ours = cookie(lines, |set| set == name || set == known_as);
                match (ours, cookie(texts(&answer.headers, "set-cookie"), |set| set == name)) {
                    (Some(ours), Some(theirs)) => found(ours, Issued::text(theirs)),
                    (Some(_), None) => missed += 1,
                    (None, _) => {}
                }
            }
            Place::Json(place) => {
                let (ours, theirs) = documents.get_or_insert_with(|| (json_of(primary), json_of_raw(answer)));
                let mut both = |ours: &Value, theirs: &Value| {
                    if let (Some(ours), Some(theirs)) = (scalar(ours), scalar(theirs)) {
                        found(&ours.text, theirs);
                    }
                };
                missed += place.pairs(ours, theirs, masked, &mut both);
            }
        }
    }
    (pairs, missed)
}

impl Issued {
    fn text(text: &str) -> Self {
        Self { text: text.to_owned(), is_number: false }
    }
}

fn texts<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

/// The value of a cookie that `Set-Cookie` lines set; of several with one name the last holds.
fn cookie<'h>(lines: impl Iterator<Item = &'h str>, is_it: impl Fn(&str) -> bool) -> Option<&'h str> {
    let set = lines.filter_map(|line| line.split(';').next()?.split_once('='));
    set.filter(|(name, _)| is_it(name.trim())).map(|(_, value)| value.trim()).last()
}

/// Segments of two paths of one shape: in an address the identifier is a part of the value.
fn segments(ours: &str, theirs: &str, found: &mut dyn FnMut(&str, Issued)) {
    let (ours, theirs) = (path(ours).split('/'), path(theirs).split('/'));
    if ours.clone().count() != theirs.clone().count() {
        return;
    }
    for (ours, theirs) in ours.zip(theirs).filter(|(ours, theirs)| ours != theirs) {
        found(&percent_decode(ours), Issued::text(&percent_decode(theirs)));
    }
}

/// The path of an address.
fn path(address: &str) -> &str {
    let local = match address.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => address,
    };
    local.split(['?', '#']).next().unwrap_or_default()
}

fn scalar(value: &Value) -> Option<Issued> {
    match value {
        Value::String(text) => Some(Issued::text(text)),
        // As it was written: numbers are read as their text.
        Value::Number(number) => Some(Issued { text: number.to_string(), is_number: true }),
        _ => None,
    }
}

/// Null when it is not JSON, so that no place is found.
fn json_of(response: &Response) -> Value {
    let json = response.header("content-type").is_some_and(is_json);
    let content = response.body.content.as_ref().filter(|_| json);
    content.and_then(|content| serde_json::from_slice(content).ok()).unwrap_or_default()
}

fn json_of_raw(RawResponse { headers, body, .. }: &RawResponse) -> Value {
    let json = texts(headers, "content-type").next().is_some_and(is_json);
    match body {
        RawBody::Whole(whole) if json => {
            let content = decode_content(headers, whole).ok();
            content.and_then(|content| serde_json::from_slice(&content).ok()).unwrap_or_default()
        }
        _ => Value::Null,
    }
}
