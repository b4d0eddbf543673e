//! The tee over bodies of given frames.

use std::collections::VecDeque;
use std::sync::Mutex;

use http_body_util::BodyExt as _;
use shadow_mask::{MaskKey, Ruleset};
use shadow_record::RouteTable;

use super::*;

/// A body of given frames, of known length or not, that ends well or with an error.
struct Frames {
    left: VecDeque<Bytes>,
    length: Option<u64>,
    fails: bool,
}

impl Frames {
    fn of(frames: &[&[u8]]) -> Self {
        let left = frames.iter().map(|frame| Bytes::copy_from_slice(frame)).collect();
        Self { left, length: None, fails: false }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(match self.left.pop_front() {
            Some(frame) => Some(Ok(Frame::data(frame))),
            None if self.fails => Some(Err(std::io::ErrorKind::ConnectionReset.into())),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.length.is_some() && self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(&'static str, Teed)>>>);

impl Deposit for Log {
    fn ended(&mut self, body: Teed) {
        self.0.lock().unwrap().push(("ended", body));
    }
    fn failed(&mut self, body: Teed, _: CaptureError) {
        self.0.lock().unwrap().push(("failed", body));
    }
    fn abandoned(&mut self, body: Teed) {
        self.0.lock().unwrap().push(("abandoned", body));
    }
    fn broken(&mut self) {
        self.0.lock().unwrap().push(("broken", Teed::empty()));
    }
}

impl Log {
    fn only(&self) -> (&'static str, Teed) {
        let mut all = std::mem::take(&mut *self.0.lock().unwrap());
        assert_eq!(all.len(), 1, "deposited exactly once");
        all.remove(0)
    }
}

fn limits(body: usize, budget: usize) -> Limits {
    let key = MaskKey::parse(&"0f".repeat(32)).unwrap();
    let masker = Masker::new(key, Ruleset::default(), RouteTable::default());
    Limits { body, budget: Budget::of(budget), masker: Arc::new(masker) }
}

fn digest(limits: &Limits, content: &[u8]) -> Bytes {
    let mut digester = limits.masker.digester();
    digester.update(content);
    digester.finish()
}

async fn pass(frames: Frames, limits: &Limits) -> (Vec<u8>, &'static str, Teed) {
    let log = Log::default();
    let mut tee = Tee::new(frames, limits, Some(log.clone()));
    let mut passed = Vec::new();
    while !tee.is_end_stream() {
        match tee.frame().await {
            Some(Ok(frame)) => passed.extend_from_slice(frame.data_ref().unwrap()),
            Some(Err(_)) | None => break,
        }
    }
    drop(tee);
    let (how, teed) = log.only();
    (passed, how, teed)
}

#[tokio::test]
async fn a_body_within_the_limit_is_kept_whole_and_its_lease_given_back() {
    let limits = limits(8, 100);
    for length in [None, Some(6)] {
        let frames = Frames { length, ..Frames::of(&[b"abc", b"", b"def"]) };
        let (passed, how, teed) = pass(frames, &limits).await;
        assert_eq!((passed.as_slice(), how), (&b"abcdef"[..], "ended"));
        let Teed::Whole(held) = teed else { panic!("{teed:?}") };
        assert_eq!(held.bytes, "abcdef");
        assert!(limits.budget.used() >= 6);
        drop(held);
        assert_eq!(limits.budget.used(), 0);
    }
}

#[tokio::test]
async fn beyond_the_limit_the_body_passes_and_only_its_digest_stays() {
    let limits = limits(4, 100);
    for length in [None, Some(9)] {
        let frames = Frames { length, ..Frames::of(&[b"abc", b"defgh", b"i"]) };
        let (passed, how, teed) = pass(frames, &limits).await;
        assert_eq!((passed.as_slice(), how), (&b"abcdefghi"[..], "ended"));
        let Teed::Digested { length: 9, digest: found, why: Withheld::Truncated } = teed else { panic!("{teed:?}") };
        assert_eq!(found, digest(&limits, b"abcdefghi"));
        assert_eq!(limits.budget.used(), 0);
    }
}

#[tokio::test]
async fn an_exhausted_budget_digests_instead_and_is_counted() {
    let limits = limits(100, 4);
    let (passed, _, teed) = pass(Frames::of(&[b"abc", b"def"]), &limits).await;
    assert_eq!(passed, b"abcdef");
    let Teed::Digested { length: 6, digest: found, why: Withheld::Budget } = teed else { panic!("{teed:?}") };
    assert_eq!(found, digest(&limits, b"abcdef"));
    assert_eq!((limits.budget.used(), limits.budget.refused()), (0, 1));
}

#[tokio::test]
async fn a_failing_sender_leaves_what_came() {
    let limits = limits(100, 100);
    let (_, how, teed) = pass(Frames { fails: true, ..Frames::of(&[b"abc"]) }, &limits).await;
    let Teed::Cut(held) = teed else { panic!("{teed:?}") };
    assert_eq!((how, &held.bytes[..]), ("failed", &b"abc"[..]));
}

#[tokio::test]
async fn a_body_dropped_before_its_end_was_abandoned() {
    let limits = limits(100, 100);
    let log = Log::default();
    let mut tee = Tee::new(Frames::of(&[b"abc", b"def"]), &limits, Some(log.clone()));
    tee.frame().await;
    drop(tee);
    let (how, teed) = log.only();
    let Teed::Cut(held) = teed else { panic!("{teed:?}") };
    assert_eq!((how, &held.bytes[..]), ("abandoned", &b"abc"[..]));
}

#[tokio::test]
async fn nothing_ever_exceeds_the_limit_however_the_buffer_grows() {
    let limits = limits(1000, 1000);
    let frame = [7u8; 300];
    let (_, _, teed) = pass(Frames::of(&[&frame, &frame, &frame, &[1; 100]]), &limits).await;
    let Teed::Whole(held) = teed else { panic!("{teed:?}") };
    assert_eq!((held.bytes.len(), limits.budget.used()), (1000, 1000));
}

#[test]
fn an_announced_body_leases_as_it_comes_and_never_beyond_its_length() {
    let limits = limits(100_000, 100_000);
    for (announced, leased) in [(10, [10, 10]), (50_000, [FIRST, 2 * FIRST]), (20_000, [FIRST, 20_000])] {
        let mut copy = BodyCopy::begin(&SizeHint::with_exact(announced), &limits, Log::default());
        copy.add(&[7]);
        let first = limits.budget.used();
        if announced as usize > FIRST {
            copy.add(&[7; FIRST]);
        }
        assert_eq!([first, limits.budget.used()], leased, "{announced}");
    }
    let mut copy = BodyCopy::begin(&SizeHint::with_exact(50_000), &limits, Log::default());
    for _ in 0..50 {
        copy.add(&[7; 1000]);
    }
    assert_eq!(limits.budget.used(), 50_000);
}

/// A deposit that panics.
struct Mine(Log);

impl Deposit for Mine {
    fn ended(&mut self, _: Teed) {
        panic!("provoked");
    }
    fn failed(&mut self, _: Teed, _: CaptureError) {
        panic!("provoked");
    }
    fn abandoned(&mut self, _: Teed) {
        panic!("provoked");
    }
    fn broken(&mut self) {
        self.0.broken();
    }
}

#[tokio::test]
async fn a_panic_while_copying_ends_the_copy_and_the_body_passes() {
    let limits = limits(100, 100);
    for end in [BodyCopy::end, |copy: &mut BodyCopy<Mine>| copy.fail(CaptureError::Reset), |_: &mut _| {}] {
        let log = Log::default();
        let mut copy = BodyCopy::begin(&SizeHint::default(), &limits, Mine(log.clone()));
        copy.add(b"abc");
        end(&mut copy);
        drop(copy);
        assert_eq!(log.only().0, "broken");
        assert_eq!(limits.budget.used(), 0);
    }
}
