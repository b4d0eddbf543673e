//! What a call asks for: whether two ask for the same, and whether an answer shows that it was given to another question. Pure.
//!
//! Two calls ask in the same place when method, destination, path and query are equal, and for the same when their bodies are, too: JSON
//! whatever the order of its members, forms whatever the order of their fields. The primary's answer may be given to a call with another body,
//! because versions differ in what every call has anew (an idempotency key, a time), but not when it repeats something that the primary asked for
//! and this call did not: to a version that charges 1,001, "charged 1,000" is a lie.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::Value as Json;
use shadow_record::{Request, Response, SideEffect};

use crate::request::is_json;

/// Values that two bodies may differ in; of more nobody says whether they are repeated.
const MOST: usize = 100;
/// Shorter values are only found whole in an answer, not inside others.
const TELLING: usize = 4;

/// One call.
#[derive(Debug)]
pub(super) struct Asked {
    method: String,
    destination: String,
    path: String,
    query: Vec<(String, String)>,
    /// Its idempotency key, masked.
    key: Option<String>,
    pub(super) body: Body,
}

impl Asked {
    /// What a masked request asks of `destination`.
    pub(super) fn of(destination: String, request: &Request) -> Self {
        Self {
            method: request.method.clone(),
            destination,
            path: request.path.clone(),
            query: pairs(request.query.as_deref().unwrap_or_default().as_bytes()),
            key: idempotency_key(request).map(str::to_owned),
            body: Body::of(request),
        }
    }

    /// The idempotency key, as the record has it.
    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Whether the effect asked in the same place.
    pub(super) fn is_place_of(&self, effect: &SideEffect) -> bool {
        let request = &effect.request;
        self.method == request.method
            && self.destination == effect.destination
            && self.path == request.path
            && self.query == pairs(request.query.as_deref().unwrap_or_default().as_bytes())
    }
}

/// The idempotency key of a recorded call.
pub(super) fn idempotency_key(request: &Request) -> Option<&str> {
    request.header("idempotency-key").filter(|key| !key.is_empty())
}

/// A body as far as it is compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Json(Json),
    Form(Vec<(String, String)>),
    Other(Bytes),
    /// Not recorded; it equals none.
    Unknown(Never),
}

/// Equals nothing, itself included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Never;

impl PartialEq for Never {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Body {
    /// Of a masked request.
    pub(super) fn of(request: &Request) -> Self {
        let Some(content) = &request.body.content else { return Self::Unknown(Never) };
        let content_type = request.header("content-type").unwrap_or_default();
        if is_json(content_type)
            && let Ok(json) = serde_json::from_slice(content)
        {
            return Self::Json(json);
        }
        if content_type.starts_with("application/x-www-form-urlencoded") {
            return Self::Form(pairs(content));
        }
        Self::Other(content.clone())
    }

    /// Its values with their places. `None` when it has no such thing.
    fn values(&self) -> Option<BTreeSet<(String, String)>> {
        match self {
            Self::Json(json) => {
                let mut values = BTreeSet::new();
                collect(json, &mut String::new(), &mut |place, text| {
                    values.insert((place.to_owned(), text));
                });
                Some(values)
            }
            Self::Form(pairs) => Some(pairs.iter().cloned().collect()),
            Self::Other(bytes) if bytes.is_empty() => Some(BTreeSet::new()),
            Self::Other(_) | Self::Unknown(_) => None,
        }
    }
}

/// Whether the answer to `primary` repeats something that `other` did not say, or nobody can tell.
pub(super) fn contradicts(primary: &Body, other: &Body, answer: &Response) -> bool {
    let (Some(said), Some(by_other)) = (primary.values(), other.values()) else { return true };
    let only_primary: Vec<_> =
        said.difference(&by_other).map(|(_, value)| value).filter(|value| !value.is_empty()).collect();
    let Some(content) = answer.body.content.as_ref().filter(|_| only_primary.len() <= MOST) else { return true };
    let Ok(text) = std::str::from_utf8(content) else { return true };
    let mut whole = BTreeSet::new();
    let json = serde_json::from_str::<Json>(text).ok();
    if let Some(json) = &json {
        collect(json, &mut String::new(), &mut |_, text| {
            whole.insert(text);
        });
    }
    only_primary.into_iter().any(|value| match &json {
        Some(_) => {
            whole.contains(value) || (value.len() >= TELLING && whole.iter().any(|text| text.contains(value.as_str())))
        }
        None => text.contains(value.as_str()),
    })
}

/// Every value of a JSON document with its place; null is none.
fn collect(json: &Json, place: &mut String, found: &mut impl FnMut(&str, String)) {
    let length = place.len();
    match json {
        Json::Null => {}
        Json::Bool(bool) => found(place, bool.to_string()),
        Json::Number(number) => found(place, number.to_string()),
        Json::String(text) => found(place, text.clone()),
        Json::Array(items) => items.iter().for_each(|item| {
            place.push_str("[]");
            collect(item, place, found);
            place.truncate(length);
        }),
        Json::Object(members) => members.iter().for_each(|(name, value)| {
            place.push('.');
            place.push_str(name);
            collect(value, place, found);
            place.truncate(length);
        }),
    }
}

/// Decoded pairs, sorted.
fn pairs(text: &[u8]) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = url::form_urlencoded::parse(text).into_owned().collect();
    pairs.sort_unstable();
    pairs
}
