//! Namespaces of elements and attributes, in constant time for each name however many are declared.

use std::collections::HashMap;
use std::rc::Rc;

use sha2::{Digest, Sha256};

/// What the document's own elements are in before anything is declared.
const NONE: &str = "";
const XML: &str = "http://www.w3.org/XML/1998/namespace";

pub(super) struct Namespaces {
    /// For every prefix what it stood for, innermost last.
    bound: HashMap<String, Vec<Rc<str>>>,
    /// For every open element the prefixes it declares, and its own namespace.
    open: Vec<(Vec<String>, Rc<str>)>,
    none: Rc<str>,
}

impl Default for Namespaces {
    fn default() -> Self {
        let bound = HashMap::from([("xml".to_owned(), vec![Rc::from(XML)])]);
        Self { bound, open: Vec::new(), none: Rc::from(NONE) }
    }
}

/// Longest namespace that is written as it is, in bytes; a digest stands for a longer one.
const LONGEST: usize = 128;

fn short(namespace: &str) -> Rc<str> {
    if namespace.len() <= LONGEST {
        return Rc::from(namespace);
    }
    let digest: String = Sha256::digest(namespace.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    Rc::from(format!("sha256:{digest}"))
}

/// Whether an attribute declares a namespace.
pub(super) fn declares(attribute: &str) -> bool {
    attribute == "xmlns" || attribute.starts_with("xmlns:")
}

impl Namespaces {
    /// The namespace of the innermost open element.
    pub(super) fn current(&self) -> Rc<str> {
        self.open.last().map_or_else(|| self.none.clone(), |(_, namespace)| namespace.clone())
    }

    /// An element with these attributes begins.
    pub(super) fn begin(&mut self, attributes: &[(String, String)]) {
        let mut declared = Vec::new();
        for (name, value) in attributes.iter().filter(|(name, _)| declares(name)) {
            let prefix = name.strip_prefix("xmlns:").unwrap_or_default().to_owned();
            self.bound.entry(prefix.clone()).or_default().push(short(value));
            declared.push(prefix);
        }
        let none = self.none.clone();
        self.open.push((declared, none));
    }

    /// The innermost open element is in this namespace.
    pub(super) fn enter(&mut self, namespace: Rc<str>) {
        if let Some((_, own)) = self.open.last_mut() {
            *own = namespace;
        }
    }

    /// The innermost open element ends.
    pub(super) fn end(&mut self) {
        for prefix in self.open.pop().map(|(declared, _)| declared).unwrap_or_default() {
            self.bound.get_mut(&prefix).and_then(Vec::pop);
        }
    }

    /// The namespace and local name of an element. A prefix that nobody declared stays part of the name.
    pub(super) fn of_element<'n>(&self, name: &'n str) -> (Rc<str>, &'n str) {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        match self.bound(prefix) {
            Some(namespace) => (namespace.clone(), local),
            None => (self.none.clone(), name),
        }
    }

    /// The name of an attribute, with its namespace in braces if it has one.
    pub(super) fn of_attribute(&self, name: &str) -> String {
        let prefixed = name.split_once(':').and_then(|(prefix, local)| Some((self.bound(prefix)?, local)));
        prefixed.map_or_else(|| name.to_owned(), |(namespace, local)| format!("{{{namespace}}}{local}"))
    }

    fn bound(&self, prefix: &str) -> Option<&Rc<str>> {
        self.bound.get(prefix).and_then(|bound| bound.last())
    }
}
