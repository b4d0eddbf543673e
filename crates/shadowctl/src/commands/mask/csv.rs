//! Comma-separated values, record by record (RFC 4180), as PostgreSQL's COPY reads and writes them: an empty field is NULL, an
//! empty one in quotes is an empty string.

use std::io::{BufRead, Write};

/// One field and whether it stood in quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) text: String,
    pub(super) quoted: bool,
}

/// A table that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum CsvError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("a quoted field is longer than 64 MiB; is its closing quote missing?")]
    TooLong,
    #[error("a quoted field does not end")]
    Open,
    #[error("not UTF-8")]
    NotUtf8,
}

/// Longest record.
const MAX_RECORD: usize = 64 << 20;

/// Reads the next record; `None` at the end.
pub(super) fn read(input: &mut impl BufRead, delimiter: u8) -> Result<Option<Vec<Field>>, CsvError> {
    let mut record = Vec::new();
    // A record goes on over line ends within quotes: until its quotes are even.
    loop {
        let before = record.len();
        if input.read_until(b'\n', &mut record)? == 0 {
            return if before == 0 { Ok(None) } else { Err(CsvError::Open) };
        }
        if record.iter().filter(|byte| **byte == b'"').count().is_multiple_of(2) {
            break;
        }
        if record.len() > MAX_RECORD {
            return Err(CsvError::TooLong);
        }
    }
    let record = record.strip_suffix(b"\n").unwrap_or(&record);
    let record = record.strip_suffix(b"\r").unwrap_or(record);
    fields(record, delimiter).map(Some)
}

fn fields(record: &[u8], delimiter: u8) -> Result<Vec<Field>, CsvError> {
    let mut fields = Vec::new();
    let (mut text, mut quoted, mut inside) = (Vec::new(), false, false);
    let mut bytes = record.iter().copied().peekable();
    let mut close = |text: &mut Vec<u8>, quoted: &mut bool| {
        let text = String::from_utf8(std::mem::take(text)).map_err(|_| CsvError::NotUtf8)?;
        fields.push(Field { text, quoted: std::mem::take(quoted) });
        Ok::<_, CsvError>(())
    };
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if inside && bytes.peek() == Some(&b'"') => {
                bytes.next();
                text.push(b'"');
            }
            b'"' => {
                inside = !inside;
                quoted = true;
            }
            _ if byte == delimiter && !inside => close(&mut text, &mut quoted)?,
            _ => text.push(byte),
        }
    }
    close(&mut text, &mut quoted)?;
    Ok(fields)
}

/// Writes one record.
pub(super) fn write(output: &mut impl Write, delimiter: u8, fields: &[Field]) -> std::io::Result<()> {
    for (i, field) in fields.iter().enumerate() {
        if i > 0 {
            output.write_all(&[delimiter])?;
        }
        let special = |byte: u8| byte == delimiter || matches!(byte, b'"' | b'\n' | b'\r');
        if field.quoted || field.text.bytes().any(special) {
            write!(output, "\"{}\"", field.text.replace('"', "\"\""))?;
        } else {
            output.write_all(field.text.as_bytes())?;
        }
    }
    output.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str, quoted: bool) -> Field {
        Field { text: text.to_owned(), quoted }
    }

    #[test]
    fn null_and_the_empty_string_are_told_apart_and_what_is_written_reads_the_same() {
        let table = "a,\"\",,\"x,\"\"y\"\"\nz\"\r\n1;2,,\n";
        let mut input = table.as_bytes();
        let first = read(&mut input, b',').unwrap().unwrap();
        assert_eq!(first, [field("a", false), field("", true), field("", false), field("x,\"y\"\nz", true)]);
        let second = read(&mut input, b',').unwrap().unwrap();
        assert_eq!(second, [field("1;2", false), field("", false), field("", false)]);
        assert!(read(&mut input, b',').unwrap().is_none());
        let mut written = Vec::new();
        write(&mut written, b',', &first).unwrap();
        assert_eq!(read(&mut written.as_slice(), b',').unwrap().unwrap(), first);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        assert!(matches!(read(&mut "a,\"b\n".as_bytes(), b','), Err(CsvError::Open)));
        assert!(matches!(read(&mut &b"a,\xff\n"[..], b','), Err(CsvError::NotUtf8)));
    }
}
