//! Reads bodies into [`Document`]s: one reader per format, chosen by media type, after bringing text into UTF-8.
//!
//! A reader turns what it meets into events of a [`Builder`](crate::document::Builder), so that rules, walk and signatures work
//! alike for every format. What no reader takes is compared by its bytes.

mod charset;
mod form;
pub(crate) mod json;
mod lines;
mod ndjson;
mod protobuf;
mod xml;

use shadow_record::Response;

use crate::document::{Document, TooLarge};

pub(crate) use protobuf::Schema;

/// What a body turned out to be.
#[derive(Debug)]
pub(crate) enum Content {
    /// Read, with the word for its format.
    Document(&'static str, Document),
    /// Not in a format that is read, with the word for it.
    Opaque(&'static str),
    /// More than is compared.
    TooLarge,
}

/// Why a reader gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The body is not what its media type says.
    Malformed,
    /// More than is compared.
    TooLarge,
}

impl From<TooLarge> for Unread {
    fn from(_: TooLarge) -> Self {
        Self::TooLarge
    }
}

impl Content {
    /// Reads a body of `response` whose content is known; by `schema`, if it may be a message of that.
    pub(crate) fn read(response: &Response, bytes: &[u8], schema: Option<&Schema>) -> Self {
        let media = response.header("content-type").unwrap_or_default();
        if let Some(schema) = schema.filter(|_| protobuf::may_be(media, bytes)) {
            match protobuf::read(bytes, schema) {
                Ok(document) => return Self::Document("protobuf", document),
                Err(Unread::TooLarge) => return Self::TooLarge,
                Err(Unread::Malformed) => {}
            }
        }
        if bytes.is_empty() {
            return Self::Opaque("absent");
        }
        const BYTES: Content = Content::Opaque("bytes");
        let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !Format::is_text(&essence) {
            return BYTES;
        }
        let Some(text) = charset::text(media, bytes) else { return BYTES };
        // What is not in the format that its media type promises is read as what it looks like; lines are never malformed.
        for format in [Format::of(&essence, &text), Format::without_media(&text), Format::Text] {
            match format.read(&text) {
                Ok(document) => return Self::Document(format.name(), document),
                Err(Unread::Malformed) => {}
                Err(Unread::TooLarge) => break,
            }
        }
        Self::TooLarge
    }

    /// What was read, if it was.
    pub(crate) fn document(&self) -> Option<&Document> {
        match self {
            Self::Document(_, document) => Some(document),
            _ => None,
        }
    }

    /// The word for it in a transition.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Document(name, _) | Self::Opaque(name) => name,
            Self::TooLarge => "too_large",
        }
    }
}

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Ndjson,
    Form,
    Xml,
    Html,
    Text,
}

impl Format {
    /// By the media type, in lower case and without parameters. Nothing is known of the others, so they are never read as what they
    /// look like.
    fn declared(essence: &str) -> Option<Self> {
        match essence {
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/json-lines"
            | "application/stream+json" => Some(Self::Ndjson),
            "application/x-www-form-urlencoded" => Some(Self::Form),
            json if json.ends_with("/json") || json.ends_with("+json") => Some(Self::Json),
            xml if xml.ends_with("/xml") || xml.ends_with("+xml") => Some(Self::Xml),
            _ => None,
        }
    }

    /// Whether a body of this type may be read as text: services are careless with the types of text, and say nothing at times.
    fn is_text(essence: &str) -> bool {
        essence.is_empty() || essence.starts_with("text/") || Self::declared(essence).is_some()
    }

    /// The format of a text, by its type or else by its look.
    fn of(essence: &str, text: &str) -> Self {
        match Self::declared(essence) {
            Some(declared) => declared,
            None if essence.is_empty() || text.trim_ascii_start().starts_with(['{', '[']) => Self::Json,
            None => Self::without_media(text),
        }
    }

    /// By the look of what is not in the format its media type promises.
    fn without_media(text: &str) -> Self {
        let begins = |with: &str| {
            text.trim_ascii_start()
                .as_bytes()
                .get(..with.len())
                .is_some_and(|b| b.eq_ignore_ascii_case(with.as_bytes()))
        };
        if begins("<!doctype html") || begins("<html") {
            Self::Html
        } else if begins("<?xml") {
            Self::Xml
        } else {
            Self::Text
        }
    }

    fn read(self, text: &str) -> Result<Document, Unread> {
        match self {
            Self::Json => json::read(text.as_bytes()),
            Self::Ndjson => ndjson::read(text),
            Self::Form => form::read(text),
            Self::Xml => xml::read(text),
            Self::Html | Self::Text => lines::read(text),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Form => "form",
            Self::Xml => "xml",
            Self::Html => "html",
            Self::Text => "text",
        }
    }
}

#[cfg(test)]
mod tests {
    use shadow_record::{Body, Header};

    use super::*;

    fn name(media: &str, body: &[u8]) -> &'static str {
        let headers = if media.is_empty() { Vec::new() } else { vec![Header::of("content-type", media)] };
        let body_of = Body { content: None, length: 0, digest: Default::default(), withheld: None };
        Content::read(&Response { status: 200, headers, body: body_of }, body, None).name()
    }

    #[test]
    fn only_text_is_read_as_what_it_looks_like() {
        for media in
            ["application/octet-stream", "image/svg", "application/javascript", "multipart/mixed; boundary=text"]
        {
            for body in [&b"ab\r\ncd"[..], b"[1]", b"<?xml version='1.0'?><a/>", b"\xef\xbb\xbfa"] {
                assert_eq!(name(media, body), "bytes", "{media}");
            }
        }
        for (media, body, as_) in [
            ("text/plain", "[1]", "json"),
            ("text/csv", "a\r\nb", "text"),
            ("", "{}", "json"),
            ("", "a", "text"),
            ("application/json", "<html>", "html"),
            ("application/json", "no json", "text"),
            ("application/soap+xml", "{}", "text"),
            ("Application/JSON; charset=utf-8", "\u{feff}{}", "json"),
        ] {
            assert_eq!(name(media, body.as_bytes()), as_, "{media} {body}");
        }
    }
}
