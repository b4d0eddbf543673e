//! Original timing: requests as far apart as they were captured, divided by a speed. Pure.
//!
//! Guarantees: time that was lost, to a pause or to a slow candidate, shifts the schedule and is not made up for by a burst; no
//! clock of an agent, however it jumps, makes a request wait longer than [`LONGEST_GAP`].

use std::time::Duration;

use shadow_control::Timing;
use shadow_record::Timestamp;
use tokio::time::Instant;

/// Time behind the recording that is made up for, seconds; what is beyond it shifts the schedule.
const BEHIND: f64 = 1.0;
/// Longest wait for a request. What was captured further apart follows sooner.
pub(super) const LONGEST_GAP: Duration = Duration::from_secs(60);

/// Where the recording stands.
#[derive(Clone)]
pub(super) struct Original {
    speed: f64,
    anchor: Option<Anchor>,
}

/// A captured moment and the time that it is replayed at.
#[derive(Clone)]
struct Anchor {
    captured: Timestamp,
    at: Instant,
    /// Newest captured moment so far.
    newest: Timestamp,
}

impl Original {
    /// Of a launch with original timing.
    pub(super) fn of(timing: Timing) -> Option<Self> {
        match timing {
            Timing::Rate => None,
            Timing::Original { speed } => Some(Self { speed, anchor: None }),
        }
    }

    /// What it follows.
    pub(super) fn timing(&self) -> Timing {
        Timing::Original { speed: self.speed }
    }

    /// Anchors anew at the next request.
    pub(super) fn restart(&mut self) {
        self.anchor = None;
    }

    /// The time for what was captured at `captured`.
    pub(super) fn time_of(&mut self, captured: Timestamp, now: Instant) -> Instant {
        let anchor = self.anchor.get_or_insert(Anchor { captured, at: now, newest: captured });
        let apart = seconds(anchor.captured, captured) / self.speed;
        let since = now.saturating_duration_since(anchor.at).as_secs_f64();
        let wait = apart - since + anchor.at.saturating_duration_since(now).as_secs_f64();
        // What comes out of order, such as a request that waited for its session, is late by itself and shifts nothing.
        let behind = seconds(captured, anchor.newest);
        let straggler = behind > 0.0 && behind <= LONGEST_GAP.as_secs_f64();
        let longest = LONGEST_GAP.as_secs_f64();
        if !straggler && !(-BEHIND..=longest).contains(&wait) {
            let at = now + Duration::from_secs_f64(wait.clamp(0.0, longest));
            *anchor = Anchor { captured, at, newest: captured };
            return at;
        }
        anchor.newest = if straggler { anchor.newest } else { captured };
        let distance = Duration::from_secs_f64(apart.abs());
        let time = if apart < 0.0 { anchor.at.checked_sub(distance) } else { anchor.at.checked_add(distance) };
        time.unwrap_or(now)
    }
}

/// From one captured moment to another.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.micros().saturating_sub(from.micros()) as f64 / 1e6
}
