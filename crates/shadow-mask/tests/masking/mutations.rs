//! What the fuzz targets assert, on every run: each parser is fed seeds of its format and thousands of mutations of them, always the
//! same ones. A fuzzer goes further (`fuzz/`); this needs no other compiler.

use std::io::Write as _;

use shadow_mask::Ruleset;

#[path = "../../fuzz/targets/common.rs"]
mod common;

/// Mutations of each seed.
const MUTATIONS: usize = 300;

/// What parsers look for, to be put in places where nobody expects it.
const DICTIONARY: [&[u8]; 28] = [
    b"\"",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"&",
    b"=",
    b"%",
    b"%4",
    b"<",
    b">",
    b"</",
    b"<!DOCTYPE a [",
    b"]]>",
    b"<!--",
    b"--x",
    b"--x--",
    b"\r\n",
    b"\n\n",
    b"data:",
    b"msk_aaaaaaaaaaaaaaaaaaaaaaaa",
    b"mske_",
    b"\xff\xfe",
];

const JSON: &[u8] = br#"{"id":12345678,"name":"Alice \"A\" \u0041\ud83d\ude00","a":[1,-2.5e3,true,null,{}],"name":"pin","value":"1234","mail":"a@example.org"}"#;
const FORM: &[u8] = b"name=Alice+Smith&mail=a%40example.org&pin=1234&q&=x&%6e=%zz&phone=%2B4930123456";
const MULTIPART: &[u8] = b"pre\r\n--x\r\nContent-Disposition: form-data; name=\"a\"; filename*=UTF-8''b.txt\r\nContent-Type: text/plain\r\n\r\nAlice\r\n\
    --x\r\nContent-Disposition: form-data; name=j\r\nContent-Type: application/json\r\n\r\n{\"a\":\"b\"}\r\n--x--\r\npost";
const XML: &[u8] = b"<?xml version=\"1.0\"?><!-- c --><o:order xmlns:o=\"urn:o\" id='17'><name>Alice &amp; &#66;ob</name><![CDATA[<x>]]><e/></o:order>";
const EVENTS: &[u8] =
    b": comment\nevent: order\nid: 17\ndata: {\"name\":\"Alice\"}\ndata: text a@example.org\nretry: 10\n\n";
const TEXT: &[u8] =
    b"Dear Alice,\r\ncall +49 30 123456 or 4111 1111 1111 1111, key AKIAIOSFODNN7EXAMPLE, 2001:db8::1 203.0.113.7\n";
const RULES: &[u8] = b"profile = \"detect\"\nnames = [\"x\"]\n[[rule]]\nstrategy = \"truncate\"\nlength = 3\njson = [\"$.a[0:3]['b',*]..c\"]\nxml = [\"/a//b/@c\"]\n\
    text = [\"C-[0-9]{7}\"]\nroute = \"GET /a/{b}\"\n";

#[test]
fn no_mutation_of_a_body_makes_masking_panic_or_change_what_it_masked() {
    let types = [
        ("application/json", JSON),
        ("application/json; charset=utf-16le", JSON),
        ("application/x-ndjson", JSON),
        ("application/x-www-form-urlencoded", FORM),
        ("multipart/form-data; boundary=x", MULTIPART),
        ("application/xml", XML),
        ("text/event-stream", EVENTS),
        ("text/plain", TEXT),
    ];
    for (content_type, seed) in types {
        mutations(seed, &mut |body| common::mask(content_type, None, body));
    }
}

#[test]
fn no_mutation_of_a_compressed_body_does_either() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(JSON).unwrap();
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    deflate.write_all(JSON).unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(JSON, ruzstd::encoding::CompressionLevel::Fastest);
    // Stored as it is: no compressor for it is at hand.
    let bits = (JSON.len() as u32 - 1) << 4 | 1 << 20;
    let brotli = [&bits.to_le_bytes()[..3], JSON, &[3]].concat();
    for (coding, body) in
        [("gzip", gzip.finish().unwrap()), ("deflate", deflate.finish().unwrap()), ("zstd", zstd), ("br", brotli)]
    {
        mutations(&body, &mut |body| common::mask("application/json", Some(coding), body));
    }
}

#[test]
fn no_mutation_of_rules_makes_reading_them_panic() {
    let mut read = 0;
    mutations(RULES, &mut |text| read += usize::from(Ruleset::parse(&String::from_utf8_lossy(text)).is_ok()));
    assert!((1..MUTATIONS).contains(&read), "{read} of the mutations are rules");
}

/// Hands over the seed and its mutations: bytes changed, removed, repeated, and words of the dictionary put in.
fn mutations(seed: &[u8], visit: &mut dyn FnMut(&[u8])) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit.max(1) as u64) as usize
    };
    visit(seed);
    for _ in 0..MUTATIONS {
        let mut text = seed.to_vec();
        for _ in 0..=below(3) {
            let (at, end) = (below(text.len() + 1), below(text.len() + 1));
            let (from, to) = (at.min(end), at.max(end));
            match below(5) {
                0 if at < text.len() => text[at] = below(256) as u8,
                1 => drop(text.drain(from..to)),
                2 => drop(text.splice(at..at, text[from..to].to_vec())),
                3 => text.truncate(at),
                _ => drop(text.splice(at..at, DICTIONARY[below(DICTIONARY.len())].iter().copied())),
            }
        }
        visit(&text);
    }
}
