//! What the allow-list keeps, and the look-alikes it does not.

use super::{is_harmless, is_identifier};

#[test]
fn listed_shapes_are_kept() {
    for value in [
        "",
        "0",
        "-1",
        "000123",
        "999999",
        "1.2",
        "v1.2.3",
        "10.0.17",
        "true",
        "FALSE",
        "null",
        "desc",
        "EUR",
        "en",
        "en-US",
        "pt_BR",
        "2024-02-29",
        "2024-02-29T12:30",
        "2024-02-29T12:30:59Z",
        "2024-02-29 12:30:60.123456789+01:00",
        "0190a6f2-7c1e-7abc-8def-0123456789ab",
        "0190A6F2-7C1E-7ABC-8DEF-0123456789AB",
        "a190a6f2-7c1e-7abc-8def-0123456789ab",
    ] {
        assert!(is_harmless(value.as_bytes()), "{value}");
    }
}

#[test]
fn look_alikes_are_not() {
    for value in [
        " ",
        "1234567",
        "-1234567",
        "4111111111111111",
        "+49301234",
        "1-2",
        "-",
        "12.50.1.1",
        "192.168.0.1",
        "1.2345",
        "v1",
        "v",
        "1.",
        ".5",
        "2024-13-01",
        "2024-00-10",
        "2024-01-32",
        "2024-1-1",
        "2024-01-01T25:00",
        "2024-01-01X",
        "2024-01-01T12:30:59.1234567890",
        "2024-01-01T12:30+1",
        "alice",
        "EURO",
        "XQZ",
        "zq",
        "en-ZZ",
        "en.US",
        "trueish",
        "0190a6f27c1e7abc8def0123456789ab",
        "0190a6f2-7c1e-7abc-8def-0123456789ag",
        "0190a6f2x7c1e-7abc-8def-0123456789ab",
        "alice@example.com",
        "DE",
        "¹²³",
        "٣",
    ] {
        assert!(!is_harmless(value.as_bytes()), "{value}");
    }
}

#[test]
fn names_are_kept_when_they_are_identifiers() {
    for name in ["", "id", "_links", "$ref", "@type", "orderId", "line-items", "address2", "x_123456"] {
        assert!(is_identifier(name.as_bytes()), "{name}");
    }
    let long = "a".repeat(41);
    for name in ["alice@example.com", "john smith", "tel_1234567", "1st", "a.b", "naïve", "+4930", long.as_str()] {
        assert!(!is_identifier(name.as_bytes()), "{name}");
    }
}
