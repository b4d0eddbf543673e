//! Awkward framing: lengths, chunks, trailers, and bodies that are ended by the connection or not there at all.

use crate::conversation::{Conversation, talk};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n";

/// One exchange and another behind it, which shows that both ends agree on where the first one ended.
fn pair(name: &'static str, request: &[u8], answer: &[u8]) -> Conversation {
    talk(name).client(request).origin(answer).client(NEXT).origin(OK).requests(2)
}

pub(super) fn requests() -> Vec<Conversation> {
    let long_extension = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;note={}\r\na\r\n0\r\n\r\n",
        "e".repeat(1000)
    );
    vec![
        pair("a length", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", OK),
        pair("a length with leading zeros", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0005\r\n\r\nhello", OK),
        pair("a length of zero", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", OK),
        pair("no length and no body", b"POST / HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        pair("get with a body", b"GET /search HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}", OK),
        pair("delete with a body", b"DELETE /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}", OK),
        pair(
            "get with a chunked body",
            b"GET /search HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            OK,
        ),
        pair(
            "head with a body",
            b"HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
        ),
        pair(
            "a body that looks like a request",
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 36\r\n\r\nGET /inner HTTP/1.1\r\nHost: inner\r\n\r\n",
            OK,
        ),
        pair(
            "chunks of odd sizes and spellings, with extensions",
            b"PUT / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: Chunked\r\n\r\n0003\r\nabc\r\nA;x;y=z;q=\"a;\\\"b\"\r\n0123456789\r\n00001;last\r\n!\r\n000;end=1\r\n\r\n",
            OK,
        ),
        pair("a long chunk extension", long_extension.as_bytes(), OK),
        pair(
            "chunks whose content looks like chunks",
            b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n0\r\n\r\n0\r\n\r\r\n2\r\n\r\n\r\n0\r\n\r\n",
            OK,
        ),
        pair(
            "declared trailers",
            b"PUT / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTrailer: X-sUM\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-sUM: 9\r\n\r\n",
        ),
        pair(
            "trailers that nobody declared, repeated and empty",
            b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-B: 1\r\nx-A: \xe9\r\nX-B:\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-B: 1\r\nx-A: \xe9\r\nX-B:\r\n\r\n",
        ),
        pair("bytes of every value", &every_byte("POST / HTTP/1.1\r\nHost: h"), &every_byte("HTTP/1.1 200 OK")),
    ]
}

fn every_byte(start: &str) -> Vec<u8> {
    let mut message = format!("{start}\r\nContent-Length: 256\r\n\r\n").into_bytes();
    message.extend(0..=255u8);
    message
}

pub(super) fn responses() -> Vec<Conversation> {
    let get: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let head: &[u8] = b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
    let ended = |name, answer: &[u8]| talk(name).client(get).origin(answer).origin_closes();
    vec![
        pair("a large answer of a length", get, &large(300 << 10)),
        pair("head with a length", head, b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: \"x\"\r\n\r\n"),
        pair("head of a chunked answer", head, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        pair("head without framing", head, b"HTTP/1.1 200 OK\r\n\r\n"),
        pair("no content", get, b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
        pair("no content, with a length of zero", get, b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
        pair("no content, with a length", get, b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n"),
        pair("not modified", get, b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        pair("not modified, with a length", get, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n"),
        pair(
            "not modified, said to be chunked",
            get,
            b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        pair("reset content", get, b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
        pair(
            "chunks of odd sizes and spellings, with extensions",
            get,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n02;a=\"b\"\r\nhi\r\nA\r\n0123456789\r\n00;z\r\n\r\n",
        ),
        pair("no chunks at all", get, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ended("ended by the connection", b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end"),
        ended("nothing, ended by the connection", b"HTTP/1.1 200 OK\r\n\r\n"),
        ended("HTTP/1.0, ended by the connection", b"HTTP/1.0 200 OK\r\n\r\nuntil the end"),
        ended("shorter than its length", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst"),
        ended("without its last chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"),
        ended(
            "a coding that ends with the connection",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n\x1f\x8b\x08",
        ),
        ended("two lengths, as they are", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
        ended(
            "a length beside chunks, as they are",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        ended("more than its framing allows", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\noksurprise"),
        talk("cut within its head").client(get).origin_closes().saying("HTTP/1.1 200 OK\r\nContent-Le"),
        ended("not HTTP at all", b"SSH-2.0-OpenSSH_9.2\r\nmore\n\0\xff"),
        ended("no answer", b""),
    ]
}

fn large(size: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
    answer.extend((0..size).map(|at| (at % 251) as u8));
    answer
}
