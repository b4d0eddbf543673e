//! The names a rule selects by.

/// A name as the rule writes it. Who lists a name declares it public, so masking keeps it, and the rule selects the same values
/// in masked data as in raw data.
#[derive(Clone)]
pub(crate) struct Name(Box<[u8]>);

impl Name {
    pub(crate) fn of(raw: impl Into<Box<[u8]>>) -> Self {
        Self(raw.into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        *self.0 == *name
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// Names, or all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameSet {
    all: bool,
    names: Vec<Name>,
}

impl NameSet {
    /// `*` stands for all.
    pub(super) fn of(names: &[String]) -> Self {
        let listed = names.iter().filter(|name| *name != "*").map(|name| Name::of(name.as_bytes()));
        Self { all: names.iter().any(|name| name == "*"), names: listed.collect() }
    }

    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        self.all || self.lists(name)
    }

    /// Whether it holds the name itself, not by `*`.
    pub(crate) fn lists(&self, name: &[u8]) -> bool {
        self.names.iter().any(|listed| listed.matches(name))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Name> {
        self.names.iter()
    }
}
