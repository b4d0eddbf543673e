//! Searches bytes for canaries in every form in which they could have been written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::canary::Canary;

/// The patterns of all canaries.
pub(crate) struct Search {
    /// In any case of letters.
    loose: (AhoCorasick, Vec<usize>),
    /// As they are.
    exact: (AhoCorasick, Vec<usize>),
}

/// What was found where: canary by place in the list, and the names of the haystacks.
pub(crate) type Found = BTreeMap<usize, Vec<String>>;

impl Search {
    /// Looks for these.
    pub(crate) fn of(canaries: &[Canary]) -> Self {
        let (mut loose, mut exact) = (Vec::new(), Vec::new());
        for (at, canary) in canaries.iter().enumerate() {
            let bytes: Vec<u8> = canary.text.chars().map(|c| u8::try_from(c).expect("canaries are bytes")).collect();
            if canary.text.is_ascii() {
                loose.extend(any_case(&bytes).flat_map(in_charsets).map(|pattern| (pattern, at)));
                exact.extend(base64(&bytes).flat_map(in_charsets).map(|pattern| (pattern, at)));
            } else {
                exact.push((bytes, at));
            }
        }
        let built = |patterns: Vec<(Vec<u8>, usize)>, any_case| {
            let (patterns, of): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
            let automaton = AhoCorasick::builder().ascii_case_insensitive(any_case).build(patterns);
            (automaton.expect("few patterns"), of)
        };
        Self { loose: built(loose, true), exact: built(exact, false) }
    }

    /// Adds what is in `haystack` to what was found.
    pub(crate) fn look(&self, name: &str, haystack: &[u8], found: &mut Found) {
        for (automaton, of) in [&self.loose, &self.exact] {
            for hit in automaton.find_overlapping_iter(haystack) {
                let names = found.entry(of[hit.pattern().as_usize()]).or_default();
                if names.last().is_none_or(|last| last != name) {
                    names.push(name.to_owned());
                }
            }
        }
    }

    /// The same for every file below `folder`; how many bytes they were.
    pub(crate) fn look_below(&self, folder: &Path, found: &mut Found) -> u64 {
        let (mut folders, mut searched) = (vec![folder.to_owned()], 0);
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(&next).expect("a folder").filter_map(Result::ok) {
                let path: PathBuf = entry.path();
                match entry.file_type().expect("a type") {
                    kind if kind.is_dir() => folders.push(path),
                    kind if kind.is_file() => {
                        let Ok(bytes) = std::fs::read(&path) else { continue };
                        searched += bytes.len() as u64;
                        let name = path.strip_prefix(folder).expect("below it").display().to_string();
                        self.look(&name, &bytes, found);
                    }
                    _ => {}
                }
            }
        }
        searched
    }
}

/// Plain, percent-encoded, hexadecimal, escaped as in JSON and in XML.
fn any_case(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let each = |write: &dyn Fn(u8) -> String| bytes.iter().map(|byte| write(*byte)).collect::<String>().into_bytes();
    [
        bytes.to_vec(),
        each(&|byte| format!("%{byte:02x}")),
        each(&|byte| format!("{byte:02x}")),
        each(&|byte| format!("\\u{byte:04x}")),
        each(&|byte| format!("&#{byte};")),
    ]
    .into_iter()
}

/// In UTF-8 and in both orders of UTF-16.
fn in_charsets(text: Vec<u8>) -> [Vec<u8>; 3] {
    let little = text.iter().flat_map(|byte| [*byte, 0]).collect();
    let big = text.iter().flat_map(|byte| [0, *byte]).collect();
    [text, little, big]
}

/// What base64 makes of the bytes wherever they stand in a text: without the characters that depend on what is around them.
fn base64(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..3).map(move |before| {
        let padded = [&vec![0; before], bytes].concat();
        let text = STANDARD_NO_PAD.encode(&padded[..padded.len() / 3 * 3]);
        text.as_bytes()[(before * 8).div_ceil(6)..].to_vec()
    })
}
