//! An outbound call as rules see it.
//!
//! Guarantees: headers, query, JSON and form are read once; what cannot be read is absent, never an error; nesting and counts are
//! bounded, so a hostile body costs no more than its own length.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use minijinja::Value;
use percent_encoding::percent_decode_str;

/// Deepest nesting that rules see of a JSON body or of a form's bracketed names.
const DEEPEST: usize = 32;
/// Most pairs that rules see of a query or a form.
const MOST_PAIRS: usize = 1_000;

/// One call of the shadow, whole.
#[derive(Clone, Debug)]
pub struct Call {
    /// Method, as it came.
    pub method: String,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Whom it was for, in lower case, without the port.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Raw path.
    pub path: String,
    /// Raw query, without the question mark.
    pub query: Option<String>,
    /// End-to-end headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Call {
    /// `host`, and the port where the scheme does not imply it.
    pub fn destination(&self) -> String {
        match (self.scheme, self.port) {
            ("http", 80) | ("https", 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// The first value of a header, as far as it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What templates and conditions know as `request`.
    pub(crate) fn to_value(&self) -> Value {
        let headers = self.headers.keys().filter_map(|name| {
            let value = self.header(name.as_str())?;
            Some((name.as_str().to_owned(), Value::from(value)))
        });
        let query = pairs(self.query.as_deref().unwrap_or_default().as_bytes()).map(|(k, v)| (k, Value::from(v)));
        let content_type = self.header("content-type").unwrap_or_default();
        let (mut json, mut form) = (Value::UNDEFINED, Value::UNDEFINED);
        if is_json(content_type) {
            json = serde_json::from_slice(&self.body).map_or(Value::UNDEFINED, |parsed| from_json(&parsed));
        } else if content_type.starts_with("application/x-www-form-urlencoded") {
            form = Branch::of(pairs(&self.body)).into_value();
        }
        map([
            ("method", Value::from(&self.method)),
            ("scheme", Value::from(self.scheme)),
            ("host", Value::from(&self.host)),
            ("port", Value::from(self.port)),
            ("path", Value::from(&self.path)),
            ("headers", map(headers)),
            ("query", map(query)),
            ("text", std::str::from_utf8(&self.body).map_or(Value::UNDEFINED, Value::from)),
            ("json", json),
            ("form", form),
        ])
    }
}

/// A map of templates; of a name that comes twice the last value.
pub(crate) fn map<K: Into<String>>(members: impl IntoIterator<Item = (K, Value)>) -> Value {
    Value::from(members.into_iter().map(|(name, value)| (name.into(), value)).collect::<BTreeMap<String, Value>>())
}

pub(crate) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence == "application/json" || essence.ends_with("+json")
}

/// JSON as templates see it. Numbers that fit no machine type stay text, so that nothing is rounded.
pub(crate) fn from_json(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(bool) => Value::from(*bool),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(real)) if real.to_string() == number.to_string() => Value::from(real),
            _ => Value::from(number.to_string()),
        },
        Json::String(text) => Value::from(text),
        Json::Array(items) => items.iter().map(from_json).collect(),
        Json::Object(members) => map(members.iter().map(|(name, value)| (name.clone(), from_json(value)))),
    }
}

/// The pairs of a query or a form, decoded, in order.
fn pairs(text: &[u8]) -> impl Iterator<Item = (String, String)> {
    url::form_urlencoded::parse(text).take(MOST_PAIRS).map(|(name, value)| (name.into_owned(), value.into_owned()))
}

/// A form whose names have brackets, as a tree: `item[0][price]=5`, `expand[]=a`.
#[derive(Debug)]
enum Branch {
    Leaf(String),
    Twigs(BTreeMap<String, Branch>),
}

impl Branch {
    fn of(pairs: impl Iterator<Item = (String, String)>) -> Self {
        let mut root = Self::Twigs(BTreeMap::new());
        for (name, value) in pairs {
            let mut parts = name.split('[').map(|part| part.strip_suffix(']').unwrap_or(part)).take(DEEPEST);
            let first = parts.next().unwrap_or_default().to_owned();
            root.put(first, parts, value);
        }
        root
    }

    fn put<'a>(&mut self, name: String, mut rest: impl Iterator<Item = &'a str>, value: String) {
        if let Self::Leaf(_) = self {
            *self = Self::Twigs(BTreeMap::new());
        }
        let Self::Twigs(twigs) = self else { return };
        // `list[]` counts up.
        let name = if name.is_empty() { twigs.len().to_string() } else { name };
        match rest.next() {
            None => drop(twigs.insert(name, Self::Leaf(value))),
            Some(next) => {
                let twig = twigs.entry(name).or_insert_with(|| Self::Twigs(BTreeMap::new()));
                // Dynamic, or the type would grow with every level.
                let rest: Box<dyn Iterator<Item = &'a str>> = Box::new(rest);
                twig.put(next.to_owned(), rest, value);
            }
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Leaf(text) => Value::from(text),
            Self::Twigs(twigs) if !twigs.is_empty() && twigs.keys().enumerate().all(|(i, k)| *k == i.to_string()) => {
                twigs.into_values().map(Self::into_value).collect()
            }
            Self::Twigs(twigs) => map(twigs.into_iter().map(|(name, twig)| (name, twig.into_value()))),
        }
    }
}

/// One segment of a path, decoded as far as it is text.
pub(crate) fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A call to `https://api.example/...`.
    pub(crate) fn call(method: &str, target: &str, content_type: &str, body: &str) -> Call {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert("content-type", content_type.parse().unwrap());
        }
        Call {
            method: method.to_owned(),
            scheme: "https",
            host: "api.example".to_owned(),
            port: 443,
            path: path.to_owned(),
            query,
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn forms_with_brackets_become_trees_and_lists() {
        let body = "amount=2000&metadata[order]=7&expand[]=a&expand[]=b&items[0][price]=5&items[1][price]=6&a=1&a[b]=2";
        let value = call("POST", "/", "application/x-www-form-urlencoded", body).to_value();
        let form = serde_json::to_value(value.get_attr("form").unwrap()).unwrap();
        let expected = serde_json::json!({
            "amount": "2000", "metadata": {"order": "7"}, "expand": ["a", "b"],
            "items": [{"price": "5"}, {"price": "6"}], "a": {"b": "2"}
        });
        assert_eq!(form, expected);
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        let broken = call("POST", "/?q=1&q=2", "application/json", "{\"a\":").to_value();
        assert!(broken.get_attr("json").unwrap().is_undefined());
        assert_eq!(broken.get_attr("query").unwrap().get_attr("q").unwrap().as_str(), Some("2"));
        let deep = format!("{}=1", "a".to_owned() + &"[b]".repeat(100_000));
        drop(call("POST", "/", "application/x-www-form-urlencoded", &deep).to_value());
    }

    #[test]
    fn a_destination_names_its_port_only_where_it_must() {
        let mut call = call("GET", "/", "", "");
        assert_eq!(call.destination(), "api.example");
        call.port = 8443;
        assert_eq!(call.destination(), "api.example:8443");
    }
}
