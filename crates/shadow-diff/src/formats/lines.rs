//! Reads text and HTML: an array of lines. How lines end, and whether the last one does, does not count.

use crate::document::{Builder, Document};
use crate::formats::Unread;

/// Reads a whole text.
pub(super) fn read(text: &str) -> Result<Document, Unread> {
    let mut builder = Builder::for_bytes(text.len());
    builder.begin_array()?;
    for line in text.lines() {
        builder.string(line)?;
    }
    builder.end();
    Ok(builder.finish())
}
