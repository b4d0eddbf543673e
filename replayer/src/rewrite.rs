//! The captured request as it goes to the candidate, or to the control.
//!
//! Pure. Guarantees: method, path, query, end-to-end headers and body are those that were captured (a character that
//! URLs do not hold is percent-encoded), but for what the launch's rules and the target's identity change (`learn`,
//! `writes`, `identity`, `trace`); what cannot be said that way in HTTP is an [`Unsendable`], never something similar.
//! Every request carries the signed mark, so that an agent which meets it knows that the shadow has reached production.
//! Encrypted values are decrypted only for targets that this replayer's own configuration names ([`Reveal`]).

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use shadow_control::{MARK_HEADER, Mark};
use shadow_mask::{CLAIMS_HEADER, Masker};
use shadow_record::{Header, Request};
use url::Url;

/// Header under which the candidate finds the request ID.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// Headers that belong to a connection or are made anew, and those that only Shadowline may set.
const OWN: [&str; 14] = [
    "host",
    "content-length",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
    REQUEST_ID_HEADER,
];

/// Why a captured request cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// Not a method, or one that asks for a tunnel.
    #[error("method {0} cannot be replayed")]
    Method(String),
    /// The path is not one that a URL can carry unchanged.
    #[error("path cannot be sent unchanged: {0}")]
    Path(&'static str),
    /// A header's name or value is not allowed in HTTP.
    #[error("header {0} is not valid")]
    Header(String),
    /// The body was withheld.
    #[error("the request has no body to send")]
    Body,
    /// The write policy wants a dry run and does not say how.
    #[error("the dry run adds nothing that can be sent")]
    DryRun,
    /// What the target's identity needs cannot be made.
    #[error("identity {0} cannot be given to the request")]
    Identity(String),
}

/// To whom encrypted values may be shown.
pub struct Reveal {
    masker: Arc<Masker>,
    to: Vec<Url>,
}

impl Reveal {
    /// Shows them to these targets only. They come from the replayer's own configuration: a launch comes from Kafka, and whoever can
    /// write there must not be able to have values decrypted and sent to a place of their choice.
    pub fn new(masker: Arc<Masker>, to: Vec<Url>) -> Self {
        Self { masker, to }
    }

    /// The request as `target` may see it. What is revealed goes nowhere else: not into records, not into logs.
    pub fn for_target<'r>(&self, target: &Url, captured: &'r Request) -> Cow<'r, Request> {
        let named = self.to.iter().any(|url| url.origin() == target.origin());
        if named { Cow::Owned(self.masker.reveal(captured.clone())) } else { Cow::Borrowed(captured) }
    }
}

/// Builds the request for the target at `base`. `sign` is the masking key's HMAC.
///
/// # Errors
/// [`Unsendable`].
pub fn request(
    base: &Url,
    captured: &Request,
    mark: &Mark,
    sign: impl Fn(&[u8]) -> [u8; 16],
) -> Result<reqwest::Request, Unsendable> {
    let refused = || Unsendable::Method(captured.method.clone());
    let method = reqwest::Method::from_bytes(captured.method.as_bytes()).map_err(|_| refused())?;
    if method == reqwest::Method::CONNECT {
        return Err(refused());
    }
    let body = captured.body.content.clone().ok_or(Unsendable::Body)?;
    let mut request = reqwest::Request::new(method, target(base, &captured.path, captured.query.as_deref())?);
    let headers = request.headers_mut();
    for Header { name, value } in &captured.headers {
        if !OWN.contains(&name.as_str()) && name != MARK_HEADER && name != CLAIMS_HEADER {
            append(headers, name, value)?;
        }
    }
    append(headers, REQUEST_ID_HEADER, &mark.request_id.to_string())?;
    append(headers, MARK_HEADER, &mark.sign(sign))?;
    if !body.is_empty() {
        *request.body_mut() = Some(body.into());
    }
    Ok(request)
}

fn append(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Unsendable> {
    let invalid = || Unsendable::Header(name.to_owned());
    let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
    headers.append(key, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid())?);
    Ok(())
}

/// The target's base path, then the captured path and query.
fn target(base: &Url, path: &str, query: Option<&str>) -> Result<Url, Unsendable> {
    if !path.starts_with('/') {
        return Err(Unsendable::Path("it does not start with /"));
    }
    if path.contains('\\') {
        return Err(Unsendable::Path("it has a backslash, which URLs take for a slash"));
    }
    if path.split('/').any(is_dot_segment) {
        return Err(Unsendable::Path("it has . or .. segments, which URLs resolve"));
    }
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    url.set_fragment(None);
    Ok(url)
}

fn is_dot_segment(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use bytes::Bytes;
    use shadow_control::Leg;
    use shadow_record::CapturedExchange;

    fn rewritten(base: &str, exchange: &CapturedExchange) -> Result<reqwest::Request, Unsendable> {
        let (launch, request_id) = ("v2".parse().unwrap(), exchange.request_id);
        let mark = Mark { launch, request_id, attempt: 1, leg: Leg::Candidate, send: 77 };
        request(&base.parse().unwrap(), &exchange.request, &mark, |_| [7; 16])
    }

    fn shown(request: &reqwest::Request) -> String {
        let mut text = format!("{} {}\n", request.method(), request.url());
        for (name, value) in request.headers() {
            text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        text + "\n" + std::str::from_utf8(body).unwrap()
    }

    #[test]
    fn end_to_end_parts_go_unchanged_and_the_mark_is_added() {
        let mut exchange = samples::captured("POST", "/orders/%7Ba%7D//b");
        exchange.request.query = Some("q=a+b&q=%20&empty".to_owned());
        exchange.request.body.content = Some(Bytes::from_static(b"{\"n\":1}"));
        exchange.request.headers = [
            ("host", "shop.example"),
            ("connection", "keep-alive"),
            ("content-length", "9"),
            ("transfer-encoding", "chunked"),
            ("content-type", "application/json"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-request-id", "the client's own"),
            ("shadowline-replay", "forged"),
            ("shadowline-claims", "{}"),
        ]
        .map(|(name, value)| Header::of(name, value))
        .to_vec();
        insta::assert_snapshot!(shown(&rewritten("http://candidate:8080/base/", &exchange).unwrap()), @r#"
        POST http://candidate:8080/base/orders/%7Ba%7D//b?q=a+b&q=%20&empty
        content-type: application/json
        cookie: a=1
        cookie: b=2
        x-request-id: 01990000-0000-7000-8000-00000000002a
        shadowline-replay: v2;01990000-0000-7000-8000-00000000002a;1;candidate;77;07070707070707070707070707070707

        {"n":1}
        "#);
    }

    #[test]
    fn a_path_is_never_resolved_into_another_one() {
        for path in ["/a/../b", "/a/./b", "/%2e%2E/b", "/a\\b", "*", "a"] {
            let result = rewritten("http://candidate/", &samples::captured("GET", path));
            assert!(matches!(result, Err(Unsendable::Path(_))), "{path}: {result:?}");
        }
        for path in ["/", "//", "/a//b/", "/a;v=1/b%2Fc", "/...", "/.well-known/x"] {
            let request = rewritten("http://candidate", &samples::captured("GET", path)).unwrap();
            assert_eq!(request.url().path(), path);
        }
    }

    #[test]
    fn values_are_revealed_to_named_targets_only_and_come_back_as_the_primary_has_them() {
        let rules = "[[rule]]\nstrategy = \"encrypt\"\nroute = \"* /people/{name}\"\npath = [\"name\"]\nquery = [\"q\"]\njson = [\"$.name\"]";
        let key = shadow_mask::MaskKey::parse(&"k".repeat(32)).unwrap();
        let rules = shadow_mask::Ruleset::parse(rules).unwrap();
        let masker = Arc::new(Masker::new(key, rules, shadow_record::RouteTable::default()));
        let headers =
            || HeaderMap::from_iter([("content-type".parse().unwrap(), HeaderValue::from_static("application/json"))]);
        let answer = |name: &str| shadow_mask::RawResponse {
            status: 200,
            headers: headers(),
            body: shadow_mask::RawBody::Whole(format!("{{\"name\":\"{name}\",\"mail\":\"{name}\"}}").into()),
        };
        let mut exchange = samples::captured("POST", "/");
        exchange.request = masker.request(shadow_mask::RawRequest {
            method: "POST".to_owned(),
            scheme: "http".to_owned(),
            authority: "shop".to_owned(),
            path: "/people/Al%20Example".to_owned(),
            query: Some("q=Al+Example".to_owned()),
            headers: headers(),
            body: shadow_mask::RawBody::Whole(Bytes::from_static(b"{\"name\":\"Al Example\"}")),
        });
        let captured = exchange.request.clone();
        let reveal = Reveal::new(masker.clone(), vec!["http://candidate:8080".parse().unwrap()]);
        let sent = |target: &str| {
            let (target, mut exchange) = (target.parse::<Url>().unwrap(), exchange.clone());
            exchange.request = reveal.for_target(&target, &captured).into_owned();
            shown(&rewritten(target.as_str(), &exchange).unwrap())
        };
        let named = sent("http://candidate:8080/v2");
        assert!(named.starts_with("POST http://candidate:8080/v2/people/Al%20Example?q=Al%20Example\n"), "{named}");
        assert!(named.ends_with("{\"name\":\"Al Example\"}"), "{named}");
        for other in ["https://candidate:8080", "http://candidate", "http://control:8080"] {
            let masked = sent(other);
            assert!(!masked.contains("Example") && masked.matches("mske_").count() == 3, "{masked}");
        }
        // The candidate saw the value and repeats it; the primary's answer was masked when the value passed through it.
        let of = |name| masker.response(&captured.method, &captured.path, answer(name));
        assert_eq!(
            of("Al Example").body.content,
            masker.response("POST", "/people/Al%20Example", answer("Al Example")).body.content
        );
        assert!(!String::from_utf8_lossy(&of("Al Example").body.content.unwrap()).contains("Example"));
    }

    #[test]
    fn what_http_cannot_say_is_refused_by_name() {
        assert!(matches!(rewritten("http://c", &samples::captured("CONNECT", "/")), Err(Unsendable::Method(_))));
        assert!(matches!(rewritten("http://c", &samples::captured("G T", "/")), Err(Unsendable::Method(_))));
        let mut exchange = samples::captured("GET", "/");
        exchange.request.headers.push(Header::of("x-broken", "a\r\nb: c"));
        assert_eq!(rewritten("http://c", &exchange).unwrap_err(), Unsendable::Header("x-broken".to_owned()));
        exchange.request.body.content = None;
        assert_eq!(rewritten("http://c", &exchange).unwrap_err(), Unsendable::Body);
    }
}
