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
        let Some(text) = charset::text(media, bytes) else { return Self::Opaque("bytes") };
        // What is not in the format that its media type promises is read as what it looks like; lines are never malformed.
        for format in [Format::of(media, &text), Format::without_media(&text), Format::Text] {
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
    /// By the media type. Services are careless with the types of text, and say nothing at times: then what looks like JSON or XML
    /// is read as such.
    fn of(media: &str, text: &str) -> Self {
        let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/json-lines"
            | "application/stream+json" => Self::Ndjson,
            "application/x-www-form-urlencoded" => Self::Form,
            "" => Self::Json,
            json if json.ends_with("/json") || json.ends_with("+json") => Self::Json,
            xml if xml.ends_with("/xml") || xml.ends_with("+xml") => Self::Xml,
            _ if text.trim_ascii_start().starts_with(['{', '[']) => Self::Json,
            _ => Self::without_media(text),
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
