//! Documents as JSON text, in any of the spellings that mean the same.

use super::document::Doc;
use super::random::Random;

/// A JSON text between quotes, with no more escapes than it needs.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Compact, in order, as most libraries write it.
pub(crate) fn plain(doc: &Doc) -> String {
    match doc {
        Doc::Null => "null".to_owned(),
        Doc::Bool(truth) => truth.to_string(),
        Doc::Number(number) => number.clone(),
        Doc::Text(text) => quoted(text),
        Doc::List(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(",")),
        Doc::Record(members) => {
            let members = members.iter().map(|(name, value)| format!("{}:{}", quoted(name), plain(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
    }
}

/// The same document with its members in another order, other white space, escapes and spellings of numbers.
pub(crate) fn respelt(random: &mut Random, doc: &Doc) -> String {
    let space = |random: &mut Random| *random.pick(&["", "", "", " ", "\n", "\t", " \r\n  "]);
    let written = match doc {
        Doc::Null | Doc::Bool(_) => plain(doc),
        Doc::Number(number) => renumbered(random, number),
        Doc::Text(text) => escaped(random, text),
        Doc::List(items) => {
            let items: Vec<_> = items.iter().map(|item| respelt(random, item)).collect();
            format!("[{}{}]", items.join(","), space(random))
        }
        Doc::Record(members) => {
            let mut written: Vec<_> = Vec::new();
            for (name, value) in members {
                let (name, value) = (escaped(random, name), respelt(random, value));
                written.push(format!("{}{name}{}:{value}", space(random), space(random)));
            }
            random.shuffle(&mut written);
            format!("{{{}{}}}", written.join(","), space(random))
        }
    };
    format!("{}{written}{}", space(random), space(random))
}

fn escaped(random: &mut Random, text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        let must = c == '"' || c == '\\' || c < ' ';
        match c {
            '/' if random.once_in(2) => out.push_str("\\/"),
            c if must || random.once_in(6) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let hex = format!("\\u{unit:04x}");
                    out.push_str(&if random.once_in(2) { hex.to_uppercase().replace("\\U", "\\u") } else { hex });
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Another spelling of the same number.
fn renumbered(random: &mut Random, number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    match random.below(5) {
        0 => number.to_owned(),
        1 => format!("{sign}{whole}.{fraction}{}", "0".repeat(random.between(1, 3))),
        2 => format!("{sign}{whole}.{fraction}0E+0"),
        3 if whole != "0" => format!("{sign}{whole}{fraction}e-{}", fraction.len()),
        _ => format!("{sign}0.{whole}{fraction}e{}", whole.len()),
    }
}
