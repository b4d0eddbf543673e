//! The client's bytes: read, understood, shown to the observer, passed to the primary.

use super::*;

impl Relay {
    pub(super) fn pump_up(&mut self, cx: &mut Context<'_>) -> Step {
        let mut moved = false;
        // What is there is read to its end before it is written, so that a head and its body go as one.
        while self.read_request()? || self.send_up(cx)? || self.fill_up(cx)? {
            moved = true;
        }
        self.settle_up(cx)?;
        Ok(moved)
    }

    fn send_up(&mut self, cx: &mut Context<'_>) -> Step {
        if !self.up.has_cleared() {
            return Ok(false);
        }
        match &mut self.primary {
            Primary::Absent => {
                let (dial, ends) = (self.shared.dial.clone(), self.ends);
                self.primary = Primary::Connecting(Box::pin(async move { dial.connect(ends).await }));
            }
            Primary::Connecting(attempt) => match attempt.as_mut().poll(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "no connection to the primary");
                    self.give_up(class_of(&error));
                }
                Poll::Ready(Ok(primary)) => {
                    self.primary = Primary::There(primary);
                    // What connecting takes is no work of the agent's.
                    self.clock.up_read = Some(Instant::now());
                }
            },
            Primary::There(primary) => match self.up.poll_drain(primary, cx) {
                Poll::Pending => {
                    // The primary is slow, not the agent.
                    self.clock.up_read = None;
                    self.clock.up_stuck.get_or_insert_with(Instant::now);
                    return Ok(false);
                }
                Poll::Ready(Ok(())) => {
                    self.clock.up_stuck = None;
                    if let (Some(read), Some(last)) = (self.clock.up_read.take(), self.pending.back_mut()) {
                        last.added += read.elapsed();
                    }
                }
                // It may have answered before, so its side is read to the end.
                Poll::Ready(Err(_)) => self.deafen(),
            },
            Primary::Deaf(_) | Primary::Gone => self.forget_up(),
        }
        Ok(true)
    }

    /// The primary takes no more of the client's bytes.
    fn deafen(&mut self) {
        self.primary = match std::mem::replace(&mut self.primary, Primary::Gone) {
            Primary::There(primary) => Primary::Deaf(primary),
            other => other,
        };
        self.forget_up();
        // The rest of a request is still read, so that the client is not reset before it has read the response.
        if matches!(self.upward, Upward::Tunnel | Upward::Held) {
            self.upward = Upward::Ended;
        }
        self.closing = true;
    }

    pub(super) fn forget_up(&mut self) {
        self.up.forget();
        self.clock.up_stuck = None;
    }

    /// Understands some of what lies ahead.
    fn read_request(&mut self) -> Step {
        match &mut self.upward {
            Upward::Head { .. } => self.read_head(),
            Upward::Body { framing, copy, switches } => {
                if framing.is_done() {
                    if let Some(copy) = copy {
                        copy.end();
                    }
                    let switches = *switches;
                    self.upward = if switches { Upward::Held } else { Upward::next_head() };
                    return Ok(true);
                }
                let ahead = self.up.ahead();
                if ahead.is_empty() {
                    return Ok(false);
                }
                let scanned = framing.scan(ahead, |content| {
                    if let Some(copy) = copy {
                        copy.add(content);
                    }
                });
                match scanned {
                    Ok(count) => self.up.clear(count),
                    Err(_) => self.break_off(),
                }
                Ok(true)
            }
            Upward::Tunnel => {
                let count = self.up.ahead().len();
                self.up.clear(count);
                if count == 0 && self.client_done {
                    self.upward = Upward::Ended;
                    return Ok(true);
                }
                Ok(count > 0)
            }
            // What it sent for the tunnel that it asked for is kept until the answer is there.
            Upward::Held if self.client_done && self.up.ahead().is_empty() => {
                self.upward = Upward::Ended;
                Ok(true)
            }
            Upward::Held | Upward::Ended | Upward::Refused => Ok(false),
        }
    }

    fn read_head(&mut self) -> Step {
        let Upward::Head { end, empty_lines } = &mut self.upward else { return Ok(false) };
        if self.closing || self.up.ahead().is_empty() {
            // A request that nobody would answer.
            if matches!(self.downward, Downward::Raw) && self.pending.is_empty() && !self.up.ahead().is_empty() {
                return Err(End::Quiet);
            }
            return Ok(self.end_up());
        }
        if self.pending.len() >= PIPELINED {
            // It waits for the primary, not for the agent.
            self.clock.up_read = None;
            return Ok(false);
        }
        if self.up.ahead().starts_with(b"\r\n") && *empty_lines < EMPTY_LINES {
            // RFC 9112 section 2.2: old clients send one behind a body. It goes on as it is, but opens no connection.
            *empty_lines += 1;
            self.clock.head_since = None;
            match self.primary {
                Primary::Absent if self.pending.is_empty() => self.up.skip(2),
                _ => self.up.clear(2),
            }
            return Ok(true);
        }
        let found = match self.up.ahead() {
            [b'\r'] => Ok(None),
            ahead => end.find(ahead),
        };
        let length = match found {
            Ok(Some(length)) => length,
            Ok(None) => {
                self.clock.head_since.get_or_insert_with(Instant::now);
                return Ok(self.end_up());
            }
            Err(refusal) => {
                self.refuse(refusal);
                return Ok(true);
            }
        };
        let (observer, forwarding) = (&self.shared.observer, &self.shared.forwarding);
        let (peer, encrypted) = (self.ends.peer, self.client.is_tls());
        let read = read_request(&self.up.ahead()[..length], |head| {
            let observation = observer.see(head);
            let under_way = observer.under_way(head, observation.as_ref());
            (observation, under_way, forwarding.rewritten(head, peer, encrypted))
        });
        match read {
            Err(refusal) => self.refuse(refusal),
            Ok((facts, (observation, under_way, rewritten))) => self.begin(facts, observation, under_way, rewritten),
        }
        Ok(true)
    }

    /// Once the client has sent its last byte, what lies ahead is no request any more.
    fn end_up(&mut self) -> bool {
        if self.client_done {
            self.upward = Upward::Ended;
            self.up.forget_ahead();
        }
        self.client_done
    }

    fn begin(
        &mut self,
        facts: RequestFacts,
        observation: Option<Arc<Observation>>,
        under_way: Option<UnderWay>,
        rewritten: Option<Vec<u8>>,
    ) {
        let RequestFacts { length, framing, kind, switches } = facts;
        let head = match &rewritten {
            None => length,
            Some(rewritten) => {
                self.up.replace_ahead(length, rewritten);
                rewritten.len()
            }
        };
        self.up.clear(head);
        if let (Primary::Absent, true, Upward::Head { empty_lines, .. }) =
            (&self.primary, self.pending.is_empty(), &self.upward)
        {
            self.up.put_first(&b"\r\n".repeat(usize::from(*empty_lines)));
        }
        let copied = observation.as_ref().filter(|_| !framing.is_done());
        let copy =
            copied.map(|o| BodyCopy::begin(&size_of(&framing), &self.shared.observer.limits, RequestSide(o.clone())));
        self.upward = Upward::Body { framing, copy, switches };
        self.clock.head_since = None;
        self.clock.used = true;
        self.pending.push_back(Pending {
            kind,
            observation,
            _under_way: under_way,
            first_since: Instant::now(),
            added: Duration::ZERO,
        });
    }

    fn fill_up(&mut self, cx: &mut Context<'_>) -> Step {
        let reads = !matches!(self.upward, Upward::Ended | Upward::Refused);
        if self.client_done || !reads || !self.up.has_room() {
            return Ok(false);
        }
        match self.up.poll_fill(&mut self.client, cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => {
                self.client_ended();
                if self.pending.is_empty() && matches!(self.primary, Primary::Absent) {
                    return Err(End::Quiet);
                }
                Ok(true)
            }
            Poll::Ready(Ok(_)) => {
                self.clock.quiet_since = Instant::now();
                if matches!(self.upward, Upward::Head { .. }) {
                    self.clock.up_read = Some(self.clock.quiet_since);
                }
                Ok(true)
            }
            Poll::Ready(Err(_)) => {
                self.client_ended();
                Err(End::ResetPrimary)
            }
        }
    }

    fn client_ended(&mut self) {
        self.client_done = true;
        if let Upward::Body { copy, .. } = &mut self.upward {
            if let Some(copy) = copy {
                copy.fail(CaptureError::ClientAborted);
            }
            self.upward = Upward::Ended;
        }
    }

    /// Flushes; and passes the client's end on, once everything before it has been.
    fn settle_up(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let Primary::There(primary) = &mut self.primary else { return Ok(()) };
        let ends = matches!(self.upward, Upward::Ended) && !self.up.has_cleared();
        let settled = if ends { Pin::new(primary).poll_shutdown(cx) } else { self.up.poll_flush(primary, cx) };
        match settled {
            // There is nothing that it could still answer.
            Poll::Ready(_) if ends && self.pending.is_empty() && matches!(self.downward, Downward::Head) => {
                return Err(End::Quiet);
            }
            Poll::Ready(outcome) if ends || outcome.is_err() => self.deafen(),
            Poll::Ready(_) => {}
            Poll::Pending => {
                self.clock.up_stuck.get_or_insert_with(Instant::now);
            }
        }
        Ok(())
    }
}
