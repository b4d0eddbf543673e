//! Pairs under rules: for each kind of rule differences that it allows, and faults beside or beyond them that it does not.

use super::document::{Doc, Step, number, record, text};
use super::faults::{Label, in_list, label};
use super::pairs::{Answer, Mutator, Pair};
use super::random::Random;
use super::{shapes, write};

pub(crate) const RULES: &[Mutator] = &[
    Mutator { name: "equal: ignore", make: |random| ignored(random, false) },
    Mutator { name: "ignore and a fault", make: |random| ignored(random, true) },
    Mutator { name: "equal: unordered", make: |random| unordered(random, false) },
    Mutator { name: "unordered and a fault", make: |random| unordered(random, true) },
    Mutator { name: "equal: set", make: |random| set(random, false) },
    Mutator { name: "set and a fault", make: |random| set(random, true) },
    Mutator { name: "equal: keyed", make: |random| keyed(random, false) },
    Mutator { name: "keyed and faults", make: |random| keyed(random, true) },
    Mutator { name: "equal: tolerance", make: |random| tolerance(random, false) },
    Mutator { name: "beyond a tolerance", make: |random| tolerance(random, true) },
    Mutator { name: "equal: precision", make: precision },
    Mutator { name: "equal: pattern", make: |random| pattern(random, false) },
    Mutator { name: "beside a pattern", make: |random| pattern(random, true) },
    Mutator { name: "equal: normalize", make: |random| normalized(random, false) },
    Mutator { name: "normalize and a fault", make: |random| normalized(random, true) },
    Mutator { name: "equal: null is missing", make: null_is_missing },
    Mutator { name: "equal: timestamp", make: |random| timestamp(random, false) },
    Mutator { name: "beyond a timestamp", make: |random| timestamp(random, true) },
    Mutator { name: "equal: uuid", make: |random| uuid(random, false) },
    Mutator { name: "no uuid", make: |random| uuid(random, true) },
    Mutator { name: "equal: shape", make: |random| shape(random, false) },
    Mutator { name: "shape and a fault", make: |random| shape(random, true) },
    Mutator { name: "equal: errors", make: |random| errors(random, false) },
    Mutator { name: "errors and a fault", make: |random| errors(random, true) },
    Mutator { name: "expected", make: |random| expected(random, "2025-02-01") },
    Mutator { name: "expected no more", make: |random| expected(random, "2025-01-31") },
];

fn pair(random: &mut Random, rules: &str, primary: &Doc, candidate: &Doc, faults: Vec<Label>) -> Pair {
    Pair { rules: rules.to_owned(), ..super::pairs::pair(random, primary, candidate, faults) }
}

fn at(names: &[&str]) -> Vec<Step> {
    names.iter().map(|name| Step::Name((*name).to_owned())).collect()
}

fn list(doc: &mut Doc) -> &mut Vec<Doc> {
    match doc {
        Doc::List(items) => items,
        _ => unreachable!("a list"),
    }
}

/// An order with one to twelve items, no two alike.
fn order(random: &mut Random) -> Doc {
    let mut order = shapes::order(random);
    let items = (0..random.between(1, 12)).map(|at| {
        let mut item = shapes::item(random);
        *item.at_mut(&self::at(&["sku"])) = text(format!("sku {at}"));
        item
    });
    let items = Doc::List(items.collect());
    *order.at_mut(&at(&["items"])) = items;
    order
}

/// Changes one number, away from all ignored places.
fn plant(candidate: &mut Doc) -> Label {
    let spot = at(&["total"]);
    *candidate.at_mut(&spot) = text("no number");
    label("type", &spot)
}

fn ignored(random: &mut Random, with_fault: bool) -> Pair {
    let doc = order(random);
    let mut other = doc.clone();
    *other.at_mut(&at(&["customer"])) = shapes::any(random);
    for item in list(other.at_mut(&at(&["items"]))) {
        let Doc::Record(members) = item else { unreachable!("an item") };
        members.retain(|(name, _)| name != "tags");
        *item.at_mut(&at(&["name"])) = shapes::any(random);
    }
    let faults = if with_fault { vec![plant(&mut other)] } else { Vec::new() };
    let rules = "[[ignore]]\njson = [\"$.customer\", \"$.items[*].name\"]\nheader = [\"cache-control\"]\n[[ignore]]\njson = [\"$..tags\"]";
    let mut pair = pair(random, rules, &doc, &other, faults);
    pair.candidate.headers[1].1 = "no-store".to_owned();
    pair
}

const UNORDERED: &str = "[[unordered]]\njson = [\"$.items\", \"$..tags\"]\n";

/// All lists of an order in another order.
fn shuffled(random: &mut Random, doc: &Doc) -> Doc {
    let mut other = doc.clone();
    let items = list(other.at_mut(&at(&["items"])));
    for item in items.iter_mut() {
        random.shuffle(list(item.at_mut(&at(&["tags"]))));
    }
    random.shuffle(items);
    other
}

fn unordered(random: &mut Random, with_fault: bool) -> Pair {
    let doc = order(random);
    let mut other = shuffled(random, &doc);
    let mut faults = Vec::new();
    if with_fault {
        let items = list(other.at_mut(&at(&["items"])));
        let which = random.below(items.len());
        let items_at = at(&["items"]);
        faults.push(match random.below(3) {
            0 => {
                items.remove(which);
                in_list("missing", &items_at)
            }
            1 => {
                items.insert(which, items[0].clone());
                in_list("added", &items_at)
            }
            _ => {
                *items[which].at_mut(&at(&["price"])) = number("123456.789");
                Label { place: "$.items[*].price".into(), ..in_list("value", &items_at) }
            }
        });
    }
    pair(random, UNORDERED, &doc, &other, faults)
}

fn set(random: &mut Random, with_fault: bool) -> Pair {
    let doc = order(random);
    let mut other = shuffled(random, &doc);
    let items = list(other.at_mut(&at(&["items"])));
    for _ in 0..random.between(1, 3) {
        let again = random.pick(items).clone();
        items.insert(random.below(items.len() + 1), again);
    }
    let mut faults = Vec::new();
    if with_fault {
        items.push(record([("sku", text("new"))]));
        faults.push(in_list("added", &at(&["items"])));
    }
    pair(random, "[[unordered]]\njson = [\"$.items\", \"$..tags\"]\nas = \"set\"\n", &doc, &other, faults)
}

fn keyed(random: &mut Random, with_faults: bool) -> Pair {
    let doc = order(random);
    let mut other = doc.clone();
    let items = list(other.at_mut(&at(&["items"])));
    let mut faults = Vec::new();
    if with_faults {
        for item in items.iter_mut() {
            if random.once_in(2) {
                continue;
            }
            let (member, kind) = *random.pick(&[("price", "value"), ("quantity", "type"), ("name", "missing")]);
            match kind {
                "value" => *item.at_mut(&at(&[member])) = number("123456.789"),
                "type" => *item.at_mut(&at(&[member])) = Doc::Null,
                _ => match item {
                    Doc::Record(members) => members.retain(|(name, _)| name != member),
                    _ => unreachable!("an item"),
                },
            }
            faults.push(Label { place: format!("$.items[*].{member}"), ..in_list(kind, &[]) });
        }
        items.push(record([("sku", text("new"))]));
        faults.push(in_list("added", &at(&["items"])));
    }
    random.shuffle(list(other.at_mut(&at(&["items"]))));
    pair(random, "[[keyed]]\njson = [\"$.items\"]\nkey = \"sku\"\n", &doc, &other, faults)
}

/// A number of cents as a decimal.
fn money(cents: usize) -> Doc {
    number(format!("{}.{:02}", cents / 100, cents % 100))
}

fn tolerance(random: &mut Random, beyond: bool) -> Pair {
    let relative = random.once_in(2);
    let cents = random.between(200_000, 90_000_000);
    let (rules, off) = match (relative, beyond) {
        (false, false) => ("absolute = 0.05", random.between(0, 5)),
        (false, true) => ("absolute = 0.05", random.between(6, 900)),
        (true, false) => ("relative = 0.001", random.below(cents / 1100)),
        (true, true) => ("relative = 0.001", random.between(cents / 900, cents / 2)),
    };
    let other = if random.once_in(2) { cents + off } else { cents - off };
    let mut doc = order(random);
    *doc.at_mut(&at(&["total"])) = money(cents);
    let candidate = doc.with(&at(&["total"]), money(other));
    let faults = if beyond { vec![label("value", &at(&["total"]))] } else { Vec::new() };
    pair(random, &format!("[[tolerance]]\njson = [\"$.total\"]\n{rules}\n"), &doc, &candidate, faults)
}

/// All prices with fewer digits, under a tolerance for them.
fn precision(random: &mut Random) -> Pair {
    let doc = order(random);
    let mut other = doc.clone();
    for item in list(other.at_mut(&at(&["items"]))) {
        let Doc::Number(price) = item.at_mut(&at(&["price"])) else { unreachable!("a price") };
        if let Some(point) = price.find('.') {
            price.truncate(price.len().min(point + random.between(3, 5)));
        }
    }
    pair(random, "[[tolerance]]\njson = [\"$.items[*].price\"]\nabsolute = \"0.01\"\n", &doc, &other, Vec::new())
}

fn pattern(random: &mut Random, beside: bool) -> Pair {
    let doc = record([("trace", text(random.hex(32))), ("total", number(random.number()))]);
    let other = if beside { random.hex(31) } else { random.hex(32) };
    let candidate = doc.with(&at(&["trace"]), text(other));
    let faults = if beside { vec![label("value", &at(&["trace"]))] } else { Vec::new() };
    pair(random, "[[pattern]]\njson = [\"$.trace\"]\npattern = \"[0-9a-f]{32}\"\n", &doc, &candidate, faults)
}

fn normalized(random: &mut Random, with_fault: bool) -> Pair {
    let doc = record([
        ("case", text("Zürich West")),
        ("space", text("two words")),
        ("number", text("12.50")),
        ("type", number("12.5")),
        ("plain", text("as it is")),
    ]);
    let mut other = doc.clone();
    let mut set = |name: &str, value: Doc| *other.at_mut(&at(&[name])) = value;
    set("case", text(*random.pick(&["ZÜRICH WEST", "zürich west", "zÜrich West"])));
    set("space", text(*random.pick(&["two  words", " two words ", "two\n\twords"])));
    set("number", text(*random.pick(&["12.5", "12.500", "1.25e1"])));
    set("type", text(*random.pick(&["12.5", "12.50"])));
    let mut faults = Vec::new();
    if with_fault {
        let (name, value, kind) = random
            .pick(&[
                ("case", text("Zurich West"), "value"),
                ("space", text("twowords"), "value"),
                ("number", text("12.51"), "value"),
                ("plain", text("As it is"), "value"),
            ])
            .clone();
        set(name, value);
        faults.push(label(kind, &at(&[name])));
    }
    let rules = "[[normalize]]\njson = [\"$.case\"]\ncase = true\n[[normalize]]\njson = [\"$.space\"]\nwhitespace = true\n\
        [[normalize]]\njson = [\"$.number\"]\nnumber = true\n[[normalize]]\njson = [\"$.type\"]\nnumber_type = true\n";
    pair(random, rules, &doc, &other, faults)
}

fn null_is_missing(random: &mut Random) -> Pair {
    let mut doc = order(random);
    *doc.at_mut(&at(&["note"])) = Doc::Null;
    let mut other = doc.clone();
    let Doc::Record(members) = &mut other else { unreachable!("an order") };
    members.retain(|(name, _)| name != "note");
    let (doc, other) = if random.once_in(2) { (doc, other) } else { (other, doc) };
    pair(random, "[[null_is_missing]]\njson = [\"$.note\"]\n", &doc, &other, Vec::new())
}

fn timestamp(random: &mut Random, beyond: bool) -> Pair {
    let (before, off) = (random.below(3000), if beyond { random.between(6, 500) } else { random.below(6) });
    let instant =
        |second: usize, zone: &str| text(format!("2025-03-04T10:{:02}:{:02}{zone}", second / 60, second % 60));
    let mut doc = order(random);
    *doc.at_mut(&at(&["created_at"])) = instant(before, "Z");
    let zone = *random.pick(&["Z", "+00:00", ".000Z"]);
    let candidate = doc.with(&at(&["created_at"]), instant(before + off, zone));
    let faults = if beyond { vec![label("value", &at(&["created_at"]))] } else { Vec::new() };
    pair(random, "[[timestamp]]\njson = [\"$.created_at\"]\nwithin = \"5s\"\n", &doc, &candidate, faults)
}

fn uuid(random: &mut Random, none: bool) -> Pair {
    let doc = order(random);
    let other = random.uuid();
    let other = if none { other.replacen('-', "_", 1) } else { other };
    let candidate = doc.with(&at(&["id"]), text(other));
    let faults = if none { vec![label("value", &at(&["id"]))] } else { Vec::new() };
    pair(random, "[[uuid]]\njson = [\"$.id\"]\n", &doc, &candidate, faults)
}

fn shape(random: &mut Random, with_fault: bool) -> Pair {
    let doc = order(random);
    let mut other = doc.clone();
    for spot in doc.spots() {
        match other.at_mut(&spot) {
            Doc::Text(text) => *text = random.word(),
            Doc::Number(number) => *number = random.number(),
            Doc::Bool(truth) => *truth = random.once_in(2),
            _ => {}
        }
    }
    let faults = if with_fault { vec![plant(&mut other)] } else { Vec::new() };
    pair(random, "[[shape]]\njson = [\"$\"]\n", &doc, &other, faults)
}

fn errors(random: &mut Random, with_fault: bool) -> Pair {
    let answer = |random: &mut Random, status: u16, code: &str| {
        let inner = record([("code", text(code)), ("message", text(random.word()))]);
        Answer { status, ..Answer::json(write::plain(&record([("error", inner), ("trace", text(random.hex(8)))]))) }
    };
    let (primary, mut candidate) = (answer(random, 404, "gone"), answer(random, 410, "gone"));
    let mut faults = Vec::new();
    if with_fault && random.once_in(2) {
        candidate = answer(random, 500, "gone");
        faults.push(Label::word("status", "status"));
    } else if with_fault {
        candidate = answer(random, 404, "never was");
        faults.push(label("value", &at(&["error", "code"])));
    }
    Pair { rules: "[[errors]]\nstatus = \"class\"\njson = [\"$.error.code\"]\n".into(), primary, candidate, faults }
}

/// A renamed member and another header, named in a manifest that holds until that day. The candidate was asked on 2025-02-01.
fn expected(random: &mut Random, until: &str) -> Pair {
    let doc = order(random);
    let mut other = doc.clone();
    let Doc::Record(members) = &mut other else { unreachable!("an order") };
    for (name, _) in members.iter_mut().filter(|(name, _)| name == "total") {
        *name = "total_price".to_owned();
    }
    let holds = until >= "2025-02-01";
    let name = |name| holds.then_some(name);
    let faults = vec![
        Label { expected: name("renamed"), ..label("missing", &at(&["total"])) },
        Label { expected: name("renamed too"), ..label("added", &at(&["total_price"])) },
        Label { expected: name("caching"), ..Label::word("header", "header:cache-control") },
    ];
    let entry = |name: &str, place: &str, kind: &str| {
        format!(
            "[[expected]]\nname = \"{name}\"\nplace = \"{place}\"\nkind = \"{kind}\"\nowner = \"shop\"\nwhy = \"v2\"\n\
             expires = \"{until}\"\n"
        )
    };
    let rules = [
        entry("renamed", "$.total", "missing"),
        entry("renamed too", "$.total_price", "added"),
        entry("caching", "header:cache-control", "header"),
    ];
    let mut pair = pair(random, &rules.concat(), &doc, &other, faults);
    pair.candidate.headers[1].1 = "no-store".to_owned();
    if random.once_in(2) {
        // A fault besides, which nobody expects.
        pair.candidate.status = 500;
        pair.faults.push(Label::word("status", "status"));
    }
    pair
}
