//! A body that passes every frame on and keeps a bounded copy.
//!
//! Guarantee: frames are forwarded as they come, unchanged and without waiting. The copy never exceeds the limit per body
//! or the process-wide [`Budget`]; beyond either, the rest is only counted and digested. Copies are real copies, so that a
//! kept body of ten bytes does not pin the read buffer it came in.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use shadow_mask::{Digester, Masker};
use shadow_record::Withheld;

/// Bytes that all copies together may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
    refused: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub(crate) fn of(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), refused: AtomicU64::new(0) })
    }

    /// Bytes held now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// How often the budget was exhausted.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// A lease of nothing yet.
    pub(crate) fn lease(self: &Arc<Self>) -> Lease {
        Lease { budget: Arc::clone(self), bytes: 0 }
    }
}

/// A share of the [`Budget`], given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    budget: Arc<Budget>,
    bytes: usize,
}

/// The budget has no room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Lease {
    /// Takes `more` bytes, all or none.
    ///
    /// # Errors
    /// [`Exhausted`], counted.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), Exhausted> {
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
pub(crate) enum Teed {
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
pub(crate) struct Held {
    /// The content.
    pub bytes: Bytes,
    _lease: Option<Lease>,
}

impl Teed {
    /// A message without a body.
    pub(crate) fn empty() -> Self {
        Self::Whole(Held::default())
    }
}

/// What to do when a body has ended.
pub(crate) trait Deposit: Send + Unpin {
    /// The body passed in full.
    fn ended(&mut self, body: Teed);
    /// The sender failed.
    fn failed(&mut self, body: Teed, error: &(dyn std::error::Error + 'static));
    /// The receiver went away.
    fn abandoned(&mut self, body: Teed);
}

/// Limits of one tee.
#[derive(Clone)]
pub(crate) struct Limits {
    /// Bytes kept of one body.
    pub body: usize,
    /// Bytes kept of all bodies.
    pub budget: Arc<Budget>,
    /// Makes the digests.
    pub masker: Arc<Masker>,
}

/// The copying body. `None` for the deposit passes frames on and keeps nothing.
pub(crate) struct Tee<B: Body + Unpin, D: Deposit> {
    inner: B,
    copy: Option<(Recording, D)>,
}

impl<B: Body + Unpin, D: Deposit> Tee<B, D> {
    /// Wraps a body. Nothing is kept without a deposit.
    pub(crate) fn new(inner: B, limits: &Limits, deposit: Option<D>) -> Self {
        let copy = deposit.map(|deposit| (Recording::begin(&inner.size_hint(), limits), deposit));
        Self { inner, copy }
    }

    /// Wraps a body of which nothing is kept.
    pub(crate) fn passing(inner: B) -> Self {
        Self { inner, copy: None }
    }
}

impl<B, D> Body for Tee<B, D>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
    D: Deposit,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let next = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &next {
            Some(Ok(frame)) => {
                if let (Some((recording, _)), Some(data)) = (&mut self.copy, frame.data_ref()) {
                    recording.add(data);
                }
            }
            Some(Err(error)) => {
                if let Some((recording, mut deposit)) = self.copy.take() {
                    deposit.failed(recording.cut(), error);
                }
            }
            None => {
                if let Some((recording, mut deposit)) = self.copy.take() {
                    deposit.ended(recording.whole());
                }
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
        let Some((recording, mut deposit)) = self.copy.take() else { return };
        // The HTTP library does not poll a body of known length past its last byte.
        if self.inner.is_end_stream() {
            deposit.ended(recording.whole());
        } else {
            deposit.abandoned(recording.cut());
        }
    }
}

/// The copy while the body passes.
enum Recording {
    Keeping { kept: Vec<u8>, lease: Lease, expected: usize, limits: Limits },
    Digesting { digester: Box<Digester>, length: u64, why: Withheld },
}

impl Recording {
    fn begin(size: &SizeHint, limits: &Limits) -> Self {
        if size.lower() > limits.body as u64 {
            return Self::digest(&[], limits, Withheld::Truncated);
        }
        let expected = size.exact().unwrap_or(0) as usize;
        Self::Keeping { kept: Vec::new(), lease: limits.budget.lease(), expected, limits: limits.clone() }
    }

    fn digest(so_far: &[u8], limits: &Limits, why: Withheld) -> Self {
        let mut digester = Box::new(limits.masker.digester());
        digester.update(so_far);
        Self::Digesting { digester, length: so_far.len() as u64, why }
    }

    fn add(&mut self, data: &Bytes) {
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
            digester.update(data.chunk());
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

/// Grows by doubling within `limit`, or to the announced length at once, and leases what it grows by.
fn make_room(
    kept: &mut Vec<u8>,
    lease: &mut Lease,
    needed: usize,
    expected: usize,
    limit: usize,
) -> Result<(), Exhausted> {
    if needed <= kept.capacity() {
        return Ok(());
    }
    let capacity = needed.max((kept.capacity() * 2).min(limit)).max(expected.min(limit));
    lease.grow(capacity - kept.capacity())?;
    kept.reserve_exact(capacity - kept.len());
    Ok(())
}

#[cfg(test)]
mod tests;
