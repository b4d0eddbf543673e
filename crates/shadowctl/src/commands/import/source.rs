//! Where a recording is read from, as often as needed: a file, or standard input, which is kept in an unnamed file until the end.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::exchange::Entry;
use super::{har, ndjson};
use crate::failure::Failure;

/// Longest entry, 256 MiB: far beyond any exchange, so that one entry cannot take all memory.
pub(super) const MAX_ENTRY: u64 = 256 << 20;

/// Takes the entries as they are read, and may end the reading.
pub(super) type Take<'t> = &'t mut dyn FnMut(Entry) -> ControlFlow<()>;

/// What the recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// HTTP Archive 1.2, as browsers and proxies write it
    Har,
    /// One exchange a line (docs/formats.md)
    Ndjson,
}

/// Why the reading ended before its end.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The file is not of this format at all.
    NotThis(String),
    /// What comes after so many entries cannot be read.
    BrokenOff { entries: usize, cause: String },
}

/// A recording.
pub(super) struct Recording {
    format: Format,
    file: File,
    name: String,
    /// Bytes.
    pub(super) length: u64,
    /// Bytes read so far, for whoever waits.
    pub(super) read: Arc<AtomicU64>,
}

impl Recording {
    /// Opens it; `-` is standard input.
    ///
    /// # Errors
    /// When it cannot be read, or kept.
    pub(super) fn open(path: &Path, format: Format) -> Result<Self, Failure> {
        let stdin = path == Path::new("-");
        let name = if stdin { PathBuf::from("standard input") } else { path.to_owned() }.display().to_string();
        let fail = |error: io::Error| Failure::usage(format!("cannot read {name}: {error}"), "check the path");
        let file = if stdin {
            // Without a name, and readable by this user only: a recording is not masked yet.
            let mut kept = tempfile::tempfile().map_err(fail)?;
            io::copy(&mut io::stdin().lock(), &mut kept).map_err(fail)?;
            kept
        } else {
            File::open(path).map_err(fail)?
        };
        let metadata = file.metadata().map_err(fail)?;
        if !metadata.is_file() {
            return Err(Failure::usage(format!("{name} is no file"), "write `-` to read standard input"));
        }
        Ok(Self { format, file, length: metadata.len(), read: Arc::default(), name })
    }

    /// Reads it from its beginning.
    ///
    /// # Errors
    /// [`ReadError`], after what could be read was taken.
    pub(super) fn each(&self, take: Take<'_>) -> Result<(), ReadError> {
        let broken = |error: io::Error| ReadError::BrokenOff { entries: 0, cause: error.to_string() };
        let mut file = self.file.try_clone().map_err(broken)?;
        file.rewind().map_err(broken)?;
        self.read.store(0, Ordering::Relaxed);
        let left = Arc::new(AtomicU64::new(MAX_ENTRY));
        let metered = Metered { file, read: self.read.clone(), left: left.clone() };
        let mut input = BufReader::with_capacity(1 << 16, metered);
        // Some programs begin with a byte order mark.
        if input.fill_buf().map_err(broken)?.starts_with(b"\xef\xbb\xbf") {
            input.consume(3);
        }
        let take: Take<'_> = &mut |entry| {
            left.store(MAX_ENTRY, Ordering::Relaxed);
            take(entry)
        };
        match self.format {
            Format::Har => har::read(input, take),
            Format::Ndjson => ndjson::read(input, take),
        }
    }

    /// For messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What an entry is called, such as `entry 7`.
    pub(super) fn entry(&self, index: usize) -> String {
        match self.format {
            Format::Har => format!("entry {index}"),
            Format::Ndjson => format!("line {index}"),
        }
    }
}

/// Counts what is read, and refuses to go on for ever without an entry.
struct Metered {
    file: File,
    read: Arc<AtomicU64>,
    left: Arc<AtomicU64>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::other(format!("an entry is longer than {} MiB", MAX_ENTRY >> 20)));
        }
        self.left.store(left.saturating_sub(count as u64), Ordering::Relaxed);
        Ok(count)
    }
}
