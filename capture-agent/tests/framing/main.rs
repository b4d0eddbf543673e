//! The readers of bytes from outside, on bytes made of what they look for: the fuzz targets' checks in a bounded run on stable.

#[path = "../../fuzz/checks.rs"]
mod checks;

use proptest::prelude::*;

/// Pieces of requests, well made and not.
const REQUEST: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\n",
    b"POST /a?b HTTP/1.1\r\n",
    b"HEAD * HTTP/1.0\r\n",
    b"CONNECT h:1 HTTP/1.1\r\n",
    b"Host: h\r\n",
    b"Content-Length: 5\r\n",
    b"content-length:0\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: +5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding:\tCHUNKED \r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"X: y\r\n z\r\n",
    b"Upgrade: x\r\n",
    b"X:\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b" ",
    b"\t",
    b":",
    b"\0",
    b"\x0b",
    b"\xff",
    b"HTTP/1.1",
];
const RESPONSE: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200\r\n",
    b"HTTP/1.0 404 \r\n",
    b"HTTP/1.1 101 Switching\r\n",
    b"HTTP/1.1 103 Hints\r\n",
    b"HTTP/1.1 204 None\r\n",
    b"HTTP/1.1 304 Same\r\n",
    b"HTTP/1.1 200 Pas trouv\xe9\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 7\r\n",
    b"content-length : 0\r\n",
    b"Content-Length: x\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Transfer-Encoding: gzip, Chunked\r\n",
    b"X: y\r\n z\r\n",
    b"X\r\n",
    b"Y: \r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\0",
    b"\xff",
];
const CHUNKS: &[&[u8]] = &[
    b"1\r\na\r\n",
    b"3\r\nabc\r\n",
    b"A\r\n0123456789\r\n",
    b"2;q=\"\\\"\"\r\n\r\n\r\n",
    b"0000000000000001\r\na\r\n",
    b"00000000000000001\r\na\r\n",
    b"10000000000000001\r\na\r\n",
    b"ffffffffffffffff\r\n",
    b"+1\r\na\r\n",
    b"-1\r\na\r\n",
    b"0x1\r\na\r\n",
    b"1 \r\na\r\n",
    b" 1\r\na\r\n",
    b"1_\r\na\r\n",
    b"1\t;x\r\na\r\n",
    b"1;x\na\r\n",
    b"1;x\ry\r\na\r\n",
    b"1;\xff\t\r\na\r\n",
    b"1;\0\r\na\r\n",
    b"1\na\r\n",
    b"1\r\na\n",
    b"1\r\nab\r\n",
    b"2\r\na\r\n",
    b"\r\n",
    b"\r",
    b"\n",
];
const TRAILERS: &[&[u8]] = &[
    b"0\r\n",
    b"0;x=y\r\n",
    b"000\r\n",
    b"0\n",
    b"X: y\r\n",
    b"X:\r\n",
    b"X\r\n",
    b" z\r\n",
    b"X : y\r\n",
    b"X: y\n",
    b"X: \ry\r\n",
    b"X: \0\r\n",
    b"X: \xff\t\r\n",
    b": y\r\n",
    b"\xff: y\r\n",
];
const PROXY: &[&[u8]] = &[
    b"PROXY ",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n",
    b"PROXY TCP6 ::1 ::2 1 65535\r\n",
    b"PROXY UNKNOWN",
    b"TCP4 ",
    b"1.2.3.4 ",
    b"::1 ",
    b"80 ",
    b"65536",
    b"\r\n",
    b"\r\n\r\n\0\r\nQUIT\n",
    b"\x20",
    b"\x21",
    b"\x11",
    b"\x21\x11\0\x0c",
    b"\x20\0\0\0",
    b"\x21\x21\0\x24",
    b"\0\x0c",
    b"0123456789ab",
    b"\xff\xff",
    b"GET / HTTP/1.1\r\n",
    b"\0",
];

/// Some pieces in a row, of which a few bytes may be replaced.
fn bytes_of(pieces: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let row = prop::collection::vec(prop::sample::select(pieces), 0..12).prop_map(|row| row.concat());
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (row, changes, 0..4).prop_map(|(mut bytes, changes, dice)| {
        // Most rows stay as they are: what is changed is rarely understood, and then there is little to compare.
        for (at, byte) in changes.into_iter().filter(|_| dice == 0 && !bytes.is_empty()).collect::<Vec<_>>() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// A whole head most of the time.
fn head_of(starts: usize, pieces: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(&pieces[..starts]), bytes_of(&pieces[starts..]))
        .prop_map(|(start, rest)| [start, &rest, b"\r\n"].concat())
}

/// A body that ends, if all that stands before is well made, as most of it is.
fn chunked_body() -> impl Strategy<Value = Vec<u8>> {
    let mostly = |good: &'static [&'static [u8]], all| prop_oneof![4 => prop::sample::select(good), 1 => prop::sample::select(all)];
    let chunks = prop::collection::vec(mostly(&CHUNKS[..5], CHUNKS), 0..4);
    let last = prop::sample::select(&TRAILERS[..4]);
    let trailers = prop::collection::vec(mostly(&TRAILERS[4..6], &TRAILERS[4..]), 0..3);
    (chunks, last, trailers).prop_map(|(chunks, last, trailers)| {
        [&chunks.concat()[..], last, &trailers.concat(), b"\r\nGET / HTTP/1.1\r\n"].concat()
    })
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn request_heads_are_read_in_one_way_or_not_at_all(bytes in prop_oneof![bytes_of(REQUEST), head_of(4, REQUEST)]) {
        checks::request(&bytes);
    }

    #[test]
    fn response_heads_are_read_the_same_whatever_follows(bytes in prop_oneof![bytes_of(RESPONSE), head_of(8, RESPONSE)]) {
        checks::response(&bytes);
    }

    #[test]
    fn chunked_bodies_end_where_a_naive_reader_ends_them(bytes in prop_oneof![chunked_body(), bytes_of(CHUNKS), bytes_of(TRAILERS)]) {
        checks::chunks(&bytes);
    }

    #[test]
    fn proxy_headers_end_where_they_end(bytes in bytes_of(PROXY)) {
        checks::proxy_protocol(&bytes);
    }
}

/// Were everything refused, the properties above would hold of nothing.
#[test]
fn the_checks_have_something_to_check() {
    use capture_agent::fuzzing::{Body, Read, chunked, proxy_header, request_head, response_head};
    let head = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(request_head(head, 7), Read::Done(head.len(), Body::Length(5)));
    let head = b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(response_head(head), Read::Done(head.len(), Body::Chunked));
    let body = b"3;x\r\nabc\r\n0\r\nX: y\r\n\r\n";
    assert_eq!(chunked(body, 2), Read::Done(body.len(), b"abc".to_vec()));
    let header = b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n";
    assert_eq!(proxy_header(header), Read::Done(header.len(), ()));
    for bytes in [&head[..], body, header] {
        checks::request(bytes);
        checks::response(bytes);
        checks::chunks(bytes);
        checks::proxy_protocol(bytes);
    }
}
