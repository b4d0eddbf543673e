//! Awkward heads: targets, methods, versions, names, values and their order.

use crate::conversation::{Conversation, talk};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A head of about `size` bytes in lines of at most 4 kB.
fn large(start: &str, end: &str, size: usize) -> Vec<u8> {
    let mut head = format!("{start}\r\n");
    let mut number = 0;
    while head.len() < size {
        head.push_str(&format!("X-Filler-{number}: {}\r\n", "v".repeat(4000.min(size - head.len()))));
        number += 1;
    }
    head.push_str(end);
    head.push_str("\r\n\r\n");
    head.into_bytes()
}

pub(super) fn requests() -> Vec<Conversation> {
    let long = format!("GET /{}?{} HTTP/1.1\r\nHost: h\r\n\r\n", "p".repeat(4 << 10), "q".repeat(4 << 10));
    vec![
        talk("plain get").client("GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n").origin(OK),
        talk("undecoded target with dot segments")
            .client("GET /a%2Fb/../c//./?x=%zz&y=[1]&&z#not HTTP/1.1\r\nHost: h\r\n\r\n")
            .origin(OK),
        talk("target with signs that no grammar allows and servers take")
            .client(b"GET /a|b{}^`\"<>\\ HTTP/1.1\r\nHost: h\r\n\r\n")
            .origin(OK),
        talk("target in UTF-8").client("GET /caf\u{e9}?\u{4e2d} HTTP/1.1\r\nHost: h\r\n\r\n").origin(OK),
        talk("target in Latin-1").client(b"GET /caf\xe9 HTTP/1.1\r\nHost: h\r\n\r\n").origin(OK),
        talk("target of eight kilobytes").client(long).origin(OK),
        talk("absolute target with another host")
            .client("GET http://Elsewhere:80/x?y HTTP/1.1\r\nHost: h\r\n\r\n")
            .origin(OK),
        talk("options for the server").client("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").origin(OK),
        talk("trace").client("TRACE / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n").origin(OK),
        talk("a method of their own").client("PURGE /cache HTTP/1.1\r\nHost: h\r\n\r\n").origin(OK),
        talk("a method in lower case").client("get / HTTP/1.1\r\nHost: h\r\n\r\n").origin(OK),
        talk("a method with every sign").client("M-!#$%&'*+.^_`|~9 / HTTP/1.1\r\nHost: h\r\n\r\n").origin(OK),
        talk("no host").client("GET / HTTP/1.1\r\n\r\n").origin(OK),
        talk("an empty host").client("GET / HTTP/1.1\r\nHost:\r\n\r\n").origin(OK),
        talk("two hosts").client("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").origin(OK),
        talk("odd casing, repetition across names, in order")
            .client("GET / HTTP/1.1\r\nhOST: h\r\nX-A: 1\r\nX-B: 2\r\nx-a: 3\r\nX-B: 2\r\nX-A: 0\r\n\r\n")
            .origin(OK),
        talk("values empty, padded, with tabs and eight bits")
            .client(b"GET / HTTP/1.1\r\nHost:h\r\nX-Empty:\r\nX-Spaces:   \r\nX-Pad: \t a\tb \t\r\nX-Raw: \xe9\xff\x80\r\n\r\n")
            .origin(OK),
        talk("names with every sign").client("GET / HTTP/1.1\r\nHost: h\r\n!#$%&'*+-.^_`|~9: v\r\n\r\n").origin(OK),
        talk("hop-by-hop names, which concern both ends of one and the same connection")
            .client("GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, X-Mine, Host\r\nKeep-Alive: timeout=5, max=9\r\nX-Mine: 1\r\nProxy-Connection: close\r\nTE: trailers, gzip;q=0.5\r\nProxy-Authorization: Basic eDp5\r\n\r\n")
            .origin("HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Yours\r\nKeep-Alive: timeout=5\r\nX-Yours: 1\r\nContent-Length: 0\r\n\r\n"),
        talk("what proxies add, sent by the client")
            .client("GET / HTTP/1.1\r\nHost: h\r\nVia: 1.1 a\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=_x\r\nX-Real-IP: 1.1.1.1\r\n\r\n")
            .origin("HTTP/1.1 200 OK\r\nVia: 1.1 b\r\nServer: own\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"),
        talk("an offer of HTTP/2 that the origin ignores")
            .client("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
            .origin(OK)
            .client("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
            .origin(OK)
            .requests(2),
        talk("an empty line behind the first body, as old clients send it")
            .client("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi\r\n")
            .origin(OK)
            .client("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
            .origin(OK)
            .requests(2),
        talk("an empty line between two requests that come at once")
            .client("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
            .origin(OK)
            .origin(OK)
            .requests(2),
        talk("empty lines before the requests, as old clients send them behind a body")
            .client("\r\n\r\nPOST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
            .origin(OK)
            .origin(OK)
            .requests(2),
        talk("a head of 60 kB").client(large("GET / HTTP/1.1", "Host: h", 60 << 10)).origin(OK),
        talk("a head of 200 lines")
            .client(format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(199)))
            .origin(OK),
    ]
}

pub(super) fn responses() -> Vec<Conversation> {
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let answered = |name, answer: &[u8]| {
        // The second exchange shows that both ends agree on where the first one ended.
        talk(name).client(get).origin(answer).client(get).origin(OK).requests(2)
    };
    vec![
        answered("a reason of one's own", b"HTTP/1.1 200 Fine By Me (really)\r\nContent-Length: 0\r\n\r\n"),
        answered("an empty reason", b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"),
        answered("no reason and no space before it", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
        answered("a reason of eight bits", b"HTTP/1.1 404 Pas trouv\xe9\r\nContent-Length: 0\r\n\r\n"),
        answered("a status nobody knows", b"HTTP/1.1 799 Odd\r\nContent-Length: 1\r\n\r\nx"),
        answered(
            "repeated names in order, odd casing, no server and no date",
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-oDD: 1\r\nset-cookie: b=2\r\nX-Odd: 0\r\nSET-COOKIE: a=1\r\nContent-Length: 0\r\n\r\n",
        ),
        answered(
            "values empty, padded and of eight bits",
            b"HTTP/1.1 200 OK\r\nX-Empty:\r\nX-Pad: \t a  \r\nX-Raw: \x80\xff\xe9\r\nContent-Length:0\r\n\r\n",
        ),
        answered(
            "folded lines",
            b"HTTP/1.1 200 OK\r\nX-Folded: one\r\n two\r\n\tthree\r\nContent-Length: 3\r\n\r\nabc",
        ),
        answered("lines ended by a line feed alone", b"HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 2\n\nok"),
        answered("a head of 60 kB", &large("HTTP/1.1 200 OK", "Content-Length: 0", 60 << 10)),
        answered(
            "a head of 250 lines",
            format!("HTTP/1.1 200 OK\r\n{}Content-Length: 1\r\n\r\nx", "Set-Cookie: a=b\r\n".repeat(249)).as_bytes(),
        ),
        answered("an offer to upgrade", b"HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: TLS/1.2, HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
    ]
}
