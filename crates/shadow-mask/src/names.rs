//! Names of members, parameters, fields, cookies and headers: which are known words, and what they say of their value.
//!
//! A client may put anything in the place of a name, so a name that is not made of known words is private like any value. The
//! words are those of programming and of business interfaces (`names/words.txt`); names that the rules list are known, too.
//! What is read from a name depends on nothing but the name, so each thread remembers the names it met last.

mod secret;
mod words;

use std::cell::RefCell;

pub(crate) use secret::is_secret;
use words::WORDS;

use crate::shape;

/// What the words of a name say of the value, for the detectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hint {
    Nothing,
    Phone,
    Ssn,
    Version,
    Bearer,
}

/// What a name says of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// It is a secret: masked in every profile.
    Secret,
    /// It is about a person: no shape is kept under `strict`.
    Private,
    Nothing(Hint),
}

/// Longest known name.
const MAX_NAME: usize = 64;
/// Longest word; the rest of a longer one does not matter, as it is unknown.
const MAX_WORD: usize = 24;
/// Most digits of a known name, and of one group in it: `line2`, `sha256`.
const MAX_DIGITS: usize = 4;
/// Most words of one letter in a known name: `x_offset`, but not a name spelled out.
const MAX_LETTERS: usize = 2;

/// Words whose values are about a person, though short numbers, codes and dates.
const PRIVATE: &[&str] = &[
    "birth",
    "birthdate",
    "birthday",
    "born",
    "dob",
    "iban",
    "income",
    "lat",
    "latitude",
    "lng",
    "lon",
    "longitude",
    "passcode",
    "passport",
    "plz",
    "postal",
    "postcode",
    "salary",
    "wage",
    "zip",
    "zipcode",
];
/// Whole names of the kind.
const PRIVATE_NAMES: &[&str] = &["age", "gender", "sex", "securitycode", "verificationcode", "accesscode"];
const PHONE: &[&str] = &[
    "phone",
    "tel",
    "telephone",
    "mobile",
    "cell",
    "cellphone",
    "fax",
    "msisdn",
    "sms",
    "whatsapp",
    "landline",
    "phones",
];
const SSN: &[&str] = &["ssn", "social", "itin", "tin"];
const VERSION: &[&str] = &["version", "ver", "release", "build", "firmware", "ua", "versions"];
const BEARER: &[&str] = &["auth", "authorization", "bearer", "credential", "credentials", "jwt", "key", "signature"];

/// What a member is in a pair of name and value: `{"name": "pin", "value": "1234"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Label,
    Value,
    Other,
}

impl Role {
    fn of(name: &[u8]) -> Self {
        const LABELS: &[&str] =
            &["name", "key", "field", "label", "attribute", "property", "id", "type", "code", "param", "parameter"];
        const VALUES: &[&str] = &["value", "val", "content", "text", "data", "answer"];
        let is = |list: &[&str]| list.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
        if is(LABELS) {
            Self::Label
        } else if is(VALUES) {
            Self::Value
        } else {
            Self::Other
        }
    }
}

/// All that there is to a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Whether it is made of known words.
    pub(crate) known: bool,
    pub(crate) says: Says,
    pub(crate) role: Role,
}

/// A remembered name.
#[derive(Clone, Copy)]
struct Slot {
    length: u8,
    /// With the length all of the name.
    words: [u64; 3],
    reading: Reading,
}

/// Longest name that is remembered.
const MAX_REMEMBERED: usize = 24;
/// Names each thread remembers; a power of two.
const SLOTS: usize = 1024;
/// The length of no name.
const FREE: u8 = u8::MAX;

thread_local! {
    static READ: RefCell<Vec<Slot>> = RefCell::new(vec![
        Slot {
            length: FREE,
            words: [0; 3],
            reading: Reading { known: true, says: Says::Nothing(Hint::Nothing), role: Role::Other },
        };
        SLOTS
    ]);
}

/// Reads a name as it was sent.
pub(crate) fn read(name: &[u8]) -> Reading {
    let fresh = || Reading { known: is_known(name), says: says(name), role: Role::of(name) };
    let Some(words) = as_words(name) else { return fresh() };
    let length = name.len() as u8;
    let mixed = (words[0] ^ words[1].rotate_left(17) ^ words[2].rotate_left(29)).wrapping_add(u64::from(length));
    let slot = (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as usize % SLOTS;
    READ.with_borrow_mut(|slots| {
        let slot = &mut slots[slot];
        if slot.length != length || slot.words != words {
            *slot = Slot { length, words, reading: fresh() };
        }
        slot.reading
    })
}

/// A name of at most 24 bytes as three words, which tell it from all others of its length.
fn as_words(name: &[u8]) -> Option<[u64; 3]> {
    let eight = |at: usize| u64::from_le_bytes(name[at..at + 8].try_into().expect("a slice of that length"));
    let four = |at: usize| u64::from(u32::from_le_bytes(name[at..at + 4].try_into().expect("a slice of that length")));
    let one = |at: usize| u64::from(name[at]);
    match name.len() {
        0 => Some([0; 3]),
        length @ 1..4 => Some([one(0) | one(length / 2) << 8 | one(length - 1) << 16, 0, 0]),
        length @ 4..8 => Some([four(0) | four(length - 4) << 32, 0, 0]),
        length @ 8..=16 => Some([eight(0), 0, eight(length - 8)]),
        length @ 17..=MAX_REMEMBERED => Some([eight(0), eight(8), eight(length - 8)]),
        _ => None,
    }
}

/// What the name, as it was sent, says of its value.
fn says(name: &[u8]) -> Says {
    if is_secret(name) {
        return Says::Secret;
    }
    let (mut hint, mut private, mut joined) = (Hint::Nothing, false, Vec::new());
    if name.len() <= MAX_NAME {
        words(name, |word| {
            let is = |list: &[&str]| list.iter().any(|known| known.as_bytes() == word);
            private |= is(PRIVATE);
            hint = match hint {
                Hint::Nothing if is(PHONE) => Hint::Phone,
                Hint::Nothing if is(SSN) => Hint::Ssn,
                Hint::Nothing if is(VERSION) => Hint::Version,
                Hint::Nothing if is(BEARER) => Hint::Bearer,
                other => other,
            };
            joined.extend_from_slice(word);
            true
        });
    }
    private |= PRIVATE_NAMES.iter().any(|known| known.as_bytes() == joined);
    if private { Says::Private } else { Says::Nothing(hint) }
}

/// Whether a name is made of known words.
fn is_known(name: &[u8]) -> bool {
    if name.len() > MAX_NAME {
        return false;
    }
    let (mut digits, mut letters) = (0, 0);
    let characters = name.iter().all(|b| {
        digits += usize::from(b.is_ascii_digit());
        b.is_ascii_alphanumeric() || b"_-.$@:[]".contains(b)
    });
    let starts = name.first().is_none_or(|b| !b.is_ascii_digit());
    (characters
        && starts
        && digits <= MAX_DIGITS
        && words(name, |word| {
            letters += usize::from(word.len() == 1);
            letters <= MAX_LETTERS && (word.len() == 1 || is_word(word))
        }))
        || shape::is_harmless(name)
}

/// Whether a text is made of known words, small numbers and the punctuation of header values.
pub(crate) fn are_known_words(text: &[u8]) -> bool {
    text.split(|b| !b.is_ascii_alphanumeric()).all(|part| {
        let digits = part.iter().filter(|b| b.is_ascii_digit()).count();
        digits == part.len()
            || (digits <= MAX_DIGITS
                && words(part, |word| word.len() == 1 || is_word(word) || shape::is_harmless(word)))
    })
}

/// Whether a lower-case word is known: itself, its singular, or two known words of three letters and more written as one.
fn is_word(word: &[u8]) -> bool {
    if WORDS.contains(word)
        || word.strip_suffix(b"s").is_some_and(|singular| singular.len() > 2 && WORDS.contains(singular))
    {
        return true;
    }
    (3..word.len().saturating_sub(2)).any(|at| WORDS.contains(&word[..at]) && WORDS.contains(&word[at..]))
}

/// The words of a name in lower case, split at separators, digits and capitals, for as long as `each` says yes.
fn words(name: &[u8], mut each: impl FnMut(&[u8]) -> bool) -> bool {
    let mut word = [0; MAX_WORD];
    let mut at = 0;
    while at < name.len() {
        if !name[at].is_ascii_alphabetic() {
            at += 1;
            continue;
        }
        let start = at;
        while at < name.len() && name[at].is_ascii_uppercase() {
            at += 1;
        }
        let lower = |at: usize| name.get(at).is_some_and(u8::is_ascii_lowercase);
        // In `HTTPSid` the last capital begins the next word.
        if at > start + 1 && lower(at) {
            at -= 1;
        } else {
            while lower(at) {
                at += 1;
            }
        }
        let Some(buffer) = word.get_mut(..at - start) else { return false };
        buffer.copy_from_slice(&name[start..at]);
        buffer.make_ascii_lowercase();
        if !each(buffer) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_known_words_are_known_in_every_spelling() {
        for name in [
            "",
            "id",
            "user_id",
            "userId",
            "userID",
            "USER_ID",
            "user-id",
            "firstname",
            "first_name",
            "firstName",
            "emailAddress",
            "address_line_2",
            "line1",
            "sha256",
            "x_offset",
            "items[]",
            "filter[status]",
            "page.size",
            "@type",
            "$ref",
            "_links",
            "HTTPStatus",
            "createdAt",
            "isActive",
            "orderItems",
            "phoneNumber",
            "zip",
            "qty",
            "unit_price",
            "en",
            "en-US",
            "1",
            "2024-05-01",
        ] {
            assert!(is_known(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn other_names_are_not() {
        for name in [
            "alice",
            "alice@example.com",
            "CanaryQx7",
            "canary_7f3a",
            "Alice Smith",
            "a_l_i_c_e",
            "12345678",
            "msk_alice",
            "名前",
            "user_alicesmith",
            "id12345",
            "x7f3a9c",
            "DE89370400440532013000",
            "zażółć",
        ] {
            assert!(!is_known(name.as_bytes()), "{name}");
        }
        assert!(!is_known("id_".repeat(30).as_bytes()));
    }

    #[test]
    fn names_say_what_their_value_is() {
        for (name, expected) in [
            ("password", Says::Secret),
            ("cvv2", Says::Secret),
            ("zipCode", Says::Private),
            ("birth_year", Says::Private),
            ("age", Says::Private),
            ("securityCode", Says::Private),
            ("max_age", Says::Nothing(Hint::Nothing)),
            ("mobile_phone", Says::Nothing(Hint::Phone)),
            ("appVersion", Says::Nothing(Hint::Version)),
            ("status", Says::Nothing(Hint::Nothing)),
        ] {
            assert_eq!(says(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn the_list_of_words_is_sorted_and_lower_case() {
        let words: Vec<_> = include_str!("names/words.txt").lines().collect();
        assert!(words.is_sorted() && words.len() < 1 << 12, "{}", words.len());
        assert!(words.iter().all(|word| word.len() > 1 && word.bytes().all(|b| b.is_ascii_lowercase())));
    }
}
