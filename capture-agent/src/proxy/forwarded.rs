//! The lines that tell the primary about the client, where `primary.forwarded` asks for them.

use std::net::SocketAddr;

use shadow_capture::head::{RequestLine, split_target};

use crate::config::Forwarded;

use super::http1::head::WireRequest;

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";

/// What the primary is told about the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forwarding(pub(crate) Forwarded);

impl Forwarding {
    /// The head with those lines. `None`: it stays as it is.
    pub(crate) fn rewritten(self, head: &WireRequest<'_>, client: SocketAddr, encrypted: bool) -> Option<Vec<u8>> {
        match self.0 {
            Forwarded::Keep => None,
            Forwarded::Append => Some(append(head, client, encrypted)),
        }
    }
}

/// All lines as they came, but those of `X-Forwarded-For`, which become one at the end.
fn append(head: &WireRequest<'_>, client: SocketAddr, encrypted: bool) -> Vec<u8> {
    let find = |name: &'static str| head.lines().filter(move |(found, _)| found.eq_ignore_ascii_case(name));
    let mut out = Vec::with_capacity(head.bytes().len() + 128);
    let mut lines = head.bytes().split_inclusive(|&byte| byte == b'\n').filter(|line| *line != b"\r\n");
    out.extend_from_slice(lines.next().unwrap_or_default());
    for line in lines {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        if name.eq_ignore_ascii_case(b"connection") {
            put_connection(&mut out, name, &line[name.len() + 1..]);
        } else if !name.eq_ignore_ascii_case(FOR.as_bytes()) {
            out.extend_from_slice(line);
        }
    }
    let client = client.ip().to_canonical().to_string();
    let chain: Vec<_> = find(FOR).map(|(_, value)| value).chain([client.as_bytes()]).collect();
    let mut put = |name: &str, value: &[u8]| {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    };
    put("X-Forwarded-For", &chain.join(&b", "[..]));
    if find(PROTO).next().is_none() {
        put("X-Forwarded-Proto", if encrypted { b"https" } else { b"http" });
    }
    // An absolute target outranks the `Host` line (RFC 9112 section 3.2.2).
    let target = RequestLine::read(head.bytes()).map(|start| start.target_text());
    let asked = target.as_deref().and_then(|target| split_target(target).0).map(str::as_bytes);
    let host = asked.or_else(|| find("host").next().map(|(_, value)| value));
    if let (None, Some(host)) = (find(HOST).next(), host) {
        put("X-Forwarded-Host", host);
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// A `Connection` line, which must not name what is told here: a primary that is a proxy itself would remove it.
fn put_connection(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let told = |token: &[u8]| [FOR, PROTO, HOST].iter().any(|told| token.eq_ignore_ascii_case(told.as_bytes()));
    let tokens: Vec<_> = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).collect();
    if tokens.iter().any(|token| told(token)) {
        let kept: Vec<_> = tokens.into_iter().filter(|token| !told(token)).collect();
        out.extend_from_slice(&[name, b": ", &kept.join(&b", "[..]), b"\r\n"].concat());
    } else {
        out.extend_from_slice(&[name, b":", value].concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::http1::head::read_request;

    fn rewritten(lines: &str) -> String {
        let head = format!("GET /a HTTP/1.1\r\n{lines}\r\n");
        let forwarding = Forwarding(Forwarded::Append);
        let client = "[::ffff:10.0.0.7]:99".parse().unwrap();
        let (_, out) = read_request(head.as_bytes(), |head| forwarding.rewritten(head, client, false)).unwrap();
        String::from_utf8(out.unwrap()).unwrap()
    }

    #[test]
    fn a_connection_line_cannot_remove_what_the_primary_is_told() {
        let out = rewritten("Connection: close, X-Forwarded-For\r\nConnection:  keep-alive\r\n");
        assert!(
            out.contains("\r\nConnection: close\r\nConnection:  keep-alive\r\nX-Forwarded-For: 10.0.0.7\r\n"),
            "{out}"
        );
    }

    #[test]
    fn the_client_is_appended_and_everything_else_stays_as_it_is() {
        assert_eq!(
            rewritten("hOST:  shop\r\nX-Odd:\t1\r\n"),
            "GET /a HTTP/1.1\r\nhOST:  shop\r\nX-Odd:\t1\r\nX-Forwarded-For: 10.0.0.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: shop\r\n\r\n"
        );
        assert_eq!(
            rewritten(
                "X-Forwarded-For: a, b\r\nHost: shop\r\nx-forwarded-for: c\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: www\r\n"
            ),
            "GET /a HTTP/1.1\r\nHost: shop\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: www\r\nX-Forwarded-For: a, b, c, 10.0.0.7\r\n\r\n"
        );
    }
}
