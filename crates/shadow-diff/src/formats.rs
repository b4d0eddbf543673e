//! Reads bodies into [`Document`]s: one reader per format, chosen by media type.
//!
//! A reader turns what it meets into events of a [`Builder`](crate::document::Builder), so that rules, walk and signatures work
//! alike for every format. What no reader takes is compared by its bytes.

pub(crate) mod json;

use shadow_record::Response;

use crate::document::{Document, TooLarge};

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
    /// Reads a body of `response` whose content is known.
    pub(crate) fn read(response: &Response, bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Opaque("absent");
        }
        let opaque = || Self::Opaque(if std::str::from_utf8(bytes).is_ok() { "text" } else { "bytes" });
        let (format, read) = match response.header("content-type") {
            Some(media) if !is_json(media) => return opaque(),
            _ => ("json", json::read(bytes)),
        };
        match read {
            Ok(document) => Self::Document(format, document),
            Err(Unread::Malformed) => opaque(),
            Err(Unread::TooLarge) => Self::TooLarge,
        }
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

fn is_json(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}
