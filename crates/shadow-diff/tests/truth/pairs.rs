//! Pairs of answers with what is wrong between them: a document before and after a mutator, in random spellings, under headers
//! and a status as services send them.

use super::document::Doc;
use super::faults::{self, Fault, Label};
use super::random::Random;
use super::{shapes, write};

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Two answers, the rules to compare them under, and every fault between them: none means that they are equivalent.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) rules: String,
    pub(crate) primary: Answer,
    pub(crate) candidate: Answer,
    pub(crate) faults: Vec<Label>,
}

/// Makes pairs of one sort.
pub(crate) struct Mutator {
    pub(crate) name: &'static str,
    pub(crate) make: fn(&mut Random) -> Pair,
}

impl Answer {
    pub(crate) fn of(media: &str, body: impl Into<Vec<u8>>) -> Self {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![
            header("content-type", media),
            header("cache-control", "max-age=60"),
            header("location", "/orders/17"),
            header("date", "Sat, 01 Feb 2025 10:00:00 GMT"),
        ];
        Self { status: 200, headers, body: body.into() }
    }

    pub(crate) fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::of("application/json", body)
    }
}

/// Mutators of JSON answers that need no rules.
pub(crate) const JSON: &[Mutator] = &[
    Mutator { name: "value", make: |random| planted(random, faults::value) },
    Mutator { name: "type", make: |random| planted(random, faults::type_of) },
    Mutator { name: "missing", make: |random| planted(random, faults::missing) },
    Mutator { name: "added", make: |random| planted(random, faults::added) },
    Mutator { name: "reordered", make: |random| planted(random, faults::reordered) },
    Mutator { name: "precision", make: |random| planted(random, faults::precision) },
    Mutator { name: "whitespace", make: |random| planted(random, faults::whitespace) },
    Mutator { name: "encoding", make: |random| planted(random, faults::encoding) },
    Mutator { name: "several", make: several },
    Mutator { name: "body", make: body },
    Mutator { name: "status", make: status },
    Mutator { name: "header", make: header },
    Mutator { name: "equal: spelling", make: |random| equal(random, write::respelt) },
    Mutator { name: "equal: headers", make: headers },
];

/// One fault in a document, with both sides spelt at random.
fn planted(random: &mut Random, plant: Fault) -> Pair {
    loop {
        let doc = shapes::any(random);
        if let Some((mutant, label)) = plant(random, &doc) {
            return pair(random, &doc, &mutant, vec![label]);
        }
    }
}

fn several(random: &mut Random) -> Pair {
    loop {
        let doc = shapes::any(random);
        if let Some((mutant, labels)) = faults::several(random, &doc) {
            return pair(random, &doc, &mutant, labels);
        }
    }
}

/// Both documents as JSON answers.
pub(crate) fn pair(random: &mut Random, primary: &Doc, candidate: &Doc, faults: Vec<Label>) -> Pair {
    let candidate = if random.once_in(2) { write::plain(candidate) } else { write::respelt(random, candidate) };
    Pair {
        rules: String::new(),
        primary: Answer::json(write::plain(primary)),
        candidate: Answer::json(candidate),
        faults,
    }
}

fn equal(random: &mut Random, spell: fn(&mut Random, &Doc) -> String) -> Pair {
    let doc = shapes::any(random);
    let mut pair = pair(random, &doc, &doc, Vec::new());
    pair.candidate.body = spell(random, &doc).into_bytes();
    pair
}

/// The whole body is gone, or came, or is an error page, or ends too early.
fn body(random: &mut Random) -> Pair {
    let doc = shapes::order(random);
    let whole = write::plain(&doc);
    let (primary, candidate, kind) = match random.below(5) {
        0 => (whole, String::new(), "missing"),
        1 => (String::new(), whole, "added"),
        2 => (whole, "<!doctype html><h1>Bad Gateway</h1>".to_owned(), "type"),
        3 => (whole, "upstream connect error".to_owned(), "type"),
        _ => {
            let mut cut = random.between(1, whole.len() - 1);
            while !whole.is_char_boundary(cut) {
                cut -= 1;
            }
            (whole.clone(), whole[..cut.max(1)].to_owned(), "type")
        }
    };
    let faults = vec![Label::word(kind, "body")];
    Pair { rules: String::new(), primary: Answer::json(primary), candidate: Answer::json(candidate), faults }
}

fn status(random: &mut Random) -> Pair {
    const STATUSES: &[u16] = &[200, 201, 204, 301, 302, 304, 400, 401, 404, 409, 429, 500, 502, 503];
    let doc = shapes::any(random);
    let mut pair = pair(random, &doc, &doc, Vec::new());
    pair.primary.status = *random.pick(STATUSES);
    while pair.candidate.status == pair.primary.status || pair.candidate.status == 200 {
        pair.candidate.status = *random.pick(STATUSES);
    }
    pair.faults = vec![Label::word("status", "status")];
    pair
}

/// A header that matters is another, gone or new.
fn header(random: &mut Random) -> Pair {
    let doc = shapes::any(random);
    let mut pair = pair(random, &doc, &doc, Vec::new());
    let at = random.below(3);
    let name = pair.primary.headers[at].0.clone();
    let other = match name.as_str() {
        "content-type" => "application/problem+json",
        "location" => "/orders/18",
        _ => "no-store",
    };
    match random.below(3) {
        0 => pair.candidate.headers[at].1 = other.to_owned(),
        1 => drop(pair.candidate.headers.remove(at)),
        _ => drop(pair.primary.headers.remove(at)),
    }
    pair.faults = vec![Label::word("header", &format!("header:{name}"))];
    pair
}

/// Headers that do not matter, in another order, and a media type spelt otherwise.
fn headers(random: &mut Random) -> Pair {
    let doc = shapes::any(random);
    let mut pair = pair(random, &doc, &doc, Vec::new());
    let (ours, theirs) = *random.pick(&[
        ("application/json; charset=utf-8", "Application/JSON;charset=UTF-8"),
        ("application/json", "application/json "),
        ("text/json", "text/json"),
    ]);
    pair.primary.headers[0].1 = ours.to_owned();
    pair.candidate.headers[0].1 = theirs.to_owned();
    pair.candidate.headers[3].1 = "Sat, 01 Feb 2025 10:00:01 GMT".to_owned();
    pair.candidate.headers.push(("x-request-id".to_owned(), random.uuid()));
    random.shuffle(&mut pair.candidate.headers);
    pair
}
