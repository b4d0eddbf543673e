//! Exchanges as they were seen, before masking. Their Debug output shows no content, so that none can reach a log.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use shadow_record::Withheld;

/// A request as the client sent it.
pub struct RawRequest {
    /// Such as `GET`.
    pub method: String,
    /// `http` or `https`.
    pub scheme: String,
    /// `Host` or `:authority`; empty when the client named none.
    pub authority: String,
    /// Percent-encoded, without its query.
    pub path: String,
    /// Percent-encoded, without the question mark.
    pub query: Option<String>,
    /// All headers, hop-by-hop ones and `host` included.
    pub headers: HeaderMap,
    /// The body, in the content coding it was sent in.
    pub body: RawBody,
}

/// A response as a version sent it.
pub struct RawResponse {
    /// Such as 200.
    pub status: u16,
    /// All headers, hop-by-hop ones included.
    pub headers: HeaderMap,
    /// The body, in the content coding it was sent in.
    pub body: RawBody,
}

/// A body, or what is known of one that was not kept whole.
pub enum RawBody {
    /// Every byte of it.
    Whole(Bytes),
    /// Only its length and digest.
    Withheld {
        /// Bytes of the content.
        length: u64,
        /// From [`crate::Digester`], over as much as was seen.
        digest: Bytes,
        /// Why it was not kept.
        why: Withheld,
    },
}

impl RawBody {
    /// A body of no bytes.
    pub const fn empty() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl fmt::Debug for RawRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRequest").field("method", &self.method).field("body", &self.body).finish_non_exhaustive()
    }
}

impl fmt::Debug for RawResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawResponse").field("status", &self.status).field("body", &self.body).finish_non_exhaustive()
    }
}

impl fmt::Debug for RawBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Withheld { length, why, .. } => write!(f, "Withheld({length} bytes, {why:?})"),
        }
    }
}
