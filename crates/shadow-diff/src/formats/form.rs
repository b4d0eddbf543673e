//! Reads `application/x-www-form-urlencoded`: an object that has, for every name, the list of its values in order. The order of
//! different names does not count.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::document::{Builder, Document};
use crate::formats::Unread;

/// Reads a whole body.
pub(super) fn read(text: &str) -> Result<Document, Unread> {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in text.trim_end_matches(['\r', '\n']).split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        fields.entry(decode(name)?).or_default().push(decode(value)?);
    }
    let mut builder = Builder::for_bytes(text.len());
    builder.begin_object()?;
    for (name, values) in &fields {
        builder.name(name)?;
        builder.begin_array()?;
        for value in values {
            builder.string(value)?;
        }
        builder.end();
    }
    builder.end();
    Ok(builder.finish())
}

fn decode(text: &str) -> Result<String, Unread> {
    let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned).map_err(|_| Unread::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_form_are_equal_and_other_values_are_not() {
        let hash = |text: &str| read(text).unwrap().hash(0);
        let form = hash("a=1&b=x+y&a=%C3%A9");
        for same in ["b=x%20y&a=1&a=é", "a=1&a=%c3%a9&b=x y\r\n", "&a=1&&a=é&b=x+y"] {
            assert_eq!(hash(same), form, "{same}");
        }
        for other in ["a=%C3%A9&b=x+y&a=1", "a=1&b=x%2By&a=é", "a=1&b=x+y", "a=1&b=x+y&a=%25C3%25A9"] {
            assert_ne!(hash(other), form, "{other}");
        }
        assert_eq!(hash("a"), hash("a="));
        assert_eq!(read("a=%ff").err(), Some(Unread::Malformed));
    }
}
