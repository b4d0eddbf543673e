//! One client connection and its primary connection: two pumps, and the exchanges that pass through them.
//!
//! Requests are passed on as they come, also before earlier ones are answered; their exchanges wait in line for the responses,
//! which come in the same order (RFC 9112 section 9.3.2). `up` and `down` are the two directions, `clock` the deadlines.

mod clock;
mod down;
mod up;

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
use shadow_capture::{Observation, Observer, RequestSide, ResponseSide, UnderWay};
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
    /// Where the primary's calls are seen.
    _under_way: Option<UnderWay>,
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
}

impl Upward {
    fn next_head() -> Self {
        Self::Head { end: HeadEnd::default(), empty_lines: 0 }
    }
}

fn size_of(framing: &Framing) -> SizeHint {
    framing.length().map_or_else(SizeHint::default, SizeHint::with_exact)
}
