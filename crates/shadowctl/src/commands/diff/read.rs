//! The two answers, from files and standard input.

use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use shadow_mask::RawBody;
use shadow_record::{Body, Header, Response};

use super::DiffArgs;
use crate::commands::mask::http::{Message, parse};
use crate::failure::Failure;

/// Longest answer.
const MAX_INPUT: u64 = 256 << 20;

/// Reads the primary's and the candidate's answer.
///
/// # Errors
/// When one cannot be read, or is no answer.
pub(super) fn answers(args: &DiffArgs) -> Result<(Response, Response), Failure> {
    let stdin = Path::new("-");
    if args.primary == stdin && args.candidate == stdin {
        return Err(Failure::usage("only one of the two can be standard input", "give the other one as a file"));
    }
    Ok((answer(args, &args.primary)?, answer(args, &args.candidate)?))
}

fn answer(args: &DiffArgs, path: &Path) -> Result<Response, Failure> {
    let input = input(path)?;
    if !args.http {
        let headers = vec![Header::of("content-type", args.content_type.as_str())];
        return Ok(Response { status: 200, headers, body: body(input) });
    }
    raw(input).map_err(|failure| Failure { cause: format!("`{}`: {}", path.display(), failure.cause), ..failure })
}

fn input(path: &Path) -> Result<Bytes, Failure> {
    let mut input = Vec::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut input),
        _ => std::fs::File::open(path).and_then(|file| file.take(MAX_INPUT + 1).read_to_end(&mut input)),
    };
    read.map_err(|error| Failure::usage(format!("`{}` cannot be read: {error}", path.display()), "check the path"))?;
    if input.len() as u64 > MAX_INPUT {
        return Err(Failure::usage(format!("`{}` is longer than 256 MiB", path.display()), "compare a part of it"));
    }
    Ok(input.into())
}

/// A whole answer, taken out of its chunks and content codings, as the agent takes it before masking.
fn raw(input: Bytes) -> Result<Response, Failure> {
    let Message::Response(raw) = parse(&input)? else {
        return Err(Failure::usage("this is a request", "give the answer to it, beginning `HTTP/1.1 200`"));
    };
    let RawBody::Whole(content) = raw.body else { unreachable!("a message from a file is whole") };
    let mut headers = raw.headers;
    let plain = shadow_mask::decode_content(&headers, &content).map_err(|refused| {
        Failure::usage(
            format!("its content coding cannot be undone ({refused:?})"),
            "store the answer without one, as `curl --compressed` does",
        )
    })?;
    let plain = Bytes::copy_from_slice(&plain);
    for name in [CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        Header::of(name.as_str(), String::from_utf8_lossy(value.as_bytes()))
    };
    Ok(Response { status: raw.status, headers: headers.iter().map(line).collect(), body: body(plain) })
}

fn body(content: Bytes) -> Body {
    Body { length: content.len() as i64, content: Some(content), digest: Bytes::new(), withheld: None }
}
