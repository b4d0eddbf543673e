//! Where a message's body ends.

use super::chunks::{Chunks, Malformed};

/// How a body is delimited, and how far it has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes are left.
    Length(u64),
    /// In chunks.
    Chunked(Chunks),
    /// By the end of the connection; responses only.
    UntilClose,
}

impl Framing {
    /// No body.
    pub(crate) const NONE: Self = Self::Length(0);

    /// Whether all of it has been read.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_done(),
            Self::UntilClose => false,
        }
    }

    /// The length, as far as it is known beforehand.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            _ => None,
        }
    }

    /// Goes over more of the connection's bytes; gives how many belong to the body, and shows its content to `content`.
    ///
    /// # Errors
    /// [`Malformed`] chunks.
    pub(crate) fn scan(&mut self, bytes: &[u8], mut content: impl FnMut(&[u8])) -> Result<usize, Malformed> {
        match self {
            Self::Chunked(chunks) => chunks.scan(bytes, content),
            Self::UntilClose => {
                content(bytes);
                Ok(bytes.len())
            }
            Self::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                content(&bytes[..take]);
                *left -= take as u64;
                Ok(take)
            }
        }
    }
}
