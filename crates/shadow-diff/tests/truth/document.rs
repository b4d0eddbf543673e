//! Documents of the corpus, and places in them, independent of any format and of the engine's own tree.

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Doc {
    Null,
    Bool(bool),
    /// As it is written; never with an exponent.
    Number(String),
    Text(String),
    List(Vec<Doc>),
    Record(Vec<(String, Doc)>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Name(String),
    At(usize),
}

/// A place in a document; empty is the document itself.
pub(crate) type Spot = Vec<Step>;

pub(crate) fn text(text: impl Into<String>) -> Doc {
    Doc::Text(text.into())
}

pub(crate) fn number(number: impl ToString) -> Doc {
    Doc::Number(number.to_string())
}

pub(crate) fn record<const N: usize>(members: [(&str, Doc); N]) -> Doc {
    Doc::Record(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

impl Doc {
    /// Every place, parents before what is in them.
    pub(crate) fn spots(&self) -> Vec<Spot> {
        let mut all = Vec::new();
        self.collect(&mut Vec::new(), &mut all);
        all
    }

    fn collect(&self, at: &mut Spot, all: &mut Vec<Spot>) {
        all.push(at.clone());
        let mut inside = |step: Step, value: &Self| {
            at.push(step);
            value.collect(at, all);
            at.pop();
        };
        match self {
            Self::List(items) => items.iter().enumerate().for_each(|(index, item)| inside(Step::At(index), item)),
            Self::Record(members) => {
                members.iter().for_each(|(name, value)| inside(Step::Name(name.clone()), value));
            }
            _ => {}
        }
    }

    /// The places that `wanted` picks.
    pub(crate) fn spots_of(&self, wanted: impl Fn(&Self) -> bool) -> Vec<Spot> {
        self.spots().into_iter().filter(|spot| wanted(self.at(spot))).collect()
    }

    pub(crate) fn at(&self, spot: &[Step]) -> &Self {
        let Some((first, rest)) = spot.split_first() else { return self };
        match (self, first) {
            (Self::List(items), Step::At(index)) => items[*index].at(rest),
            (Self::Record(members), Step::Name(name)) => {
                members.iter().find(|(member, _)| member == name).expect("a place of this document").1.at(rest)
            }
            _ => panic!("a place of another document"),
        }
    }

    pub(crate) fn at_mut(&mut self, spot: &[Step]) -> &mut Self {
        let Some((first, rest)) = spot.split_first() else { return self };
        match (self, first) {
            (Self::List(items), Step::At(index)) => items[*index].at_mut(rest),
            (Self::Record(members), Step::Name(name)) => {
                members.iter_mut().find(|(member, _)| member == name).expect("a place of this document").1.at_mut(rest)
            }
            _ => panic!("a place of another document"),
        }
    }

    /// A copy with another value at one place.
    pub(crate) fn with(&self, spot: &[Step], value: Self) -> Self {
        let mut copy = self.clone();
        *copy.at_mut(spot) = value;
        copy
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Record(_) => "object",
        }
    }
}

/// The place as a JSON path.
pub(crate) fn exact(spot: &[Step]) -> String {
    path(spot, &|index| format!("[{index}]"))
}

/// The place as a JSON path for every element of the lists on the way.
pub(crate) fn general(spot: &[Step]) -> String {
    path(spot, &|_| "[*]".to_owned())
}

fn path(spot: &[Step], index: &dyn Fn(usize) -> String) -> String {
    let step = |step: &Step| match step {
        Step::At(at) => index(*at),
        Step::Name(name) => {
            let marked = name.strip_prefix(['@', '#']).unwrap_or(name);
            let plain = !marked.is_empty() && marked.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
            if plain { format!(".{name}") } else { format!("[{}]", super::write::quoted(name)) }
        }
    };
    format!("${}", spot.iter().map(step).collect::<String>())
}
