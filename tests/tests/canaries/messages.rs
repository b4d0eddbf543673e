//! Messages with a canary in every position of their heads, and every way in which an answer fails.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::bodies::{Content, bodies};
use super::canary::Canaries;

/// One request, and what the two versions answer; raw, as they stand on the wire.
pub(crate) struct Case {
    pub(crate) request: Vec<u8>,
    pub(crate) primary: Vec<u8>,
    pub(crate) candidate: Vec<u8>,
}

/// Why something is never recorded under any rules.
const CREDENTIAL: &str = "credentials are dropped";
const COOKIE: &str = "cookies are masked even where everything is kept";
const HOP: &str = "what concerns one connection is not recorded";
const BROKEN: &str = "of an answer that breaks off only length and digest leave";
const UNRECORDED: &str = "phrases and trailers are not recorded";

type Headers = Vec<(String, String)>;

/// Every case; its number is in its path.
pub(crate) fn cases(c: &mut Canaries) -> Vec<Case> {
    let mut cases = Cases(Vec::new());
    let target = target(c.in_message("request"), cases.path());
    cases.asks("GET", &target, &Vec::new(), b"");
    let method = c.in_message("request").lost("method", "unknown methods become OTHER").to_uppercase();
    cases.asks(&method, &cases.path(), &Vec::new(), b"");
    let headers = request_headers(c.in_message("request"));
    cases.asks("GET", &cases.path(), &headers, b"");
    let session = vec![("X-Session".to_owned(), c.in_message("request").word("header of the session"))];
    cases.asks("GET", &cases.path(), &session, b"");
    for Content { headers, body } in bodies(c, "request") {
        cases.asks("POST", &cases.path(), &headers, &body);
    }
    for (primary, candidate) in bodies(c, "primary").into_iter().zip(bodies(c, "candidate")) {
        let [primary, candidate] = [primary, candidate].map(|it| answer("200 OK", &it.headers, &it.body));
        cases.is_answered(primary, candidate);
    }
    let heads = ["primary", "candidate"].map(|side| answer_head(c.in_message(side)));
    cases.is_answered_by(heads);
    for failure in 0..FAILURES {
        let failures = ["primary", "candidate"].map(|side| failing(c.in_message(side), failure));
        cases.is_answered_by(failures);
    }
    cases.0
}

struct Cases(Vec<Case>);

impl Cases {
    fn path(&self) -> String {
        format!("/cases/{}", self.0.len())
    }

    /// A request that both versions answer alike.
    fn asks(&mut self, method: &str, target: &str, headers: &Headers, body: &[u8]) {
        let json = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        let ok = answer("200 OK", &json, br#"{"ok":true}"#);
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: shop.example\r\n").into_bytes();
        request.extend(message(headers, body));
        self.0.push(Case { request, primary: ok.clone(), candidate: ok });
    }

    /// A plain request with these answers.
    fn is_answered(&mut self, primary: Vec<u8>, candidate: Vec<u8>) {
        let target = self.path();
        self.asks("GET", &target, &Vec::new(), b"");
        let last = self.0.last_mut().expect("just pushed");
        (last.primary, last.candidate) = (primary, candidate);
    }

    fn is_answered_by(&mut self, [primary, candidate]: [Vec<u8>; 2]) {
        self.is_answered(primary, candidate);
    }
}

fn answer(status: &str, headers: &Headers, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {status}\r\n").into_bytes(), message(headers, body)].concat()
}

/// Headers and body; the length unless the headers say how the body ends.
fn message(headers: &Headers, body: &[u8]) -> Vec<u8> {
    let mut lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let says = |header: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(header));
    if !says("transfer-encoding") && !says("content-length") {
        lines.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    if !says("connection") {
        lines.push_str("Connection: close\r\n");
    }
    [lines.as_bytes(), b"\r\n", body].concat()
}

fn target(c: &mut Canaries, path: String) -> String {
    let percent: String = c.word("path, percent-encoded").bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!(
        "{path}/{}/{}/{percent};{}?{}={}&{}&q={}&q={}+{}&n={}&%6D={}&{}=1",
        c.word("path segment"),
        c.mail("path segment, address"),
        c.word("path, matrix parameter"),
        c.word("query name"),
        c.word("query value"),
        c.word("query, without value"),
        c.mail("query, address"),
        c.word("query, first word"),
        c.word("query, second word"),
        c.number("query, number"),
        c.word("query, encoded name's value"),
        c.mail("query name, address"),
    )
}

fn request_headers(c: &mut Canaries) -> Headers {
    let mut headers = Headers::new();
    let plain = [
        "X-Name",
        "User-Agent",
        "From",
        "Accept",
        "Accept-Language",
        "Accept-Encoding",
        "Cache-Control",
        "Pragma",
        "If-None-Match",
        "If-Modified-Since",
        "If-Range",
        "Range",
        "Via",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Real-Ip",
        "X-Request-Id",
        "X-Correlation-Id",
        "Traceparent",
        "Tracestate",
        "Baggage",
        "Content-Disposition",
        "Content-Language",
        "Link",
        "Dnt",
        "Priority",
        "Sec-Ch-Ua",
        "Sec-Fetch-Site",
        "Access-Control-Request-Headers",
        "Origin",
        "X-Http-Method-Override",
        "Expires",
    ];
    headers.extend(plain.map(|name| (name.to_owned(), c.word(&format!("header {name}")))));
    let dropped = [
        "Authorization",
        "Proxy-Authorization",
        "X-Api-Key",
        "X-Auth-Token",
        "X-Csrf-Token",
        "X-Amz-Security-Token",
        "X-Hub-Signature",
        "X-Client-Secret",
    ];
    headers.extend(dropped.map(|name| (name.to_owned(), c.lost(&format!("header {name}"), CREDENTIAL))));
    let mut more = |name: &str, value: String| headers.push((name.to_owned(), value));
    more("X-Mail", c.mail("header, address"));
    more("X-Number", c.number("header, number"));
    more("X-Twice", c.word("header, first of two"));
    more("X-Twice", c.word("header, second of two"));
    more("Authorization", format!("Bearer {}", STANDARD.encode(c.lost("header Authorization, base64", CREDENTIAL))));
    more(
        "Referer",
        format!(
            "https://{}@shop.example/{}?{}={}#{}",
            c.word("referer, user"),
            c.word("referer, path"),
            c.word("referer, query name"),
            c.word("referer, query value"),
            c.word("referer, fragment")
        ),
    );
    let (name, value) = (c.word("header name"), c.word("header of that name"));
    more(&format!("x-{name}"), value);
    let cookie = ["cookie sid, the session", "cookie value", "cookie name", "cookie, quoted", "cookie without name"];
    let [sid, value, name, quoted, bare] = cookie.map(|position| c.lost(position, COOKIE));
    more("Cookie", format!("sid={sid}; theme={value}; {name}=1; q=\"{quoted}\"; {bare}"));
    more("Connection", format!("close, x-{}", c.lost("header Connection", HOP)));
    more("Te", c.lost("header Te", HOP));
    headers
}

fn answer_head(c: &mut Canaries) -> Vec<u8> {
    let mut headers = Headers::new();
    let plain = [
        "X-Name",
        "Server",
        "Via",
        "Etag",
        "Last-Modified",
        "Age",
        "Vary",
        "Warning",
        "Link",
        "Refresh",
        "Content-Disposition",
        "Content-Language",
        "Cache-Control",
        "X-Powered-By",
        "X-Request-Id",
        "Server-Timing",
        "Access-Control-Allow-Origin",
        "Content-Security-Policy",
        "Retry-After",
        "Allow",
        "X-Error",
    ];
    headers.extend(plain.map(|name| (name.to_owned(), c.word(&format!("header {name}")))));
    let mut more = |name: &str, value: String| headers.push((name.to_owned(), value));
    more("Www-Authenticate", format!("Basic realm=\"{}\"", c.lost("header Www-Authenticate", CREDENTIAL)));
    more("X-Auth-Token", c.lost("header X-Auth-Token", CREDENTIAL));
    for name in ["Location", "Content-Location"] {
        let url = format!(
            "/{}?{}={}",
            c.word(&format!("{name}, path")),
            c.word(&format!("{name}, name")),
            c.word(&format!("{name}, value"))
        );
        more(name, url);
    }
    let cookie = ["value", "name", "attribute"].map(|position| c.lost(&format!("set-cookie, {position}"), COOKIE));
    let ([value, name, attribute], path) = (cookie, c.word("set-cookie, path"));
    more("Set-Cookie", format!("sid={value}; Path=/{path}; Owner={attribute}; HttpOnly"));
    more("Set-Cookie", format!("{name}=1"));
    more("Transfer-Encoding", "chunked".to_owned());
    more("Trailer", "X-Late".to_owned());
    let phrase = c.lost("reason phrase", UNRECORDED);
    let body = c.word("chunked body");
    let trailer = c.lost("trailer", UNRECORDED);
    let extension = c.lost("chunk extension", UNRECORDED);
    let chunks = format!("{:x};x={extension}\r\n\"{body}\"\r\n0\r\nX-Late: {trailer}\r\n\r\n", body.len() + 2);
    more("Content-Type", "application/json".to_owned());
    answer(&format!("500 {phrase}"), &headers, chunks.as_bytes())
}

/// Ways to fail that [`failing`] knows.
const FAILURES: usize = 4;

/// An answer that is none.
fn failing(c: &mut Canaries, failure: usize) -> Vec<u8> {
    let json = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    let text = c.lost(&format!("failure {failure}"), BROKEN);
    match failure {
        // Garbage where a status should be.
        0 => format!("{text} {text}\r\n\r\n").into_bytes(),
        // Half a body.
        1 => {
            let headers = [json, vec![("Content-Length".to_owned(), "500".to_owned())]].concat();
            answer("200 OK", &headers, format!("{{\"error\":\"{text}").as_bytes())
        }
        // Garbage where a chunk should begin.
        2 => {
            let headers = [json, vec![("Transfer-Encoding".to_owned(), "chunked".to_owned())]].concat();
            answer("200 OK", &headers, format!("{text}\r\n{text}").as_bytes())
        }
        // Garbage among the headers.
        _ => format!("HTTP/1.1 200 OK\r\n{text} {text}\r\nContent-Length: 0\r\n\r\n").into_bytes(),
    }
}
