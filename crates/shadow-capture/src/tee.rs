//! A body that passes every frame on and keeps a bounded copy.
//!
//! Guarantee: frames are forwarded as they come, unchanged and without waiting. The copy never exceeds the limit per body
//! or the process-wide [`Budget`]; beyond either, the rest is only counted and digested. Copies are real copies, so that a
//! kept body of ten bytes does not pin the read buffer it came in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use shadow_mask::{Digester, Masker};
use shadow_record::{CaptureError, Withheld};

use crate::fault;

/// What the first byte of an announced body leases at most: slow senders must not use up the budget by announcements.
const FIRST: usize = 16 * 1024;

/// Bytes that all copies together may hold.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
    refused: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn of(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), refused: AtomicU64::new(0) })
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// How often the budget was exhausted.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// A lease of nothing yet.
    pub fn lease(self: &Arc<Self>) -> Lease {
        Lease { budget: Arc::clone(self), bytes: 0 }
    }
}

/// A share of the [`Budget`], given back when dropped.
#[derive(Debug)]
pub struct Lease {
    budget: Arc<Budget>,
    bytes: usize,
}

/// The budget has no room.
#[derive(Debug, PartialEq, Eq)]
pub struct Exhausted;

impl Lease {
    /// Takes `more` bytes, all or none.
    ///
    /// # Errors
    /// [`Exhausted`], counted.
    pub fn grow(&mut self, more: usize) -> Result<(), Exhausted> {
        let budget = &self.budget;
        let fits = |used: usize| used.checked_add(more).filter(|&sum| sum <= budget.limit);
        match budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => {
                self.bytes += more;
                Ok(())
            }
            Err(_) => {
                budget.refused.fetch_add(1, Ordering::Relaxed);
                Err(Exhausted)
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What the tee kept of one body.
#[derive(Debug)]
pub enum Teed {
    /// All of it.
    Whole(Held),
    /// What came before the connection ended.
    Cut(Held),
    /// Only its length and keyed digest.
    Digested {
        /// Bytes that passed.
        length: u64,
        /// Keyed digest of them.
        digest: Bytes,
        /// What kept the content from being held.
        why: Withheld,
    },
}

/// Content, with the share of the budget it takes.
#[derive(Debug, Default)]
pub struct Held {
    /// The content.
    pub bytes: Bytes,
    _lease: Option<Lease>,
}

impl Teed {
    /// A message without a body.
    pub fn empty() -> Self {
        Self::Whole(Held::default())
    }
}

/// What to do when a body has ended.
pub trait Deposit: Send + Unpin {
    /// The body passed in full.
    fn ended(&mut self, body: Teed);
    /// The sender failed.
    fn failed(&mut self, body: Teed, why: CaptureError);
    /// The receiver went away.
    fn abandoned(&mut self, body: Teed);
    /// Copying panicked. The body passes all the same.
    fn broken(&mut self);
}

/// Limits of one tee.
#[derive(Clone)]
pub struct Limits {
    /// Bytes kept of one body.
    pub body: usize,
    /// Bytes kept of all bodies.
    pub budget: Arc<Budget>,
    /// Makes the digests.
    pub masker: Arc<Masker>,
}

/// The copy of one body, made while it passes. Dropped before its end, the body was abandoned by its receiver.
///
/// Guarantee: a panic in here ends the copy, not the caller.
pub struct BodyCopy<D: Deposit>(Option<(Recording, D)>);

impl<D: Deposit> BodyCopy<D> {
    /// Begins a copy of a body that says to be of this size.
    pub fn begin(size: &SizeHint, limits: &Limits, deposit: D) -> Self {
        Self(Some((Recording::begin(size, limits), deposit)))
    }

    /// More of the body passed.
    pub fn add(&mut self, data: &[u8]) {
        let Some((recording, _)) = &mut self.0 else { return };
        if catch_unwind(AssertUnwindSafe(|| recording.add(data))).is_err()
            && let Some((_, mut deposit)) = self.0.take()
        {
            deposit.broken();
        }
    }

    /// The body passed in full.
    pub fn end(&mut self) {
        self.close(|recording, deposit| deposit.ended(recording.whole()));
    }

    /// The sender failed.
    pub fn fail(&mut self, why: CaptureError) {
        self.close(|recording, deposit| deposit.failed(recording.cut(), why));
    }

    fn close(&mut self, how: impl FnOnce(Recording, &mut D)) {
        let Some((recording, mut deposit)) = self.0.take() else { return };
        if catch_unwind(AssertUnwindSafe(|| how(recording, &mut deposit))).is_err() {
            deposit.broken();
        }
    }
}

impl<D: Deposit> Drop for BodyCopy<D> {
    fn drop(&mut self) {
        self.close(|recording, deposit| deposit.abandoned(recording.cut()));
    }
}

/// A body of an HTTP library that is copied while it passes. `None` for the deposit passes frames on and keeps nothing.
pub struct Tee<B: Body + Unpin, D: Deposit> {
    inner: B,
    copy: Option<BodyCopy<D>>,
}

impl<B: Body + Unpin, D: Deposit> Tee<B, D> {
    /// Wraps a body. Nothing is kept without a deposit.
    pub fn new(inner: B, limits: &Limits, deposit: Option<D>) -> Self {
        let copy = deposit.map(|deposit| BodyCopy::begin(&inner.size_hint(), limits, deposit));
        Self { inner, copy }
    }

    /// Wraps a body of which nothing is kept.
    pub fn passing(inner: B) -> Self {
        Self { inner, copy: None }
    }
}

impl<B, D> Body for Tee<B, D>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    D: Deposit,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = ready!(Pin::new(&mut self.inner).poll_frame(cx)).map(|frame| frame.map_err(Into::into));
        if let Some(copy) = &mut self.copy {
            match &next {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        copy.add(data);
                    }
                }
                Some(Err(error)) => copy.fail(fault::classify(error.as_ref())),
                None => copy.end(),
            }
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Body + Unpin, D: Deposit> Drop for Tee<B, D> {
    fn drop(&mut self) {
        // The HTTP library does not poll a body of known length past its last byte.
        if let Some(copy) = &mut self.copy
            && self.inner.is_end_stream()
        {
            copy.end();
        }
    }
}

/// The copy while the body passes.
enum Recording {
    Keeping { kept: Vec<u8>, lease: Lease, expected: Option<usize>, limits: Limits },
    Digesting { digester: Box<Digester>, length: u64, why: Withheld },
}

impl Recording {
    fn begin(size: &SizeHint, limits: &Limits) -> Self {
        if size.lower() > limits.body as u64 {
            return Self::digest(&[], limits, Withheld::Truncated);
        }
        let expected = size.exact().and_then(|length| usize::try_from(length).ok());
        Self::Keeping { kept: Vec::new(), lease: limits.budget.lease(), expected, limits: limits.clone() }
    }

    fn digest(so_far: &[u8], limits: &Limits, why: Withheld) -> Self {
        let mut digester = Box::new(limits.masker.digester());
        digester.update(so_far);
        Self::Digesting { digester, length: so_far.len() as u64, why }
    }

    fn add(&mut self, data: &[u8]) {
        if let Self::Keeping { kept, lease, expected, limits } = self {
            let needed = kept.len() + data.len();
            let verdict = if needed > limits.body {
                Err(Withheld::Truncated)
            } else {
                make_room(kept, lease, needed, *expected, limits.body).map_err(|Exhausted| Withheld::Budget)
            };
            match verdict {
                Ok(()) => {
                    kept.extend_from_slice(data);
                    return;
                }
                Err(why) => *self = Self::digest(&std::mem::take(kept), limits, why),
            }
        }
        if let Self::Digesting { digester, length, .. } = self {
            digester.update(data);
            *length += data.len() as u64;
        }
    }

    fn whole(self) -> Teed {
        self.finish(Teed::Whole)
    }

    fn cut(self) -> Teed {
        self.finish(Teed::Cut)
    }

    fn finish(self, held: fn(Held) -> Teed) -> Teed {
        match self {
            Self::Keeping { kept, lease, .. } => held(Held { bytes: kept.into(), _lease: Some(lease) }),
            Self::Digesting { digester, length, why } => Teed::Digested { length, digest: digester.finish(), why },
        }
    }
}

/// Grows by doubling within `limit` and the announced length, and leases what it grows by.
fn make_room(
    kept: &mut Vec<u8>,
    lease: &mut Lease,
    needed: usize,
    expected: Option<usize>,
    limit: usize,
) -> Result<(), Exhausted> {
    if needed <= kept.capacity() {
        return Ok(());
    }
    let first = expected.map_or(0, |expected| expected.min(FIRST));
    let most = expected.map_or(limit, |expected| expected.min(limit));
    let capacity = needed.max((kept.capacity() * 2).max(first).min(most));
    lease.grow(capacity - kept.capacity())?;
    kept.reserve_exact(capacity - kept.len());
    Ok(())
}

#[cfg(test)]
mod tests;
