//! Attributes of a request: the few small facts by which faults can be told apart ("only with `accept-language: de`"). They are taken
//! once, when a record enters the join, because its headers and body are not kept. Pure.
//!
//! Guarantee: at most [`MOST`] attributes, each name and value at most [`LONGEST`] characters; equal requests give equal attributes. The
//! captured request is masked, so the values are too.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;
use shadow_record::Request;

/// Names and values, each name once, in the order of what is likely to tell most.
pub type Attributes = Vec<(String, String)>;

/// Most attributes of one request.
pub(super) const MOST: usize = 32;
/// Most characters of a name and of a value.
pub(super) const LONGEST: usize = 64;
/// Most bytes of a JSON body that are looked at.
const BODY: usize = 64 << 10;
/// Headers by which servers tell clients apart.
const HEADERS: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "content-encoding",
    "content-type",
    "if-modified-since",
    "if-none-match",
    "origin",
    "range",
    "user-agent",
    "x-api-version",
    "x-app-version",
    "x-client-version",
    "x-platform",
    "x-requested-with",
    "x-tenant",
];

/// The attributes of a request on `route`.
pub(super) fn of(route: &str, request: &Request) -> Attributes {
    let mut found = Found::default();
    for name in HEADERS {
        if let Some(value) = request.header(name) {
            found.add("header", name, value);
        }
    }
    found.put("content_length".to_owned(), length_class(request.body.length).to_owned());
    path_parameters(route, &request.path, &mut found);
    if let Some(query) = &request.query {
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()).take(MOST) {
            found.add("query", &name, &value);
        }
    }
    if let Some(body) = &request.body.content
        && request.header("content-type").is_none_or(|media| media.contains("json"))
    {
        let bytes = &body[..body.len().min(BODY)];
        // What came before the fault or the cut was found.
        let _ = serde_json::Deserializer::from_slice(bytes).deserialize_any(Members(&mut found));
    }
    found.0
}

#[derive(Default)]
struct Found(Attributes);

impl Found {
    fn is_full(&self) -> bool {
        self.0.len() >= MOST
    }

    fn add(&mut self, whence: &str, name: &str, value: &str) {
        self.put(format!("{whence}:{}", cut(name)), cut(value));
    }

    /// The first of a name counts.
    fn put(&mut self, name: String, value: String) {
        if !self.is_full() && !self.0.iter().any(|(known, _)| *known == name) {
            self.0.push((name, value));
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// A body's length, coarsely: what matters is whether there is one and whether it is large.
fn length_class(length: i64) -> &'static str {
    match length {
        ..=0 => "0",
        1..1_024 => "below 1 KiB",
        1_024..10_240 => "1 to 10 KiB",
        10_240..102_400 => "10 to 100 KiB",
        102_400..1_048_576 => "100 KiB to 1 MiB",
        _ => "1 MiB or more",
    }
}

/// The segments of the path where the route has `{name}`.
fn path_parameters(route: &str, path: &str, found: &mut Found) {
    let template = route.split_once(' ').map_or(route, |(_, template)| template);
    for (segment, given) in template.split('/').zip(path.split('/')) {
        let name = segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}'));
        if let Some(name) = name.filter(|name| !name.ends_with("..")) {
            found.add("path", name, given);
        }
    }
}

/// Takes the scalar members of a JSON object, and nothing from anything else.
struct Members<'a>(&'a mut Found);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while !self.0.is_full()
            && let Some(name) = members.next_key::<String>()?
        {
            match members.next_value()? {
                Value::Array(_) | Value::Object(_) => {}
                Value::String(text) => self.0.add("body", &name, &text),
                scalar => self.0.add("body", &name, &scalar.to_string()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
