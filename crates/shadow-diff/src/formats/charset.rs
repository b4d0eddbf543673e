//! Bodies as text: brought into UTF-8 from the charset that their media type, byte order mark or XML declaration names, so that
//! the same content in two charsets is equal.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};

/// How far into a document its XML declaration is looked for; it comes first and is short.
const DECLARATION: usize = 200;

/// The body as text without a byte order mark; `None` when it is no text in its charset. A charset that nobody knows is taken
/// for UTF-8.
pub(super) fn text<'b>(media: &str, body: &'b [u8]) -> Option<Cow<'b, str>> {
    // The mark outranks every label, as the Encoding Standard has it.
    let (encoding, body) = match Encoding::for_bom(body) {
        Some((encoding, length)) => (encoding, &body[length..]),
        None => {
            let label = parameter(media, "charset").or_else(|| declared(body));
            (label.and_then(|label| Encoding::for_label(label.as_bytes())).unwrap_or(UTF_8), body)
        }
    };
    if encoding == UTF_8 {
        return std::str::from_utf8(body).ok().map(Cow::Borrowed);
    }
    encoding.decode_without_bom_handling_and_without_replacement(body)
}

/// The encoding of an XML declaration.
fn declared(body: &[u8]) -> Option<&str> {
    let start = body.strip_prefix(b"<?xml")?;
    let line = &start[..start.iter().take(DECLARATION).position(|byte| *byte == b'>')?];
    let (_, rest) = std::str::from_utf8(line).ok()?.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split(quote).next()
}

/// A parameter of a media type, without quotes.
pub(super) fn parameter<'m>(media: &'m str, name: &str) -> Option<&'m str> {
    let parameters = media.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut values = parameters.filter(|(given, _)| given.trim().eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_in_any_charset_is_one_text() {
        let utf16: Vec<u8> = "é".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let marked: Vec<u8> = "\u{feff}é".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let cases: &[(&str, &[u8])] = &[
            ("text/plain", "é".as_bytes()),
            ("text/plain; charset=utf-8", "\u{feff}é".as_bytes()),
            ("text/plain; charset=\"ISO-8859-1\"", b"\xe9"),
            ("text/plain;Charset=windows-1252", b"\xe9"),
            ("text/plain; charset=utf-16le", &utf16),
            ("text/plain", &marked),
            ("text/plain; charset=nobody-knows", "é".as_bytes()),
        ];
        for (media, body) in cases {
            assert_eq!(text(media, body).as_deref(), Some("é"), "{media}");
        }
        let declared = b"<?xml version='1.0' encoding='latin1'?><a>\xe9</a>";
        assert!(text("text/xml", declared).is_some_and(|text| text.ends_with("<a>é</a>")));
    }

    #[test]
    fn what_is_no_text_in_its_charset_is_no_text() {
        for (media, body) in [("text/plain", &b"\xe9"[..]), ("text/plain; charset=shift_jis", b"\xff\xff")] {
            assert_eq!(text(media, body), None, "{media}");
        }
    }
}
