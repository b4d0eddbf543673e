//! One entry of a recording, read: an exchange, or why it is none. Recordings hold content that was taken out of its coding and its
//! character set; here it gets back what its headers say.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use shadow_capture::Recorded;
use shadow_mask::{RawBody, RawRequest};
use shadow_record::Withheld;
use url::Url;

use crate::words;

/// Longest exchange, so that no sum of times overflows.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// What the masker writes in place of `content-encoding` when it takes a body out of its coding, as the recorder did here.
const ORIGINAL_CODING: HeaderName = HeaderName::from_static("original-content-encoding");

/// An entry in the order of the file.
#[derive(Debug)]
pub(super) struct Entry {
    /// From 0, as in a HAR's `log.entries`; of NDJSON the line, from 1.
    pub(super) index: usize,
    /// What it holds.
    pub(super) read: Result<Exchange, Unusable>,
}

/// An exchange with the host it was with.
#[derive(Debug)]
pub(super) struct Exchange {
    /// `host`, or `host:port` where the port is not the scheme's own.
    pub(super) host: String,
    pub(super) recorded: Recorded,
}

/// Why an entry is not imported. The text never quotes values: it may end in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is not what it should be.
    Broken(String),
    /// It is what it should be, and nothing that can be replayed.
    NotReplayable(&'static str),
}

impl From<String> for Unusable {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

/// What a JSON reader says of an entry, without what it quotes.
pub(super) fn complaint(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // The names in these are of the format, not of the recording.
    if text.starts_with("missing field") || text.starts_with("duplicate field") {
        return text;
    }
    let quote = ['"', '`'];
    let (Some(first), Some(last)) = (text.find(quote), text.rfind(quote)) else { return text };
    // A quoted text may itself hold quotes, so everything goes up to what was expected, which is of the format again.
    let rest = text.rfind(", expected ").filter(|at| *at > first).map_or(&text[last + 1..], |at| &text[at..]);
    format!("{}\"...\"{rest}", &text[..first])
}

/// A time with its zone.
pub(super) fn time(text: &str) -> Result<shadow_record::Timestamp, Unusable> {
    words::parse_time(text)
        .map_err(|_| Unusable::Broken("its time is none with a zone, such as 2026-01-31T12:00:00.250+01:00".to_owned()))
}

/// A length of time from milliseconds; those that make no sense are none.
pub(super) fn millis(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default().min(LONGEST)
}

/// Headers as recorded. Pseudo headers of HTTP/2 are said elsewhere; browsers join repeated ones by line ends.
pub(super) fn headers<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>) -> Result<HeaderMap, Unusable> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter(|(name, _)| !name.starts_with(':')) {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Unusable::Broken("one of its headers has no name of a header".to_owned()))?;
        for value in value.split('\n') {
            let value = HeaderValue::from_bytes(value.trim().as_bytes())
                .map_err(|_| Unusable::Broken(format!("its header {name} has a value that no header can have")))?;
            headers.append(name.clone(), value);
        }
    }
    Ok(headers)
}

/// The target of a request: its host and the request without headers and body.
pub(super) fn target(method: &str, url: &str) -> Result<(String, RawRequest), Unusable> {
    let legal = !method.is_empty() && method.bytes().all(shadow_capture::head::is_token);
    if !legal {
        return Err(Unusable::Broken("its method is none".to_owned()));
    }
    if method == "CONNECT" {
        return Err(Unusable::NotReplayable("a tunnel"));
    }
    let url = Url::parse(url).map_err(|error| Unusable::Broken(format!("its URL cannot be read: {error}")))?;
    match url.scheme() {
        "http" | "https" => {}
        "ws" | "wss" => return Err(Unusable::NotReplayable("a web socket")),
        _ => return Err(Unusable::NotReplayable("not HTTP")),
    }
    let name = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
    let request = RawRequest {
        method: method.to_owned(),
        scheme: url.scheme().to_owned(),
        authority: host.clone(),
        path: url.path().to_owned(),
        query: url.query().map(str::to_owned),
        headers: HeaderMap::new(),
        body: RawBody::empty(),
    };
    Ok((host, request))
}

/// Content as a recording has it.
pub(super) enum Content<'a> {
    /// Unicode, whatever charset it was sent in.
    Text(&'a str),
    /// Bytes in base64.
    Base64(&'a str),
    /// The recording left it out; as long as it says.
    Missing(u64),
}

/// The body, with headers that are true of it.
pub(super) fn body(content: Content<'_>, headers: &mut HeaderMap) -> Result<RawBody, Unusable> {
    use base64::Engine as _;
    let bytes = match content {
        Content::Missing(length) => {
            // Nobody has seen the content, so nothing equals it: no digest.
            return Ok(RawBody::Withheld { length, digest: Bytes::new(), why: Withheld::Other });
        }
        Content::Text(text) => in_charset(text, headers),
        Content::Base64(text) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_err(|_| Unusable::Broken("one of its bodies is said to be base64 and is not".to_owned()))?,
    };
    if !bytes.is_empty() {
        for coding in headers.remove(CONTENT_ENCODING).into_iter().filter(|coding| coding != "identity") {
            headers.append(ORIGINAL_CODING, coding);
        }
    }
    Ok(RawBody::Whole(bytes.into()))
}

/// Recordings hold text as Unicode; the service sent it in the charset of its media type.
fn in_charset(text: &str, headers: &HeaderMap) -> Vec<u8> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let charset = media_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    let encoding = charset.and_then(|label| encoding_rs::Encoding::for_label(label.as_bytes()));
    match encoding.map(|encoding| encoding.encode(text)) {
        Some((bytes, _, false)) => bytes.into_owned(),
        _ => text.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(media_type: &str) -> HeaderMap {
        headers([("content-type", media_type)].into_iter()).unwrap()
    }

    fn whole(content: Content<'_>, headers: &mut HeaderMap) -> Vec<u8> {
        let RawBody::Whole(bytes) = body(content, headers).unwrap() else { panic!("withheld") };
        bytes.to_vec()
    }

    #[test]
    fn text_gets_back_the_charset_that_its_headers_name() {
        assert_eq!(whole(Content::Text("ä"), &mut typed("text/plain; charset=\"ISO-8859-1\"")), [0xe4]);
        assert_eq!(whole(Content::Text("ä"), &mut typed("text/plain")), "ä".as_bytes());
        assert_eq!(whole(Content::Text("☃"), &mut typed("text/plain; charset=latin1")), "☃".as_bytes());
    }

    #[test]
    fn decoded_content_no_longer_claims_its_coding_and_missing_content_still_does() {
        let coded = || headers([("content-encoding", "br")].into_iter()).unwrap();
        let (mut there, mut missing) = (coded(), coded());
        assert_eq!(whole(Content::Base64("aGk="), &mut there), b"hi");
        assert_eq!((there.get(CONTENT_ENCODING), there.get(ORIGINAL_CODING).unwrap().as_bytes()), (None, &b"br"[..]));
        let gone = body(Content::Missing(9), &mut missing).unwrap();
        assert!(matches!(gone, RawBody::Withheld { length: 9, why: Withheld::Other, .. }));
        assert!(missing.contains_key(CONTENT_ENCODING));
        assert!(body(Content::Base64("?"), &mut coded()).is_err());
    }

    #[test]
    fn headers_lose_pseudo_headers_and_regain_their_lines() {
        let read = headers([(":method", "GET"), ("Set-Cookie", "a=1\nb=2"), ("X-A", "")].into_iter()).unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!(read.get_all("set-cookie").iter().count(), 2);
        for bad in [("a b", "1"), ("a", "1\r2")] {
            assert!(headers([bad].into_iter()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn targets_are_of_http_and_their_host_is_without_its_own_port_and_user() {
        let (host, request) = target("GET", "https://u:p@Shop.example:443/a b?q=1#top").unwrap();
        assert_eq!((host.as_str(), request.path.as_str()), ("shop.example", "/a%20b"));
        assert_eq!((request.scheme.as_str(), request.query.as_deref()), ("https", Some("q=1")));
        assert_eq!(target("GET", "http://h:8080").unwrap().0, "h:8080");
        for (method, url, broken) in
            [("GET", "/a", true), ("G T", "http://h", true), ("GET", "wss://h", false), ("CONNECT", "http://h", false)]
        {
            assert_eq!(matches!(target(method, url), Err(Unusable::Broken(_))), broken, "{method} {url}");
        }
    }

    #[test]
    fn complaints_quote_nothing_of_the_recording() {
        let error = serde_json::from_str::<u16>(r#""alice \"the\" first""#).unwrap_err();
        assert_eq!(complaint(&error), "invalid type: string \"...\", expected u16 at line 1 column 21");
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Line {
            #[serde(rename = "error")]
            _error: Kind,
        }
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Kind {
            Timeout,
            Reset,
        }
        for (line, said) in [
            (
                r#"{"error": "user alice@example.org, expected `by` \"us\""}"#,
                "unknown variant \"...\", expected `timeout`",
            ),
            (r#"{"error": 4111111111111111}"#, "expected "),
            (r#"{"alice": 1}"#, "unknown field \"...\", expected `error`"),
            ("{}", "missing field `error`"),
        ] {
            let told = complaint(&serde_json::from_str::<Line>(line).unwrap_err());
            assert!(told.contains(said), "{told}");
            assert!(!["alice", "4111", "us"].iter().any(|private| told.contains(private)), "{told}");
        }
        assert_eq!(
            complaint(&serde_json::from_str::<u8>("4111").unwrap_err()),
            "invalid value: integer \"...\", expected u8 at line 1 column 4"
        );
        assert_eq!(millis(-1.0) + millis(f64::NAN), Duration::ZERO);
    }
}
