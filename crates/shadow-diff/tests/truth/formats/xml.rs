//! XML documents as they read: an object of `@attributes`, `#text` and lists of children.

use super::super::document::{Doc, record, text};
use super::super::random::Random;
use super::{Format, is_text, items, plain_text};

pub(super) const XML: Format = Format {
    media: "application/xml",
    make,
    valid: |doc| matches!(doc, Doc::Record(root) if root.len() == 1 && is_name(&root[0].0) && is_element(&root[0].1)),
    plain: |doc| {
        let (name, root) = root(doc);
        let mut out = String::new();
        element(name, root, &mut Spelling::Plain, &mut out);
        out
    },
    respelt: |random, doc| {
        let (name, root) = root(doc);
        let mut out = (*random.pick(&["", "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n", "<!-- head -->"])).to_owned();
        element(name, root, &mut Spelling::Random(random), &mut out);
        out
    },
};

fn make(random: &mut Random) -> Doc {
    let words = |random: &mut Random| loop {
        let word = random.word();
        if !word.is_empty() {
            return text(word);
        }
    };
    let leaf = |content: Doc| Doc::List(vec![record([("#text", content)])]);
    let item = |random: &mut Random| {
        record([
            ("@sku", text(random.hex(6))),
            ("@note", text(random.word())),
            ("name", leaf(words(random))),
            ("price", leaf(text(random.number()))),
        ])
    };
    let list = Doc::List((0..random.between(1, 6)).map(|_| item(random)).collect());
    let order = record([
        ("@id", text(random.uuid())),
        ("customer", leaf(words(random))),
        ("items", Doc::List(vec![record([("item", list)])])),
        ("größe", leaf(text(random.number()))),
    ]);
    record([("order", order)])
}

fn is_name(name: &str) -> bool {
    name.chars().all(char::is_alphanumeric)
}

fn is_element(doc: &Doc) -> bool {
    let Doc::Record(members) = doc else { return false };
    let children = members.iter().filter(|(name, _)| !name.starts_with(['@', '#'])).count();
    members.iter().all(|(name, value)| match value {
        Doc::Text(text) if name == "#text" => !text.is_empty() && children == 0,
        Doc::Text(_) => name.strip_prefix('@').is_some_and(is_name),
        Doc::List(elements) => is_name(name) && !elements.is_empty() && elements.iter().all(is_element),
        _ => false,
    })
}

fn root(doc: &Doc) -> (&str, &Doc) {
    match doc {
        Doc::Record(root) => (&root[0].0, &root[0].1),
        _ => unreachable!("a valid document"),
    }
}

enum Spelling<'r> {
    Plain,
    Random(&'r mut Random),
}

impl Spelling<'_> {
    fn choose<T>(&mut self, mut from: Vec<T>) -> T {
        match self {
            Self::Plain => from.swap_remove(0),
            Self::Random(random) => from.swap_remove(random.below(from.len())),
        }
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        if let Self::Random(random) = self {
            random.shuffle(items);
        }
    }
}

fn element(name: &str, doc: &Doc, spelling: &mut Spelling<'_>, out: &mut String) {
    let Doc::Record(members) = doc else { unreachable!("a valid element") };
    let mut attributes: Vec<_> = members.iter().filter(|(name, _)| name.starts_with('@')).collect();
    spelling.shuffle(&mut attributes);
    out.push_str(&format!("<{name}"));
    for (name, value) in attributes {
        let quote = spelling.choose(vec!['"', '\'']);
        out.push_str(&format!(" {}={quote}{}{quote}", &name[1..], escaped(plain_text(value), spelling)));
    }
    let mut inside: Vec<_> = members.iter().filter(|(name, _)| !name.starts_with('@')).collect();
    spelling.shuffle(&mut inside);
    if inside.is_empty() && spelling.choose(vec![true, false]) {
        out.push_str("/>");
        return;
    }
    out.push('>');
    for (name, value) in inside {
        if is_text(value) {
            let content = plain_text(value);
            let as_data = format!("<![CDATA[{content}]]>");
            let mut spellings = vec![escaped(content, spelling)];
            if !content.contains("]]>") {
                spellings.push(as_data);
            }
            out.push_str(&spelling.choose(spellings));
            out.push_str(spelling.choose(vec!["", "<!-- so -->"]));
            continue;
        }
        for item in items(value) {
            out.push_str(spelling.choose(vec!["", "\n  ", " "]));
            element(name, item, spelling, out);
        }
        out.push_str(spelling.choose(vec!["", "\n"]));
    }
    out.push_str(&format!("</{name}>"));
}

fn escaped(text: &str, spelling: &mut Spelling<'_>) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str(spelling.choose(vec!["&amp;", "&#38;"])),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push_str(&format!("&#{};", c as u32)),
            c if !c.is_ascii() => {
                let numbered = format!("&#x{:x};", c as u32);
                out.push_str(&spelling.choose(vec![c.to_string(), numbered]));
            }
            c => out.push(c),
        }
    }
    out
}
