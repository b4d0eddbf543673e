//! One client connection and its primary connection: two pumps, and the exchanges that pass through them.
//!
//! Requests are passed on as they come, also before earlier ones are answered; their exchanges wait in line for the responses,
//! which come in the same order (RFC 9112 section 9.3.2).

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use http_body::SizeHint;
use shadow_capture::tee::BodyCopy;
use shadow_capture::{Observation, Observer, RequestSide, ResponseSide};
use shadow_record::CaptureError;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::framing::Framing;
use super::head::{
    HeadEnd, Kind, Refusal, RequestFacts, ResponseFacts, Then, WireResponse, read_request, read_response,
};
use super::pump::Pump;
use crate::edge::Ends;
use crate::edge::dial::{Dial, DialError};
use crate::edge::stream::Stream;
use crate::proxy::class_of;
use crate::proxy::forwarded::Forwarding;

/// Requests of one connection that may wait for their responses.
const PIPELINED: usize = 16;
/// Empty lines that may stand before a request.
const EMPTY_LINES: u8 = 8;
/// While the agent drains, how long a connection may be idle: time for one more request, whose response then says `close`.
const GRACE: Duration = Duration::from_millis(500);
/// After an answer of the agent's own, how long and how much the client may go on sending, so that a reset does not destroy it.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 256 << 10);

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Shared {
    /// Who looks on.
    pub observer: Arc<Observer>,
    /// The way to the primary.
    pub dial: Dial,
    /// What the primary is told about the client.
    pub forwarding: Forwarding,
    /// Longest time for a request's head.
    pub header: Duration,
    /// Longest time between two requests.
    pub idle: Duration,
    /// Longest wait for a response's head.
    pub answer: Option<Duration>,
    /// Cancelled when the agent drains.
    pub drain: CancellationToken,
}

/// Waits until a connection that has sent nothing may be closed because the agent drains.
pub(crate) async fn idle_in_drain(drain: &CancellationToken) {
    drain.cancelled().await;
    sleep(GRACE).await;
}

/// A connection being relayed.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    ends: Ends,
    client: Stream,
    primary: Primary,
    up: Pump,
    upward: Upward,
    down: Pump,
    downward: Downward,
    /// Exchanges whose final response has not passed in full, oldest first.
    pending: VecDeque<Pending>,
    /// The agent's own answer, which ends the connection.
    last_word: Option<(StatusCode, String)>,
    /// No further request is taken.
    closing: bool,
    /// The client has sent its last byte.
    client_done: bool,
    /// The primary broke off within something that its client could take for whole.
    broken_off: bool,
    drained: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    clock: Clock,
}

enum Primary {
    Absent,
    Connecting(Pin<Box<dyn Future<Output = Result<Stream, DialError>> + Send>>),
    There(Stream),
    /// It takes no more.
    Deaf(Stream),
    Gone,
}

/// Where the client's bytes are being read.
enum Upward {
    Head {
        end: HeadEnd,
        empty_lines: u8,
    },
    Body {
        framing: Framing,
        copy: Option<BodyCopy<RequestSide>>,
        switches: bool,
    },
    /// The last request offered another protocol; what follows cannot be read before its answer.
    Held,
    /// Bytes of another protocol.
    Tunnel,
    /// Nothing more will be read; the primary is told.
    Ended,
    /// Nothing more will be read, but the primary still answers.
    Refused,
}

/// Where the primary's bytes are being read.
enum Downward {
    Head,
    Body {
        framing: Framing,
        copy: Option<BodyCopy<ResponseSide>>,
    },
    /// The last byte of the response has been read.
    Last,
    /// Bytes of another protocol, or that cannot be read.
    Raw,
    /// The agent's own answer.
    LastWord,
    /// The primary has sent its last byte.
    Ended,
}

struct Pending {
    kind: Kind,
    observation: Option<Arc<Observation>>,
    /// Since when its response is the next.
    first_since: Instant,
    /// Time that the agent itself took for this exchange so far.
    added: Duration,
}

/// When something must have happened.
struct Clock {
    timer: Pin<Box<Sleep>>,
    armed: Instant,
    /// Begin of a head that is not all there.
    head_since: Option<Instant>,
    /// Since when nothing has been read.
    quiet_since: Instant,
    /// Whether a request has come at all.
    used: bool,
    /// Since when the primary has not taken what there is for it.
    up_stuck: Option<Instant>,
    /// Since when the client has not.
    down_stuck: Option<Instant>,
    /// A head was read and nothing of it has been written.
    up_read: Option<Instant>,
    down_read: Option<Instant>,
}

/// How a connection ends.
enum End {
    /// Both sides are let go.
    Quiet,
    /// The client has been told all; it may need a moment to stop sending.
    Linger,
    /// The client must not take what it has for all.
    ResetClient,
    /// The client is gone.
    ResetPrimary,
}

/// Whether a step changed anything, so that others may have become possible.
type Step = Result<bool, End>;

impl Relay {
    /// A connection of which the first bytes may have been read. Once `cut` is cancelled it ends wherever it is.
    pub(crate) fn new(shared: Arc<Shared>, client: Stream, ends: Ends, read: BytesMut, cut: CancellationToken) -> Self {
        let now = Instant::now();
        let armed = now + shared.header;
        let drained = Some(Box::pin(shared.drain.clone().cancelled_owned()));
        Self {
            ends,
            client,
            primary: Primary::Absent,
            up: Pump::holding(read),
            upward: Upward::Head { end: HeadEnd::default(), empty_lines: 0 },
            down: Pump::default(),
            downward: Downward::Head,
            pending: VecDeque::new(),
            last_word: None,
            closing: false,
            client_done: false,
            broken_off: false,
            drained,
            cut: Box::pin(cut.cancelled_owned()),
            clock: Clock {
                timer: Box::pin(sleep_until(armed)),
                armed,
                head_since: None,
                quiet_since: now,
                used: false,
                up_stuck: None,
                down_stuck: None,
                up_read: None,
                down_read: None,
            },
            shared,
        }
    }

    /// Relays until either end is done.
    pub(crate) async fn run(mut self) {
        match std::future::poll_fn(|cx| self.poll(cx)).await {
            End::Quiet if self.client.is_tls() => {
                // Its farewell, if there is room for it.
                let _ = timeout(LINGER.0, self.client.shutdown()).await;
            }
            End::Quiet => {}
            End::Linger => Box::pin(self.linger()).await,
            End::ResetClient => self.client.reset(),
            End::ResetPrimary => {
                if let Primary::There(primary) | Primary::Deaf(primary) = self.primary {
                    primary.reset();
                }
            }
        }
    }

    async fn linger(mut self) {
        self.primary = Primary::Gone;
        // What has been written may still be on its way to a slow client.
        let told = timeout(self.shared.idle, self.client.shutdown()).await;
        let rest = async {
            let mut left = LINGER.1;
            let mut sink = [0; 4 << 10];
            while left > 0 {
                match self.client.read(&mut sink).await? {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
            Ok::<_, io::Error>(())
        };
        if let Ok(Ok(())) = told {
            // Whatever it sends now, it has been answered.
            let _ = timeout(LINGER.0, rest).await;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if let Some(drained) = &mut self.drained
            && drained.as_mut().poll(cx).is_ready()
        {
            self.drained = None;
            self.clock.quiet_since = self.clock.quiet_since.max(Instant::now());
        }
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(self.cut_off());
        }
        loop {
            match self.turn(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(end) => return Poll::Ready(end),
            }
        }
    }

    /// The end of a connection that may not go on: what its client could take for whole ends with a reset.
    fn cut_off(&self) -> End {
        match self.downward {
            Downward::Body { .. } | Downward::Raw => End::ResetClient,
            _ if !self.pending.is_empty() => End::ResetClient,
            _ => End::Quiet,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Step {
        let up = self.pump_up(cx)?;
        let down = self.pump_down(cx)?;
        Ok(up || down || self.watch_clock(cx)?)
    }

    // The client's bytes.

    fn pump_up(&mut self, cx: &mut Context<'_>) -> Step {
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

    fn forget_up(&mut self) {
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
            (observer.see(head), forwarding.rewritten(head, peer, encrypted))
        });
        match read {
            Err(refusal) => self.refuse(refusal),
            Ok((facts, (observation, rewritten))) => self.begin(facts, observation, rewritten),
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

    fn begin(&mut self, facts: RequestFacts, observation: Option<Arc<Observation>>, rewritten: Option<Vec<u8>>) {
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
        self.pending.push_back(Pending { kind, observation, first_since: Instant::now(), added: Duration::ZERO });
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

    // The primary's bytes.

    fn pump_down(&mut self, cx: &mut Context<'_>) -> Step {
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

    // What goes wrong.

    fn fail_pending(&mut self, why: CaptureError) {
        for Pending { observation, .. } in self.pending.drain(..) {
            if let Some(observation) = observation {
                observation.failed(why);
            }
        }
    }

    /// The request ahead goes no further. Those before it are answered first.
    fn refuse(&mut self, refusal: Refusal) {
        tracing::debug!(%refusal, "a request was refused");
        self.shared.observer.see_refused();
        self.upward = Upward::Refused;
        self.up.forget_ahead();
        self.last_word = Some((refusal.status(), format!("shadowline: {refusal}\n")));
        self.closing = true;
    }

    /// The body of a request that is under way cannot be read: neither end can go on.
    fn break_off(&mut self) {
        if let Upward::Body { copy: Some(copy), .. } = &mut self.upward {
            copy.fail(CaptureError::ClientAborted);
        }
        self.primary = Primary::Gone;
        self.forget_up();
        self.fail_pending(CaptureError::ClientAborted);
        self.answer_for_primary(Refusal::Chunks.status(), &Refusal::Chunks.to_string());
    }

    /// The primary gives no response.
    fn give_up(&mut self, why: CaptureError) {
        self.primary = Primary::Gone;
        self.forget_up();
        self.fail_pending(why);
        let status = match why {
            CaptureError::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        self.answer_for_primary(status, "the primary gave no response");
    }

    /// The agent answers in the primary's place, unless the client already has some of a response.
    fn answer_for_primary(&mut self, status: StatusCode, text: &str) {
        self.upward = Upward::Refused;
        self.closing = true;
        if matches!(self.downward, Downward::Head) {
            self.down.forget();
            self.last_word = Some((status, format!("shadowline: {text}\n")));
        } else {
            self.downward = Downward::Ended;
        }
    }

    // Time.

    fn watch_clock(&mut self, cx: &mut Context<'_>) -> Step {
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

impl Upward {
    fn next_head() -> Self {
        Self::Head { end: HeadEnd::default(), empty_lines: 0 }
    }
}

fn size_of(framing: &Framing) -> SizeHint {
    framing.length().map_or_else(SizeHint::default, SizeHint::with_exact)
}
