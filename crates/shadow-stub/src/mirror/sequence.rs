//! Which of the primary's answers a send was given already, and which is next. Pure.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use shadow_effects::Kept;
use shadow_record::{Response, SideEffect};

use super::asked::{Asked, Body, contradicts, idempotency_key};
use crate::engine::Answer;
use crate::rules::Fault;
use crate::state::Aged;

/// Answers of one send that are kept for calls that come again.
const KEYS: usize = 100;
/// And their bytes.
const BYTES: usize = 256 << 10;
/// What the recorder or the connection says of a body, not the answer.
const NOT_REPEATED: [HeaderName; 3] = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION];
/// How the record tells in which coding the body came; it is repeated in none.
const ORIGINAL_CODING: &str = "original-content-encoding";

/// What a call takes.
#[derive(Debug, PartialEq)]
pub(super) enum Taken {
    /// The answer to an equal call.
    Equal(Answer),
    /// The answer to one with another body.
    Alike(Answer),
    /// The turn of an equal call whose answer is not known.
    Withheld,
    /// None: what is left in this place asked for something else, and was answered accordingly.
    Contradicts,
    /// None: nothing is left.
    Nothing,
}

/// One send of a request.
#[derive(Debug)]
pub(super) struct Sequence {
    /// Partition and offset of the effects taken.
    taken: HashSet<(i32, i64)>,
    answers: Aged<String, Answer>,
    last: Instant,
}

impl Sequence {
    /// Nothing taken yet.
    pub(super) fn new() -> Self {
        Self { taken: HashSet::new(), answers: Aged::of_bytes(KEYS, BYTES), last: Instant::now() }
    }

    /// Whether nothing was taken for so long.
    pub(super) fn rested(&self, long: Duration) -> bool {
        self.last.elapsed() > long
    }

    /// Keeps an answer for a call that comes again under `key`. One that asks the caller to try again is not the key's.
    pub(super) fn keep(&mut self, key: String, answer: Answer) {
        if answer.is_final() {
            let bytes = answer.bytes() + key.len();
            self.answers.put_sized(key, answer.detached(), bytes);
        }
    }

    /// What a call with this key was answered.
    pub(super) fn again(&self, key: &str) -> Option<Answer> {
        self.answers.get(key).cloned()
    }

    /// Takes the first effect that is left and asked for the same; with `alike` also one that asked with another body. Those that bear the call's own
    /// idempotency key come first; a call whose `key` was answered before is given no others.
    pub(super) fn take(&mut self, asked: &Asked, key: Option<&str>, effects: &[Arc<Kept>], alike: bool) -> Taken {
        let known = key.is_some_and(|key| self.answers.get(key).is_some());
        let same_key = |kept: &Kept| asked.key().is_some() && idempotency_key(&kept.effect.request) == asked.key();
        let mut left: Vec<_> = effects
            .iter()
            .filter(|kept| !self.taken.contains(&(kept.partition, kept.offset)) && asked.is_place_of(&kept.effect))
            .filter(|kept| !known || same_key(kept))
            .map(|kept| (kept, Body::of(&kept.effect.request)))
            .collect();
        left.sort_by_key(|(kept, _)| (!same_key(kept), kept.effect.at, kept.effect.epoch, kept.effect.sequence));
        if let Some((kept, _)) = left.iter().find(|(_, body)| asked.body == *body) {
            self.mark(kept);
            return answer(&kept.effect).map_or(Taken::Withheld, Taken::Equal);
        }
        // A repetition may say what number it is: its key tells more than its body.
        if !(alike || known) || left.is_empty() {
            return Taken::Nothing;
        }
        for (kept, body) in left {
            if let Some(response) = &kept.effect.response
                && !contradicts(&body, &asked.body, response)
                && let Some(answer) = answer(&kept.effect)
            {
                self.mark(kept);
                return Taken::Alike(answer);
            }
        }
        Taken::Contradicts
    }

    fn mark(&mut self, kept: &Kept) {
        self.last = Instant::now();
        self.taken.insert((kept.partition, kept.offset));
    }
}

/// What the primary was answered, if the record has it whole. No answer is one too: the connection closes.
fn answer(effect: &SideEffect) -> Option<Answer> {
    let of = |status, headers, body, fault| Answer { status, headers, body, delay: Duration::ZERO, fault };
    let Some(Response { status, headers, body }) = &effect.response else {
        return Some(of(StatusCode::BAD_GATEWAY, Vec::new(), Bytes::new(), Some(Fault::Close)));
    };
    let status = StatusCode::from_u16(*status).ok().filter(|status| !status.is_informational())?;
    let body = body.content.clone()?;
    let headers = headers.iter().filter(|line| line.name != ORIGINAL_CODING).filter_map(|line| {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_str(&line.value).ok()?;
        (!NOT_REPEATED.contains(&name)).then_some((name, value))
    });
    Some(of(status, headers.collect(), body, None))
}

#[cfg(test)]
mod tests;
