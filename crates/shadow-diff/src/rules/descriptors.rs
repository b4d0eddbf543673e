//! Descriptor sets of Protocol Buffers in rules: people name a file, and the rules of a launch hold what is in it, since they are
//! pinned and travel as text.

use std::io;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use toml::Spanned;

/// A descriptor set that cannot be put into rules.
#[derive(Debug, thiserror::Error)]
#[error("comparison rules, line {line}: the descriptor set `{path}` cannot be read: {cause}")]
pub struct InlineError {
    /// Line of the text, from 1.
    pub line: usize,
    /// As the rules name it.
    pub path: String,
    /// Why.
    pub cause: io::Error,
}

#[derive(Deserialize)]
struct Text {
    #[serde(default)]
    protobuf: Vec<Table>,
}

#[derive(Deserialize)]
struct Table {
    descriptor_file: Option<Spanned<String>>,
}

const KEY: &str = "descriptor_file";

/// The same rules with every `descriptor_file = "path"` as `descriptor = "base64"`, on the same line. A text that is no TOML stays
/// as it is: [`Rules::parse`](crate::Rules::parse) says why.
///
/// # Errors
/// [`InlineError`] with the line, when `read` fails.
pub fn inline_descriptors(
    text: &str,
    mut read: impl FnMut(&str) -> io::Result<Vec<u8>>,
) -> Result<String, InlineError> {
    let Ok(Text { protobuf }) = toml::from_str(text) else { return Ok(text.to_owned()) };
    let mut files: Vec<Spanned<String>> = protobuf.into_iter().filter_map(|table| table.descriptor_file).collect();
    files.sort_by_key(|file| file.span().start);
    let mut inlined = text.to_owned();
    // From the end, so that what is before keeps its place.
    for file in files.iter().rev() {
        let Range { start, end } = file.span();
        let Some(key) = text[..start].rfind(KEY) else { continue };
        let descriptor = read(file.get_ref()).map_err(|cause| InlineError {
            line: text[..start].matches('\n').count() + 1,
            path: file.get_ref().clone(),
            cause,
        })?;
        inlined.replace_range(start..end, &format!("\"{}\"", STANDARD.encode(descriptor)));
        inlined.replace_range(key..key + KEY.len(), "descriptor");
    }
    Ok(inlined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_put_into_their_lines_and_nothing_else_changes() {
        let text = "# rules\n[[protobuf]]\nmessage = \"a\"\ndescriptor_file = 'one.bin' # so\n\n[[ignore]]\njson = [\"$.a\"]\n\
            [[protobuf]]\ndescriptor_file = \"two.bin\"\nmessage = \"b\"\n";
        let inlined = inline_descriptors(text, |path| Ok(path.as_bytes().to_vec())).unwrap();
        assert_eq!(
            inlined,
            "# rules\n[[protobuf]]\nmessage = \"a\"\ndescriptor = \"b25lLmJpbg==\" # so\n\n[[ignore]]\njson = [\"$.a\"]\n\
             [[protobuf]]\ndescriptor = \"dHdvLmJpbg==\"\nmessage = \"b\"\n"
        );
        assert_eq!(inline_descriptors(&inlined, |_| unreachable!("nothing is left to read")).unwrap(), inlined);
        assert_eq!(inline_descriptors("no toml", |_| unreachable!("nothing to read")).unwrap(), "no toml");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_at_its_line() {
        let text = "\n[[protobuf]]\ndescriptor_file = \"absent.bin\"\n";
        let error = inline_descriptors(text, |_| Err(io::ErrorKind::NotFound.into())).unwrap_err();
        assert!(error.to_string().contains("line 3") && error.to_string().contains("absent.bin"), "{error}");
    }
}
