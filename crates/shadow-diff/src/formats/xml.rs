//! Reads XML: an element is an object of its attributes (`@name`), its text (`#text`) and, for every name, the list of its
//! children of that name in order; so a place reads `$.order.items[*].item[*].@id`.
//!
//! The order of children with different names does not count, unless text stands between them: then `#text` holds the text with
//! a tag where each child stood. Namespaces are resolved, so prefixes do not count: `@xmlns` says where an element's namespace is
//! another than its parent's. Comments, processing instructions and white space between elements do not count. A document type is
//! refused, and with it every entity bomb.

mod namespaces;

use quick_xml::XmlVersion;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::document::{Builder, Document};
use crate::formats::Unread;
use namespaces::Namespaces;

/// Most elements of a document: each becomes two values, itself and a list of those with its name.
const MAX_ELEMENTS: usize = crate::MAX_NODES / 2;

/// A namespace is written out for every name in it, so a short document could name a long one often. Names and attributes together
/// may be this many times as long as the text, which is far from what documents come to, and more by `SPARE` for short ones.
const MAX_GROWTH: usize = 8;
/// Bytes.
const SPARE: usize = 1 << 16;

/// Reads a whole document.
pub(super) fn read(text: &str) -> Result<Document, Unread> {
    let room = text.len().saturating_mul(MAX_GROWTH).saturating_add(SPARE);
    let mut tree = Tree { room, ..Tree::default() };
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event().map_err(|_| Unread::Malformed)? {
            Event::Start(start) => tree.begin(&start)?,
            Event::Empty(start) => {
                tree.begin(&start)?;
                tree.end()?;
            }
            Event::End(_) => tree.end()?,
            Event::Text(text) => tree.text(&text.xml10_content())?,
            Event::CData(text) => tree.text(&text.xml10_content())?,
            Event::GeneralRef(entity) => match entity.resolve_char_ref().map_err(|_| Unread::Malformed)? {
                Some(character) => tree.text(character.encode_utf8(&mut [0; 4]))?,
                None => tree.text(resolve_predefined_entity(&entity).ok_or(Unread::Malformed)?)?,
            },
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::DocType(_) => return Err(Unread::Malformed),
            Event::Eof => break,
        }
    }
    tree.write(text.len())
}

/// Elements in the order in which they begin; the first is the document's.
#[derive(Default)]
struct Tree {
    elements: Vec<Element>,
    /// Those that have not ended, outermost first.
    open: Vec<usize>,
    namespaces: Namespaces,
    /// Bytes that names and attributes may still take.
    room: usize,
}

#[derive(Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<usize>,
    text: String,
    /// How much of the text stood before each child.
    before: Vec<usize>,
}

impl Tree {
    fn begin(&mut self, start: &BytesStart<'_>) -> Result<(), Unread> {
        let mut element = Element::default();
        let mut written = Vec::new();
        let mut attributes = start.attributes();
        // Its own check for repeated names is quadratic; the builder marks objects that repeat one.
        for attribute in attributes.with_checks(false) {
            let attribute = attribute.map_err(|_| Unread::Malformed)?;
            let value = attribute.normalized_value(XmlVersion::default()).map_err(|_| Unread::Malformed)?;
            written.push((attribute.key.into_inner().to_owned(), value.into_owned()));
        }
        let outside = self.namespaces.current();
        self.namespaces.begin(&written);
        let (namespace, local) = self.namespaces.of_element(start.name().into_inner());
        element.name = local.to_owned();
        self.take(local.len())?;
        if namespace != outside {
            self.take(namespace.len())?;
            element.attributes.push(("@xmlns".to_owned(), namespace.to_string()));
        }
        self.namespaces.enter(namespace);
        for (name, value) in written.into_iter().filter(|(name, _)| !namespaces::declares(name)) {
            let name = format!("@{}", self.namespaces.of_attribute(&name));
            self.take(name.len() + value.len())?;
            element.attributes.push((name, value));
        }
        let id = self.elements.len();
        match self.open.last() {
            Some(&parent) => {
                let parent = &mut self.elements[parent];
                parent.children.push(id);
                parent.before.push(parent.text.len());
            }
            None if id > 0 => return Err(Unread::Malformed),
            None => {}
        }
        self.elements.push(element);
        self.open.push(id);
        if self.elements.len() > MAX_ELEMENTS { Err(Unread::TooLarge) } else { Ok(()) }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Unread> {
        self.room = self.room.checked_sub(bytes).ok_or(Unread::TooLarge)?;
        Ok(())
    }

    fn end(&mut self) -> Result<(), Unread> {
        self.namespaces.end();
        self.open.pop().map(drop).ok_or(Unread::Malformed)
    }

    fn text(&mut self, text: &str) -> Result<(), Unread> {
        match self.open.last() {
            Some(&element) => self.elements[element].text.push_str(text),
            None if !text.trim_ascii().is_empty() => return Err(Unread::Malformed),
            None => {}
        }
        Ok(())
    }

    /// The document, once the whole text was read.
    fn write(mut self, bytes: usize) -> Result<Document, Unread> {
        if self.elements.is_empty() || !self.open.is_empty() {
            return Err(Unread::Malformed);
        }
        let mut builder = Builder::for_bytes(bytes);
        builder.begin_object()?;
        builder.name(&self.elements[0].name)?;
        let mut due = vec![Due::Element(0)];
        while let Some(step) = due.pop() {
            match step {
                Due::Element(id) => self.element(id, &mut builder, &mut due)?,
                Due::List(first) => {
                    builder.name(&self.elements[first].name)?;
                    builder.begin_array()?;
                }
                Due::End => builder.end(),
            }
        }
        builder.end();
        Ok(builder.finish())
    }

    /// Begins the object of one element and leaves what is inside it, and its end, to be done.
    fn element(&mut self, id: usize, builder: &mut Builder, due: &mut Vec<Due>) -> Result<(), Unread> {
        let mut element = std::mem::take(&mut self.elements[id]);
        builder.begin_object()?;
        for (name, value) in &element.attributes {
            builder.name(name)?;
            builder.string(value)?;
        }
        if let Some(text) = self.whole_text(&element) {
            builder.name("#text")?;
            builder.string(&text)?;
        }
        due.push(Due::End);
        let name = |child: usize| self.elements[child].name.as_str();
        // Stable, so those of one name keep their order. What is due last is pushed first.
        element.children.sort_by(|a, b| name(*a).cmp(name(*b)));
        for siblings in element.children.chunk_by(|a, b| name(*a) == name(*b)) {
            due.push(Due::End);
            due.extend(siblings.iter().rev().map(|child| Due::Element(*child)));
            due.push(Due::List(siblings[0]));
        }
        Ok(())
    }

    /// The text of an element, with a tag for each child where there are both.
    fn whole_text(&self, element: &Element) -> Option<String> {
        if element.children.is_empty() {
            return (!element.text.is_empty()).then(|| element.text.clone());
        }
        if element.text.trim_ascii().is_empty() {
            return None;
        }
        let (mut whole, mut from) = (String::new(), 0);
        for (child, before) in element.children.iter().zip(&element.before) {
            whole.push_str(&escape(&element.text[from..*before]));
            whole.push_str(&format!("<{}/>", self.elements[*child].name));
            from = *before;
        }
        whole.push_str(&escape(&element.text[from..]));
        Some(whole)
    }
}

/// What is still to be written.
enum Due {
    Element(usize),
    /// A list of children with the name of this one.
    List(usize),
    End,
}

#[cfg(test)]
mod tests;
