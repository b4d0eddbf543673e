//! Bodies other than JSON and forms: what leaves of them, and why nothing does.
#![allow(clippy::unwrap_used)] // also outside test functions

use std::io::Write as _;

use crate::support::{again_response, masker, response};
use insta::assert_snapshot;
use shadow_mask::{Masker, Refused};
use shadow_record::Response;

fn answer(masker: &Masker, lines: &[(&str, &str)], body: &[u8]) -> Response {
    let once = masker.response("GET", "/", response(lines, body));
    if once.body.content.is_some() {
        let twice = masker.response("GET", "/", again_response(&once));
        assert_eq!(twice.body.content, once.body.content, "masking twice differs from masking once");
        assert_eq!(twice.headers, once.headers);
    }
    once
}

fn text(masker: &Masker, content_type: &str, body: &str) -> String {
    let body = answer(masker, &[("content-type", content_type)], body.as_bytes()).body;
    match body.content {
        Some(content) => String::from_utf8(content.to_vec()).unwrap(),
        None => format!("(withheld: {:?})", body.withheld.unwrap()),
    }
}

const DETECT: &str = "profile = \"detect\"\n";

const XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- for Alice -->
<order xmlns="http://schemas.xmlsoap.org/soap/envelope/" id="17">
  <customer vip="true"><name>Alice &amp; Bob</name><email>alice@example.org</email><pin>1234</pin></customer>
  <item currency='EUR'><![CDATA[A <chair>]]></item><page>2</page><alicesmith/>
</order>
"#;

#[test]
fn xml_keeps_its_structure_and_loses_its_text() {
    let rules = "[[rule]]\nstrategy = \"keep\"\nxml = [\"/order/customer/name\"]\n\
        [[rule]]\nstrategy = \"drop\"\nxml = [\"//item\", \"//customer/@vip\"]\n";
    let shown = [masker("", &[]), masker(rules, &[]), masker(DETECT, &[])].map(|m| text(&m, "application/xml", XML));
    assert_snapshot!(shown.join("\n"));
}

#[test]
fn xml_that_is_none_or_declares_entities_is_withheld() {
    let strict = masker("", &[]);
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;&b;\">]><a>&c;</a>";
    let deep = "<a>".repeat(200) + &"</a>".repeat(200);
    for (body, why) in [
        (bomb, Refused::Doctype),
        ("<a>", Refused::Xml),
        ("<a></b>", Refused::Xml),
        ("<a/><a/>", Refused::Xml),
        ("<a>&b;</a>", Refused::Xml),
        ("<a b=c/>", Refused::Xml),
        ("<a b=\"1\"c=\"2\"/>", Refused::Xml),
        ("text", Refused::Xml),
        ("<a>\u{0}<</a>", Refused::Xml),
        (&deep, Refused::TooDeep),
    ] {
        let before: Vec<_> = strict.refused().collect();
        assert!(text(&strict, "text/xml", body).starts_with("(withheld"), "{body}");
        let changed: Vec<_> = strict.refused().filter(|count| !before.contains(count)).map(|(why, _)| why).collect();
        assert_eq!(changed, [why], "{body}");
    }
}

const PARTS: &str = "preamble of Alice\r\n--x1\r\nContent-Disposition: form-data; name=\"page\"\r\n\r\n2\r\n\
    --x1\r\nContent-Disposition: form-data; name=\"customer\"\r\nX-Owner: Alice\r\n\r\nAlice\r\nExample\r\n\
    --x1\r\nContent-Disposition: form-data; name=\"data\"\r\nContent-Type: application/json\r\n\r\n{\"name\":\"Alice\",\"page\":2}\r\n\
    --x1\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"alice.png\"\r\nContent-Type: image/png\r\n\r\n\u{1}PNG\r\n\
    --x1\r\nContent-Disposition: form-data; name=\"alice@example.org\"\r\n\r\n\r\n--x1--\r\nepilogue of Alice";

#[test]
fn multipart_is_masked_part_by_part() {
    let rules =
        "[[rule]]\nstrategy = \"keep\"\npart = [\"customer\"]\n[[rule]]\nstrategy = \"drop\"\npart = [\"photo\"]\n";
    let shown = [masker("", &[]), masker(rules, &[]), masker(DETECT, &[])]
        .map(|m| text(&m, "multipart/form-data; boundary=\"x1\"", PARTS).replace('\r', ""));
    assert_snapshot!(shown.join("\n"));
}

#[test]
fn multipart_that_does_not_follow_its_boundary_is_withheld() {
    let strict = masker("", &[]);
    for (content_type, body) in [
        ("multipart/form-data", PARTS),
        ("multipart/form-data; boundary=y", PARTS),
        ("multipart/form-data; boundary=x1", "--x1\r\n\r\nno end"),
        ("multipart/form-data; boundary=x1", "--x1\nContent-Disposition: form-data\n\n1\n--x1--"),
        ("multipart/form-data; boundary=x1", "--x1\r\nno header\r\n\r\n1\r\n--x1--"),
    ] {
        assert_eq!(text(&strict, content_type, body), "(withheld: Unparseable)", "{content_type} {body}");
    }
    assert_eq!(strict.refused().find(|(why, _)| *why == Refused::Multipart), Some((Refused::Multipart, 5)));
}

#[test]
fn events_are_masked_record_by_record() {
    let stream = ": hello Alice\nevent: update\nid: 17\nretry: 3000\ndata: {\"name\":\"Alice\",\"page\":2}\n\n\
        event: alice\r\ndata: Alice\r\ndata:\r\ndata: {broken\n\nunknown_alice: x\nalice\n";
    let shown = [masker("", &[]), masker(DETECT, &[])].map(|m| text(&m, "text/event-stream", stream));
    assert_snapshot!(shown.join("\n").replace('\r', ""));
}

#[test]
fn text_is_masked_line_by_line_or_searched() {
    let body = "OK\n12\n  Alice Example \r\ncall +49 30 1234567 or write to alice@example.org\nC-1234567 and C-12\n";
    let rules =
        "[[rule]]\nstrategy = \"redact\"\ntext = [\"C-[0-9]{7}\"]\n[[rule]]\nstrategy = \"keep\"\ntext = [\"OK\"]\n";
    let both = format!("{DETECT}{rules}");
    let shown = [masker("", &[]), masker(rules, &[]), masker(DETECT, &[]), masker(&both, &[])]
        .map(|m| text(&m, "text/plain", body));
    assert_snapshot!(shown.join("\n").replace('\r', ""));
}

#[test]
fn bodies_are_taken_out_of_their_content_coding_and_the_header_says_so() {
    let plain = br#"{"name":"Alice","page":2}"#;
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zlib = |bytes: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let deflate = |bytes: &[u8]| {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zstd =
        |bytes: &[u8]| ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Uncompressed);
    // Window bits 16 (one zero bit), then a meta-block: not the last, four nibbles of length, uncompressed; then the empty last one
    // (RFC 7932, 9).
    let brotli = |bytes: &[u8]| {
        let bits = (bytes.len() as u32 - 1) << 4 | 1 << 20;
        [&bits.to_le_bytes()[..3], bytes, &[3]].concat()
    };
    let strict = masker("", &[]);
    let expected = answer(&strict, &[("content-type", "application/json")], plain).body.content;
    for (coding, body) in [
        ("gzip", gzip(plain)),
        ("deflate", zlib(plain)),
        ("Deflate", deflate(plain)),
        ("zstd", zstd(plain)),
        ("br", brotli(plain)),
        ("deflate, gzip", gzip(&zlib(plain))),
        ("identity", plain.to_vec()),
    ] {
        let lines = [("content-type", "application/json"), ("content-encoding", coding)];
        let masked = answer(&strict, &lines, &body);
        assert_eq!(masked.body.content, expected, "{coding}: {:?}", masked.body.withheld);
        assert_eq!(masked.body.length as usize, body.len());
        let original = masked.header("original-content-encoding").is_some();
        assert_eq!(original, coding != "identity", "{:?}", masked.headers);
    }
    let bomb = gzip(&vec![b' '; 64 << 20]);
    for (coding, body, why) in [
        ("gzip", bomb, Refused::TooLarge),
        ("gzip", plain.to_vec(), Refused::BadCoding),
        ("gzip", gzip(plain)[..20].to_vec(), Refused::BadCoding),
        ("br", plain.to_vec(), Refused::BadCoding),
        ("zstd", plain.to_vec(), Refused::BadCoding),
        ("compress", plain.to_vec(), Refused::UnknownCoding),
        ("gzip, gzip, gzip", plain.to_vec(), Refused::UnknownCoding),
    ] {
        let strict = masker("", &[]);
        let masked = answer(&strict, &[("content-type", "application/json"), ("content-encoding", coding)], &body);
        assert_eq!(masked.body.content, None, "{coding}");
        assert_eq!(strict.refused().filter(|(_, n)| *n > 0).collect::<Vec<_>>(), [(why, 1)], "{coding}");
    }
}

#[test]
fn charsets_are_honoured_and_kept() {
    let strict = masker("", &[]);
    let utf8 = text(&strict, "application/json", r#"{"name":"Jürgen","page":2}"#);
    let latin = answer(
        &strict,
        &[("content-type", "application/json; charset=iso-8859-1")],
        b"{\"name\":\"J\xfcrgen\",\"page\":2}",
    );
    assert_eq!(latin.body.content.unwrap(), utf8.as_bytes());
    let wide: Vec<u8> = "<a>J\u{fc}rgen</a>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let masked = answer(&strict, &[("content-type", "text/xml; charset=utf-16le")], &wide).body.content.unwrap();
    let units: Vec<u16> = masked.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    assert!(String::from_utf16(&units).unwrap().starts_with("<a>msk_"), "{units:?}");
    let kept = masker("profile = \"detect\"", &[]);
    let latin = answer(&kept, &[("content-type", "text/plain; charset=windows-1252")], b"J\xfcrgen at a@b.org");
    assert!(latin.body.content.unwrap().starts_with(b"J\xfcrgen at msk_"));
    for (content_type, body, why) in [
        ("text/plain; charset=klingon", &b"a"[..], Refused::UnknownCharset),
        ("application/json; charset=shift_jis", b"\"\x81\"", Refused::BadCharset),
        ("application/json", b"\"\xff\"", Refused::BadCharset),
    ] {
        let strict = masker("", &[]);
        assert_eq!(answer(&strict, &[("content-type", content_type)], body).body.content, None);
        assert_eq!(strict.refused().filter(|(_, n)| *n > 0).collect::<Vec<_>>(), [(why, 1)], "{content_type}");
    }
}

#[test]
fn detect_names_the_private_parts_and_leaves_the_rest() {
    let rules = format!(
        "{DETECT}phone_regions = [\"US\"]\n[[rule]]\nstrategy = \"truncate\"\nlength = 2\njson = [\"$.zip\"]\n\
        [[rule]]\nstrategy = \"encrypt\"\njson = [\"$.secret_note\"]\n[[rule]]\nstrategy = \"token\"\nas = \"mail\"\njson = [\"$.login\"]\n"
    );
    let body = r#"{"note":"Alice (alice@example.org) paid 4111 1111 1111 1111, call (415) 555-2671 or +49 30 1234567",
        "ip":"203.0.113.7","version":"10.0.0.1","iban":"DE89 3704 0044 0532 0130 00","ssn":"078-05-1120","total":1234567.89,
        "card":4111111111111111,"password":"hunter2","url":"https://alice:pw@shop.example/a?b","phone":"030 1234567",
        "log":"token=abc123 ok","zip":"10115","secret_note":"Alice","login":"alice","order":"20240501123456"}"#;
    let shown = text(&masker(&rules, &[]), "application/json", body);
    assert_snapshot!(shown.replace(",\"", ",\n\""));
}

#[test]
fn what_rules_encrypted_is_revealed_under_the_key_only_and_masked_alike_again() {
    let rules = "[[rule]]\nstrategy = \"encrypt\"\nquery = [\"q\"]\npath = [\"*\"]\nheader = [\"x-name\"]\nform = [\"a\"]\njson = [\"$..name\"]\n\
        xml = [\"//name\"]\n";
    for (content_type, body) in [
        ("application/json", r#"{"name":"Alice \"A\" Example","page":2}"#),
        ("application/x-www-form-urlencoded", "a=Alice%20%26%20Bob%2B"),
        ("application/xml", "<a><name>Alice &amp; Bob</name></a>"),
    ] {
        let ours = masker(rules, &[]);
        let lines = [("content-type", content_type), ("x-name", "Alice")];
        let raw = || crate::support::request("/Alice%20B?q=a%26b", &lines, body.as_bytes());
        let masked = ours.request(raw());
        let shown = crate::support::show(&masked);
        assert!(!shown.contains("Alice") && shown.contains("mske_"), "{shown}");
        let revealed = ours.reveal(masked.clone());
        assert_eq!((revealed.path.as_str(), revealed.query.as_deref()), ("/Alice%20B", Some("q=a%26b")));
        assert_eq!(revealed.header("x-name"), Some("Alice"));
        assert_eq!(revealed.body.content.as_deref(), Some(body.as_bytes()));
        let again = ours.request(crate::support::again(&revealed));
        assert_eq!(
            (&again.path, &again.query, &again.body.content),
            (&masked.path, &masked.query, &masked.body.content)
        );

        let key = || shadow_mask::MaskKey::parse("another example key of 32 chars!").unwrap();
        let routes = shadow_record::RouteTable::default;
        let theirs = Masker::new(key(), shadow_mask::Ruleset::default(), routes());
        assert_eq!(theirs.reveal(masked.clone()), masked);
        let old = shadow_mask::MaskKey::parse("an example key of 32 characters.").unwrap();
        let after = Masker::new(key(), shadow_mask::Ruleset::parse(rules).unwrap(), routes()).recognising(&old);
        assert_eq!(after.reveal(masked.clone()).body.content.as_deref(), Some(body.as_bytes()));
        assert_eq!(after.request(crate::support::again(&masked)).body.content, masked.body.content);
    }
}
