//! What the person who waits is told: spinners on standard error, or nothing.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How [`start`](crate::DevstackBuilder::start) reports what it is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Progress {
    /// One spinner with the elapsed time per step, on standard error; plain lines when that is not a terminal.
    Bars,
    /// Nothing; notices go to `tracing` as warnings.
    #[default]
    Silent,
}

impl Progress {
    /// Announces a step that takes a while; it counts as done when the returned value is dropped.
    pub(crate) fn step(self, message: impl Into<Cow<'static, str>>) -> Step {
        let message = message.into();
        match self {
            Self::Bars if std::io::stderr().is_terminal() => {
                let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner());
                let bar = ProgressBar::new_spinner().with_style(style).with_message(message);
                bar.enable_steady_tick(Duration::from_millis(100));
                Step(Some(bar))
            }
            Self::Bars => {
                say(&message);
                Step(None)
            }
            Self::Silent => Step(None),
        }
    }

    /// Says one line that the person must not miss.
    pub(crate) fn notice(self, message: &str) {
        match self {
            Self::Bars => say(message),
            Self::Silent => tracing::warn!("{message}"),
        }
    }
}

fn say(message: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// A step under way.
pub(crate) struct Step(Option<ProgressBar>);

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
