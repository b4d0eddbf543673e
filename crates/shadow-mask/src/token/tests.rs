//! Tokens are recognised exactly where they were made, in every form.

use super::*;

fn tokenizer(secret: &str) -> Tokenizer {
    Tokenizer::new(&MaskKey::parse(secret).unwrap())
}

/// One value of each form.
const VALUES: [(&str, Form); 14] = [
    ("Alice Example", Form::Text),
    ("alice@example.org", Form::Mail),
    ("+49 30 1234567", Form::Phone),
    ("4111 1111 1111 1111", Form::Card),
    ("DE89370400440532013000", Form::Iban),
    ("123-45-6789", Form::Ssn),
    ("12345678", Form::Digits),
    ("0190a6f2-7c1e-7abc-8def-0123456789ab", Form::Uuid),
    ("507f1f77bcf86cd799439011", Form::Hex),
    ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Form::Hex),
    ("1984-02-29", Form::Date),
    ("1984-02-29T12:30:00Z", Form::DateTime),
    ("203.0.113.7", Form::Ipv4),
    ("2a00:1450:4001:81b::200e", Form::Ipv6),
];

#[test]
fn a_token_has_the_form_of_its_value_and_is_recognised_under_its_key_only() {
    let (ours, theirs) = (tokenizer(&"a".repeat(32)), tokenizer(&"b".repeat(32)));
    for (value, form) in VALUES {
        assert_eq!(Form::of(value.as_bytes()), form, "{value}");
        let token = ours.token(value.as_bytes());
        assert_eq!(Form::of(token.as_bytes()), form, "{value}: {}", token.as_str());
        assert!(ours.is_masked(token.as_bytes()), "{value}: {}", token.as_str());
        assert_ne!(token.as_str(), theirs.token(value.as_bytes()).as_str());
        assert!(!ours.is_masked(value.as_bytes()), "{value}");
    }
    let mut both = theirs.clone();
    both.also_recognise(&MaskKey::parse(&"a".repeat(32)).unwrap());
    for (value, _) in VALUES {
        assert!(both.is_masked(ours.token(value.as_bytes()).as_bytes()), "{value}");
        assert_eq!(both.token(value.as_bytes()).as_str(), theirs.token(value.as_bytes()).as_str());
    }
    let strangers = VALUES.iter().filter(|(value, _)| theirs.is_masked(ours.token(value.as_bytes()).as_bytes()));
    assert_eq!(strangers.count(), 0, "with these keys no short tag happens to verify");
}

#[test]
fn a_token_changed_in_any_character_is_not_recognised() {
    let ours = tokenizer(&"a".repeat(32));
    let (mut changed, mut taken) = (0, 0);
    for (value, form) in VALUES {
        let token = ours.token(value.as_bytes()).as_str().to_owned();
        for at in 0..token.len() {
            for other in ["a", "7", "A", "1", "-", "0", "b"].into_iter().filter(|other| token[at..=at] != **other) {
                let mut forged = token.clone();
                forged.replace_range(at..=at, other);
                let recognised = ours.is_masked(forged.as_bytes());
                // Tags of ranged forms are short; those of the others are not to be guessed.
                let short = form::tags(form) > 1;
                assert!(!recognised || short, "{forged}");
                (changed, taken) = (changed + 1, taken + u32::from(recognised));
            }
        }
        assert!(!ours.is_masked(&token.as_bytes()[..token.len() - 1]), "{token}");
        assert!(!ours.is_masked(format!("{token}a").as_bytes()), "{token}");
    }
    assert!(changed > 1_000 && taken <= 4, "{taken} of {changed}");
}

#[test]
fn tokens_of_ranged_forms_spread_over_their_range() {
    let ours = tokenizer(&"a".repeat(32));
    for (form, least) in [
        (Form::Phone, 9_990),
        (Form::Card, 9_900),
        (Form::Iban, 9_999),
        (Form::Ssn, 8_900),
        (Form::Digits, 9_999),
        (Form::DateTime, 9_970),
        (Form::Ipv4, 9_750),
        (Form::Uuid, 10_000),
    ] {
        let tokens = (0..10_000).map(|n| ours.token_as(form, format!("value {n}").as_bytes()).as_str().to_owned());
        let distinct: std::collections::HashSet<_> = tokens.collect();
        assert!(distinct.len() >= least, "{form:?}: {}", distinct.len());
    }
}
