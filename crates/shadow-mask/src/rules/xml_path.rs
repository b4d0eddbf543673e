//! Paths into XML: `/order/customer/name`, `//name`, `//item/@id`, with `*` for any name; a path to an element selects all of it.

use super::Name;

const SUPPORTED: &str = "a path is /a/b, //b, /a/*/c, or ends in /@attribute; names are without prefix";
/// As in JSON paths: the states of a match are bits of a `u64`.
const MAX_STEPS: usize = 62;

#[derive(Clone, Debug)]
struct Step {
    descends: bool,
    /// `None` for any.
    name: Option<Name>,
}

/// A path to elements or to attributes.
#[derive(Clone, Debug)]
pub(crate) struct XmlPath {
    steps: Vec<Step>,
    attribute: Option<Step>,
}

impl XmlPath {
    /// Parses a path; the error says what is wrong and what is supported.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no path that can be followed; {SUPPORTED}");
        let mut rest = text;
        let mut path = Self { steps: Vec::new(), attribute: None };
        while !rest.is_empty() {
            if path.attribute.is_some() {
                return Err(wrong());
            }
            rest = rest.strip_prefix('/').ok_or_else(wrong)?;
            let below = rest.strip_prefix('/');
            let (descends, step) = (below.is_some(), below.unwrap_or(rest));
            let (name, after) = step.split_at(step.find('/').unwrap_or(step.len()));
            let attribute = name.strip_prefix('@');
            let name = attribute.unwrap_or(name);
            if name.is_empty() || name.contains(['[', ']', '(', '@', ':', ' ']) {
                return Err(wrong());
            }
            let step = Step { descends, name: (name != "*").then(|| Name::of(name.as_bytes())) };
            match attribute {
                Some(_) => path.attribute = Some(step),
                None => path.steps.push(step),
            }
            rest = after;
        }
        let length = path.steps.len();
        if (length == 0 && path.attribute.is_none()) || length > MAX_STEPS { Err(wrong()) } else { Ok(path) }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.steps.iter().chain(&self.attribute).filter_map(|step| step.name.as_ref())
    }

    /// The states of a child element, as in JSON paths. `name` is without its prefix.
    pub(crate) fn advance(&self, states: u64, name: &[u8]) -> u64 {
        let mut next = 0;
        for (i, step) in self.steps.iter().enumerate().filter(|(i, _)| states >> i & 1 == 1) {
            if step.descends {
                next |= 1 << i;
            }
            if step.name.as_ref().is_none_or(|wanted| wanted.matches(name)) {
                next |= 1 << (i + 1);
            }
        }
        // `//@id` descends over any element from where its own step begins.
        if self.attribute.as_ref().is_some_and(|step| step.descends) {
            next |= states & 1 << self.steps.len();
        }
        next
    }

    /// Whether it selects the element of these states.
    pub(crate) fn selects(&self, states: u64) -> bool {
        self.attribute.is_none() && states >> self.steps.len() & 1 == 1
    }

    /// Whether it selects that attribute of the element of these states.
    pub(crate) fn selects_attribute(&self, states: u64, name: &[u8]) -> bool {
        states >> self.steps.len() & 1 == 1
            && self.attribute.as_ref().is_some_and(|step| step.name.as_ref().is_none_or(|wanted| wanted.matches(name)))
    }
}
