//! A body as a flat tree: what every format is read into, and what the comparison works on.
//!
//! All values stand in one list in the order they were read, each with where the values inside it end; all texts stand in one
//! string. So a tree costs two allocations however deep it is, and nothing that works on it needs recursion, its drop included.
//! Each value carries a hash of its meaning: members in any order, numbers as decimals, elements in theirs. Two values are equal
//! exactly when their hashes are.

use std::ops::Range;

use crate::hash::{self, Hashing};
use crate::number::Decimal;

/// Most values of one body that are read, about fifty bytes of memory each besides their text; bodies with more are
/// [`CompareResult::Truncated`](crate::CompareResult::Truncated).
pub const MAX_NODES: usize = 1_000_000;

/// The body holds more than is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Position of a value in its document; the root is 0.
pub(crate) type Id = u32;

/// The type of a value, named as JSON names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
    /// An object in which two members have one name: which of them counts is up to who reads it, so it equals only an object
    /// with the same members in the same order.
    Ambiguous,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object | Self::Ambiguous => "object",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    length: u32,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    hash: u128,
    /// The member's name; nothing for elements and the root.
    name: Span,
    /// The text of a scalar; of a container, how many values stand right inside it, as the length.
    text: Span,
    /// Where the next value after this one and all inside it stands.
    end: Id,
    kind: Kind,
}

/// A body that was read.
#[derive(Debug)]
pub(crate) struct Document {
    text: String,
    nodes: Vec<Node>,
}

impl Document {
    /// A document that says nothing.
    pub(crate) fn null() -> Self {
        let none = Span { start: 0, length: 0 };
        let null = Node { hash: hash::text(b'n', b""), name: none, text: none, end: 1, kind: Kind::Null };
        Self { text: String::new(), nodes: vec![null] }
    }

    /// The hash of the value's meaning.
    pub(crate) fn hash(&self, id: Id) -> u128 {
        self.nodes[id as usize].hash
    }

    pub(crate) fn kind(&self, id: Id) -> Kind {
        self.nodes[id as usize].kind
    }

    /// The name of a member; empty for elements and the root.
    pub(crate) fn name(&self, id: Id) -> &str {
        self.slice(self.nodes[id as usize].name)
    }

    /// A string without quotes and escapes, a number as it was written, `true` or `false`; empty for others.
    pub(crate) fn text(&self, id: Id) -> &str {
        match self.kind(id) {
            Kind::Null | Kind::Array | Kind::Object | Kind::Ambiguous => "",
            Kind::Boolean | Kind::Number | Kind::String => self.slice(self.nodes[id as usize].text),
        }
    }

    /// How many values the document holds.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The position behind the value and all inside it.
    pub(crate) fn end(&self, id: Id) -> Id {
        self.nodes[id as usize].end
    }

    /// How many values stand right inside this one.
    pub(crate) fn count(&self, id: Id) -> usize {
        match self.kind(id) {
            Kind::Array | Kind::Object | Kind::Ambiguous => self.nodes[id as usize].text.length as usize,
            _ => 0,
        }
    }

    /// The members or elements right inside a value, in their order.
    pub(crate) fn children(&self, id: Id) -> impl Iterator<Item = Id> + '_ {
        let last = self.end(id);
        let first = Some(id + 1).filter(|&first| first < last);
        std::iter::successors(first, move |&at| Some(self.end(at)).filter(|&next| next < last))
    }

    fn slice(&self, span: Span) -> &str {
        &self.text[span.start as usize..][..span.length as usize]
    }

    /// The hash of the container at `id` from those of what is inside, and its kind, which a repeated name changes.
    fn container(&self, id: Id, names: &mut Vec<(u64, Id)>) -> (Kind, u128) {
        let kind = self.kind(id);
        if kind == Kind::Array {
            let hashing = self.children(id).fold(Hashing::of(b'a'), |hashing, child| hashing.hash(self.hash(child)));
            return (kind, hashing.finish());
        }
        if self.repeats_a_name(id, names) {
            let shares = self.children(id).map(|child| hash::member(self.name(child), self.hash(child)));
            return (Kind::Ambiguous, shares.fold(Hashing::of(b'r'), Hashing::hash).finish());
        }
        let shares = self.children(id).map(|child| hash::member(self.name(child), self.hash(child)));
        (kind, hash::total(b'o', shares.fold(0, u128::wrapping_add)))
    }

    /// Names are told apart by a word each, few of them pair by pair, many by sorting; only where words agree are texts compared.
    fn repeats_a_name(&self, id: Id, names: &mut Vec<(u64, Id)>) -> bool {
        const FEW: usize = 24;
        names.clear();
        names.extend(self.children(id).map(|child| (word(self.name(child)), child)));
        let same = |a: &(u64, Id), b: &(u64, Id)| a.0 == b.0 && self.name(a.1) == self.name(b.1);
        if names.len() <= FEW {
            return names.iter().enumerate().any(|(at, a)| names[at + 1..].iter().any(|b| same(a, b)));
        }
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| self.name(a.1).cmp(self.name(b.1))));
        names.windows(2).any(|two| same(&two[0], &two[1]))
    }
}

/// Up to seven bytes of the end of a name, where names differ most, and its length.
fn word(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let tail = &bytes[bytes.len().saturating_sub(7)..];
    tail.iter().fold(bytes.len() as u64, |word, &byte| word << 8 | u64::from(byte))
}

/// Takes what a format's reader meets, event by event, and makes a [`Document`] of it.
///
/// A value inside an object comes after its [`name`](Self::name). More than one value at the root is the reader's mistake: it
/// opens an array first.
#[derive(Debug)]
pub(crate) struct Builder {
    document: Document,
    /// The containers that are open, outermost first.
    open: Vec<Id>,
    name: Span,
    names: Vec<(u64, Id)>,
}

impl Builder {
    /// A builder for a body of about so many bytes.
    pub(crate) fn for_bytes(bytes: usize) -> Self {
        let document =
            Document { text: String::with_capacity(bytes), nodes: Vec::with_capacity((bytes / 8).min(MAX_NODES)) };
        Self { document, open: Vec::new(), name: Span { start: 0, length: 0 }, names: Vec::new() }
    }

    /// Opens an object.
    pub(crate) fn begin_object(&mut self) -> Result<(), TooLarge> {
        self.begin(Kind::Object)
    }

    /// Opens an array.
    pub(crate) fn begin_array(&mut self) -> Result<(), TooLarge> {
        self.begin(Kind::Array)
    }

    /// Closes the innermost open object or array.
    pub(crate) fn end(&mut self) {
        let id = self.open.pop().expect("a reader closes what it opened");
        self.document.nodes[id as usize].end = self.document.nodes.len() as Id;
        let (kind, hash) = self.document.container(id, &mut self.names);
        let node = &mut self.document.nodes[id as usize];
        (node.kind, node.hash) = (kind, hash);
    }

    /// The name of the member whose value comes next.
    pub(crate) fn name(&mut self, name: &str) -> Result<(), TooLarge> {
        let range = self.append(name);
        self.name_written(range)
    }

    pub(crate) fn string(&mut self, text: &str) -> Result<(), TooLarge> {
        let range = self.append(text);
        self.string_written(range)
    }

    /// A number as JSON writes numbers, of any size.
    pub(crate) fn number(&mut self, text: &str) -> Result<(), TooLarge> {
        let range = self.append(text);
        self.scalar(Kind::Number, range, Decimal::read(text).hash())
    }

    pub(crate) fn boolean(&mut self, truth: bool) -> Result<(), TooLarge> {
        let range = self.append(if truth { "true" } else { "false" });
        self.scalar(Kind::Boolean, range, hash::text(b'b', &[u8::from(truth)]))
    }

    pub(crate) fn null(&mut self) -> Result<(), TooLarge> {
        self.scalar(Kind::Null, 0..0, hash::text(b'n', b""))
    }

    /// The texts read so far: a reader that decodes appends here and hands over the range.
    pub(crate) fn texts(&mut self) -> &mut String {
        &mut self.document.text
    }

    /// [`name`](Self::name) with a text that already stands in [`texts`](Self::texts).
    pub(crate) fn name_written(&mut self, range: Range<usize>) -> Result<(), TooLarge> {
        self.name = span(range)?;
        Ok(())
    }

    /// [`string`](Self::string) with a text that already stands in [`texts`](Self::texts).
    pub(crate) fn string_written(&mut self, range: Range<usize>) -> Result<(), TooLarge> {
        let hash = hash::text(b's', &self.document.text.as_bytes()[range.clone()]);
        self.scalar(Kind::String, range, hash)
    }

    /// The innermost open container, if any.
    pub(crate) fn inside(&self) -> Option<Kind> {
        self.open.last().map(|&id| self.document.kind(id))
    }

    /// The document, once everything is closed.
    pub(crate) fn finish(self) -> Document {
        debug_assert!(self.open.is_empty() && !self.document.nodes.is_empty(), "one whole value was read");
        self.document
    }

    fn append(&mut self, text: &str) -> Range<usize> {
        let start = self.document.text.len();
        self.document.text.push_str(text);
        start..self.document.text.len()
    }

    fn begin(&mut self, kind: Kind) -> Result<(), TooLarge> {
        let id = self.add(kind, Span { start: 0, length: 0 }, 0)?;
        self.open.push(id);
        Ok(())
    }

    fn scalar(&mut self, kind: Kind, range: Range<usize>, hash: u128) -> Result<(), TooLarge> {
        self.add(kind, span(range)?, hash)?;
        Ok(())
    }

    fn add(&mut self, kind: Kind, text: Span, hash: u128) -> Result<Id, TooLarge> {
        let nodes = &mut self.document.nodes;
        if nodes.len() >= MAX_NODES {
            return Err(TooLarge);
        }
        let id = nodes.len() as Id;
        if let Some(&parent) = self.open.last() {
            nodes[parent as usize].text.length += 1;
        }
        let name = std::mem::replace(&mut self.name, Span { start: 0, length: 0 });
        nodes.push(Node { hash, name, text, end: id + 1, kind });
        Ok(id)
    }
}

fn span(range: Range<usize>) -> Result<Span, TooLarge> {
    let narrow = |at: usize| u32::try_from(at).map_err(|_| TooLarge);
    Ok(Span { start: narrow(range.start)?, length: narrow(range.len())? })
}
