//! The same mutators on other formats than JSON: each document is made as its format reads, so that labels hold as they are, and a
//! mutant that the format cannot write is drawn again.

mod xml;

use super::document::{Doc, record, text};
use super::faults::{self, Fault, Label};
use super::pairs::{Answer, Mutator, Pair};
use super::random::Random;
use super::{shapes, write};
use xml::XML;

/// How documents of one format are made and written.
struct Format {
    media: &'static str,
    make: fn(&mut Random) -> Doc,
    /// Whether the format can write it.
    valid: fn(&Doc) -> bool,
    plain: fn(&Doc) -> String,
    respelt: fn(&mut Random, &Doc) -> String,
}

const NDJSON: Format = Format {
    media: "application/x-ndjson",
    make: |random| Doc::List((0..random.between(1, 12)).map(|_| shapes::item(random)).collect()),
    valid: |doc| matches!(doc, Doc::List(items) if !items.is_empty()),
    plain: |doc| items(doc).iter().map(|item| write::plain(item) + "\n").collect(),
    respelt: |random, doc| {
        let mut out = String::new();
        for item in items(doc) {
            // Line ends inside texts are escaped, so these stand between tokens.
            out += &write::respelt(random, item).replace(['\n', '\r'], " ");
            out += *random.pick(&["\n", "\r\n", "\n\n"]);
        }
        out
    },
};

const FORM: Format = Format {
    media: "application/x-www-form-urlencoded",
    make: |random| {
        let names = ["q", "page size", "größe", "tag"];
        record(names.map(|name| (name, Doc::List((0..random.between(1, 4)).map(|_| text(random.word())).collect()))))
    },
    valid: |doc| {
        let value = |value: &Doc| matches!(value, Doc::List(texts) if !texts.is_empty() && texts.iter().all(is_text));
        matches!(doc, Doc::Record(fields) if !fields.is_empty() && fields.iter().all(|(_, values)| value(values)))
    },
    plain: |doc| form(doc, |byte| byte.is_ascii_alphanumeric()),
    respelt: |random, doc| {
        let Doc::Record(fields) = doc else { unreachable!("a valid form") };
        let mut fields = fields.clone();
        random.shuffle(&mut fields);
        form(&Doc::Record(fields), |byte| byte.is_ascii_alphanumeric() || b"-._~*/:\"\\".contains(&byte))
    },
};

const TEXT: Format = Format {
    media: "text/plain; charset=utf-8",
    make: |random| Doc::List((0..random.between(1, 30)).map(|_| text(random.word().replace('\n', " "))).collect()),
    valid: |doc| matches!(doc, Doc::List(lines) if !lines.is_empty() && lines.iter().all(is_line)),
    plain: |doc| items(doc).iter().map(|line| format!("{}\n", plain_text(line))).collect(),
    respelt: |random, doc| {
        let end = *random.pick(&["\n", "\r\n"]);
        items(doc).iter().map(|line| format!("{}{end}", plain_text(line))).collect()
    },
};

const HTML: Format = Format {
    media: "text/html",
    make: |random| {
        let line = |random: &mut Random| text(format!("<p>{}</p>", random.word().replace('\n', " ")));
        let mut lines = vec![text("<!doctype html>")];
        lines.extend((0..random.between(1, 20)).map(|_| line(random)));
        Doc::List(lines)
    },
    valid: |doc| (TEXT.valid)(doc) && plain_text(&items(doc)[0]) == "<!doctype html>",
    ..TEXT
};

pub(crate) const FORMATS: &[Mutator] = &[
    Mutator { name: "ndjson: value", make: |random| planted(random, &NDJSON, faults::value) },
    Mutator { name: "ndjson: type", make: |random| planted(random, &NDJSON, faults::type_of) },
    Mutator { name: "ndjson: missing", make: |random| planted(random, &NDJSON, faults::missing) },
    Mutator { name: "ndjson: added", make: |random| planted(random, &NDJSON, faults::added) },
    Mutator { name: "ndjson: reordered", make: |random| planted(random, &NDJSON, faults::reordered) },
    Mutator { name: "equal: ndjson", make: |random| equal(random, &NDJSON) },
    Mutator { name: "form: value", make: |random| planted(random, &FORM, faults::value) },
    Mutator { name: "form: whitespace", make: |random| planted(random, &FORM, faults::whitespace) },
    Mutator { name: "form: encoding", make: |random| planted(random, &FORM, faults::encoding) },
    Mutator { name: "form: missing", make: |random| planted(random, &FORM, faults::missing) },
    Mutator { name: "form: added", make: |random| planted(random, &FORM, faults::added) },
    Mutator { name: "form: reordered", make: |random| planted(random, &FORM, faults::reordered) },
    Mutator { name: "equal: form", make: |random| equal(random, &FORM) },
    Mutator { name: "text: value", make: |random| planted(random, &TEXT, faults::value) },
    Mutator { name: "text: whitespace", make: |random| planted(random, &TEXT, faults::whitespace) },
    Mutator { name: "text: missing", make: |random| planted(random, &TEXT, faults::missing) },
    Mutator { name: "text: added", make: |random| planted(random, &TEXT, faults::added) },
    Mutator { name: "text: reordered", make: |random| planted(random, &TEXT, faults::reordered) },
    Mutator { name: "equal: text", make: |random| equal(random, &TEXT) },
    Mutator { name: "html: value", make: |random| planted(random, &HTML, faults::value) },
    Mutator { name: "html: missing", make: |random| planted(random, &HTML, faults::missing) },
    Mutator { name: "html: added", make: |random| planted(random, &HTML, faults::added) },
    Mutator { name: "equal: html", make: |random| equal(random, &HTML) },
    Mutator { name: "xml: value", make: |random| planted(random, &XML, faults::value) },
    Mutator { name: "xml: whitespace", make: |random| planted(random, &XML, faults::whitespace) },
    Mutator { name: "xml: encoding", make: |random| planted(random, &XML, faults::encoding) },
    Mutator { name: "xml: missing", make: |random| planted(random, &XML, faults::missing) },
    Mutator { name: "xml: added", make: |random| planted(random, &XML, faults::added) },
    Mutator { name: "xml: reordered", make: |random| planted(random, &XML, faults::reordered) },
    Mutator { name: "equal: xml", make: |random| equal(random, &XML) },
    Mutator { name: "other charset", make: charset },
    Mutator { name: "other media type", make: media },
];

fn planted(random: &mut Random, format: &Format, plant: Fault) -> Pair {
    loop {
        let doc = (format.make)(random);
        if let Some((mutant, label)) = plant(random, &doc).filter(|(mutant, _)| (format.valid)(mutant)) {
            let candidate = if random.once_in(2) { (format.plain)(&mutant) } else { (format.respelt)(random, &mutant) };
            return pair(format, (format.plain)(&doc), candidate, vec![label]);
        }
    }
}

fn equal(random: &mut Random, format: &Format) -> Pair {
    let doc = (format.make)(random);
    let candidate = (format.respelt)(random, &doc);
    pair(format, (format.plain)(&doc), candidate, Vec::new())
}

fn pair(format: &Format, primary: String, candidate: String, faults: Vec<Label>) -> Pair {
    let of = |body| Answer::of(format.media, body);
    Pair { rules: String::new(), primary: of(primary), candidate: of(candidate), faults }
}

fn header_only() -> Vec<Label> {
    vec![Label::word("header", "header:content-type")]
}

/// The same content in another charset: nothing but the header differs.
fn charset(random: &mut Random) -> Pair {
    let word = *random.pick(&["Café", "Zürich", "ni\u{f1}o", "plain"]);
    let name = *random.pick(&["json", "plain", "xml"]);
    let body = match name {
        "json" => format!("{{\"name\": \"{word}\"}}"),
        "xml" => format!("<name>{word}</name>"),
        _ => format!("name\n{word}\n"),
    };
    let media = if name == "plain" { "text/plain".to_owned() } else { format!("application/{name}") };
    let (charset, bytes): (&str, Vec<u8>) = match random.below(4) {
        0 => ("iso-8859-1", body.chars().map(|c| c as u8).collect()),
        1 => ("utf-16le", body.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        2 => ("utf-16be", body.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        _ => ("utf-8", format!("\u{feff}{body}").into_bytes()),
    };
    Pair {
        rules: String::new(),
        primary: Answer::of(&media, body),
        candidate: Answer::of(&format!("{media}; charset={charset}"), bytes),
        faults: header_only(),
    }
}

/// The same JSON under another media type: nothing but the header differs.
fn media(random: &mut Random) -> Pair {
    let doc = shapes::order(random);
    let media = *random.pick(&["text/plain", "text/html; charset=utf-8", "application/vnd.shop+json", "text/json"]);
    let candidate = Answer::of(media, write::respelt(random, &doc));
    Pair { rules: String::new(), primary: Answer::json(write::plain(&doc)), candidate, faults: header_only() }
}

fn items(doc: &Doc) -> &[Doc] {
    match doc {
        Doc::List(items) => items,
        _ => unreachable!("a valid list"),
    }
}

fn plain_text(doc: &Doc) -> &str {
    match doc {
        Doc::Text(text) => text,
        _ => unreachable!("a valid text"),
    }
}

fn is_text(doc: &Doc) -> bool {
    matches!(doc, Doc::Text(_))
}

fn is_line(doc: &Doc) -> bool {
    matches!(doc, Doc::Text(text) if !text.contains(['\n', '\r']) && !text.starts_with(['{', '[']))
}

fn form(doc: &Doc, is_plain: fn(u8) -> bool) -> String {
    let encoded = |text: &str| -> String {
        let byte = |byte: u8| match byte {
            b' ' => "+".to_owned(),
            byte if is_plain(byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    let Doc::Record(fields) = doc else { unreachable!("a valid form") };
    let pairs = fields.iter().flat_map(|(name, values)| items(values).iter().map(move |value| (name, value)));
    let pairs: Vec<_> =
        pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(plain_text(value)))).collect();
    pairs.join("&")
}
