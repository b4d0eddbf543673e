//! A request's body on its way to the primary.
//!
//! Guarantee for `Expect: 100-continue`: the client is told to go on when the primary says so, because the server side sends
//! `100 Continue` when the body is first asked for, and until then nobody asks. A primary that says nothing for a second is
//! taken to want the body (RFC 9110 section 10.1.1 lets no one wait for ever).

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

/// How long a primary may leave an expectation unanswered.
const PATIENCE: Duration = Duration::from_secs(1);

/// The body, possibly held back until the primary asks for it.
pub(crate) enum Upload {
    /// A request without content.
    Empty,
    /// Passes at once.
    Open(Incoming),
    /// Waits for the primary's word.
    Held(Box<(Incoming, Gate)>),
}

/// What an upload waits for.
pub(crate) struct Gate {
    word: oneshot::Receiver<()>,
    patience: Pin<Box<Sleep>>,
}

/// Why an upload ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// The client's side failed.
    #[error(transparent)]
    Client(#[from] hyper::Error),
    /// The primary answered without wanting the body.
    #[error("the primary answered without asking for the body")]
    NotWanted,
}

impl Upload {
    /// The body of a request that expects nothing.
    pub(crate) fn of(body: Incoming) -> Self {
        if body.is_end_stream() { Self::Empty } else { Self::Open(body) }
    }

    /// The body of a request that waits for `100 Continue`.
    pub(crate) fn held(body: Incoming) -> (Self, Invitation) {
        let (say, word) = oneshot::channel();
        let gate = Gate { word, patience: Box::pin(sleep(PATIENCE)) };
        (Self::Held(Box::new((body, gate))), Invitation(Arc::new(Mutex::new(Some(say)))))
    }
}

/// The right to open a held upload, once.
#[derive(Clone)]
pub(crate) struct Invitation(Arc<Mutex<Option<oneshot::Sender<()>>>>);

/// What became of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upshot {
    /// The body was asked for.
    Invited,
    /// It was not, and now never will be.
    Refused,
}

impl Invitation {
    /// Opens the upload when the primary says `100 Continue`.
    pub(crate) fn on_continue<B>(&self, request: &mut Request<B>) {
        let invitation = self.clone();
        hyper::ext::on_informational(request, move |answer| {
            if answer.status() == http::StatusCode::CONTINUE
                && let Some(say) = invitation.take()
            {
                // Nobody listens when the client has gone.
                let _ = say.send(());
            }
        });
    }

    /// The primary has answered: an upload still waiting is refused.
    pub(crate) fn withdraw(self) -> Upshot {
        match self.take() {
            Some(say) if !say.is_closed() => Upshot::Refused,
            _ => Upshot::Invited,
        }
    }

    fn take(&self) -> Option<oneshot::Sender<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        if let Self::Held(held) = &mut *self {
            match ready!(held.1.poll(cx)) {
                Verdict::GoOn => {
                    let Self::Held(held) = std::mem::replace(&mut *self, Self::Empty) else { return Poll::Ready(None) };
                    *self = Self::Open(held.0);
                }
                Verdict::Refused => {
                    *self = Self::Empty;
                    return Poll::Ready(Some(Err(UploadError::NotWanted)));
                }
            }
        }
        match &mut *self {
            Self::Open(body) => Pin::new(body).poll_frame(cx).map_err(UploadError::Client),
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Open(body) => body.is_end_stream(),
            Self::Held(held) => held.0.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Open(body) => body.size_hint(),
            Self::Held(held) => held.0.size_hint(),
        }
    }
}

enum Verdict {
    GoOn,
    Refused,
}

impl Gate {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Verdict> {
        match Pin::new(&mut self.word).poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Verdict::GoOn),
            Poll::Ready(Err(_)) => Poll::Ready(Verdict::Refused),
            Poll::Pending => self.patience.as_mut().poll(cx).map(|()| Verdict::GoOn),
        }
    }
}
