//! Why a body leaves as digest and length only: every reason there is, and how often each was met.

use std::sync::atomic::{AtomicU64, Ordering};

use shadow_record::Withheld;

/// Why a body could not be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// No content type.
    NoType,
    /// More than one content type.
    ManyTypes,
    /// A content type that no masker reads.
    UnknownType,
    /// A content coding that is not undone, or too many of them.
    UnknownCoding,
    /// Not what its content coding claims.
    BadCoding,
    /// Longer than the bound when decoded.
    TooLarge,
    /// A charset that is not known.
    UnknownCharset,
    /// Not what its charset claims; without one, not UTF-8.
    BadCharset,
    /// Not JSON.
    Json,
    /// Not XML.
    Xml,
    /// XML that declares a document type, and so entities.
    Doctype,
    /// Multipart without a boundary, or that does not follow it.
    Multipart,
    /// Nested deeper than is followed.
    TooDeep,
}

impl Refused {
    /// All reasons.
    pub const ALL: [Self; 13] = [
        Self::NoType,
        Self::ManyTypes,
        Self::UnknownType,
        Self::UnknownCoding,
        Self::BadCoding,
        Self::TooLarge,
        Self::UnknownCharset,
        Self::BadCharset,
        Self::Json,
        Self::Xml,
        Self::Doctype,
        Self::Multipart,
        Self::TooDeep,
    ];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoType => "no_type",
            Self::ManyTypes => "many_types",
            Self::UnknownType => "unknown_type",
            Self::UnknownCoding => "unknown_coding",
            Self::BadCoding => "bad_coding",
            Self::TooLarge => "too_large",
            Self::UnknownCharset => "unknown_charset",
            Self::BadCharset => "bad_charset",
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Doctype => "doctype",
            Self::Multipart => "multipart",
            Self::TooDeep => "too_deep",
        }
    }
}

impl From<Refused> for Withheld {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoType | Refused::ManyTypes | Refused::UnknownType => Self::UnsupportedType,
            Refused::UnknownCoding | Refused::UnknownCharset => Self::UnsupportedType,
            Refused::TooDeep => Self::TooDeep,
            Refused::TooLarge => Self::Truncated,
            _ => Self::Unparseable,
        }
    }
}

/// How often each reason was met since the masker was made.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    refused: [AtomicU64; Refused::ALL.len()],
    forged: AtomicU64,
}

impl Counts {
    pub(crate) fn refuse(&self, reason: Refused) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn forge(&self) {
        self.forged.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) -> impl Iterator<Item = (Refused, u64)> {
        Refused::ALL.into_iter().map(|reason| (reason, self.refused[reason as usize].load(Ordering::Relaxed)))
    }

    pub(crate) fn forged(&self) -> u64 {
        self.forged.load(Ordering::Relaxed)
    }
}
