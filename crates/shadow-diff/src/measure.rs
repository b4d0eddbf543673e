//! What a `[[measure]]` rule reads of two answers: the class a model chose, and how sure it was.

use crate::difference::Measured;
use crate::document::{Document, Kind};
use crate::path::JsonPath;
use crate::rules::Measure;
use crate::value::Scalar;

/// Most characters of a class.
const MAX_CLASS: usize = 64;

/// A score that the candidate does not tell is as wrong as one between 0 and 1 can be: leaving it out would make a candidate that
/// lost its hard cases look better.
const LOST_SCORE: f64 = 1.0;

/// Reads both answers; a class or score that neither has is not measured.
pub(crate) fn measure(rule: &Measure, ours: &Document, theirs: &Document) -> Option<Measured> {
    let class = rule.class.as_ref().map(|path| (class(ours, path), class(theirs, path)));
    let class = class.filter(|(ours, theirs)| !ours.is_empty() || !theirs.is_empty());
    let score_difference = rule.score.as_ref().and_then(|path| match (score(ours, path)?, score(theirs, path)) {
        (ours, Some(theirs)) => Some((ours - theirs).abs()).filter(|difference| difference.is_finite()),
        (_, None) => Some(LOST_SCORE),
    });
    (class.is_some() || score_difference.is_some()).then_some(Measured { class, score_difference })
}

fn class(document: &Document, path: &JsonPath) -> String {
    let scalar = path.find(document, 0).to().and_then(|id| Scalar::of(document, id));
    scalar.map(|scalar| scalar.text.chars().take(MAX_CLASS).collect()).unwrap_or_default()
}

/// Statistics are approximate: floating point is exact enough here, and only here.
fn score(document: &Document, path: &JsonPath) -> Option<f64> {
    let id = path.find(document, 0).to().filter(|&id| document.kind(id) == Kind::Number)?;
    document.text(id).parse().ok()
}
