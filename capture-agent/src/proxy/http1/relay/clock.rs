//! What must happen within its time, and what becomes of the connection when it does not.

use super::*;

impl Relay {
    pub(super) fn watch_clock(&mut self, cx: &mut Context<'_>) -> Step {
        let Some((deadline, due)) = self.deadline() else { return Ok(false) };
        if deadline < self.clock.armed {
            self.clock.armed = deadline;
            self.clock.timer.as_mut().reset(deadline);
        }
        if self.clock.timer.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        if Instant::now() < deadline {
            // It was set for something that has happened since.
            self.clock.armed = deadline;
            self.clock.timer.as_mut().reset(deadline);
            return Ok(true);
        }
        match due {
            Due::Answer => self.give_up(CaptureError::Timeout),
            Due::Head => self.refuse(Refusal::TooSlow),
            Due::Rest => return Err(self.cut_off()),
        }
        Ok(true)
    }

    /// The earliest of all deadlines that hold.
    fn deadline(&self) -> Option<(Instant, Due)> {
        let Shared { header, idle, answer, .. } = &*self.shared;
        let Clock { quiet_since: quiet, up_stuck, down_stuck, head_since, used, .. } = self.clock;
        let taking = [up_stuck, down_stuck].into_iter().flatten().map(|since| (since + *idle, Due::Rest));
        let answer = match (self.pending.front(), answer, &self.downward) {
            (Some(first), Some(answer), Downward::Head) => Some((first.first_since + *answer, Due::Answer)),
            _ => None,
        };
        let rest = match (&self.downward, &self.upward) {
            // The client may still be sending what nobody will answer.
            (Downward::Ended, Upward::Body { .. }) if down_stuck.is_none() => Some((quiet + *header, Due::Rest)),
            (Downward::Ended | Downward::Raw, _) => Some((quiet + *idle, Due::Rest)),
            (_, Upward::Ended) => Some((quiet + *idle, Due::Rest)),
            (_, Upward::Head { .. }) => match head_since {
                Some(since) => Some((since + *header, Due::Head)),
                None if !self.pending.is_empty() => None,
                None if self.drained.is_none() => Some((quiet + GRACE, Due::Rest)),
                None => Some((quiet + if used { *idle } else { *header }, Due::Rest)),
            },
            _ => None,
        };
        taking.chain(answer).chain(rest).min_by_key(|(deadline, _)| *deadline)
    }
}

/// What is due at a deadline.
enum Due {
    /// The response's head.
    Answer,
    /// The rest of a request's head.
    Head,
    /// Any sign of life.
    Rest,
}
