//! Warnings about what can happen thousands of times a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two warnings of one kind.
const SILENCE: Duration = Duration::from_secs(10);

/// Lets one warning through every ten seconds.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it is time for a warning; if so, the silence begins anew.
    pub(crate) fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|at| at.elapsed() >= SILENCE);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_warning_is_due_at_once_and_after_each_silence() {
        let seldom = Seldom::default();
        assert!(seldom.is_due() && !seldom.is_due());
        tokio::time::advance(SILENCE - Duration::from_millis(1)).await;
        assert!(!seldom.is_due());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(seldom.is_due() && !seldom.is_due());
    }
}
