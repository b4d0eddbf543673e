//! Reads exactly what RFC 8259 allows, and changes nothing but what is masked.

use shadow_record::{RouteTable, Withheld};

use crate::{MaskKey, Masker, RawBody, RawResponse, Ruleset};

fn mask(text: &[u8]) -> Result<String, Withheld> {
    let key = MaskKey::parse("an example key of 32 characters.").unwrap();
    let masker = Masker::new(key, Ruleset::default(), RouteTable::default());
    let mut headers = http::HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    let body = RawBody::Whole(bytes::Bytes::copy_from_slice(text));
    let body = masker.response("GET", "/", RawResponse { status: 200, headers, body }).body;
    body.content.map(|content| String::from_utf8(content.to_vec()).unwrap()).ok_or_else(|| body.withheld.unwrap())
}

#[test]
fn malformed_text_is_withheld() {
    for text in [
        "{",
        "}",
        "[1,]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\uzzzz\"",
        "\"\\ud800\\u12\"",
        "\"\n\"",
        "01",
        "-",
        "1.",
        ".1",
        "1e",
        "+1",
        "tru",
        "nul",
        "NaN",
        "1 2",
        "[] []",
        " ",
        "'a'",
        "\u{feff}1",
        "// x\n1",
        "truefalse",
    ] {
        assert_eq!(mask(text.as_bytes()), Err(Withheld::Unparseable), "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
    }
    for bytes in [&b"\"\xff\""[..], b"\xc3\x28", b"\"\xed\xa0\x80\""] {
        assert_eq!(mask(bytes), Err(Withheld::Unparseable));
    }
}

#[test]
fn nesting_is_followed_as_deep_as_serde_json_reads_and_no_deeper() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(mask(nested(127).as_bytes()), Ok(nested(127)));
    assert!(serde_json::from_str::<serde_json::Value>(&nested(127)).is_ok());
    assert_eq!(mask(nested(128).as_bytes()), Err(Withheld::TooDeep));
    assert_eq!(mask("{\"a\":".repeat(1_000_000).as_bytes()), Err(Withheld::TooDeep));
}

#[test]
fn numbers_words_order_and_duplicates_stay() {
    for text in ["0.15", "123456.78", "-0", "1E400", "{\"a\":1,\"a\":2,\"b\":[true,false,null,{}]}"] {
        assert_eq!(mask(text.as_bytes()).as_deref(), Ok(text));
    }
    assert_eq!(mask(b" { \"a\" : [ 1 , 2 ] }\r\n").as_deref(), Ok("{\"a\":[1,2]}"));
}

#[test]
fn numbers_that_could_tell_become_numbers_that_every_language_holds() {
    for text in [
        "0.1000000000000000055511151231257827021181583404541015625",
        "123456789012345678901234567890",
        "-52.520008",
        "1E4155551234",
    ] {
        let masked = mask(text.as_bytes()).unwrap();
        let number: u64 = masked.parse().unwrap();
        assert!((1 << 52..1 << 53).contains(&number), "{masked}");
        assert_eq!(mask(masked.as_bytes()), Ok(masked));
    }
    // A card number stays one, and the string of the same digits has the same token.
    let card = mask(b"4111111111111111").unwrap();
    assert!(card.starts_with("400000"), "{card}");
    assert_eq!(mask(b"\"4111111111111111\""), Ok(format!("\"{card}\"")));
    assert_eq!(mask(b"\"12345678\""), Ok(format!("\"{}\"", mask(b"12345678").unwrap())));
}

#[test]
fn a_pair_of_name_and_value_counts_as_a_member_of_that_name() {
    for text in [
        r#"{"name":"pin","value":"1234"}"#,
        r#"{"value":"1234","name":"pin"}"#,
        r#"{"value":"1234","note":"","key":"card_pin"}"#,
        r#"[{"value":1234,"id":1,"field":"zip"}]"#,
        r#"{"name":"pin","value":["1234",{"a":"1234"}]}"#,
    ] {
        let masked = mask(text.as_bytes()).unwrap();
        assert!(!masked.contains("1234"), "{masked}");
        assert_eq!(mask(masked.as_bytes()), Ok(masked));
    }
    let kept = r#"{"name":"en","value":"1234","page":{"value":2}}"#;
    assert_eq!(mask(kept.as_bytes()).as_deref(), Ok(kept));
}

#[test]
fn a_string_has_one_token_however_it_is_escaped() {
    let token = mask("\"ä/é😀\"".as_bytes()).unwrap();
    assert_eq!(mask(br#""\u00e4\/\u00E9\ud83d\ude00""#), Ok(token));
    assert_eq!(mask(br#""\u0031\u0032""#).as_deref(), Ok(r#""\u0031\u0032""#));
}

#[test]
fn lone_surrogates_are_masked_and_told_apart() {
    let texts = [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x""#];
    let tokens = texts.map(|text| mask(text.as_bytes()).unwrap());
    for (i, token) in tokens.iter().enumerate() {
        assert!(token.starts_with("\"msk_"), "{token}");
        assert!(!tokens[..i].contains(token));
    }
}
