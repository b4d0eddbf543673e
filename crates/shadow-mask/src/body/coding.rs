//! Content codings, undone within a bound: what unpacks to more is refused before it takes the memory.

use std::borrow::Cow;
use std::io::Read;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::refused::Refused;

/// Most bytes that a body may unpack to. Tees hold bodies of a few MiB at most, so this is a large body well compressed.
const MAX_DECODED: usize = 16 << 20;
/// Most codings on top of each other.
const MAX_CODINGS: usize = 2;

/// The body without its content codings; borrowed when there are none.
pub(super) fn decode<'b>(headers: &HeaderMap, body: &'b Bytes) -> Result<Cow<'b, [u8]>, Refused> {
    let mut codings = Vec::new();
    for line in headers.get_all(CONTENT_ENCODING) {
        let line = line.to_str().map_err(|_| Refused::UnknownCoding)?;
        codings.extend(line.split(',').map(str::trim).filter(|coding| !coding.is_empty()));
    }
    codings.retain(|coding| !coding.eq_ignore_ascii_case("identity"));
    if codings.len() > MAX_CODINGS {
        return Err(Refused::UnknownCoding);
    }
    let mut decoded = Cow::Borrowed(&body[..]);
    // They were applied in the order in which they are listed.
    for coding in codings.iter().rev() {
        decoded = Cow::Owned(undo(&coding.to_ascii_lowercase(), &decoded)?);
    }
    Ok(decoded)
}

fn undo(coding: &str, body: &[u8]) -> Result<Vec<u8>, Refused> {
    match coding {
        "gzip" | "x-gzip" => read(flate2::bufread::MultiGzDecoder::new(body)),
        // The standard says zlib; some send the bare stream.
        "deflate" => match read(flate2::bufread::ZlibDecoder::new(body)) {
            Err(Refused::BadCoding) => read(flate2::bufread::DeflateDecoder::new(body)),
            decoded => decoded,
        },
        "br" => read(brotli_decompressor::Decompressor::new(body, 4096)),
        "zstd" => {
            let frames = ruzstd::decoding::StreamingDecoder::new(body).map_err(|_| Refused::BadCoding)?;
            read(frames)
        }
        _ => Err(Refused::UnknownCoding),
    }
}

fn read(decoder: impl Read) -> Result<Vec<u8>, Refused> {
    let mut decoded = Vec::new();
    decoder.take(MAX_DECODED as u64 + 1).read_to_end(&mut decoded).map_err(|_| Refused::BadCoding)?;
    if decoded.len() > MAX_DECODED { Err(Refused::TooLarge) } else { Ok(decoded) }
}
