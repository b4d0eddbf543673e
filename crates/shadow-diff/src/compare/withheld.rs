//! Bodies of which only digest and length left an agent: what can be told of them all the same.
//!
//! Digests are of bodies before masking, and the candidate was asked with masked values: unequal ones say nothing. But a body that
//! is no longer what its media type says, or of quite another length, is a fault of one version, and must not vanish among the pairs
//! that cannot be compared.

use shadow_record::{Body, Response, Withheld};

use crate::difference::DifferenceKind;
use crate::formats::{Content, Schema};

/// Lengths that differ by more than this factor are another body, whatever masking did to the request.
const FACTOR: usize = 2;

/// What the two bodies are for certain, where at least one was withheld and they differ for certain.
pub(super) struct Certain {
    pub(super) kind: DifferenceKind,
    pub(super) transition: String,
}

/// Equal digests under one key mean equal contents.
pub(super) fn digests_agree(ours: &Body, theirs: &Body) -> bool {
    ours.digest == theirs.digest && ours.length == theirs.length && !ours.digest.is_empty()
}

/// Whether two bodies, at least one of them withheld, differ for certain.
pub(super) fn certainly_differ(primary: &Response, candidate: &Response, schema: Option<&Schema>) -> Option<Certain> {
    let sides = [primary, candidate];
    let unparseable =
        sides.map(|side| side.body.withheld == Some(Withheld::Unparseable) && side.body.content.is_none());
    if unparseable[0] != unparseable[1] {
        let [Some(ours), Some(theirs)] = sides.map(|side| word(side, schema)) else { return None };
        return Some(Certain { kind: DifferenceKind::Type, transition: format!("{ours}->{theirs}") });
    }
    let transition = match (&primary.body.content, &candidate.body.content) {
        (Some(ours), None) if lengths_differ(&candidate.body, candidate, &primary.body, ours) => "whole->too_large",
        (None, Some(theirs)) if lengths_differ(&primary.body, primary, &candidate.body, theirs) => "too_large->whole",
        _ => return None,
    };
    Some(Certain { kind: DifferenceKind::Value, transition: transition.to_owned() })
}

/// The word for a body in a transition; nothing for one that was withheld for a reason that lies in the agent and not in the body.
fn word(side: &Response, schema: Option<&Schema>) -> Option<&'static str> {
    if let Some(content) = &side.body.content {
        return Some(Content::read(side, content, schema).name());
    }
    match side.body.withheld? {
        Withheld::Unparseable => Some("unparseable"),
        Withheld::Truncated => Some("too_large"),
        Withheld::TooDeep => Some("too_deep"),
        Withheld::UnsupportedType => Some("unsupported_type"),
        Withheld::Budget | Withheld::Aborted | Withheld::Other => None,
    }
}

/// Whether a body that was withheld for its length is quite another than one that is there. Lengths are those on the wire, so a
/// coding may make either look shorter than it is.
fn lengths_differ(withheld: &Body, answer: &Response, whole: &Body, content: &[u8]) -> bool {
    if withheld.withheld != Some(Withheld::Truncated) {
        return false;
    }
    let length = |body: &Body| usize::try_from(body.length).unwrap_or_default();
    let (gone, there) = (length(withheld), length(whole));
    let coded = answer.header("content-encoding").is_some();
    far_longer(gone, there.max(content.len())) || !coded && far_longer(there.min(content.len()), gone)
}

/// Whether a body of the one length cannot be one of the other.
pub(super) fn far_longer(length: usize, other: usize) -> bool {
    length > other.saturating_mul(FACTOR)
}
