//! What must hold for any bytes at all. Shared by the fuzz targets here and by `tests/framing`, which runs on stable.
//!
//! Each reader is held against a naive one that has the whole message and no state, and against itself: pieces must make no
//! difference, and what follows a message must not change how it is read.

use capture_agent::fuzzing::{Body, Read, chunked, proxy_header, request_head, response_head};

/// Longer inputs meet the readers' limits, of which the naive readers know nothing.
const MOST: usize = 4096;

/// Requests: strict, so that there is one way to read what passes.
pub(crate) fn request(bytes: &[u8]) {
    let read = request_head(bytes, usize::MAX);
    assert_eq!(request_head(bytes, 1), read, "byte by byte");
    assert_eq!(request_head(bytes, 1 + bytes.len() / 3), read, "in pieces");
    let Read::Done(length, body) = read else { return };
    let head = &bytes[..length];
    assert_eq!(naive_request(head), Some(body), "{}", head.escape_ascii());
    for end in length.saturating_sub(40)..length {
        assert_eq!(request_head(&bytes[..end], usize::MAX), Read::Incomplete, "cut at {end}");
    }
    assert_eq!(request_head(head, usize::MAX), Read::Done(length, body), "alone");
}

/// A head by the letter: `None` where any reader might balk or disagree.
fn naive_request(head: &[u8]) -> Option<Body> {
    let lines = strict_lines(head)?;
    let (start, fields) = lines.split_first()?;
    let words: Vec<&[u8]> = start.split(|&b| b == b' ').collect();
    let [method, target, version] = words[..] else { return None };
    let visible = |byte: &u8| *byte > b' ' && *byte != 0x7f;
    if !is_token(method) || target.is_empty() || !target.iter().all(visible) {
        return None;
    }
    let minor = version.strip_prefix(b"HTTP/1.").filter(|minor| matches!(minor, [b'0' | b'1']))?;
    let mut framing = Vec::new();
    for (name, value) in fields.iter().map(|line| field(line)) {
        match name?.to_ascii_lowercase().as_slice() {
            b"content-length" => framing.push(Body::Length(digits(value)?)),
            b"transfer-encoding" if value.eq_ignore_ascii_case(b"chunked") && minor == b"1" => {
                framing.push(Body::Chunked);
            }
            b"transfer-encoding" => return None,
            _ => {}
        }
    }
    match framing[..] {
        [] => Some(Body::Length(0)),
        [only] => Some(only),
        _ => None,
    }
}

/// The lines of a head that is made of nothing but lines, each ended by CR LF and free of control characters.
fn strict_lines(head: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = head.strip_suffix(b"\r\n\r\n")?;
    let mut lines = Vec::new();
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap_or(rest.len());
        let control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
        if end == 0 || rest[..end].iter().any(control) {
            return None;
        }
        lines.push(&rest[..end]);
        let Some(next) = rest.get(end + 2..) else { return Some(lines) };
        rest = next;
    }
}

/// Name and value of a header line; no name where the line is not one.
fn field(line: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let colon = line.iter().position(|&b| b == b':').unwrap_or(0);
    let value = line.get(colon + 1..).unwrap_or_default();
    (Some(&line[..colon]).filter(|name| is_token(name)), trim(value))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn is_token(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

fn digits(value: &[u8]) -> Option<u64> {
    let plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| plain)?.parse().ok()
}

/// Responses: lenient, but the same whatever follows, and by the letter where they are written by the letter.
pub(crate) fn response(bytes: &[u8]) {
    let Read::Done(length, body) = response_head(bytes) else { return };
    assert!(length <= bytes.len());
    assert_eq!(response_head(&bytes[..length]), Read::Done(length, body), "alone");
    assert_eq!(
        response_head(&[bytes, b"HTTP/1.1 200 OK\r\n\r\n"].concat()),
        Read::Done(length, body),
        "and more behind"
    );
    for end in length.saturating_sub(40)..length {
        assert_eq!(response_head(&bytes[..end]), Read::Incomplete, "cut at {end}");
    }
    if let Some(expected) = naive_response(&bytes[..length]) {
        assert_eq!(body, expected, "{}", bytes[..length].escape_ascii());
    }
}

/// RFC 9112 section 6.3 for a response to GET that is written by the letter and says no more than it must.
fn naive_response(head: &[u8]) -> Option<Body> {
    let lines = strict_lines(head)?;
    let (start, fields) = lines.split_first()?;
    let status = start.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let mut framing = Vec::new();
    for (name, value) in fields.iter().map(|line| field(line)) {
        match name?.to_ascii_lowercase().as_slice() {
            b"content-length" => framing.push(Body::Length(digits(value)?)),
            b"transfer-encoding" if value.eq_ignore_ascii_case(b"chunked") => framing.push(Body::Chunked),
            b"transfer-encoding" => return None,
            _ => {}
        }
    }
    match (status, &framing[..]) {
        (b"101", _) => Some(Body::Tunnel),
        ([b'1', ..], _) => Some(Body::Response),
        (b"204" | b"304", _) => Some(Body::Length(0)),
        (_, []) => Some(Body::UntilClose),
        (_, [only]) => Some(*only),
        _ => None,
    }
}

/// Chunked bodies.
pub(crate) fn chunks(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MOST)];
    let read = chunked(bytes, usize::MAX);
    assert_eq!(chunked(bytes, 1), read, "byte by byte");
    assert_eq!(chunked(bytes, 1 + bytes.len() / 3), read, "in pieces");
    let naive = naive_chunks(bytes);
    match &read {
        Read::Done(length, content) => {
            assert_eq!(naive, Some((*length, content.clone())), "{}", bytes.escape_ascii());
            assert_eq!(chunked(&bytes[..*length - 1], usize::MAX), Read::Incomplete, "its last byte missing");
        }
        _ => assert_eq!(naive, None, "{}", bytes.escape_ascii()),
    }
}

/// RFC 9112 section 7.1 by the letter: length of the body and its content. Every size is held against `httparse` too.
fn naive_chunks(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (mut at, mut content) = (0, Vec::new());
    let line = |at: usize| {
        let end = at + bytes[at..].windows(2).position(|pair| pair == b"\r\n")?;
        let text = |b: &u8| *b == b'\t' || (*b >= b' ' && *b != 0x7f);
        bytes[at..end].iter().all(text).then_some((&bytes[at..end], end + 2))
    };
    loop {
        let (size, next) = line(at)?;
        let digits = size.split(|&b| b == b';').next()?;
        // Signs are no digits, which `from_str_radix` does not know.
        if !digits.iter().all(u8::is_ascii_hexdigit) || digits.len() > 16 {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        assert_eq!(httparse::parse_chunk_size(&bytes[at..]), Ok(httparse::Status::Complete((next - at, size))));
        at = next;
        if size == 0 {
            break;
        }
        let end = at.checked_add(usize::try_from(size).ok()?)?;
        content.extend_from_slice(bytes.get(at..end)?);
        at = end + 2;
        (bytes.get(end..at)? == b"\r\n").then_some(())?;
    }
    loop {
        let (trailer, next) = line(at)?;
        if trailer.is_empty() {
            return Some((next, content));
        }
        field(trailer).0?;
        at = next;
    }
}

/// PROXY protocol headers: a header ends where it ends, and not a byte of what follows is taken for it.
pub(crate) fn proxy_protocol(bytes: &[u8]) {
    let Read::Done(length, ()) = proxy_header(bytes) else { return };
    assert!(length <= bytes.len());
    assert_eq!(proxy_header(&bytes[..length]), Read::Done(length, ()), "alone");
    for end in 0..length {
        assert_eq!(proxy_header(&bytes[..end]), Read::Incomplete, "cut at {end}");
    }
}
