//! What the person who waits sees: a bar over the bytes of the file, and nothing where standard error is no terminal.

use std::io::IsTerminal as _;
use std::sync::atomic::Ordering;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::source::Recording;

/// The bar.
pub(super) struct Meter(ProgressBar);

impl Meter {
    /// A bar over the bytes of a recording.
    pub(super) fn over(recording: &Recording, what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(
            Some(recording.length),
            if std::io::stderr().is_terminal() {
                ProgressDrawTarget::stderr_with_hz(5)
            } else {
                ProgressDrawTarget::hidden()
            },
        );
        let style = ProgressStyle::with_template("{prefix:9} {bar:40} {bytes}/{total_bytes}");
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_prefix(what))
    }

    /// Shows how far the recording is read.
    pub(super) fn read(&self, recording: &Recording) {
        self.0.set_position(recording.read.load(Ordering::Relaxed));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
