//! One exchange a line, as JSON: what a log, a proxy or a script can write without knowing HAR. `docs/formats.md` has the fields.

use std::collections::BTreeMap;
use std::io::{BufRead, Read as _};
use std::ops::ControlFlow;

use serde::Deserialize;
use shadow_capture::Recorded;
use shadow_mask::RawResponse;
use shadow_record::CaptureError;

use super::exchange::{self, Content, Entry, Exchange, Unusable};
use super::source::{MAX_ENTRY, ReadError, Take};

/// Reads line by line; empty lines are none.
pub(super) fn read(mut input: impl BufRead, take: Take<'_>) -> Result<(), ReadError> {
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        let read = input.by_ref().take(MAX_ENTRY).read_until(b'\n', &mut line);
        let read = read.map_err(|error| ReadError::BrokenOff { entries: number, cause: error.to_string() })?;
        if read == 0 {
            return Ok(());
        }
        number += 1;
        if read as u64 == MAX_ENTRY && !line.ends_with(b"\n") {
            let cause = format!("line {number} is longer than {} MiB", MAX_ENTRY >> 20);
            return Err(ReadError::BrokenOff { entries: number - 1, cause });
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        if take(Entry { index: number, read: entry(&line) }) == ControlFlow::Break(()) {
            return Ok(());
        }
    }
}

/// A line. Unknown fields are refused: a misspelt one would be left out in silence.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    started_at: String,
    took_ms: Option<f64>,
    first_byte_ms: Option<f64>,
    request: RequestLine,
    response: Option<ResponseLine>,
    error: Option<CaptureError>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestLine {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    body: Option<String>,
    body_base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseLine {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    body: Option<String>,
    body_base64: Option<String>,
    /// Bytes of a body that is not there.
    body_length: Option<u64>,
}

/// One value, or one for each line of a repeated header.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum Values {
    One(String),
    Many(Vec<String>),
}

fn lines(headers: &BTreeMap<String, Values>) -> impl Iterator<Item = (&str, &str)> {
    headers.iter().flat_map(|(name, values)| {
        let values = match values {
            Values::One(value) => std::slice::from_ref(value),
            Values::Many(values) => values,
        };
        values.iter().map(move |value| (name.as_str(), value.as_str()))
    })
}

fn content<'a>(text: Option<&'a str>, base64: Option<&'a str>, missing: Option<u64>) -> Result<Content<'a>, Unusable> {
    match (text, base64, missing) {
        (Some(text), None, None) => Ok(Content::Text(text)),
        (None, Some(base64), None) => Ok(Content::Base64(base64)),
        (None, None, Some(length)) => Ok(Content::Missing(length)),
        (None, None, None) => Ok(Content::Text("")),
        _ => {
            Err(Unusable::Broken("one of its messages has more than one of body, body_base64, body_length".to_owned()))
        }
    }
}

fn entry(line: &[u8]) -> Result<Exchange, Unusable> {
    let line: Line = serde_json::from_slice(line).map_err(|error| exchange::complaint(&error))?;
    let Line { started_at, took_ms, first_byte_ms, request, response, error } = line;
    let (host, mut raw) = exchange::target(&request.method, &request.url)?;
    raw.headers = exchange::headers(lines(&request.headers))?;
    let body = content(request.body.as_deref(), request.body_base64.as_deref(), None)?;
    raw.body = exchange::body(body, &mut raw.headers)?;
    let response = response.map(answer).transpose()?;
    if response.is_none() && error.is_none() {
        return Err(Unusable::Broken("it has neither a response nor an error".to_owned()));
    }
    let recorded = Recorded {
        captured_at: exchange::time(&started_at)?,
        request: raw,
        response,
        error,
        first_byte: first_byte_ms.map(exchange::millis),
        total: exchange::millis(took_ms.unwrap_or_default()),
    };
    Ok(Exchange { host, recorded })
}

fn answer(line: ResponseLine) -> Result<RawResponse, Unusable> {
    let ResponseLine { status, headers, body, body_base64, body_length } = line;
    match status {
        101 => return Err(Unusable::NotReplayable("a web socket")),
        100..=599 => {}
        _ => return Err(Unusable::Broken(format!("its status {status} is none of HTTP"))),
    }
    let mut headers = exchange::headers(lines(&headers))?;
    let body = content(body.as_deref(), body_base64.as_deref(), body_length)?;
    let body = exchange::body(body, &mut headers)?;
    Ok(RawResponse { status, headers, body })
}

#[cfg(test)]
mod tests {
    use shadow_mask::RawBody;

    use super::*;

    fn read_all(text: &str) -> (Vec<Entry>, Result<(), ReadError>) {
        let mut entries = Vec::new();
        let ended = read(text.as_bytes(), &mut |entry| {
            entries.push(entry);
            ControlFlow::Continue(())
        });
        (entries, ended)
    }

    #[test]
    fn a_line_is_an_exchange_and_a_bad_one_does_not_end_the_reading() {
        let (entries, ended) = read_all(concat!(
            r#"{"started_at":"2026-01-31T12:00:00.5Z","took_ms":8.5,"first_byte_ms":3,"request":{"method":"POST","url":"http://shop.example/orders?a=1","headers":{"content-type":"application/json","x-a":["1","2"]},"body":"{}"},"response":{"status":201,"body_base64":"aGk="}}"#,
            "\n\n{\"started_at\":\"alice\"\n",
            r#"{"started_at":"2026-01-31T12:00:01Z","request":{"method":"GET","url":"http://h/"},"error":"timeout"}"#,
        ));
        assert!(ended.is_ok());
        assert_eq!(entries.iter().map(|entry| entry.index).collect::<Vec<_>>(), [1, 3, 4]);
        let Exchange { host, recorded } = entries[0].read.as_ref().unwrap();
        assert_eq!((host.as_str(), recorded.request.headers.len()), ("shop.example", 3));
        assert_eq!((recorded.captured_at.micros() % 1_000_000, recorded.total.as_micros()), (500_000, 8_500));
        let answer = recorded.response.as_ref().unwrap();
        assert!(matches!(&answer.body, RawBody::Whole(bytes) if bytes == "hi") && answer.status == 201);
        let Err(Unusable::Broken(why)) = &entries[1].read else { panic!("a broken line was read") };
        assert!(why.contains("EOF") && !why.contains("alice"), "{why}");
        assert_eq!(entries[2].read.as_ref().unwrap().recorded.error, Some(CaptureError::Timeout));
    }

    #[test]
    fn what_is_misspelt_contradictory_or_incomplete_is_told() {
        let request = r#""request":{"method":"GET","url":"http://h/"}"#;
        for (line, why) in [
            (format!(r#"{{"started_at":"2026-01-31T12:00:00",{request},"response":{{"status":200}}}}"#), "zone"),
            (format!(r#"{{"started_at":"2026-01-31T12:00:00Z",{request}}}"#), "neither a response nor an error"),
            (format!(r#"{{"started_at":"2026-01-31T12:00:00Z",{request},"responze":1}}"#), "unknown field \"..."),
            (format!(r#"{{"started_at":"2026-01-31T12:00:00Z",{request},"response":{{"status":99}}}}"#), "status 99"),
            (
                format!(
                    r#"{{"started_at":"2026-01-31T12:00:00Z",{request},"response":{{"status":200,"body":"","body_length":1}}}}"#
                ),
                "more than one of",
            ),
        ] {
            let (entries, _) = read_all(&line);
            assert!(
                matches!(&entries[0].read, Err(Unusable::Broken(told)) if told.contains(why)),
                "{line}: {entries:?}"
            );
        }
    }
}
