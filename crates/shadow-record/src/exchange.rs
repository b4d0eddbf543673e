//! One request with the primary's response, as the capture agent publishes it.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ServiceName, Timestamp};

/// UUIDv7 that the agent gives to every captured request; clients reuse theirs, so theirs is only a correlation ID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub Uuid);

impl RequestId {
    /// A new one, ordered by time.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Uuid::parse_str(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// One captured, masked exchange. See `schemas/CapturedExchange.avsc` for units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // documented field by field in the schema
pub struct CapturedExchange {
    pub request_id: RequestId,
    pub correlation_id: Option<String>,
    pub agent: String,
    pub epoch: i64,
    pub sequence: i64,
    pub service: ServiceName,
    pub source: Source,
    pub captured_at: Timestamp,
    pub route: String,
    pub request: Request,
    pub response: Option<Response>,
    pub error: Option<CaptureError>,
    pub first_byte_us: Option<i64>,
    pub total_us: i64,
    pub ruleset: String,
    pub key_id: String,
    pub sampling_rate: f64,
    #[serde(default)]
    pub effects_recorded: bool,
}

/// A request as it is replayed: masked, hop-by-hop headers removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Request {
    pub method: String,
    pub scheme: String,
    pub authority: String,
    pub path: String,
    pub query: Option<String>,
    pub headers: Vec<Header>,
    pub body: Body,
}

/// An answer of either version, masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<Header>,
    pub body: Body,
}

/// One header line; names in lower case, repeated names stay separate and in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Header {
    pub name: String,
    pub value: String,
}

impl Header {
    /// A header line.
    pub fn of(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// The first value of the header `name` (lower case).
pub(crate) fn header<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    headers.iter().find(|h| h.name == name).map(|h| h.value.as_str())
}

impl Request {
    /// The first value of the header `name` (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl Response {
    /// The first value of the header `name` (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// A body: its masked content, or only its keyed digest and length when the content may not or could not leave the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// Masked content; `None` exactly when `withheld` says why.
    #[serde(with = "crate::text_bytes::option")]
    pub content: Option<Bytes>,
    /// Bytes of the original content.
    pub length: i64,
    /// HMAC-SHA256 of the original content under the masking key.
    #[serde(with = "crate::text_bytes")]
    pub digest: Bytes,
    /// Why `content` is missing.
    pub withheld: Option<Withheld>,
}

/// Why only a digest of a body left the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Withheld {
    /// A reason this version does not know.
    Other,
    /// Longer than the tee's limit.
    Truncated,
    /// Not what its content type claims.
    Unparseable,
    /// No masker for its content type or encoding.
    UnsupportedType,
    /// Nested deeper than the masker follows.
    TooDeep,
    /// The process-wide budget for bodies was used up.
    Budget,
    /// The connection ended before the body did.
    Aborted,
}

/// How an exchange was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A source this version does not know.
    Other,
    /// The agent's reverse proxy.
    Proxy,
    /// Packets on the wire.
    Sniff,
    /// Another proxy's mirror.
    Mirror,
    /// A recording.
    Import,
    /// In-process instrumentation.
    Sdk,
}

/// Why the primary gave no complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureError {
    /// A class this version does not know.
    Other,
    /// No connection to the primary.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection broke.
    Reset,
    /// The primary broke the protocol.
    Protocol,
    /// The client went away first.
    ClientAborted,
}
