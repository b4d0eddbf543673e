//! Members' names: read once for each distinct one of a text, and pairs of a name and a value as members of their own.
//!
//! `{"name": "pin", "value": "1234"}` says of 1234 what `{"pin": "1234"}` does, in either order of the two.

use std::ops::Range;

use super::{Child, Chosen, Pass};
use crate::names::{self, Says};
use crate::refused::Refused;
use crate::rules::Strategy;
use crate::scope::Action;

/// What a member is in a pair of name and value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Label,
    Value,
    Other,
}

impl Role {
    fn of(name: &[u8]) -> Self {
        const LABELS: &[&str] =
            &["name", "key", "field", "label", "attribute", "property", "id", "type", "code", "param", "parameter"];
        const VALUES: &[&str] = &["value", "val", "content", "text", "data", "answer"];
        let is = |list: &[&str]| list.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
        if is(LABELS) {
            Self::Label
        } else if is(VALUES) {
            Self::Value
        } else {
            Self::Other
        }
    }
}

/// What is known about a name.
#[derive(Clone, Copy)]
struct Known {
    /// Where it stood first, as it was written.
    start: usize,
    end: usize,
    kept: bool,
    says: Says,
    role: Role,
}

/// Slots of the memory; a power of two.
const SLOTS: usize = 64;

/// The names met so far, one for each slot: most texts repeat a few.
pub(super) struct Members([Option<Known>; SLOTS]);

impl Members {
    pub(super) fn new() -> Self {
        Self([None; SLOTS])
    }

    fn slot(name: &[u8]) -> usize {
        let byte = |at: usize| name.get(at).map_or(0, |b| usize::from(*b));
        (name.len() * 31 + byte(0) * 7 + byte(name.len() / 2) * 13 + byte(name.len().saturating_sub(1)) * 3) % SLOTS
    }
}

/// The name and value members of one object.
#[derive(Default)]
pub(super) struct Pair {
    label: Option<Says>,
    /// The scalar that waits for its label: where it was read and where it was written.
    value: Option<(usize, Range<usize>)>,
}

impl Pair {
    /// What is chosen for a member once its pair's label is known.
    pub(super) fn choose(&self, role: Role, member: Chosen) -> Chosen {
        match (role, self.label) {
            (Role::Value, Some(says)) => member.or_name(says),
            _ => member,
        }
    }
}

impl Pass<'_> {
    /// Reads and writes a member's name, and tells what is chosen for the member.
    pub(super) fn member(&mut self, around: Chosen) -> Result<(Chosen, Role), Refused> {
        if self.input.get(self.at) != Some(&b'"') {
            return Err(Refused::Json);
        }
        let start = self.at + 1;
        let string = self.string()?;
        let end = self.at - 1;
        let decoded = std::mem::take(&mut self.decoded);
        let name = string.value(&decoded);
        self.enter(Child::Member(name));
        let slot = Members::slot(string.raw);
        let known = match self.members.0[slot] {
            Some(known) if self.input[known.start..known.end] == *string.raw => known,
            _ => {
                let known = Known {
                    start,
                    end,
                    kept: self.scope.keeps_name(name),
                    says: self.scope.says(name),
                    role: Role::of(name),
                };
                self.members.0[slot] = Some(known);
                known
            }
        };
        let chosen = self.selected(around).or_name(known.says);
        let kept = known.kept || chosen.treatment(self.scope).is(Strategy::Keep);
        let action = if kept { Action::Keep } else { Action::Token(self.scope.name_token(name)) };
        self.write(&action, string.raw);
        self.decoded = decoded;
        Ok((chosen, known.role))
    }

    /// Learns from the member just read; a value that came before its label is masked again under what the label says.
    pub(super) fn pair_up(
        &mut self,
        pair: &mut Pair,
        role: Role,
        member: Chosen,
        input: Range<usize>,
        output: usize,
    ) -> Result<(), Refused> {
        let Chosen::Name(_) = member else { return Ok(()) };
        match role {
            Role::Value if !matches!(self.input[input.start], b'{' | b'[') => {
                pair.value = Some((input.start, output..self.masked.len()));
            }
            Role::Label if pair.label.is_none() => {
                let [b'"', label @ .., b'"'] = &self.input[input] else { return Ok(()) };
                let says @ (Says::Secret | Says::Private) = names::says(label) else { return Ok(()) };
                pair.label = Some(says);
                if let Some((at, written)) = pair.value.take() {
                    let rest = self.masked.split_off(written.end);
                    self.masked.truncate(written.start);
                    let here = std::mem::replace(&mut self.at, at);
                    self.value(member.or_name(says), 0)?;
                    self.at = here;
                    self.masked.extend_from_slice(&rest);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
