//! Seed data, streamed: tables and newline-delimited JSON of any length.

use std::io::{BufRead, BufReader, BufWriter, Read as _, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use shadow_mask::Masker;

use super::csv::{self, CsvError, Field};
use crate::failure::Failure;

/// Longest line of newline-delimited JSON.
const MAX_LINE: u64 = 64 << 20;
/// How PostgreSQL writes NULL in text.
const NULL: &str = "\\N";

/// Why no more rows were masked. Those before were written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowsError {
    #[error("row {0}: {1}")]
    Row(u64, String),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

pub(super) fn fail(error: RowsError) -> Failure {
    match error {
        RowsError::Row(..) => {
            Failure::negative(error.to_string(), "mend that row and mask again; rows before it were written")
        }
        RowsError::Usage(cause) => Failure::usage(cause, "see shadowctl mask --help"),
        RowsError::Io(error) => Failure::internal(error),
    }
}

fn streams() -> (impl BufRead, impl Write) {
    let capacity = 1 << 20;
    (
        BufReader::with_capacity(capacity, std::io::stdin().lock()),
        BufWriter::with_capacity(capacity, std::io::stdout().lock()),
    )
}

fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{human_pos} rows, {per_sec}, {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::no_length().with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Masks a table.
pub(super) fn csv(masker: &Masker, delimiter: char, columns: &[String]) -> Result<(), RowsError> {
    let delimiter = u8::try_from(delimiter)
        .ok()
        .filter(|byte| byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r'))
        .ok_or_else(|| {
            RowsError::Usage("the delimiter must be one ASCII character, and no quote or line end".to_owned())
        })?;
    let (mut input, mut output) = streams();
    let mut names: Vec<Field> = columns.iter().map(|name| Field { text: name.clone(), quoted: false }).collect();
    let mut row = 0;
    if names.is_empty() {
        row = 1;
        names = csv::read(&mut input, delimiter).map_err(|e| of_csv(1, e))?.unwrap_or_default();
        let kept = masker.row(names.iter().map(|name| (name.text.as_str(), "")));
        let head: Vec<Field> =
            names.iter().zip(kept).filter(|(_, kept)| kept.is_some()).map(|(name, _)| name.clone()).collect();
        if !head.is_empty() {
            csv::write(&mut output, delimiter, &head)?;
        }
    }
    let bar = progress();
    while let Some(mut fields) = csv::read(&mut input, delimiter).map_err(|e| of_csv(row + 1, e))? {
        row += 1;
        if fields.len() != names.len() {
            output.flush()?;
            return Err(RowsError::Row(row, format!("{} values for {} columns", fields.len(), names.len())));
        }
        let pairs = names.iter().zip(&fields).map(|(name, field)| (name.text.as_str(), field.text.as_str()));
        let masked = masker.row(pairs);
        let mut kept = Vec::with_capacity(fields.len());
        for (mut field, masked) in fields.drain(..).zip(masked) {
            let Some(masked) = masked else { continue };
            if field.quoted || field.text != NULL {
                field.text = masked;
            }
            kept.push(field);
        }
        csv::write(&mut output, delimiter, &kept)?;
        bar.inc(1);
    }
    output.flush()?;
    bar.finish();
    Ok(())
}

fn of_csv(row: u64, error: CsvError) -> RowsError {
    match error {
        CsvError::Io(error) => RowsError::Io(error),
        error => RowsError::Row(row, error.to_string()),
    }
}

/// Masks newline-delimited JSON.
pub(super) fn ndjson(masker: &Masker) -> Result<(), RowsError> {
    let (mut input, mut output) = streams();
    let (mut line, mut row) = (Vec::new(), 0);
    let bar = progress();
    loop {
        line.clear();
        if input.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        row += 1;
        if line.len() as u64 > MAX_LINE {
            output.flush()?;
            return Err(RowsError::Row(row, "the line is longer than 64 MiB".to_owned()));
        }
        let record = line.trim_ascii();
        if !record.is_empty() {
            match masker.record(record) {
                Ok(masked) => output.write_all(&masked)?,
                Err(refused) => {
                    output.flush()?;
                    return Err(RowsError::Row(row, format!("cannot be masked as JSON: {}", refused.as_str())));
                }
            }
        }
        output.write_all(b"\n")?;
        bar.inc(1);
    }
    output.flush()?;
    bar.finish();
    Ok(())
}
