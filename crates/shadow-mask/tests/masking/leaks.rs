//! A canary in every position of a message is nowhere in what masking gives out; a masker that keeps everything shows them
//! all, so the search itself works.

use crate::support::{again, masker, request, response, show, show_response};
use shadow_mask::{REDACTED, Ruleset};

/// Looks like private data: with `@` where a position can hold one, else letters and digits.
const MAIL: &str = "canary.7f3a@example.com";
const WORD: &str = "CanaryQx7";

fn body(content_type: &str) -> Vec<u8> {
    match content_type {
        "application/x-www-form-urlencoded" => format!("a={WORD}&{MAIL}=1&{WORD}&b=%43anaryQx7"),
        "application/xml" => format!(
            "<?xml version=\"1.0\"?><!-- {WORD} --><?{WORD} x?><a {WORD}=\"{WORD}\" b=\"{WORD}\"><{WORD}>{MAIL}</{WORD}><![CDATA[{WORD}]]></a>"
        ),
        "text/event-stream" => format!(": {WORD}\nevent: {WORD}\nid: {MAIL}\ndata: {{\"{WORD}\":\"{WORD}\"}}\n{WORD}: {WORD}\n{WORD}\n\n"),
        "multipart/form-data; boundary=x" => format!(
            "{WORD}\r\n--x\r\n{WORD}: {WORD}\r\nContent-Disposition: form-data; name=\"{WORD}\"; filename=\"{WORD}\"\r\nContent-Type: \
             image/{WORD}\r\n\r\n{WORD}\r\n--x--\r\n{WORD}"
        ),
        "text/html" => format!("<p>{WORD}</p>\n{MAIL}\n"),
        _ => {
            format!(r#"{{"{WORD}":1,"a":"{WORD}","{MAIL}":[["{WORD}",{{"b":{{"{MAIL}":"x {WORD} y"}}}}]],"c":"\u0043anaryQx7"}}"#)
        }
    }
    .into_bytes()
}

fn shown(rules: &str, content_type: &str) -> String {
    let masker = masker(rules, &["GET /known/{id}"]);
    let cookie = format!("sid={WORD}; {MAIL}; b={MAIL}; {WORD}={WORD}");
    let set_cookie = format!("sid={WORD}; Path=/{MAIL}; Path=/x/{WORD}; Path={WORD}; Domain={MAIL}; Owner={WORD}");
    let location = format!("https://{MAIL}/known/{WORD}?a={WORD}&{MAIL}=1#{WORD}");
    let plain = [
        "x-name",
        "user-agent",
        "etag",
        "if-none-match",
        "x-forwarded-for",
        "from",
        "referer",
        "location",
        "origin",
        "link",
        "authorization",
        "x-api-key",
        "www-authenticate",
        "x-session-token",
        "content-disposition",
        "forwarded",
        "host",
        "traceparent",
        "via",
        "server",
        "warning",
        "x-csrf-token",
        "te",
        "upgrade",
        "trailer",
        "expect",
    ];
    let mut lines: Vec<_> = plain.iter().map(|name| (*name, WORD)).collect();
    lines.extend([
        ("x-canaryqx7", WORD),
        ("accept-language", WORD),
        ("cache-control", WORD),
        ("if-modified-since", WORD),
        ("cookie", &*cookie),
        ("set-cookie", &set_cookie),
        ("location", &location),
        ("accept", MAIL),
        ("accept", WORD),
        ("range", MAIL),
        ("vary", WORD),
    ]);
    lines.push(("content-type", content_type));
    let target = format!("/known/{WORD}/{MAIL}/%43anaryQx7?a={WORD}&{MAIL}=1&{WORD}&{WORD}=2");
    let mut raw = request(&target, &lines, &body(content_type));
    raw.authority = format!("{WORD}:{WORD}@shop.example");
    let request = masker.request(raw);
    let answer = masker.response("GET", &request.path, response(&lines, &body(content_type)));
    let value = masker.value(WORD);
    format!("{}\n{}\n{value}\n{}", show(&request), show_response(&answer), masker.route("GET", &target))
}

const TYPES: [&str; 9] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "application/x-ndjson",
    "application/xml",
    "text/event-stream",
    "application/x-canaryqx7+json; note=CanaryQx7",
    "text/html",
    "application/octet-stream",
    "multipart/form-data; boundary=x",
];

#[test]
fn no_canary_survives_in_any_position() {
    for content_type in TYPES {
        let shown = shown("", content_type).to_lowercase();
        for canary in [WORD, MAIL, "canary", "7f3a", "anaryqx7"] {
            assert!(!shown.contains(&canary.to_lowercase()), "{canary} in:\n{shown}");
        }
    }
}

#[test]
fn the_search_finds_canaries_where_they_are_kept() {
    let shown = shown(Ruleset::KEEP_EVERYTHING, "application/json");
    for place in [
        format!("/known/{WORD}/{MAIL}"),
        format!("?a={WORD}&{MAIL}=1&{WORD}"),
        format!("user-agent: {WORD}"),
        format!("accept: {MAIL}"),
        format!("\"a\":\"{WORD}\""),
        format!("\"{MAIL}\":[["),
        format!("\"x {WORD} y\""),
    ] {
        assert!(shown.contains(&place), "{place} not in:\n{shown}");
    }
    assert!(!shown.contains("authorization") && !shown.contains(&format!("sid={WORD}")), "{shown}");
}

#[test]
fn a_forged_token_is_masked_and_a_real_one_is_not() {
    let masker = masker("", &[]);
    let real = masker.value("alice");
    assert_eq!(masker.value(&real), real);
    assert_eq!(masker.value(REDACTED), REDACTED);
    let last = if real.ends_with('a') { 'b' } else { 'a' };
    let forged = format!("{}{last}", &real[..real.len() - 1]);
    for forged in
        [forged, real.to_uppercase(), format!("{real} "), format!("msk_{}", "a".repeat(24)), "msk_alice".to_owned()]
    {
        let masked = masker.request(request(&format!("/{}", forged.replace(' ', "%20")), &[("x-name", &forged)], b""));
        assert!(!show(&masked).contains(&forged), "{forged}");
        assert_eq!(show(&masker.request(again(&masked))), show(&masked));
    }
}

#[test]
fn nothing_raw_is_in_debug_output() {
    let raw = request(&format!("/{WORD}?{WORD}"), &[("x", WORD)], WORD.as_bytes());
    let answer = response(&[("x", WORD)], WORD.as_bytes());
    let shown = format!("{raw:?} {answer:?} {:?}", masker("", &[]));
    assert!(!shown.contains(WORD) && !shown.contains("an example key"), "{shown}");
}

#[test]
fn digests_record_keys_and_mark_tags_depend_on_the_key_and_the_use() {
    let ours = masker("", &[]);
    let key = shadow_mask::MaskKey::parse("another example key of 32 chars!").unwrap();
    let theirs = shadow_mask::Masker::new(key, Ruleset::default(), shadow_record::RouteTable::default());
    let digest = |masker: &shadow_mask::Masker, parts: &[&str]| {
        let mut digester = masker.digester();
        parts.iter().for_each(|part| digester.update(part.as_bytes()));
        digester.finish()
    };
    assert_eq!(digest(&ours, &["ali", "ce"]), digest(&ours, &["alice"]));
    assert_ne!(digest(&ours, &["alice"]), digest(&theirs, &["alice"]));
    assert_ne!(ours.record_key(b"alice"), theirs.record_key(b"alice"));
    assert_ne!(ours.record_key(b"alice")[..], digest(&ours, &["alice"])[..16]);
    assert_ne!(ours.mark_tag(b"alice"), theirs.mark_tag(b"alice"));
    assert_ne!(ours.mark_tag(b"alice"), ours.record_key(b"alice"));
    assert_ne!(ours.mark_tag(b"alice")[..], digest(&ours, &["alice"])[..16]);
    assert_eq!(ours.mark_tag(b"alice"), masker("", &[]).mark_tag(b"alice"));
    let whole = ours.response("GET", "/", response(&[], b"alice")).body.digest;
    assert_eq!(whole, digest(&ours, &["alice"]));
}
