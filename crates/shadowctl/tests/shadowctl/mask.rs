//! `shadowctl mask` without any server.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;

use super::support::bare;

const KEY: &str = "an example key of 32 characters.";

async fn mask(args: &[&str], key: Option<&str>, input: &str) -> (i32, String, String) {
    let mut command = bare(&[&["mask"], args].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(key) = key {
        command.env("SHADOW_MASKING_KEY", key);
    }
    let mut child = command.spawn().unwrap();
    // A command that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_body_is_masked_and_the_decisions_are_explained_without_its_values() {
    let body = r#"{"email":"alice@example.org","page":2,"alicesmith":true}"#;
    let (code, out, err) = mask(&["--explain"], Some(KEY), body).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with(r#"{"email":"msk_"#) && out.contains(r#"@masked.example.com","page":2,"msk_"#), "{out}");
    assert!(err.contains("json $.email") && err.contains("an allow-listed shape") && !err.contains("alice"), "{err}");
    let (code, again, _) = mask(&[], Some(KEY), &out).await;
    assert_eq!((code, again), (0, out));
}

#[tokio::test]
async fn a_raw_request_is_masked_in_all_its_parts() {
    let message = "POST /orders/alice?q=alice HTTP/1.1\r\nHost: shop.example\r\nAuthorization: Bearer alice\r\nCookie: a=alice\r\n\
        Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{\"name\":\"\r\n7\r\nalice\"}\r\n0\r\n\r\n";
    let (code, out, err) = mask(&["--http", "--route", "POST /orders/{id}"], Some(KEY), message).await;
    assert_eq!((code, out.contains("alice")), (0, false), "{out}{err}");
    assert!(out.starts_with("POST /orders/msk_") && out.ends_with("\"}") && !out.contains("uthorization"), "{out}");
}

#[tokio::test]
async fn what_cannot_be_masked_is_withheld_and_rules_that_cannot_work_are_refused() {
    let (code, out, err) = mask(&[], Some(KEY), "{\"name\":\"alice\"").await;
    assert_eq!(code, 1, "{err}");
    assert!(out.starts_with("(withheld: unparseable, 15 bytes") && !(out + &err).contains("alice"), "{err}");
    let rules = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rules.path(), "[[rule]]\nstrategy = \"keep\"\njson = [\"$[?@.a]\"]\n").unwrap();
    let (code, out, err) = mask(&["--rules", rules.path().to_str().unwrap()], Some(KEY), "1").await;
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("line 3") && err.contains("filters"), "{err}");
}

#[tokio::test]
async fn tables_and_records_are_seeded_under_the_key_alone_so_that_look_ups_meet() {
    let table = "id,email,note\r\n12345678,alice@example.org,\"\"\n7,,\\N\n";
    let (code, out, err) = mask(&["--csv"], Some(KEY), table).await;
    assert_eq!(code, 0, "{err}");
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows[0].join(","), rows[2].join(",")), ("id,email,note".to_owned(), "7,,\\N".to_owned()));
    let record = r#"{"id":12345678,"email":"alice@example.org"}"#;
    let (_, out, _) = mask(&["--ndjson"], Some(KEY), record).await;
    assert_eq!(out, format!("{{\"id\":{},\"email\":\"{}\"}}\n", rows[1][0], rows[1][1]));
    // Under the next key, what was masked under this one stays only if this one is named.
    let previous = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(previous.path(), KEY).unwrap();
    let (next, seeded) = ("the next example key of 32 chars", rows[1].join(","));
    let named = ["--csv", "--previous-key-file", previous.path().to_str().unwrap()];
    let masked_again = async |args: &[&str]| mask(args, Some(next), &format!("id,email,note\n{seeded}\n")).await.1;
    assert_eq!(masked_again(&named).await, format!("id,email,note\n{seeded}\n"));
    assert!(!masked_again(&["--csv"]).await.contains(&seeded));
    let (code, _, err) = mask(&["--csv"], None, table).await;
    assert!(code == 64 && err.contains("--key-file"), "{err}");
    let (code, out, err) = mask(&["--csv"], Some(KEY), "a,b\n1,2\n3\n").await;
    assert!(code == 1 && out == "a,b\n1,2\n" && err.contains("row 3: 1 values for 2 columns"), "{out}{err}");
}
