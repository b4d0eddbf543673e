//! The primary's bytes: read, understood, shown to the observer, passed to the client.

use super::*;

impl Relay {
    pub(super) fn pump_down(&mut self, cx: &mut Context<'_>) -> Step {
        let mut moved = false;
        while self.read_response()? || self.send_down(cx)? || self.fill_down(cx)? {
            moved = true;
        }
        self.settle_down(cx)?;
        Ok(moved)
    }

    fn send_down(&mut self, cx: &mut Context<'_>) -> Step {
        if !self.down.has_cleared() {
            return Ok(false);
        }
        match self.down.poll_drain(&mut self.client, cx) {
            Poll::Pending => {
                // The client is slow, not the agent.
                self.clock.down_read = None;
                self.clock.down_stuck.get_or_insert_with(Instant::now);
                Ok(false)
            }
            Poll::Ready(Ok(())) => {
                self.clock.down_stuck = None;
                if let (Some(read), Some(first)) = (self.clock.down_read.take(), self.pending.front_mut()) {
                    self.shared.observer.added(std::mem::take(&mut first.added) + read.elapsed());
                }
                Ok(true)
            }
            // What is dropped now is seen to have been abandoned by the client.
            Poll::Ready(Err(_)) => Err(End::ResetPrimary),
        }
    }

    fn read_response(&mut self) -> Step {
        match &mut self.downward {
            Downward::Head => self.read_answer(),
            Downward::Body { framing, copy } => {
                if framing.is_done() {
                    if let Some(copy) = copy {
                        copy.end();
                    }
                    self.downward = Downward::Last;
                    return Ok(true);
                }
                let ahead = self.down.ahead();
                if ahead.is_empty() {
                    return Ok(false);
                }
                let scanned = framing.scan(ahead, |content| {
                    if let Some(copy) = copy {
                        copy.add(content);
                    }
                });
                match scanned {
                    Ok(count) => self.down.clear(count),
                    Err(_) => {
                        if let Some(copy) = copy {
                            copy.fail(CaptureError::Protocol);
                        }
                        self.pass_unread();
                    }
                }
                Ok(true)
            }
            Downward::Last if !self.down.has_cleared() => {
                self.pending.pop_front();
                self.downward = Downward::Head;
                let now = Instant::now();
                self.clock.quiet_since = now;
                if let Some(next) = self.pending.front_mut() {
                    next.first_since = now;
                }
                if self.closing && self.pending.is_empty() && self.last_word.is_none() && self.is_told_to_close() {
                    return Err(End::Linger);
                }
                Ok(true)
            }
            Downward::Raw => {
                let count = self.down.ahead().len();
                self.down.clear(count);
                Ok(count > 0)
            }
            Downward::LastWord if !self.down.has_cleared() => Err(End::Linger),
            Downward::Last | Downward::LastWord | Downward::Ended => Ok(false),
        }
    }

    /// Whether the response that has passed said that it is the last; otherwise the primary's own end is waited for.
    fn is_told_to_close(&self) -> bool {
        self.drained.is_none()
    }

    fn read_answer(&mut self) -> Step {
        if self.down.ahead().is_empty() {
            return Ok(self.pending.is_empty() && self.say_last_word());
        }
        let Some(first) = self.pending.front() else {
            if self.down.ahead().starts_with(b"\r\n") {
                self.down.clear(2);
                return Ok(true);
            }
            // Words that nobody asked for, such as a time-out told before closing.
            self.pass_unread();
            return Ok(true);
        };
        let answered = |head: &WireResponse<'_>| {
            if let Some(observation) = &first.observation {
                observation.answered(head);
            }
        };
        match read_response(self.down.ahead(), first.kind, answered) {
            Ok(None) => return Ok(false),
            Ok(Some(ResponseFacts { length, then })) => self.answer(length, then),
            Err(_) => self.pass_unread(),
        }
        Ok(true)
    }

    fn answer(&mut self, length: usize, then: Then) {
        let mut head = length;
        match then {
            Then::Another => {}
            Then::Tunnel => {
                if let Some(Pending { observation: Some(observation), .. }) = self.pending.pop_front() {
                    observation.tunnelled();
                }
                if !matches!(self.upward, Upward::Ended) {
                    self.upward = Upward::Tunnel;
                }
                self.downward = Downward::Raw;
            }
            Then::Body(framing) => {
                if self.drained.is_none() {
                    head = self.say_close(length);
                }
                if matches!(self.upward, Upward::Held) && self.pending.len() == 1 {
                    self.upward = Upward::next_head();
                }
                let observation = self.pending.front().and_then(|first| first.observation.clone());
                let limits = &self.shared.observer.limits;
                let copy = observation.map(|o| BodyCopy::begin(&size_of(&framing), limits, ResponseSide(o)));
                self.downward = Downward::Body { framing, copy };
            }
        }
        self.down.clear(head);
    }

    /// No further request is taken, and the last response that is owed says so. Gives the head's new length.
    fn say_close(&mut self, length: usize) -> usize {
        const LINE: &[u8] = b"Connection: close\r\n";
        self.closing = true;
        if self.pending.len() > 1 {
            return length;
        }
        let head = &self.down.ahead()[..length];
        let Some(lines) = head.strip_suffix(b"\r\n\r\n") else { return length };
        let head = [lines, b"\r\n", LINE, b"\r\n"].concat();
        self.down.replace_ahead(length, &head);
        head.len()
    }

    /// What the primary sends from here on is passed on unread, and no further request is taken.
    fn pass_unread(&mut self) {
        self.fail_pending(CaptureError::Protocol);
        self.downward = Downward::Raw;
        self.closing = true;
    }

    fn say_last_word(&mut self) -> bool {
        let Some((status, text)) = self.last_word.take() else { return false };
        let reason = status.canonical_reason().unwrap_or_default();
        let answer = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            status.as_u16(),
            text.len()
        );
        self.down.put_first(answer.as_bytes());
        self.downward = Downward::LastWord;
        true
    }

    fn fill_down(&mut self, cx: &mut Context<'_>) -> Step {
        let (Primary::There(primary) | Primary::Deaf(primary)) = &mut self.primary else { return Ok(false) };
        if matches!(self.downward, Downward::Ended | Downward::LastWord) || !self.down.has_room() {
            return Ok(false);
        }
        match self.down.poll_fill(primary, cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(0)) => self.primary_ended(),
            // Over TLS many end without a farewell. What has a length is checked by it.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => self.primary_ended(),
            Poll::Ready(Ok(_)) => {
                self.clock.quiet_since = Instant::now();
                if matches!(self.downward, Downward::Head) {
                    self.clock.down_read = Some(self.clock.quiet_since);
                }
            }
            Poll::Ready(Err(_)) => {
                // Between two exchanges a reset is as good as an orderly end.
                let owed = match self.downward {
                    Downward::Last => self.pending.len() > 1,
                    Downward::Raw => true,
                    _ => !self.pending.is_empty(),
                };
                if let Downward::Body { copy: Some(copy), .. } = &mut self.downward {
                    copy.fail(CaptureError::Reset);
                }
                self.primary_ended();
                self.broken_off = owed;
            }
        }
        Ok(true)
    }

    fn primary_ended(&mut self) {
        let why = if self.client_done { CaptureError::ClientAborted } else { CaptureError::Reset };
        if let Downward::Body { framing, copy: Some(copy) } = &mut self.downward {
            match framing {
                Framing::UntilClose => copy.end(),
                framing if framing.is_done() => copy.end(),
                _ => copy.fail(why),
            }
            self.pending.pop_front();
        }
        if matches!(self.downward, Downward::Last) {
            self.pending.pop_front();
        }
        self.fail_pending(why);
        self.downward = Downward::Ended;
        // A head that was cut off is passed on as far as it came.
        let rest = self.down.ahead().len();
        self.down.clear(rest);
        self.closing = true;
        self.clock.quiet_since = Instant::now();
    }

    /// Flushes; and passes the primary's end on, once everything before it has been.
    fn settle_down(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let ends = matches!(self.downward, Downward::Ended) && !self.down.has_cleared();
        if ends && self.broken_off {
            return Err(End::ResetClient);
        }
        let settled = if ends {
            Pin::new(&mut self.client).poll_shutdown(cx)
        } else {
            self.down.poll_flush(&mut self.client, cx)
        };
        match settled {
            Poll::Pending => {
                self.clock.down_stuck.get_or_insert_with(Instant::now);
                Ok(())
            }
            Poll::Ready(Err(_)) => Err(if ends { End::Quiet } else { End::ResetPrimary }),
            // A request that is still coming is received to its end.
            Poll::Ready(Ok(())) if ends && !matches!(self.upward, Upward::Body { .. } | Upward::Tunnel) => {
                Err(End::Quiet)
            }
            Poll::Ready(Ok(())) => {
                if !self.down.has_cleared() {
                    self.clock.down_stuck = None;
                }
                Ok(())
            }
        }
    }
}
