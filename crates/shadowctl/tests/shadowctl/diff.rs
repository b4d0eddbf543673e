//! `shadowctl diff` without any server.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use super::support::{Ran, bare, run_bare};

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

async fn diff(args: &[&str], files: [&Path; 2]) -> Ran {
    let files = files.map(|file| file.to_str().unwrap());
    run_bare(&[&["diff"], args, &files].concat()).await
}

const LIVE: &str = r#"{"id": 17, "items": [{"price": 12.50}, {"price": 3}], "at": "10:00", "total": 15.5}"#;

#[tokio::test]
async fn equal_answers_are_zero_and_different_ones_are_one_with_every_place() {
    let files = Files::new();
    let live = files.put("live.json", LIVE);
    let same = files.put("same.json", r#"{"total":15.50,"items":[{"price":12.5},{"price":3.0}],"at":"10:00","id":17}"#);
    let ran = diff(&[], [&live, &same]).await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "matched\n", ""));
    let next =
        files.put("next.json", r#"{"id":17,"items":[{"price":12.55},{"price":3.5}],"at":"10:01","total_price":15.5}"#);
    let ran = diff(&[], [&live, &next]).await;
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    insta::assert_snapshot!(ran.out);
}

#[tokio::test]
async fn rules_decide_and_those_that_did_nothing_are_named() {
    let files = Files::new();
    let rules = files.put(
        "rules.toml",
        "version = \"7\"\n[[ignore]]\njson = [\"$.at\"]\n[[ignore]]\nroute = \"GET /other\"\njson = [\"$.id\"]\n\
         [[expected]]\nname = \"dearer\"\nplace = \"$.total\"\nowner = \"shop\"\nwhy = \"v2\"\nexpires = \"2999-12-31\"\n",
    );
    let live = files.put("live.json", r#"{"at": 1, "total": 5, "id": 1}"#);
    let next = files.put("next.json", r#"{"at": 2, "total": 6, "id": 1}"#);
    let args = ["--rules", rules.to_str().unwrap(), "--route", "GET /orders/{id}"];
    let ran = diff(&args, [&live, &next]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    insta::assert_snapshot!(ran.out);
    let answer = diff(&[&args[..], &["--json"]].concat(), [&live, &next]).await.json();
    assert_eq!(answer["result"], "expected");
    assert_eq!(answer["ruleset"], "7");
    assert_eq!(answer["differences"][0]["expected"], "dearer");
    assert_eq!(answer["rules_unused"][0], "line 4, [[ignore]] on GET /other: $.id");
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn raw_answers_are_compared_without_their_codings_and_with_their_status_and_headers() {
    let files = Files::new();
    let head = "Content-Type: application/json\r\n";
    let live = files.put(
        "live.http",
        format!("HTTP/1.1 200 OK\r\n{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"a\":\r\n2\r\n1}}\r\n0\r\n\r\n"),
    );
    let body = gzip(r#"{ "a": 1.0 }"#);
    let start = format!("HTTP/1.1 200 OK\r\n{head}Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len());
    let same = files.put("same.http", [start.as_bytes(), &body].concat());
    assert_eq!(diff(&["--http"], [&live, &same]).await.ok(), "matched\n");
    let next = files.put("next.http", "HTTP/1.1 500 Oops\nContent-Type: text/html\n\n<!doctype html>oops");
    let ran = diff(&["--http", "--json"], [&live, &next]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let found = answer["differences"].as_array().unwrap();
    let said: Vec<_> = found.iter().map(|found| format!("{} {}", found["place"], found["transition"])).collect();
    assert_eq!(said, [r#""status" "200->500""#, r#""header:content-type" "changed""#, r#""body" "json->html""#]);
}

#[tokio::test]
async fn other_formats_are_compared_by_their_structure() {
    let files = Files::new();
    let live = files.put("live.xml", "<order id='1'><total>5</total></order>");
    let next = files.put("next.xml", "<order id='1'>\n  <total>6</total>\n</order>");
    let ran = diff(&["--content-type", "application/xml"], [&live, &next]).await;
    assert!(ran.code == 1 && ran.out.contains("$.order.total[*].#text  value  changed"), "{ran:?}");
}

#[tokio::test]
async fn messages_are_read_by_the_descriptor_set_that_the_rules_name() {
    let files = Files::new();
    // file "a.proto" { message M { int32 n = 1; } }
    files.put(
        "m.bin",
        b"\x0a\x21\x0a\x07a.proto\x22\x0e\x0a\x01M\x12\x09\x0a\x01n\x18\x01\x20\x01\x28\x05\x62\x06proto3",
    );
    let rules = files.put("rules.toml", "[[protobuf]]\nmessage = \"M\"\ndescriptor_file = \"m.bin\"\n");
    let (live, next) = (files.put("live.bin", b"\x08\x05"), files.put("next.bin", b"\x08\x06"));
    let args = ["--content-type", "application/x-protobuf", "--rules", rules.to_str().unwrap()];
    let ran = diff(&args, [&live, &next]).await;
    assert!(ran.code == 1 && ran.out.contains("$.n  value  changed"), "{ran:?}");
    let rules = files.put("rules.toml", "[[protobuf]]\nmessage = \"M\"\ndescriptor_file = \"absent.bin\"\n");
    let ran = diff(&["--rules", rules.to_str().unwrap()], [&live, &next]).await;
    assert!(ran.code == 2 && ran.err.contains("line 3") && ran.err.contains("absent.bin"), "{ran:?}");
}

#[tokio::test]
async fn one_answer_may_come_from_standard_input() {
    let files = Files::new();
    let live = files.put("live.json", LIVE);
    let mut command = bare(&["diff", live.to_str().unwrap(), "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(LIVE.as_bytes()).await.unwrap();
    assert_eq!(child.wait_with_output().await.unwrap().stdout, b"matched\n");
    let both = run_bare(&["diff", "-", "-"]).await;
    assert!(both.code == 2 && both.err.contains("only one"), "{both:?}");
}

#[tokio::test]
async fn whatever_goes_wrong_is_two_with_a_cause_and_a_remedy() {
    let files = Files::new();
    let live = files.put("live.json", LIVE);
    let rules = files.put("rules.toml", "[[ignore]]\njson = [\"at\"]\n");
    let twice = files.put("twice.json", r#"{"id": 1, "id": 2}"#);
    let twice_too = files.put("twice-too.json", r#"{"id": 1, "id": 3}"#);
    let request = files.put("request.http", "GET / HTTP/1.1\nhost: a\n\n");
    let coded = files.put("coded.http", "HTTP/1.1 200 OK\ncontent-encoding: gzip\n\nnone");
    let answer = files.put("answer.http", "HTTP/1.1 200 OK\n\nnone");
    let absent = files.0.path().join("absent.json");
    let with_rules = ["--rules", rules.to_str().unwrap()];
    let cases: [(&[&str], [&Path; 2], &str); 7] = [
        (&[], [&live, &absent], "absent.json"),
        (&with_rules, [&live, &live], "line 2"),
        (&[], [&twice, &twice_too], "two members of one name"),
        (&["--http"], [&answer, &request], "this is a request"),
        (&["--http"], [&answer, &coded], "content coding"),
        (&["--route", "orders"], [&live, &live], "GET /orders/{id}"),
        (&["--unknown"], [&live, &live], "--unknown"),
    ];
    for (args, [primary, candidate], says) in cases {
        let ran = diff(args, [primary, candidate]).await;
        assert!(ran.code == 2 && ran.err.contains(says), "{says}: {ran:?}");
    }
}
