//! Heads and what is read from them.

use super::*;

fn request(bytes: &[u8]) -> Result<RequestFacts, Refusal> {
    let length = HeadEnd::default().find(bytes)?.expect("the head is whole");
    read_request(&bytes[..length], |_| ()).map(|(facts, ())| facts)
}

#[test]
fn a_head_ends_at_its_empty_line_however_it_arrives() {
    let bytes = b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\n\r\n";
    let length = 27;
    for first in 0..bytes.len() {
        let mut end = HeadEnd::default();
        let before = end.find(&bytes[..first]).unwrap();
        assert_eq!(before, (first >= length).then_some(length));
        if before.is_none() {
            assert_eq!(end.find(bytes), Ok(Some(length)));
        }
    }
}

#[test]
fn a_head_with_two_faults_is_refused_for_the_same_one_however_it_arrives() {
    let bytes = [b"GET / HTTP/1.1\r\n".as_slice(), &b"X: 1\r\n".repeat(MAX_LINES + 1), b"Y: 1\n"].concat();
    let mut end = HeadEnd::default();
    let piecemeal = (0..bytes.len()).find_map(|length| end.find(&bytes[..length]).err());
    assert_eq!(piecemeal, Some(Refusal::TooLarge));
    assert_eq!(HeadEnd::default().find(&bytes), Err(Refusal::TooLarge));
}

#[test]
fn framing_follows_the_one_line_that_names_it() {
    let framing =
        |lines: &str| request(format!("POST / HTTP/1.1\r\n{lines}\r\n").as_bytes()).map(|facts| facts.framing);
    let chunked = || Ok(Framing::Chunked(Chunks::begin()));
    for (lines, expected) in [
        ("", Ok(Framing::NONE)),
        ("content-LENGTH:  12 \r\n", Ok(Framing::Length(12))),
        ("Transfer-Encoding: Chunked\r\n", chunked()),
        ("Content-Length: 1\r\nContent-Length: 1\r\n", Err(Refusal::Ambiguous)),
        ("Content-Length: 1, 1\r\n", Err(Refusal::Length)),
        ("Content-Length: +1\r\n", Err(Refusal::Length)),
        ("Content-Length: 0x1\r\n", Err(Refusal::Length)),
        ("Content-Length:\r\n", Err(Refusal::Length)),
        ("Content-Length: 18446744073709551616\r\n", Err(Refusal::Length)),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Err(Refusal::Ambiguous)),
        ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", Err(Refusal::Ambiguous)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(Refusal::Ambiguous)),
        ("Transfer-Encoding: gzip, chunked\r\n", Err(Refusal::Coding)),
        ("Transfer-Encoding: chunked, identity\r\n", Err(Refusal::Coding)),
        ("Transfer-Encoding: xchunked\r\n", Err(Refusal::Coding)),
        ("Transfer-Encoding:\r\n", Err(Refusal::Coding)),
        ("Transfer-Encoding: \x0bchunked\r\n", Err(Refusal::Malformed)),
        ("Transfer-Encoding : chunked\r\n", Err(Refusal::Malformed)),
        ("X: 1\r\n folded\r\n", Err(Refusal::Malformed)),
        ("X: 1\rY: 2\r\n", Err(Refusal::Malformed)),
        ("X: \0\r\n", Err(Refusal::Malformed)),
        ("X: 1\nY: 2\r\n", Err(Refusal::BareLineFeed)),
    ] {
        assert_eq!(framing(lines), expected, "{lines:?}");
    }
    assert_eq!(request(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(Refusal::Ambiguous));
    assert_eq!(request(b"GET / HTTP/2.0\r\n\r\n"), Err(Refusal::Version));
    let many = "X: 1\r\n".repeat(MAX_LINES + 1);
    assert_eq!(framing(&many), Err(Refusal::TooLarge));
    let long = format!("X: {}\r\n", "a".repeat(MAX_HEAD));
    assert_eq!(framing(&long), Err(Refusal::TooLarge));
}

fn response(to: Kind, bytes: &[u8]) -> Result<Option<Then>, Unreadable> {
    read_response(bytes, to, |_| ()).map(|facts| facts.map(|facts| facts.then))
}

#[test]
fn responses_are_framed_as_a_client_would_read_them() {
    let body = |framing| Ok(Some(Then::Body(framing)));
    let chunked = || body(Framing::Chunked(Chunks::begin_response()));
    for (kind, bytes, expected) in [
        (Kind::Ordinary, &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"[..], body(Framing::Length(3))),
        (
            Kind::Ordinary,
            b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nContent-Length: 3\r\n\r\n",
            body(Framing::Length(3)),
        ),
        (Kind::Ordinary, b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n@: 1\r\n\r\n", body(Framing::Length(3))),
        (Kind::Ordinary, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", Err(Unreadable)),
        (Kind::Ordinary, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", chunked()),
        (Kind::Ordinary, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", chunked()),
        (Kind::Ordinary, b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", body(Framing::UntilClose)),
        (Kind::Ordinary, b"HTTP/1.1 200\r\n\r\n", body(Framing::UntilClose)),
        (Kind::Ordinary, b"HTTP/1.1 200 OK\nX : 1\n folded\n\n", body(Framing::UntilClose)),
        (Kind::Ordinary, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 2", Ok(Some(Then::Another))),
        (Kind::Ordinary, b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Ok(Some(Then::Tunnel))),
        (Kind::Ordinary, b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", body(Framing::NONE)),
        (Kind::Ordinary, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", body(Framing::NONE)),
        (Kind::Head, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", body(Framing::NONE)),
        (Kind::Connect, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Ok(Some(Then::Tunnel))),
        (Kind::Connect, b"HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\n", body(Framing::Length(3))),
        (Kind::Ordinary, b"HTTP/1.1 200 OK\r\nContent-Le", Ok(None)),
        (Kind::Ordinary, b"this is not HTTP\r\n\r\n", Err(Unreadable)),
    ] {
        assert_eq!(response(kind, bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
    }
}
