//! Bodies, by what their headers say they are. Fails closed: what cannot be masked leaves as keyed digest and length.

mod charset;
mod coding;

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use shadow_record::{Body, Withheld};

use crate::headers::Decoded;
use crate::multipart;
use crate::raw::RawBody;
use crate::refused::Refused;
use crate::rules::Place;
use crate::scope::Scope;

/// What most bodies are.
pub(crate) const JSON: &str = "application/json";

/// A content type that can be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    /// One JSON text a line.
    JsonLines,
    Form,
    Multipart,
    Xml,
    EventStream,
    Text,
}

impl Format {
    /// Of a whole content type.
    pub(crate) fn of_type(content_type: &str) -> Option<Self> {
        Self::of(&essence_of(content_type))
    }

    fn of(essence: &str) -> Option<Self> {
        match essence {
            "application/json" | "text/json" => Some(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/json-lines" => {
                Some(Self::JsonLines)
            }
            "application/x-www-form-urlencoded" => Some(Self::Form),
            "application/xml" | "text/xml" => Some(Self::Xml),
            "text/event-stream" => Some(Self::EventStream),
            "multipart/form-data" | "multipart/mixed" | "multipart/related" | "multipart/alternative" => {
                Some(Self::Multipart)
            }
            _ if essence.starts_with("application/") && essence.ends_with("+json") => Some(Self::Json),
            _ if essence.ends_with("+xml") => Some(Self::Xml),
            "application/csv" | "application/javascript" | "application/graphql" => Some(Self::Text),
            _ if essence.starts_with("text/") => Some(Self::Text),
            _ => None,
        }
    }
}

/// The content of a body without the content codings that `headers` name; borrowed when there are none.
///
/// # Errors
/// [`Refused::UnknownCoding`], [`Refused::BadCoding`], and [`Refused::TooLarge`] beyond 16 MiB.
pub fn decode_content<'b>(headers: &HeaderMap, body: &'b Bytes) -> Result<Cow<'b, [u8]>, Refused> {
    coding::decode(headers, body)
}

impl Scope<'_> {
    /// Masks a body, and tells whether it was taken out of its content coding. `length` and `digest` of the result are those of
    /// the original content.
    pub(crate) fn body(&self, headers: &HeaderMap, body: RawBody) -> (Body, Decoded) {
        let whole = match body {
            RawBody::Whole(whole) => whole,
            RawBody::Withheld { length, digest, why } => {
                let length = i64::try_from(length).unwrap_or(i64::MAX);
                return (Body { content: None, length, digest, withheld: Some(why) }, Decoded::No);
            }
        };
        let (content, withheld, decoded) = match self.content(headers, &whole) {
            Ok((content, decoded)) => (Some(content), None, decoded),
            Err(why) => {
                self.masker.counts.refuse(why);
                (None, Some(Withheld::from(why)), Decoded::No)
            }
        };
        (Body { content, length: whole.len() as i64, digest: self.masker.digest(&whole), withheld }, decoded)
    }

    fn content(&self, headers: &HeaderMap, body: &Bytes) -> Result<(Bytes, Decoded), Refused> {
        if body.is_empty() {
            return Ok((Bytes::new(), Decoded::No));
        }
        let plain = coding::decode(headers, body)?;
        let decoded = if matches!(plain, Cow::Owned(_)) { Decoded::Yes } else { Decoded::No };
        let content_type = content_type(headers)?;
        let format = match content_type {
            JSON => Format::Json,
            other => Format::of(&essence_of(other)).ok_or(Refused::UnknownType)?,
        };
        Ok((self.format(format, content_type, &plain)?.into(), decoded))
    }

    /// Masks a body or a part of one that is in `format`.
    pub(crate) fn format(&self, format: Format, content_type: &str, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let charset = parameter(content_type, "charset");
        match format {
            Format::Json => charset::in_utf8(charset.as_deref(), body, |text| self.json(text)),
            Format::JsonLines => charset::in_utf8(charset.as_deref(), body, |text| self.json_lines(text)),
            Format::Form => Ok(self.pairs(Place::Form, body)),
            Format::Multipart => self.multipart(&parameter(content_type, "boundary").ok_or(Refused::Multipart)?, body),
            Format::Xml => {
                let charset = charset.or_else(|| charset::declared_in_xml(body));
                charset::in_utf8(charset.as_deref(), body, |text| self.xml(text))
            }
            Format::EventStream => charset::in_utf8(charset.as_deref(), body, |text| self.event_stream(text)),
            Format::Text => charset::in_utf8(charset.as_deref(), body, |text| self.text(text)),
        }
    }

    fn json_lines(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut masked = Vec::with_capacity(body.len() + body.len() / 4);
        for line in body.split_inclusive(|b| *b == b'\n') {
            let (record, end) = line.strip_suffix(b"\n").map_or((line, &b""[..]), |record| (record, b"\n"));
            if !record.trim_ascii().is_empty() {
                masked.extend_from_slice(&self.json(record)?);
            }
            masked.extend_from_slice(end);
        }
        Ok(masked)
    }

    /// A part of a body in a format of its own; `None` when it has none, or is not what it says, or holds parts itself.
    pub(crate) fn part(&self, content_type: &str, body: &[u8]) -> Option<Vec<u8>> {
        let format = Format::of(&essence_of(content_type)).filter(|format| *format != Format::Multipart)?;
        self.format(format, content_type, body).ok()
    }
}

/// The one content type; more than one is a contradiction.
fn content_type(headers: &HeaderMap) -> Result<&str, Refused> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let content_type = types.next().ok_or(Refused::NoType)?;
    if types.next().is_some() {
        return Err(Refused::ManyTypes);
    }
    content_type.to_str().map_err(|_| Refused::UnknownType)
}

/// The content type without its parameters, in lower case.
pub(crate) fn essence(headers: &HeaderMap) -> Result<String, Refused> {
    content_type(headers).map(essence_of)
}

/// A content type whose words are not all known, as the most general one that is read alike, with its charset.
pub(crate) fn general_type(content_type: &[u8]) -> Option<String> {
    let content_type = std::str::from_utf8(content_type).ok()?;
    let general = match Format::of(&essence_of(content_type))? {
        Format::Json => "application/json",
        Format::JsonLines => "application/x-ndjson",
        Format::Form => "application/x-www-form-urlencoded",
        Format::Xml => "application/xml",
        Format::EventStream => "text/event-stream",
        Format::Text => "text/plain",
        Format::Multipart => return None,
    };
    let charset = parameter(content_type, "charset").and_then(|label| charset::name(&label));
    Some(charset.map_or_else(|| general.to_owned(), |charset| format!("{general}; charset={charset}")))
}

fn essence_of(content_type: &str) -> String {
    if content_type == JSON {
        return JSON.to_owned();
    }
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A parameter of a content type, without quotes.
fn parameter(content_type: &str, name: &str) -> Option<String> {
    let (_, parameters) = content_type.split_once(';')?;
    multipart::parameters(parameters)
        .into_iter()
        .find(|(given, _)| given.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}
