//! Masking is deterministic and idempotent, loses nothing but what it masks, and never panics, whatever it is given.

use std::sync::LazyLock;

use crate::support::{again, again_response, masker, request, response};
use bytes::Bytes;
use proptest::prelude::*;
use shadow_mask::{Masker, RawBody, RawResponse};
use shadow_record::{Request, Withheld};

/// Without rules, and with rules of every strategy that arbitrary messages are likely to meet.
static MASKERS: LazyLock<[Masker; 3]> = LazyLock::new(|| {
    let routes = ["GET /a/{id}", "* /b/{rest..}"];
    let rules = r#"
        [[rule]]
        strategy = "redact"
        header = ["x-a"]
        cookie = ["a"]
        query = ["a", "a b"]
        form = ["a"]
        path = ["id"]
        json = ["$.a", "$..['a b'].b"]
        [[rule]]
        strategy = "keep"
        header = ["x-b"]
        cookie = ["b"]
        query = ["b", "b@c"]
        form = ["b"]
        json = ["$..b", "$['b@c'].a", "$.c[*]"]
        [[rule]]
        strategy = "drop"
        header = ["x-c"]
        cookie = ["c"]
        query = ["c"]
        form = ["c"]
        json = ["$..c", "$.d[*]"]
        [[rule]]
        strategy = "token"
        header = ["*"]
        query = ["*"]
        form = ["d"]
        json = ["$.d", "$..*.e"]
        route = "GET /c/{x}"
    "#;
    let detect = "profile = \"detect\"\nphone_regions = [\"US\", \"DE\"]";
    [masker("", &routes), masker(rules, &routes), masker(detect, &routes)]
});

/// Values of every kind masking decides on, tokens and forged ones included.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<String>(),
        2 => "[ -~]{0,20}",
        2 => "-?[0-9]{1,12}",
        1 => Just("0190a6f2-7c1e-7abc-8def-0123456789ab".to_owned()),
        1 => "[0-9]{4}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-5][0-9]Z)?",
        1 => "msk_[a-z2-7]{24}",
        1 => "[a-z]{1,8}@[a-z]{1,8}\\.(com|org)",
        1 => "(call |=)?\\+49 ?[1-9][0-9]{8}",
        1 => "4[0-9]{15}",
        1 => "[0-9]{3}-[0-9]{2}-[0-9]{4}( x)?",
        1 => "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
        1 => "[a-zA-Z0-9+/=]{16,48}",
        1 => "(token|pin)[=:] ?[a-z0-9]{1,9}",
        1 => Just(shadow_mask::REDACTED.to_owned()),
        2 => any::<String>().prop_map(|value| MASKERS[0].value(&value)),
    ]
}

/// Content types, and what makes most bodies of them well formed.
const FORMATS: [(&str, &str, &str); 8] = [
    ("application/xml", "<a>", "</a>"),
    ("text/xml; charset=utf-16le", "", ""),
    ("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n", "\r\n--x--"),
    ("text/event-stream", "data: 1\n", "\n\n"),
    ("text/plain", "", ""),
    ("text/csv; charset=iso-8859-1", "", ""),
    ("application/x-ndjson", "{\"a\":1}\n", ""),
    ("application/vnd.unknownthing+json", "[", "]"),
];

/// Pieces of which bodies of several formats are made.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop_oneof![
        Just("<b c=\"1\">x</b>"),
        Just("<alice/>"),
        Just("<![CDATA[a]]>"),
        Just("&amp;"),
        Just("<!-- a -->"),
        Just("\r\n--x\r\nContent-Disposition: form-data; name=\"pin\"\r\n\r\n"),
        Just("\r\n--x\r\nContent-Disposition: form-data; name=b; filename=a\r\nContent-Type: text/plain\r\n\r\n"),
        Just("\ndata: {\"a\":\"b\"}\n"),
        Just("\nevent: alice\nid: 7\n"),
        Just(": "),
        Just("\n"),
        Just("{\"a\":\"x\"}"),
        Just(","),
        Just("-----BEGIN KEY-----\nab\n"),
    ];
    prop_oneof![2 => fixed.prop_map(str::to_owned), 2 => value(), 1 => "[ -~]{0,12}"]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-e]", 1 => Just("a b".to_owned()), 1 => Just("b@c".to_owned()), 1 => value()]
}

/// Names that say what they hold is secret among the others.
fn name_or_secret() -> impl Strategy<Value = String> {
    let secret = prop_oneof![Just("pin"), Just("userToken"), Just("session id"), Just("api-key")];
    prop_oneof![3 => name(), 1 => secret.prop_map(str::to_owned)]
}

fn json(names: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = serde_json::Value> {
    let names = names.boxed();
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        value().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((names.clone(), inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

fn encode(value: &str, space: &str) -> String {
    let one = |b: u8| match b {
        b' ' => space.to_owned(),
        b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => (b as char).to_string(),
        b => format!("%{b:02X}"),
    };
    value.bytes().map(one).collect()
}

fn pairs() -> impl Strategy<Value = String> {
    let pair = (name_or_secret(), prop::option::of(value())).prop_map(|(name, value)| {
        let value = value.map(|value| format!("={}", encode(&value, "+"))).unwrap_or_default();
        encode(&name, "+") + &value
    });
    prop_oneof![3 => prop::collection::vec(pair, 0..5).prop_map(|pairs| pairs.join("&")), 1 => "[!-~&&[^#]]{0,40}"]
}

fn path() -> impl Strategy<Value = String> {
    let segment =
        prop_oneof![2 => "[a-d]", 2 => value().prop_map(|value| encode(&value, "%20")), 1 => "[!-~&&[^#?/]]{0,9}"];
    prop::collection::vec(segment, 0..5).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn header() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        Just("x-a"),
        Just("x-b"),
        Just("x-c"),
        Just("x-d"),
        Just("x-session-id"),
        Just("accept"),
        Just("content-range"),
        Just("location"),
        Just("referer"),
        Just("cookie"),
        Just("set-cookie"),
        Just("authorization"),
        Just("etag"),
    ];
    let address = (path(), pairs(), value())
        .prop_map(|(path, query, end)| format!("https://h{path}?{query}#{}", encode(&end, "%20")));
    let cookie = prop::collection::vec((name_of_cookie(), value()), 0..4)
        .prop_map(|pairs| pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; "));
    let value = prop_oneof![2 => value(), 1 => address, 2 => cookie];
    (
        name.prop_map(str::to_owned),
        value.prop_map(|value| value.chars().filter(|c| !c.is_control()).collect::<String>()),
    )
        .prop_map(|(name, value)| (name, value.trim().to_owned()))
}

fn name_of_cookie() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-d]", 1 => Just("Path".to_owned()), 1 => Just("Domain".to_owned()), 1 => value()]
}

/// What masking must leave equal: all but the length and digest of the original body.
fn comparable(request: &Request) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        request.authority.clone(),
        request.path.clone(),
        request.query.clone(),
        request.headers.clone(),
        request.body.content.clone(),
    )
}

proptest! {
    #[test]
    fn masking_a_masked_message_changes_nothing(
        path in path(), query in pairs(), lines in prop::collection::vec(header(), 0..6), body in json(name_or_secret()), form in pairs(), as_form: bool,
    ) {
        let mut lines: Vec<_> = lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (content_type, body) = if as_form { ("application/x-www-form-urlencoded", form) } else { ("application/json", body.to_string()) };
        lines.push(("content-type", content_type));
        for masker in MASKERS.iter() {
            let target = format!("{path}?{query}");
            let once = masker.request(request(&target, &lines, body.as_bytes()));
            prop_assert_eq!(&once, &masker.request(request(&target, &lines, body.as_bytes())), "not deterministic");
            prop_assert_eq!(once.body.withheld, None);
            prop_assert_eq!(comparable(&masker.request(again(&once))), comparable(&once));
            prop_assert_eq!(masker.route("GET", &once.path), masker.route("GET", &path));

            let answer = masker.response("GET", &path, response(&lines, body.as_bytes()));
            let twice = masker.response("GET", &once.path, again_response(&answer));
            prop_assert_eq!(&twice.headers, &answer.headers);
            prop_assert_eq!(&twice.body.content, &answer.body.content);
        }
    }

    #[test]
    fn tokens_are_equal_exactly_where_values_are(a in value(), b in value()) {
        let masker = &MASKERS[0];
        let (x, y) = (masker.value(&a), masker.value(&b));
        // A token stands for the value it was made from; only then may another value share it.
        let b_is_mask_of_a = b == x || a == y;
        prop_assert_eq!(x == y, a == b || b_is_mask_of_a);
    }

    #[test]
    fn a_value_has_one_token_in_every_place(value in "[g-z][!-~]{6,30}") {
        let masker = &MASKERS[0];
        let token = masker.value(&value);
        prop_assert_ne!(&token, &value);
        let text = serde_json::to_string(&[&value]).unwrap();
        let raw = request(&format!("/{0}?q={0}", encode(&value, "+")), &[("x-d", &value), ("content-type", "application/json")], text.as_bytes());
        let masked = masker.request(raw);
        prop_assert_eq!(masked.path, format!("/{token}"));
        prop_assert_eq!(masked.query.unwrap(), format!("q={}", token.replace('+', "%2B")));
        prop_assert_eq!(&masked.headers[0].value, &token);
        prop_assert_eq!(masked.body.content.unwrap(), Bytes::from(format!("[\"{token}\"]")));
    }

    #[test]
    fn json_keeps_its_structure(body in json("[a-e]{1,2}")) {
        fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
            use serde_json::Value::{Array, Number, Object, String};
            match (a, b) {
                (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
                (Object(a), Object(b)) => a.len() == b.len() && a.values().zip(b.values()).all(|(a, b)| same(a, b)),
                (String(a), String(b)) => MASKERS[0].value(a) == *b,
                (Number(_), Number(_)) => true,
                (a, b) => a == b,
            }
        }
        let masked = MASKERS[0].response("GET", "/", response(&[("content-type", "application/json")], body.to_string().as_bytes()));
        let masked: serde_json::Value = serde_json::from_slice(&masked.body.content.unwrap()).unwrap();
        prop_assert!(same(&body, &masked), "{body} became {masked}");
    }

    #[test]
    fn json_is_taken_exactly_when_serde_json_takes_it(text in "[\\[\\]{}:,\"\\\\ue0-9tfalsrn .+-]{0,24}") {
        let taken = MASKERS[0].response("GET", "/", response(&[("content-type", "application/json")], text.as_bytes())).body;
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        // serde_json refuses lone surrogates, which RFC 8259 allows; they are the one difference.
        let lone = theirs.as_ref().is_err_and(|e| e.to_string().contains("surrogate") || e.to_string().contains("hex escape"));
        prop_assert!(text.is_empty() || lone || taken.content.is_some() == theirs.is_ok(), "{text}: {:?} {theirs:?}", taken.withheld);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_leave_as_content_or_reason(
        body: Vec<u8>, content_type in "[!-~]{0,30}", kind in 0..4_usize, path: String, query: String, line: Vec<u8>, authority: String,
    ) {
        let known = ["application/json", "application/x-www-form-urlencoded", "application/x-ndjson", content_type.as_str()][kind];
        for masker in MASKERS.iter() {
            let mut raw = request("/", &[("content-type", known)], &body);
            raw.path.clone_from(&path);
            raw.query = Some(query.clone());
            raw.authority.clone_from(&authority);
            for name in ["cookie", "set-cookie", "location", "x-b", "accept"] {
                if let Ok(value) = http::HeaderValue::from_bytes(&line) {
                    raw.headers.append(name, value);
                }
            }
            let masked = masker.request(raw);
            prop_assert_eq!(masked.body.content.is_none(), masked.body.withheld.is_some());
            prop_assert_eq!(masked.body.length as usize, body.len());
        }
    }

    #[test]
    fn bodies_of_every_format_are_masked_once_and_for_all(pieces in prop::collection::vec(piece(), 0..12), kind in 0..FORMATS.len()) {
        let (content_type, before, after) = FORMATS[kind];
        let body = format!("{before}{}{after}", pieces.concat());
        for masker in MASKERS.iter() {
            let once = masker.response("GET", "/", response(&[("content-type", content_type)], body.as_bytes()));
            prop_assert_eq!(once.body.content.is_none(), once.body.withheld.is_some());
            if once.body.content.is_some() {
                let twice = masker.response("GET", "/", again_response(&once));
                prop_assert_eq!(&twice.body.content, &once.body.content, "{}", body);
                prop_assert_eq!(twice.headers, once.headers);
            }
        }
    }

    #[test]
    fn a_withheld_body_stays_what_it_was(length: u32, digest: [u8; 32]) {
        let body = RawBody::Withheld { length: length.into(), digest: Bytes::copy_from_slice(&digest), why: Withheld::Budget };
        let masked = MASKERS[0].response("GET", "/", RawResponse { status: 200, headers: http::HeaderMap::new(), body });
        prop_assert_eq!(masked.body.withheld, Some(Withheld::Budget));
        prop_assert_eq!((masked.body.length, &masked.body.digest[..]), (length.into(), &digest[..]));
        prop_assert_eq!(masked.body.content, None);
    }
}
