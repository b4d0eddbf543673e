//! Reads JSON lines: an array of records, one on each line that is not empty.

use crate::document::{Builder, Document};
use crate::formats::{Unread, json};

/// Reads a whole body.
pub(super) fn read(text: &str) -> Result<Document, Unread> {
    let mut builder = Builder::for_bytes(text.len());
    builder.begin_array()?;
    let mut at = begin_of_record(text, 0);
    while at < text.len() {
        let end = json::value(text, at, &mut builder)?;
        at = begin_of_record(text, end);
        if at < text.len() && !text[end..at].contains('\n') {
            return Err(Unread::Malformed);
        }
    }
    builder.end();
    Ok(builder.finish())
}

fn begin_of_record(text: &str, at: usize) -> usize {
    text.len() - text[at..].trim_start_matches([' ', '\t', '\r', '\n']).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_record() {
        for good in ["", "\n\n", "1", "{\"a\":1}\n{\"b\":2}\n", "1\r\n\r\n[2]  \n \"x\""] {
            assert!(read(good).is_ok(), "{good}");
        }
        for bad in ["{} {}", "1\n{", "1\n,2", "[1][2]"] {
            assert_eq!(read(bad).err(), Some(Unread::Malformed), "{bad}");
        }
        let document = read("{}\n{}\n\n{}").unwrap();
        assert_eq!(document.count(0), 3);
    }
}
