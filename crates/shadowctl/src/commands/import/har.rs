//! HAR 1.2, as browsers and proxies write it: one JSON document, read entry by entry.
//!
//! Guarantee: only one entry is in memory at a time, so a recording may be larger than memory; an entry that cannot be read does
//! not end the reading unless the JSON itself is broken.

use std::fmt;
use std::io::Read;
use std::ops::ControlFlow;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use shadow_capture::Recorded;
use shadow_mask::RawResponse;
use shadow_record::CaptureError;

use super::exchange::{self, Content, Entry, Exchange, Unusable};
use super::source::{ReadError, Take};

/// Reads `log.entries`.
pub(super) fn read(input: impl Read, take: Take<'_>) -> Result<(), ReadError> {
    let mut state = State { take, next: 0, found: false, stopped: false };
    let mut json = serde_json::Deserializer::from_reader(input);
    let read = Level { names: &["log", "entries"], state: &mut state }.deserialize(&mut json).and_then(|()| json.end());
    match read {
        _ if state.stopped => Ok(()),
        Ok(()) if state.found => Ok(()),
        Ok(()) => Err(ReadError::NotThis("it has no log.entries".to_owned())),
        Err(error) if state.next == 0 && !state.found => Err(ReadError::NotThis(exchange::complaint(&error))),
        Err(error) => Err(ReadError::BrokenOff { entries: state.next, cause: exchange::complaint(&error) }),
    }
}

struct State<'t> {
    take: Take<'t>,
    next: usize,
    /// The list of entries was begun.
    found: bool,
    stopped: bool,
}

/// The object that holds the first of `names`; with no name left, the list of entries.
struct Level<'s, 't> {
    names: &'static [&'static str],
    state: &'s mut State<'t>,
}

impl<'de> DeserializeSeed<'de> for Level<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.names.is_empty() { deserializer.deserialize_seq(self) } else { deserializer.deserialize_map(self) }
    }
}

impl<'de> Visitor<'de> for Level<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names.first() {
            Some(name) => write!(f, "an object with `{name}`"),
            None => f.write_str("a list of entries"),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((wanted, rest)) = self.names.split_first() else { return Err(A::Error::custom("not a list")) };
        while let Some(name) = map.next_key::<String>()? {
            if name == *wanted {
                map.next_value_seed(Level { names: rest, state: &mut *self.state })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let state = self.state;
        state.found = true;
        // Taken whole as text first: an entry of another shape must not end the reading.
        while let Some(raw) = seq.next_element::<Box<RawValue>>()? {
            let entry = Entry { index: state.next, read: entry(raw.get()) };
            state.next += 1;
            if (state.take)(entry) == ControlFlow::Break(()) {
                state.stopped = true;
                return Err(A::Error::custom("told to stop"));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarEntry {
    started_date_time: String,
    time: Option<f64>,
    request: HarRequest,
    response: HarResponse,
    timings: Option<Timings>,
    #[serde(rename = "_resourceType")]
    resource_type: Option<String>,
    #[serde(rename = "_webSocketMessages")]
    web_socket_messages: Option<IgnoredAny>,
    #[serde(rename = "_fromCache")]
    from_cache: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarRequest {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Pair>,
    #[serde(default)]
    cookies: Vec<Pair>,
    post_data: Option<PostData>,
    body_size: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostData {
    mime_type: Option<String>,
    text: Option<String>,
    encoding: Option<String>,
    #[serde(default)]
    params: Vec<Param>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Param {
    name: String,
    value: Option<String>,
}

#[derive(Deserialize)]
struct HarResponse {
    status: i64,
    #[serde(default)]
    headers: Vec<Pair>,
    #[serde(default)]
    content: HarContent,
    #[serde(rename = "_error")]
    error: Option<String>,
}

#[derive(Default, Deserialize)]
struct HarContent {
    size: Option<i64>,
    text: Option<String>,
    encoding: Option<String>,
}

/// Milliseconds; -1 where a phase does not apply.
#[derive(Deserialize)]
struct Timings {
    send: Option<f64>,
    wait: Option<f64>,
    receive: Option<f64>,
}

fn pairs(list: &[Pair]) -> impl Iterator<Item = (&str, &str)> {
    list.iter().map(|pair| (pair.name.as_str(), pair.value.as_str()))
}

fn entry(raw: &str) -> Result<Exchange, Unusable> {
    let entry: HarEntry = serde_json::from_str(raw).map_err(|error| exchange::complaint(&error))?;
    let HarEntry { request, response, .. } = &entry;
    let web_socket = entry.resource_type.as_deref() == Some("websocket") || entry.web_socket_messages.is_some();
    if web_socket || response.status == 101 {
        return Err(Unusable::NotReplayable("a web socket"));
    }
    if entry.from_cache.as_ref().is_some_and(|from| from.is_string() || from == true) {
        return Err(Unusable::NotReplayable("from the browser's cache, so never sent"));
    }
    let (host, mut raw) = exchange::target(&request.method, &request.url)?;
    raw.headers = exchange::headers(pairs(&request.headers))?;
    if !raw.headers.contains_key(http::header::COOKIE) && !request.cookies.is_empty() {
        let cookies: Vec<String> = pairs(&request.cookies).map(|(name, value)| format!("{name}={value}")).collect();
        raw.headers.extend(exchange::headers([("cookie", cookies.join("; ").as_str())].into_iter())?);
    }
    if let Some(media_type) = request.post_data.as_ref().and_then(|data| data.mime_type.as_deref())
        && !media_type.is_empty()
        && !raw.headers.contains_key(http::header::CONTENT_TYPE)
    {
        raw.headers.extend(exchange::headers([("content-type", media_type)].into_iter())?);
    }
    let form = request.form();
    raw.body = exchange::body(request.content(form.as_deref()), &mut raw.headers)?;
    let answered = match response.status {
        100..=599 => Some(response.answer(&request.method)?),
        ..=0 => None,
        status => return Err(Unusable::Broken(format!("its status {status} is none of HTTP"))),
    };
    let (first_byte, total) = entry.times();
    Ok(Exchange {
        host,
        recorded: Recorded {
            captured_at: exchange::time(&entry.started_date_time)?,
            request: raw,
            error: answered.is_none().then(|| failed(response.error.as_deref().unwrap_or_default())),
            first_byte: answered.as_ref().and(first_byte),
            response: answered,
            total,
        },
    })
}

impl HarEntry {
    /// To the first byte and to the end, both as an agent would see them: from when the request was sent on a connection.
    fn times(&self) -> (Option<std::time::Duration>, std::time::Duration) {
        let whole = || exchange::millis(self.time.unwrap_or_default());
        let Some(Timings { send, wait, receive }) = &self.timings else { return (None, whole()) };
        let phase = |ms: &Option<f64>| exchange::millis(ms.unwrap_or(-1.0));
        let (first, rest) = (phase(send) + phase(wait), phase(receive));
        if (first + rest).is_zero() { (None, whole()) } else { (Some(first), first + rest) }
    }
}

impl HarRequest {
    /// The body of a form of which only the fields were kept.
    fn form(&self) -> Option<String> {
        let data = self.post_data.as_ref().filter(|data| data.text.is_none() && !data.params.is_empty())?;
        let urlencoded = data.mime_type.as_deref()?.starts_with("application/x-www-form-urlencoded");
        urlencoded.then(|| {
            let fields = data.params.iter().map(|param| (&param.name, param.value.as_deref().unwrap_or_default()));
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
        })
    }

    fn content<'a>(&'a self, form: Option<&'a str>) -> Content<'a> {
        let size = self.body_size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
        match &self.post_data {
            _ if form.is_some() => Content::Text(form.unwrap_or_default()),
            Some(PostData { text: Some(text), encoding: Some(encoding), .. }) if encoding == "base64" => {
                Content::Base64(text)
            }
            Some(PostData { text: Some(text), .. }) => Content::Text(text),
            Some(PostData { params, .. }) if !params.is_empty() => Content::Missing(size),
            _ if size > 0 => Content::Missing(size),
            _ => Content::Text(""),
        }
    }
}

impl HarResponse {
    fn answer(&self, method: &str) -> Result<RawResponse, Unusable> {
        let mut headers = exchange::headers(pairs(&self.headers))?;
        let status = u16::try_from(self.status).unwrap_or_default();
        let without_body = method == "HEAD" || matches!(status, 100..200 | 204 | 304);
        let body = exchange::body(self.content.read(without_body), &mut headers)?;
        Ok(RawResponse { status, headers, body })
    }
}

impl HarContent {
    fn read(&self, without_body: bool) -> Content<'_> {
        match (&self.text, self.encoding.as_deref(), self.size) {
            (Some(text), Some("base64"), _) => Content::Base64(text),
            (Some(text), _, _) => Content::Text(text),
            (None, _, Some(0)) => Content::Text(""),
            _ if without_body => Content::Text(""),
            (None, _, size) => Content::Missing(size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default()),
        }
    }
}

/// Why there was no answer, from the browser's word for it (`net::ERR_CONNECTION_REFUSED`).
fn failed(word: &str) -> CaptureError {
    let word = word.to_ascii_uppercase();
    let says = |parts: &[&str]| parts.iter().any(|part| word.contains(part));
    if says(&["TIMED_OUT", "TIMEOUT"]) {
        CaptureError::Timeout
    } else if says(&["RESET", "CONNECTION_CLOSED", "EMPTY_RESPONSE"]) {
        CaptureError::Reset
    } else if says(&["REFUSED", "NAME_NOT_RESOLVED", "UNREACHABLE", "CONNECTION_FAILED"]) {
        CaptureError::Connect
    } else if says(&["PROTOCOL", "INVALID_RESPONSE"]) {
        CaptureError::Protocol
    } else if says(&["ABORTED", "BLOCKED"]) {
        CaptureError::ClientAborted
    } else {
        CaptureError::Other
    }
}

#[cfg(test)]
mod tests;
