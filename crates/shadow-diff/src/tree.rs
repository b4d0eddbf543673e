//! A JSON body as a tree of hashed values, without what the rules ignore.
//!
//! Every value carries a hash of its meaning: members in any order, numbers as decimals, unordered arrays as multisets. Two
//! values are equal exactly when their hashes are (128 bits), so whole subtrees are skipped or matched in one step.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use serde_json::Value;

use crate::document::{Document, Id, Kind};
use crate::number::Decimal;
use crate::path::Child;
use crate::rules::{ArrayOrder, Scope};

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) hash: u128,
    pub(crate) shape: Shape,
}

#[derive(Debug)]
pub(crate) enum Shape {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Node>, ArrayOrder),
    /// Sorted by name.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// The tree of the value at `id` without what `scope` ignores; `None` when that is all of it.
    pub(crate) fn of(document: &Document, id: Id, scope: &Scope<'_>) -> Option<Self> {
        if scope.ignored() {
            return None;
        }
        let text = || document.text(id).to_owned();
        let shape = match document.kind(id) {
            Kind::Null => Shape::Null,
            Kind::Boolean => Shape::Bool(document.text(id) == "true"),
            Kind::Number => Shape::Number(text()),
            Kind::String => Shape::String(text()),
            Kind::Array => {
                let inside = |(index, item)| Self::of(document, item, &scope.inside(Child::Index(index)));
                Shape::Array(document.children(id).enumerate().filter_map(inside).collect(), scope.order())
            }
            Kind::Object | Kind::Ambiguous => {
                let inside = |member| {
                    let name = document.name(member);
                    let node = Self::of(document, member, &scope.inside(Child::Member(name)))?;
                    Some((name.to_owned(), node))
                };
                let mut members: Vec<_> = document.children(id).filter_map(inside).collect();
                members.sort_by(|a, b| a.0.cmp(&b.0));
                Shape::Object(members)
            }
        };
        Some(Self { hash: shape.hash(), shape })
    }

    /// The JSON type's name.
    pub(crate) fn kind(&self) -> &'static str {
        match self.shape {
            Shape::Null => "null",
            Shape::Bool(_) => "boolean",
            Shape::Number(_) => "number",
            Shape::String(_) => "string",
            Shape::Array(..) => "array",
            Shape::Object(_) => "object",
        }
    }

    /// JSON text of the value, cut once it is longer than `limit` bytes.
    pub(crate) fn text(&self, limit: usize) -> String {
        let mut out = String::new();
        self.write(&mut out, limit);
        out
    }

    fn write(&self, out: &mut String, limit: usize) {
        let full = |out: &String| out.len() > limit;
        match &self.shape {
            Shape::Null => out.push_str("null"),
            Shape::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Shape::Number(text) => out.push_str(text),
            Shape::String(text) => {
                let text: &str = text.char_indices().nth(limit).map_or(text, |(end, _)| &text[..end]);
                out.push_str(&Value::from(text).to_string());
            }
            Shape::Array(items, _) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if full(out) {
                        return;
                    }
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out, limit);
                }
                out.push(']');
            }
            Shape::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if full(out) {
                        return;
                    }
                    if index > 0 {
                        out.push(',');
                    }
                    out.push_str(&Value::from(name.as_str()).to_string());
                    out.push(':');
                    value.write(out, limit);
                }
                out.push('}');
            }
        }
    }
}

impl Shape {
    fn hash(&self) -> u128 {
        let lane = |lane: u8| {
            let mut hasher = DefaultHasher::new();
            lane.hash(&mut hasher);
            std::mem::discriminant(self).hash(&mut hasher);
            match self {
                Self::Null => {}
                Self::Bool(truth) => truth.hash(&mut hasher),
                Self::Number(text) => Decimal::read(text).hash().hash(&mut hasher),
                Self::String(text) => text.hash(&mut hasher),
                Self::Array(items, ArrayOrder::Counts) => items.iter().for_each(|item| item.hash.hash(&mut hasher)),
                Self::Array(items, ArrayOrder::Ignored) => {
                    let mut hashes: Vec<_> = items.iter().map(|item| item.hash).collect();
                    hashes.sort_unstable();
                    hashes.hash(&mut hasher);
                }
                Self::Object(members) => members.iter().for_each(|(name, value)| (name, value.hash).hash(&mut hasher)),
            }
            hasher.finish()
        };
        u128::from(lane(0)) << 64 | u128::from(lane(1))
    }
}
