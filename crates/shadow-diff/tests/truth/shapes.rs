//! What services answer: documents of several shapes with random contents.

use super::document::{Doc, number, record, text};
use super::random::Random;

pub(crate) type Shape = fn(&mut Random) -> Doc;

pub(crate) const SHAPES: &[Shape] =
    &[order, search, series, places, settings, catalogue, ids, scores, problem, odd_names, scalar];

/// A document of any shape.
pub(crate) fn any(random: &mut Random) -> Doc {
    let shape = random.pick(SHAPES);
    shape(random)
}

fn list(random: &mut Random, most: usize, item: impl Fn(&mut Random) -> Doc) -> Doc {
    let count = random.below(most + 1);
    Doc::List((0..count).map(|_| item(random)).collect())
}

fn maybe(random: &mut Random, value: Doc) -> Doc {
    if random.once_in(3) { Doc::Null } else { value }
}

pub(crate) fn order(random: &mut Random) -> Doc {
    let note = random.word();
    record([
        ("id", text(random.uuid())),
        ("status", text(*random.pick(&["paid", "open", "shipped"]))),
        ("created_at", text(instant(random))),
        (
            "customer",
            record([("name", text(random.word())), ("vip", Doc::Bool(random.once_in(2))), ("since", number(2019))]),
        ),
        ("items", list(random, 12, item)),
        ("total", number(random.number())),
        ("note", maybe(random, text(note))),
    ])
}

pub(crate) fn item(random: &mut Random) -> Doc {
    record([
        ("sku", text(random.hex(6))),
        ("name", text(random.word())),
        ("price", number(random.number())),
        ("quantity", number(random.between(1, 9))),
        ("tags", list(random, 3, |random| text(random.word()))),
    ])
}

pub(crate) fn instant(random: &mut Random) -> String {
    let (month, day, hour) = (random.between(1, 12), random.between(1, 28), random.below(24));
    format!("2025-{month:02}-{day:02}T{hour:02}:{:02}:{:02}Z", random.below(60), random.below(60))
}

fn search(random: &mut Random) -> Doc {
    let hit = |random: &mut Random| {
        record([
            ("id", number(random.number())),
            ("title", text(random.word())),
            ("score", number(random.number())),
            ("highlight", record([("before", text(random.word())), ("after", text(random.word()))])),
        ])
    };
    record([
        ("query", text(random.word())),
        ("page", number(random.below(30))),
        ("results", list(random, 20, hit)),
        ("facets", record([("brand", list(random, 4, |random| text(random.hex(4))))])),
        ("next", Doc::Null),
    ])
}

fn series(random: &mut Random) -> Doc {
    let point = |random: &mut Random| Doc::List(vec![number(random.number()), number(random.number())]);
    record([("metric", text(random.word())), ("points", list(random, 40, point)), ("unit", Doc::Null)])
}

fn places(random: &mut Random) -> Doc {
    let feature = |random: &mut Random| {
        let coordinates = Doc::List(vec![number(random.number()), number(random.number())]);
        record([
            ("type", text("Feature")),
            ("geometry", record([("type", text("Point")), ("coordinates", coordinates)])),
            ("properties", record([("name", text(random.word())), ("open", Doc::Bool(random.once_in(2)))])),
        ])
    };
    record([("type", text("FeatureCollection")), ("features", list(random, 8, feature))])
}

fn settings(random: &mut Random) -> Doc {
    fn nest(random: &mut Random, depth: usize) -> Doc {
        match random.below(if depth == 0 { 3 } else { 5 }) {
            0 => text(random.word()),
            1 => number(random.number()),
            2 => Doc::Bool(random.once_in(2)),
            3 => list(random, 3, |random| nest(random, depth - 1)),
            _ => record(["on", "level", "inner"].map(|name| (name, nest(random, depth - 1)))),
        }
    }
    record([("version", number(3)), ("root", nest(random, 5)), ("fallback", nest(random, 3))])
}

fn catalogue(random: &mut Random) -> Doc {
    list(random, 10, item)
}

fn ids(random: &mut Random) -> Doc {
    record([("ids", list(random, 200, |random| number(random.number()))), ("count", number(random.below(200)))])
}

fn scores(random: &mut Random) -> Doc {
    let share = |random: &mut Random| number(format!("0.{}7", random.text("0123456789", 8)));
    record([
        ("label", text(*random.pick(&["spam", "ham"]))),
        ("scores", record(["spam", "ham", "other"].map(|name| (name, share(random))))),
        ("model", text(random.hex(8))),
    ])
}

fn problem(random: &mut Random) -> Doc {
    let detail = |random: &mut Random| record([("field", text(random.word())), ("reason", text(random.word()))]);
    let inner =
        [("code", number(random.number())), ("message", text(random.word())), ("details", list(random, 3, detail))];
    record([("error", record(inner)), ("trace", text(random.hex(32)))])
}

fn odd_names(random: &mut Random) -> Doc {
    record([
        ("a b", number(random.number())),
        ("", text(random.word())),
        ("dotted.name", list(random, 3, |random| number(random.number()))),
        ("quote\"d", record([("größe", number(random.number())), ("[0]", Doc::Bool(true))])),
        ("emoji 🦀", text(random.word())),
        ("$", Doc::Null),
    ])
}

fn scalar(random: &mut Random) -> Doc {
    match random.below(4) {
        0 => text(random.word()),
        1 => Doc::Bool(random.once_in(2)),
        2 => Doc::Null,
        _ => number(random.number()),
    }
}
