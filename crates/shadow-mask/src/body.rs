//! Bodies, by what their headers say they are. Fails closed: what cannot be masked leaves as keyed digest and length.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use shadow_record::{Body, Withheld};

use crate::json;
use crate::raw::RawBody;
use crate::rules::Place;
use crate::scope::Scope;

/// A content type that can be masked.
enum Format {
    Json,
    /// One JSON text a line.
    JsonLines,
    Form,
    Text,
}

impl Scope<'_> {
    /// Masks a body. `length` and `digest` of the result are those of the original content.
    pub(crate) fn body(&self, headers: &HeaderMap, body: RawBody) -> Body {
        let whole = match body {
            RawBody::Whole(whole) => whole,
            RawBody::Withheld { length, digest, why } => {
                let length = i64::try_from(length).unwrap_or(i64::MAX);
                return Body { content: None, length, digest, withheld: Some(why) };
            }
        };
        let (content, withheld) = match self.content(headers, &whole) {
            Ok(content) => (Some(content), None),
            Err(why) => (None, Some(why)),
        };
        Body { content, length: whole.len() as i64, digest: self.masker.digest(&whole), withheld }
    }

    fn content(&self, headers: &HeaderMap, body: &Bytes) -> Result<Bytes, Withheld> {
        if body.is_empty() {
            return Ok(Bytes::new());
        }
        match format(headers)? {
            Format::Json => self.json(body).map(Bytes::from),
            Format::JsonLines => self.json_lines(body).map(Bytes::from),
            Format::Form => Ok(self.pairs(Place::Form, body).into()),
            Format::Text if self.rules.iter().any(|rule| rule.text) => Ok(body.clone()),
            Format::Text => Err(Withheld::UnsupportedType),
        }
    }

    fn json(&self, body: &[u8]) -> Result<Vec<u8>, Withheld> {
        let text = std::str::from_utf8(body).map_err(|_| Withheld::Unparseable)?;
        json::mask(text, &self.masker.tokenizer, &self.rules, &self.json_paths())
    }

    fn json_lines(&self, body: &[u8]) -> Result<Vec<u8>, Withheld> {
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
}

/// What the headers say; more than one content type is a contradiction, and no content coding is undone in this form.
fn format(headers: &HeaderMap) -> Result<Format, Withheld> {
    let identity = |value: &http::HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(identity) {
        return Err(Withheld::UnsupportedType);
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(content_type), None) = (types.next(), types.next()) else { return Err(Withheld::UnsupportedType) };
    let content_type = content_type.to_str().map_err(|_| Withheld::UnsupportedType)?;
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" | "text/json" => Ok(Format::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/json-lines" => {
            Ok(Format::JsonLines)
        }
        "application/x-www-form-urlencoded" => Ok(Format::Form),
        _ if essence.starts_with("application/") && essence.ends_with("+json") => Ok(Format::Json),
        _ if essence.starts_with("text/") => Ok(Format::Text),
        _ => Err(Withheld::UnsupportedType),
    }
}
