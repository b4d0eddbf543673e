//! What the person who waits sees: requests sent, replayed and compared; bars for a known number, one line otherwise, and
//! plain lines where standard error is no terminal.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::note;
use crate::words::count;

/// How often a log gets a line.
const LINE: Duration = Duration::from_secs(5);

/// The counts and how they are shown.
pub(super) struct Meter {
    bars: MultiProgress,
    sent: ProgressBar,
    replayed: ProgressBar,
    compared: ProgressBar,
    finished: AtomicU64,
    /// When a log got its last line; `None` on a terminal.
    line: Option<Mutex<Instant>>,
}

impl Meter {
    pub(super) fn new(requests: Option<u64>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bars = MultiProgress::with_draw_target(if terminal {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        });
        let template = if requests.is_some() {
            "{prefix:9} {bar:40} {human_pos}/{human_len}"
        } else {
            "{prefix:9} {spinner} {human_pos}"
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = |name: &'static str| {
            let bar = requests.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            bars.add(bar.with_style(style.clone()).with_prefix(name))
        };
        let (sent, replayed, compared) = (bar("sent"), bar("replayed"), bar("compared"));
        let line = (!terminal).then(|| Mutex::new(Instant::now()));
        Self { bars, sent, replayed, compared, finished: AtomicU64::new(0), line }
    }

    /// Requests of the load that are done.
    pub(super) fn sent(&self, finished: u64) {
        self.finished.store(finished, Ordering::Relaxed);
        self.sent.set_position(finished);
    }

    /// Requests with an outcome, and requests with a row.
    pub(super) fn behind(&self, replayed: u64, compared: u64) {
        self.replayed.set_position(replayed);
        self.compared.set_position(compared);
        let Some(line) = &self.line else { return };
        let mut last = line.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed() >= LINE {
            *last = Instant::now();
            let sent = count(self.finished.load(Ordering::Relaxed));
            note(&format!("sent {sent}, replayed {}, compared {}", count(replayed), count(compared)));
        }
    }

    /// The load has ended; what it left is being worked off.
    pub(super) fn settling(&self) {
        let finished = self.finished.load(Ordering::Relaxed);
        for bar in [&self.sent, &self.replayed, &self.compared] {
            bar.set_length(finished);
        }
        if self.line.is_some() {
            note(&format!("sent {}; waiting until each has its outcome and its row", count(finished)));
        }
    }

    /// Says a line above the bars.
    pub(super) fn say(&self, line: &str) {
        self.bars.suspend(|| note(line));
    }

    /// Leaves the bars as they are and goes on below them.
    pub(super) fn finish(&self) {
        for bar in [&self.sent, &self.replayed, &self.compared] {
            bar.abandon();
        }
    }
}
