//! The second reading, and those after it: every exchange goes to the captured topic, in order, at its shifted time.

use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::time::Duration;

use shadow_capture::{Recorder, Unrecordable};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::meter::Meter;
use super::room::Room;
use super::source::Recording;
use super::survey::{Broken, Hosts};
use super::window::{Placed, Window};
use crate::failure::Failure;

/// How often a recording is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    Times(NonZeroU32),
    /// Until Ctrl-C.
    Forever,
}

impl FromStr for Repeat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "forever" => Ok(Self::Forever),
            times => times.parse().map(Self::Times).map_err(|_| "write a number from 1 on, or forever".to_owned()),
        }
    }
}

/// What is appended, and how.
pub(super) struct Plan {
    pub(super) recording: Recording,
    pub(super) hosts: Hosts,
    /// By how much each pass is later than the one before.
    pub(super) length: Duration,
    pub(super) repeat: Repeat,
    /// Only of an endless recording.
    pub(super) room: Option<Room>,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Appended {
    /// Passes that were begun.
    pub(super) passes: u64,
    /// Exchanges that stand behind one that began later.
    pub(super) late: u64,
    /// Exchanges whose record Kafka's client refused.
    pub(super) refused: Vec<Broken>,
    pub(super) stopped: bool,
    /// Why it ended before its end.
    pub(super) failed: Option<Failure>,
}

/// Appends all passes. Blocks the thread.
pub(super) fn append(plan: Plan, recorder: &Recorder, meter: &Meter, stop: &CancellationToken) -> Appended {
    let Plan { recording, hosts, length, repeat, room } = plan;
    let mut line = Line { recorder, room, stop, appended: Appended::default() };
    let mut shift = Duration::ZERO;
    loop {
        line.appended.passes += 1;
        let mut window = Window::default();
        // What cannot be read was told by the survey.
        let _ = recording.each(&mut |entry| {
            if stop.is_cancelled() {
                return ControlFlow::Break(());
            }
            meter.read(&recording);
            let Ok(exchange) = entry.read else { return ControlFlow::Continue(()) };
            if !hosts.want(&exchange.host) {
                recorder.leave_out();
                return ControlFlow::Continue(());
            }
            match window.push(Placed { index: entry.index, exchange }) {
                Some(placed) => line.put(placed, shift),
                None => ControlFlow::Continue(()),
            }
        });
        while !stop.is_cancelled()
            && line.appended.failed.is_none()
            && let Some(placed) = window.pop()
        {
            if line.put(placed, shift) == ControlFlow::Break(()) {
                break;
            }
        }
        line.appended.late += window.late;
        line.appended.stopped = stop.is_cancelled();
        let done = matches!(repeat, Repeat::Times(times) if line.appended.passes >= u64::from(times.get()));
        if done || line.appended.stopped || line.appended.failed.is_some() {
            return line.appended;
        }
        shift += length;
    }
}

struct Line<'r> {
    recorder: &'r Recorder,
    room: Option<Room>,
    stop: &'r CancellationToken,
    appended: Appended,
}

impl Line<'_> {
    fn put(&mut self, Placed { index, exchange }: Placed, shift: Duration) -> ControlFlow<()> {
        if let Some(room) = &mut self.room {
            match Handle::current().block_on(room.take(self.recorder, self.stop)) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return ControlFlow::Break(()),
                Err(failure) => {
                    self.appended.failed = Some(failure);
                    return ControlFlow::Break(());
                }
            }
        }
        let mut recorded = exchange.recorded;
        recorded.captured_at = recorded.captured_at.plus(shift);
        match self.recorder.append(recorded, self.stop) {
            Ok(()) => ControlFlow::Continue(()),
            Err(Unrecordable::Stopped) => ControlFlow::Break(()),
            Err(why) => {
                // The same one of every pass is one.
                if self.appended.passes == 1 {
                    self.appended.refused.push(Broken { entry: index, why: why.to_string() });
                }
                ControlFlow::Continue(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_repeats_a_number_of_times_or_for_ever() {
        assert_eq!("forever".parse(), Ok(Repeat::Forever));
        assert_eq!("3".parse(), Ok(Repeat::Times(NonZeroU32::new(3).unwrap())));
        for bad in ["0", "-1", "always", ""] {
            assert!(bad.parse::<Repeat>().is_err(), "{bad}");
        }
    }
}
