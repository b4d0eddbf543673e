//! Bounded excerpts of differing values.

/// Most characters of one excerpt.
pub(crate) const EXCERPT: usize = 160;
/// Characters shown before the first differing one.
const CONTEXT: usize = 24;

/// The beginning of a text.
pub(crate) fn head(text: &str) -> String {
    window(text, 0)
}

/// Two texts around the place where they begin to differ.
pub(crate) fn around(primary: &str, candidate: &str) -> (String, String) {
    let shared = primary.chars().zip(candidate.chars()).take_while(|(a, b)| a == b).count();
    let longest = primary.len().max(candidate.len());
    let start = if longest <= EXCERPT { 0 } else { shared.saturating_sub(CONTEXT) };
    (window(primary, start), window(candidate, start))
}

fn window(text: &str, start: usize) -> String {
    let mut chars = text.chars().skip(start);
    let mut out = String::new();
    if start > 0 {
        out.push('…');
    }
    out.extend(chars.by_ref().take(EXCERPT));
    if chars.next().is_some() {
        out.push('…');
    }
    out
}
