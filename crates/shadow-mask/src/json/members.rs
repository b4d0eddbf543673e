//! Members' names, and pairs of a name and a value, which are members of their own.
//!
//! `{"name": "pin", "value": "1234"}` says of 1234 what `{"pin": "1234"}` does, in either order of the two.

use std::ops::Range;

use super::{Child, Chosen, Pass};
use crate::names::{self, Role, Says};
use crate::refused::Refused;
use crate::rules::Strategy;
use crate::scope::Action;

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
        let string = self.string()?;
        let decoded = std::mem::take(&mut self.decoded);
        let name = string.value(&decoded);
        let own = self.enter(Child::Member(name));
        let reading = names::read(name);
        let chosen = around.or_rule(own).or_name(self.scope.says_of(reading, name));
        let ruled = chosen.treatment(self.scope).is(Strategy::Keep) && !self.scope.hides(name);
        let kept = ruled || self.scope.keeps_read_name(reading, name);
        let action = if kept { Action::Keep } else { Action::Token(self.scope.name_token(name)) };
        self.write(&action, string.raw);
        self.decoded = decoded;
        Ok((chosen, reading.role))
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
                let says @ (Says::Secret | Says::Private) = names::read(label).says else { return Ok(()) };
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
