//! A raw HTTP/1.1 message from a file: a request or an answer.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use shadow_mask::{RawBody, RawRequest, RawResponse};

use crate::failure::Failure;

pub(in crate::commands) enum Message {
    Request(RawRequest),
    Response(RawResponse),
}

/// Reads a message. Lines may end in LF alone, as people write them.
pub(in crate::commands) fn parse(input: &Bytes) -> Result<Message, Failure> {
    let (head, body) = split(input)?;
    let head = head.replace("\r\n", "\n");
    let mut lines = head.lines();
    let start = lines.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    for (number, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
        let field = line.split_once(':').and_then(|(name, value)| {
            Some((name.trim().parse::<HeaderName>().ok()?, HeaderValue::from_bytes(value.trim().as_bytes()).ok()?))
        });
        let (name, value) = field.ok_or_else(|| wrong(&format!("line {} is no header", number + 2)))?;
        headers.append(name, value);
    }
    let chunked = headers.get("transfer-encoding").is_some_and(|coding| coding.as_bytes().ends_with(b"chunked"));
    let body = RawBody::Whole(if chunked { unchunk(&body)? } else { body });
    let words: Vec<&str> = start.split(' ').collect();
    match words[..] {
        [version, status, ..] if version.starts_with("HTTP/") => {
            let status = status.parse().map_err(|_| wrong(&format!("`{status}` is no status")))?;
            Ok(Message::Response(RawResponse { status, headers, body }))
        }
        [method, target, version] if version.starts_with("HTTP/") => {
            let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
            let authority = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
            Ok(Message::Request(RawRequest {
                method: method.to_owned(),
                scheme: "http".to_owned(),
                authority,
                path: path.to_owned(),
                query: query.map(str::to_owned),
                headers,
                body,
            }))
        }
        _ => Err(wrong("the first line is neither that of a request nor that of an answer")),
    }
}

fn wrong(cause: &str) -> Failure {
    Failure::usage(format!("no HTTP message: {cause}"), "give one as it is on the wire, such as `GET / HTTP/1.1`")
}

/// The head, and the body behind the first empty line.
fn split(input: &Bytes) -> Result<(String, Bytes), Failure> {
    let find = |end: &[u8]| input.windows(end.len()).position(|window| window == end).map(|at| (at, at + end.len()));
    let ends = [find(b"\r\n\r\n"), find(b"\n\n")].into_iter().flatten().min();
    let (head, body) = ends.unwrap_or((input.len(), input.len()));
    let text = String::from_utf8(input[..head].to_vec()).map_err(|_| wrong("its head is not UTF-8"))?;
    Ok((text, input.slice(body..)))
}

fn unchunk(body: &Bytes) -> Result<Bytes, Failure> {
    let broken = || wrong("its chunks do not fit");
    let (mut whole, mut rest) = (Vec::new(), &body[..]);
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n").ok_or_else(broken)?;
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| broken())?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| broken())?;
        if size == 0 {
            return Ok(whole.into());
        }
        let chunk = rest[end + 2..].get(..size).ok_or_else(broken)?;
        whole.extend_from_slice(chunk);
        rest = rest[end + 2 + size..].strip_prefix(b"\r\n").ok_or_else(broken)?;
    }
}
