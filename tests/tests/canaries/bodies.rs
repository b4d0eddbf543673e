//! Bodies with a canary in every position of every format, and bodies that cannot be read.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::canary::Canaries;

/// A body and the headers that describe it.
pub(crate) struct Content {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Longest body that the services of this test keep.
pub(crate) const LIMIT: usize = 64 << 10;

const WITHHELD: &str = "of a body that cannot be read only length and digest leave";
const COMMENT: &str = "comments, instructions and what stands around parts go";
const HEAD: &str = "what a part's head says beside its name and type is masked even where everything is kept";
const EVENT: &str = "what is no JSON in an event is masked even where everything is kept";

/// What makes a body unreadable, its content type, and the body around a text.
type Unreadable = (&'static str, &'static str, fn(String) -> Vec<u8>);

/// The name of a content coding, and how it is done.
type Coding = (&'static str, fn(&[u8]) -> Vec<u8>);

/// Every body, for one side.
pub(crate) fn bodies(c: &mut Canaries, side: &str) -> Vec<Content> {
    let mut all = Vec::new();
    let mut add = |kind: &str, body: Vec<u8>| {
        all.push(Content { headers: vec![("Content-Type".to_owned(), kind.to_owned())], body })
    };
    let of = |c: &mut Canaries, name: &str| {
        c.in_message(format!("{side}, {name}"));
    };

    of(c, "json");
    add("application/json", json(c));
    of(c, "json in utf-16");
    add("application/json; charset=utf-16le", json(c).iter().flat_map(|byte| [*byte, 0]).collect());
    of(c, "json array");
    add(
        "application/vnd.shop+json",
        format!("[\"{}\",[[\"{}\"]],{}]", c.word("element"), c.word("deep element"), c.number("number")).into(),
    );
    of(c, "json scalar");
    add("text/json", format!("\"{}\"", c.word("the whole")).into());
    of(c, "ndjson");
    let lines = (0..3).map(|_| [json(c), b"\n".to_vec()].concat()).collect::<Vec<_>>().concat();
    add("application/x-ndjson", lines);
    of(c, "form");
    add("application/x-www-form-urlencoded", form(c));
    of(c, "multipart");
    add("multipart/form-data; boundary=xyz", multipart(c));
    of(c, "xml");
    add("application/xml", xml(c));
    of(c, "soap");
    add("application/soap+xml", xml(c));
    of(c, "events");
    add("text/event-stream", events(c));
    of(c, "text");
    add(
        "text/plain",
        format!("Dear {},\n{}\n{}\n", c.word("word in a line"), c.mail("line"), c.number("number in a line")).into(),
    );
    of(c, "html");
    add(
        "text/html",
        format!("<p class=\"{}\">{}</p><!-- {} -->", c.word("attribute"), c.word("text"), c.word("comment")).into(),
    );

    c.in_message(format!("{side}, content type"));
    let (subtype, parameter) = (
        c.lost("subtype", "unknown words of a content type go"),
        c.lost("parameter", "unknown words of a content type go"),
    );
    add(&format!("application/{subtype}+json; note={parameter}"), br#"{"ok":true}"#.to_vec());

    // Nothing of these may leave under any rules.
    let unreadable: [Unreadable; 12] = [
        ("cut json", "application/json", |text| format!("{{\"a\":\"{text}").into()),
        ("json with a tail", "application/json", |text| format!("{{}} {text}").into()),
        ("deep json", "application/json", |text| format!("{}\"{text}\"{}", "[".repeat(200), "]".repeat(200)).into()),
        ("json that is text", "application/json", |text| text.into()),
        ("invalid utf-8", "application/json", |text| [b"\"\xff", text.as_bytes(), b"\""].concat()),
        ("unclosed xml", "application/xml", |text| format!("<a>{text}").into()),
        ("xml with entities", "application/xml", |text| {
            format!("<!DOCTYPE a [<!ENTITY e \"{text}\">]><a>&e;</a>").into()
        }),
        ("multipart without boundary", "multipart/form-data", |text| text.into()),
        ("unknown type", "application/octet-stream", |text| text.into()),
        ("unknown charset", "application/json; charset=x-none", |text| format!("\"{text}\"").into()),
        ("cut event", "application/x-protobuf", |text| text.into()),
        ("too long", "application/json", |text| format!("[\"{text}\",\"{}\"]", "x".repeat(LIMIT)).into()),
    ];
    for (name, kind, body) in unreadable {
        let text = c.in_message(format!("{side}, {name}")).lost("body", WITHHELD);
        add(kind, body(text));
    }
    let untyped = c.in_message(format!("{side}, no type")).lost("body", WITHHELD);
    all.push(Content { headers: Vec::new(), body: untyped.into() });
    all.extend(encoded(c, side));
    all
}

/// The same JSON in every coding, and codings that lie.
fn encoded(c: &mut Canaries, side: &str) -> Vec<Content> {
    let codings: [Coding; 5] = [
        ("gzip", gzip),
        ("deflate", deflate),
        ("br", brotli),
        ("zstd", zstd),
        ("gzip, br", |plain| brotli(&gzip(plain))),
    ];
    let mut all = Vec::new();
    let mut add = |coding: &str, body: Vec<u8>| {
        let headers = [("Content-Type", "application/json"), ("Content-Encoding", coding)];
        all.push(Content { headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(), body });
    };
    for (coding, encode) in codings {
        let plain = json(c.in_message(format!("{side}, {coding}")));
        let body = encode(&plain);
        let middle = &body[body.len() / 2..][..24];
        if !plain.windows(middle.len()).any(|part| part == middle) {
            c.bytes("compressed bytes", middle);
        }
        add(coding, body);
    }
    let lying = c.in_message(format!("{side}, not gzip")).lost("body", WITHHELD);
    add("gzip", format!("\"{lying}\"").into());
    let unknown = c.in_message(format!("{side}, unknown coding")).lost("body", WITHHELD);
    add("x-none", format!("\"{unknown}\"").into());
    let whole = gzip(format!("\"a value that only {side} holds, and never whole\"").as_bytes());
    c.in_message(format!("{side}, cut gzip")).bytes("compressed bytes", &whole[whole.len() - 40..whole.len() - 8]);
    add("gzip", whole[..whole.len() - 4].to_vec());
    all
}

fn json(c: &mut Canaries) -> Vec<u8> {
    let escaped: String = c.word("escaped value").bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let base64 = STANDARD.encode(c.word("value in base64"));
    format!(
        r#"{{"name":"{}","{}":1,"deep":[{{"list":[["{}",{{"{}":{{"last":"{}"}}}}]]}}],"mail":"{}","{}":null,"escaped":"{escaped}","twice":"{}","twice":"{}","lone":"\ud800{}","text":"a {} b","json":"{{\"k\":\"{}\"}}","base64":"{base64}","phone":{},"big":{}e400,"password":"{}","link":"https://shop.example/{}?x={}"}}"#,
        c.word("value"),
        c.word("name"),
        c.word("value at depth 4"),
        c.word("name at depth 5"),
        c.word("value at depth 6"),
        c.mail("address"),
        c.mail("name, address"),
        c.word("first of two members of one name"),
        c.word("second of two members of one name"),
        c.word("value with half a surrogate pair"),
        c.word("value within text"),
        c.word("value in json in a string"),
        c.number("number"),
        c.number("number beyond f64"),
        c.word("secret"),
        c.word("path of a link"),
        c.word("query of a link"),
    )
    .into_bytes()
}

fn form(c: &mut Canaries) -> Vec<u8> {
    let percent: String = c.word("value, percent-encoded").bytes().map(|byte| format!("%{byte:02x}")).collect();
    format!(
        "name={}&{}=1&{}&mail={}&text=a+{}+b&encoded={percent}&pin={}&user%5B{}%5D={}",
        c.word("value"),
        c.word("name"),
        c.word("without value"),
        c.mail("address"),
        c.word("value within text"),
        c.word("secret"),
        c.word("name in brackets"),
        c.number("number"),
    )
    .into_bytes()
}

fn multipart(c: &mut Canaries) -> Vec<u8> {
    let (before, after) = (c.lost("before the parts", COMMENT), c.lost("after the parts", COMMENT));
    let part = |head: String, body: String| format!("--xyz\r\n{head}\r\n\r\n{body}\r\n");
    let parts = [
        part("Content-Disposition: form-data; name=\"name\"".to_owned(), c.word("value")),
        part(format!("Content-Disposition: form-data; name=\"{}\"", c.word("name of a part")), "1".to_owned()),
        part(
            format!(
                "Content-Disposition: form-data; name=\"file\"; filename=\"{}.png\"\r\nContent-Type: image/png",
                c.lost("file name", HEAD)
            ),
            c.word("file"),
        ),
        part(
            format!(
                "Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''{}.csv\r\nContent-Type: text/csv\r\nX-{}: {}",
                c.lost("extended file name", HEAD),
                c.lost("name of a part's header", HEAD),
                c.lost("value of a part's header", HEAD)
            ),
            format!("name\n{}", c.word("text file")),
        ),
        part(
            "Content-Disposition: form-data; name=\"data\"\r\nContent-Type: application/json".to_owned(),
            format!("{{\"a\":\"{}\"}}", c.word("json part")),
        ),
    ];
    format!("{before}\r\n{}--xyz--\r\n{after}", parts.concat()).into_bytes()
}

fn xml(c: &mut Canaries) -> Vec<u8> {
    let entities: String = c.word("character references").bytes().map(|byte| format!("&#{byte};")).collect();
    let element = c.word("element name");
    format!(
        "<?xml version=\"1.0\"?><!-- {} --><?{} x?><order xmlns:{}=\"urn:{}\" {}=\"{}\"><{element}>1</{element}><name>{}</name>\
         <item id=\"{}\"/><![CDATA[{}]]><note>{entities}</note>{}</order>",
        c.lost("comment", COMMENT),
        c.lost("instruction", COMMENT),
        c.word("prefix"),
        c.word("namespace"),
        c.word("attribute name"),
        c.word("attribute value"),
        c.mail("text"),
        c.number("number"),
        c.word("character data"),
        c.word("text after elements"),
    )
    .into_bytes()
}

fn events(c: &mut Canaries) -> Vec<u8> {
    format!(
        ": {}\nevent: {}\nid: {}\ndata: {{\"{}\":\"{}\"}}\n\ndata: {}\n{}: {}\n{}\n\n",
        c.lost("comment", COMMENT),
        c.lost("event", EVENT),
        c.lost("id", EVENT),
        c.word("name in data"),
        c.word("value in data"),
        c.lost("text data", EVENT),
        c.lost("unknown field", EVENT),
        c.lost("value of an unknown field", EVENT),
        c.lost("field without value", EVENT),
    )
    .into_bytes()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("in memory")
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("in memory")
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest)
}

/// One block that is stored as it is (RFC 7932, 9.2).
fn brotli(plain: &[u8]) -> Vec<u8> {
    let head = ((plain.len() as u32 - 1) << 4) | 1 << 20;
    [&head.to_le_bytes()[..3], plain, &[0x03]].concat()
}
