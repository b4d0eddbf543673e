//! Where places begin and end, and what happens to places that overlap. How much is found is measured in `tests/corpora`.

use super::*;

fn found(text: &str) -> Vec<(Class, &str)> {
    let detectors = Detectors { regions: vec![phone::Region::Us], ..Detectors::default() };
    let found = detectors.find(text.as_bytes(), Hint::Nothing);
    found.into_iter().map(|found| (found.class, &text[found.at])).collect()
}

#[test]
fn places_end_where_the_value_does() {
    for (text, expected) in [
        ("mailto:alice@example.org?subject=x", &[(Class::Mail, "mailto:alice@example.org")][..]),
        (
            "Alice <alice@example.org>, bob@example.org.",
            &[(Class::Mail, "alice@example.org"), (Class::Mail, "bob@example.org")],
        ),
        ("paid 4111 1111 1111 1111 12/25", &[(Class::Card, "4111 1111 1111 1111")]),
        ("from 10.0.0.1:8080 to [2001:db8::1]", &[(Class::Ipv4, "10.0.0.1"), (Class::Ipv6, "2001:db8::1")]),
        ("call (415) 555-2671.", &[(Class::NationalPhone, "(415) 555-2671")]),
        ("tel:+14155552671;ext=1", &[(Class::Phone, "+14155552671")]),
        ("-----BEGIN KEY-----\nab", &[(Class::Pem, "-----BEGIN KEY-----\nab")]),
        ("http://a:b@c.de/", &[(Class::UrlCredentials, "a:b")]),
        ("ssn 123-45-6789-1", &[]),
        ("2024-05-01 10:30:00 v1.2.3.4 abc", &[]),
    ] {
        let found = found(text);
        let ends: Vec<_> = found.iter().map(|(class, place)| (*class, place.trim_start_matches("mailto:"))).collect();
        let expected: Vec<_> =
            expected.iter().map(|(class, place)| (*class, place.trim_start_matches("mailto:"))).collect();
        assert_eq!(ends, expected, "{text}");
    }
}

#[test]
fn places_that_overlap_become_one_of_the_class_listed_first() {
    assert_eq!(found("password=alice@example.org"), [(Class::NamedSecret, "alice@example.org")]);
    assert_eq!(
        found("token: ghp_0123456789abcdefghijABCDEFGHIJ012345"),
        [(Class::ApiKey, "ghp_0123456789abcdefghijABCDEFGHIJ012345")]
    );
}

#[test]
fn texts_without_anything_to_find_are_told_by_one_look() {
    for text in ["", "Alice", "a chair, oak", "12"] {
        assert!(Traits::of(text.as_bytes()).is_dull(), "{text}");
    }
    for text in ["a@b.de", "1234", "a::b", "abcdefghij", "-----BEGIN KEY"] {
        assert!(!Traits::of(text.as_bytes()).is_dull(), "{text}");
    }
}
