//! Charsets: masking reads UTF-8, so other text is brought into it and back.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::refused::Refused;

/// Masks `body` as UTF-8 and gives the result in the body's own charset, so that the headers stay true.
pub(super) fn in_utf8(
    charset: Option<&str>,
    body: &[u8],
    mask: impl FnOnce(&[u8]) -> Result<Vec<u8>, Refused>,
) -> Result<Vec<u8>, Refused> {
    let Some(label) = charset else { return mask(body) };
    let encoding = Encoding::for_label(label.as_bytes()).ok_or(Refused::UnknownCharset)?;
    // US-ASCII is taken for windows-1252 by the standard; bytes beyond it are wrong either way.
    if encoding == UTF_8 || label.eq_ignore_ascii_case("us-ascii") {
        return mask(body);
    }
    let text = encoding.decode_without_bom_handling_and_without_replacement(body).ok_or(Refused::BadCharset)?;
    let masked = String::from_utf8(mask(text.as_bytes())?).map_err(|_| Refused::BadCharset)?;
    if encoding == UTF_16LE || encoding == UTF_16BE {
        let bytes = if encoding == UTF_16LE { u16::to_le_bytes } else { u16::to_be_bytes };
        return Ok(masked.encode_utf16().flat_map(bytes).collect());
    }
    let (encoded, _, lost) = encoding.encode(&masked);
    if lost { Err(Refused::BadCharset) } else { Ok(encoded.into_owned()) }
}

/// The standard's name of a charset.
pub(super) fn name(label: &str) -> Option<&'static str> {
    Encoding::for_label(label.as_bytes()).map(Encoding::name)
}

/// The encoding that a document's first line names, or its byte order mark.
pub(super) fn declared_in_xml(body: &[u8]) -> Option<String> {
    if let Some((encoding, _)) = Encoding::for_bom(body).filter(|(encoding, _)| *encoding != UTF_8) {
        return Some(encoding.name().to_owned());
    }
    let line = &body[..body.iter().take(200).position(|b| *b == b'>')?];
    let line = std::str::from_utf8(line).ok()?.strip_prefix("<?xml")?;
    let (_, rest) = line.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split(quote).next().map(str::to_owned)
}
