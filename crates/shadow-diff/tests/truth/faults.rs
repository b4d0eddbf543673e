//! Mutators of documents: each plants one fault and says where it is and of which kind.

use super::document::{Doc, Spot, Step, exact, general, text};
use super::random::Random;

/// What a comparison must say about one planted fault.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) kind: &'static str,
    pub(crate) place: String,
    /// The very place, where there is no doubt about it: which element of a list is gone, nobody can tell.
    pub(crate) example: Option<String>,
    /// The expected change that it must be taken for.
    pub(crate) expected: Option<&'static str>,
}

/// Plants a fault; `None` where the document has nothing to plant it in.
pub(crate) type Fault = fn(&mut Random, &Doc) -> Option<(Doc, Label)>;

impl Label {
    /// Of what is no place in a body: `status`, `body`, `header:location`.
    pub(crate) fn word(kind: &'static str, word: &str) -> Self {
        Self { kind, place: word.to_owned(), example: Some(word.to_owned()), expected: None }
    }
}

pub(crate) fn label(kind: &'static str, spot: &[Step]) -> Label {
    Label { kind, place: general(spot), example: Some(exact(spot)), expected: None }
}

pub(crate) fn in_list(kind: &'static str, list: &[Step]) -> Label {
    Label { kind, place: format!("{}[*]", general(list)), example: None, expected: None }
}

fn choose(random: &mut Random, spots: Vec<Spot>) -> Option<Spot> {
    if spots.is_empty() { None } else { Some(random.pick(&spots).clone()) }
}

/// Another value of the same type.
pub(crate) fn value(random: &mut Random, doc: &Doc) -> Option<(Doc, Label)> {
    let spot = choose(random, doc.spots_of(|doc| matches!(doc, Doc::Bool(_) | Doc::Number(_) | Doc::Text(_))))?;
    let other = match doc.at(&spot) {
        Doc::Bool(truth) => Doc::Bool(!truth),
        Doc::Number(number) => Doc::Number(other_number(random, number)),
        Doc::Text(text) => Doc::Text(other_text(random, text)),
        _ => unreachable!("the place of a scalar"),
    };
    Some((doc.with(&spot, other), label("value", &spot)))
}

/// One digit, the sign or the magnitude of a number changes.
pub(crate) fn other_number(random: &mut Random, number: &str) -> String {
    let zero = number.chars().all(|c| matches!(c, '0' | '.' | '-'));
    match random.below(4) {
        0 if !zero => number.strip_prefix('-').map_or_else(|| format!("-{number}"), str::to_owned),
        1 if !zero && !number.contains('.') => format!("{number}0"),
        2 if number.contains('.') => format!("{number}1"),
        _ => {
            let mut digits: Vec<char> = number.chars().collect();
            let places: Vec<usize> = (0..digits.len()).filter(|at| digits[*at].is_ascii_digit()).collect();
            let at = *random.pick(&places);
            let others: Vec<char> = ('1'..='9').filter(|digit| *digit != digits[at]).collect();
            digits[at] = *random.pick(&others);
            digits.into_iter().collect()
        }
    }
}

fn other_text(random: &mut Random, text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let letter = chars.iter().position(char::is_ascii_alphabetic);
    match (random.below(4), letter) {
        (0, Some(at)) => {
            let turned = chars[at].is_ascii_lowercase();
            chars[at] = if turned { chars[at].to_ascii_uppercase() } else { chars[at].to_ascii_lowercase() };
        }
        (1, _) if !chars.is_empty() => drop(chars.pop()),
        (2, _) if !chars.is_empty() => {
            let at = random.below(chars.len());
            chars[at] = if chars[at] == 'q' { 'w' } else { 'q' };
        }
        _ => chars.insert(random.below(chars.len() + 1), 'z'),
    }
    chars.into_iter().collect()
}

/// A value of another type, where one can, with the same look.
pub(crate) fn type_of(random: &mut Random, doc: &Doc) -> Option<(Doc, Label)> {
    let spot = choose(random, doc.spots())?;
    let here = doc.at(&spot);
    let mut others = vec![
        Doc::Null,
        Doc::Bool(false),
        Doc::Number("0".into()),
        text(""),
        Doc::List(vec![here.clone()]),
        Doc::Record(vec![("value".into(), here.clone())]),
        Doc::List(Vec::new()),
        Doc::Record(Vec::new()),
    ];
    match here {
        Doc::Number(number) => others.push(text(number.clone())),
        Doc::Bool(truth) => others.push(text(truth.to_string())),
        Doc::Null => others.push(text("null")),
        _ => {}
    }
    others.retain(|other| other.kind() != here.kind());
    let other = random.pick(&others).clone();
    Some((doc.with(&spot, other), label("type", &spot)))
}

/// A member or an element is left out.
pub(crate) fn missing(random: &mut Random, doc: &Doc) -> Option<(Doc, Label)> {
    let spot = choose(random, doc.spots_of(has_something))?;
    let mut mutant = doc.clone();
    let label = match mutant.at_mut(&spot) {
        Doc::List(items) => {
            items.remove(random.below(items.len()));
            in_list("missing", &spot)
        }
        Doc::Record(members) => {
            let (name, _) = members.remove(random.below(members.len()));
            label("missing", &[spot, vec![Step::Name(name)]].concat())
        }
        _ => unreachable!("the place of a list or record"),
    };
    Some((mutant, label))
}

fn has_something(doc: &Doc) -> bool {
    match doc {
        Doc::List(items) => !items.is_empty(),
        Doc::Record(members) => !members.is_empty(),
        _ => false,
    }
}

/// A member or an element too many, which may repeat another.
pub(crate) fn added(random: &mut Random, doc: &Doc) -> Option<(Doc, Label)> {
    let spot = choose(random, doc.spots_of(|doc| matches!(doc, Doc::List(_) | Doc::Record(_))))?;
    let mut mutant = doc.clone();
    let label = match mutant.at_mut(&spot) {
        Doc::List(items) => {
            let item = if items.is_empty() || random.once_in(2) { text("of late") } else { random.pick(items).clone() };
            items.insert(random.below(items.len() + 1), item);
            in_list("added", &spot)
        }
        Doc::Record(members) => {
            let name = (*random.pick(&["extra", "x y", "größer", "@extra"])).to_owned();
            let one = |item: Doc| Doc::List(vec![item]);
            let values = [Doc::Null, text("new"), one(Doc::Bool(true)), one(text("new")), one(Doc::Record(Vec::new()))];
            let value = random.pick(&values).clone();
            members.insert(random.below(members.len() + 1), (name.clone(), value));
            label("added", &[spot, vec![Step::Name(name)]].concat())
        }
        _ => unreachable!("the place of a list or record"),
    };
    Some((mutant, label))
}

/// The elements of a list in another order.
pub(crate) fn reordered(random: &mut Random, doc: &Doc) -> Option<(Doc, Label)> {
    let distinct = |doc: &Doc| matches!(doc, Doc::List(items) if items.iter().any(|item| *item != items[0]));
    let spot = choose(random, doc.spots_of(distinct))?;
    let mut mutant = doc.clone();
    let Doc::List(items) = mutant.at_mut(&spot) else { unreachable!("the place of a list") };
    let before = items.clone();
    while *items == before {
        match random.below(4) {
            0 => items.reverse(),
            1 => items.rotate_left(1),
            2 => items.swap(random.below(before.len()), random.below(before.len())),
            _ => random.shuffle(items),
        }
    }
    Some((mutant, label("order", &spot)))
}

/// A number keeps fewer digits, so that its value changes in the last places.
pub(crate) fn precision(random: &mut Random, doc: &Doc) -> Option<(Doc, Label)> {
    let spot = choose(random, doc.spots_of(|doc| matches!(doc, Doc::Number(number) if number.contains('.'))))?;
    let Doc::Number(number) = doc.at(&spot) else { unreachable!("the place of a number") };
    let (whole, fraction) = number.split_once('.')?;
    let kept = &fraction[..random.below(fraction.trim_end_matches('0').len())];
    let cut = if kept.is_empty() { whole.to_owned() } else { format!("{whole}.{kept}") };
    Some((doc.with(&spot, Doc::Number(cut)), label("value", &spot)))
}

/// White space inside a text, where it is part of the value.
pub(crate) fn whitespace(random: &mut Random, doc: &Doc) -> Option<(Doc, Label)> {
    let spot = choose(random, doc.spots_of(|doc| matches!(doc, Doc::Text(_))))?;
    let Doc::Text(text) = doc.at(&spot) else { unreachable!("the place of a text") };
    let space = *random.pick(&[" ", "  ", "\n", "\t", "\u{a0}"]);
    let spaced = match random.below(4) {
        0 => format!("{space}{text}"),
        1 => format!("{text}{space}"),
        2 if text.contains(' ') => text.replacen(' ', &format!(" {space}"), 1),
        _ => format!("{space}{text}{space}"),
    };
    Some((doc.with(&spot, Doc::Text(spaced)), label("value", &spot)))
}

/// A text that went through the wrong charset, an escape too many or another normal form.
pub(crate) fn encoding(random: &mut Random, doc: &Doc) -> Option<(Doc, Label)> {
    let spot = choose(random, doc.spots_of(|doc| matches!(doc, Doc::Text(text) if !text.is_ascii())))?;
    let Doc::Text(text) = doc.at(&spot) else { unreachable!("the place of a text") };
    let broken = match random.below(5) {
        0 => text.bytes().map(char::from).collect(),
        1 => text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect(),
        2 => text.chars().map(|c| if c.is_ascii() { c } else { '\u{fffd}' }).collect(),
        3 => text.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("&#{};", c as u32) }).collect(),
        _ if text.contains('é') => text.replacen('é', "e\u{301}", 1),
        _ => text.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", c as u32) }).collect(),
    };
    Some((doc.with(&spot, Doc::Text(broken)), label("value", &spot)))
}

/// Two to four faults in one document, no one inside or beside another in such a way that they could be told otherwise.
pub(crate) fn several(random: &mut Random, doc: &Doc) -> Option<(Doc, Vec<Label>)> {
    let (mut mutant, mut labels): (Doc, Vec<Label>) = (doc.clone(), Vec::new());
    let mut touched: Vec<Spot> = Vec::new();
    for _ in 0..random.between(2, 4) {
        let free = |spot: &Spot| !touched.iter().any(|other| spot.starts_with(other) || other.starts_with(spot));
        let spots = doc.spots().into_iter().filter(|spot| spot.len() > 1 && free(spot)).collect();
        let Some(spot) = choose(random, spots) else { break };
        let member = matches!(spot.last(), Some(Step::Name(_)));
        let unlike = text(format!("unlike anything {}", labels.len()));
        let label = match random.below(3) {
            0 if member => {
                let Some((Step::Name(last), parent)) = spot.split_last() else { unreachable!("a member") };
                let Doc::Record(members) = mutant.at_mut(parent) else { unreachable!("the place of a record") };
                members.retain(|(name, _)| name != last);
                label("missing", &spot)
            }
            _ if matches!(doc.at(&spot), Doc::Text(_)) => {
                *mutant.at_mut(&spot) = unlike;
                label("value", &spot)
            }
            _ => {
                *mutant.at_mut(&spot) = unlike;
                label("type", &spot)
            }
        };
        touched.push(spot);
        labels.push(label);
    }
    (labels.len() > 1).then_some((mutant, labels))
}
