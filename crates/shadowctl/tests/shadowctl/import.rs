//! Recordings on a real broker: imported, replayed, accounted for.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use shadow_control::{Change, ControlRecord, ControlWriter, Upstream};
use shadow_devstack::Devstack;
use shadow_kafka::{Tail, TailEvent, TailFrom};
use shadow_record::{CapturedExchange, Source, Withheld, decode, topics};
use shadow_shop::{Build, Shop};
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use super::support::{Ran, bare, closed_port, kafka, run, run_bare, stack};

const KEY: &str = "an example key of 32 characters.";

/// Recorded by Chromium 156 (Playwright 1.65 wrote the file) on a page made for it: a page with a picture, a session cookie, JSON in
/// gzip, a form, an order.
const BROWSER: &str = include_str!("fixtures/chromium.har");

/// Longest wait for anything; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(120);

async fn import(stack: &Devstack, args: &[&str], stdin: &str) -> Ran {
    let mut command = bare(&[&["import"], args].concat());
    command.env("SHADOW_KAFKA_BROKERS", stack.brokers()).env("SHADOW_MASKING_KEY", KEY);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes()).await;
    Ran::of(&child.wait_with_output().await.unwrap())
}

/// All records of a captured topic by partition, in order.
async fn records(stack: &Devstack, service: &str) -> Vec<(i32, CapturedExchange)> {
    let topic = topics::captured(&service.parse().unwrap());
    let tail = Tail::open(&kafka(stack), &topic, TailFrom::Start).await.unwrap();
    let mut records = Vec::new();
    while let TailEvent::Record(record) = tail.recv().await.unwrap() {
        assert!(!String::from_utf8_lossy(&record.payload).contains("alice"), "something private reached Kafka");
        records.push((record.partition, decode(&record.payload).unwrap()));
    }
    records
}

/// The browser's recording with a broken entry, a web socket and one that came from a cache put between the others.
fn broken_recording() -> String {
    let mut har: Value = serde_json::from_str(BROWSER).unwrap();
    let entries = har["log"]["entries"].as_array_mut().unwrap();
    let (mut socket, mut cached, mut timeless) = (entries[0].clone(), entries[0].clone(), entries[3].clone());
    socket["_resourceType"] = "websocket".into();
    cached["_fromCache"] = "disk".into();
    timeless["startedDateTime"] = "yesterday, by alice".into();
    for (at, entry) in [(1, socket), (3, timeless), (4, cached), (5, json!({ "alice": 1 }))] {
        entries.insert(at, entry);
    }
    har.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browsers_recording_is_imported_replayed_and_balances_whatever_is_broken_in_it() {
    let Some(stack) = stack().await else { return };
    run(stack, &["schema", "apply"]).await.ok();
    let args = ["har", "-", "--service", "recorded", "--session-cookie", "sid", "--partitions", "4"];
    let ran = import(stack, &[&args[..], &["--json"]].concat(), &broken_recording()).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&answer["imported"], &answer["broken_count"], &answer["partitions"]),
        (&7.into(), &2.into(), &4.into())
    );
    assert_eq!(answer["not_replayable"], json!({ "a web socket": 1, "from the browser's cache, so never sent": 1 }));
    let broken: Vec<_> = answer["broken"].as_array().unwrap().iter().map(|b| b["entry"].as_u64().unwrap()).collect();
    assert_eq!(broken, [3, 5], "{answer}");
    assert!(answer["broken"][0]["why"].as_str().unwrap().contains("zone") && !ran.out.contains("alice"), "{answer}");

    // What the browser recorded is what was appended: times, order within the session, bodies out of their coding.
    let records = records(stack, "recorded").await;
    let recorded: Value = serde_json::from_str(BROWSER).unwrap();
    let mut begun: Vec<i64> = recorded["log"]["entries"].as_array().unwrap().iter().map(began).collect();
    begun.sort_unstable();
    let mut captured: Vec<i64> = records.iter().map(|(_, record)| record.captured_at.micros()).collect();
    captured.sort_unstable();
    assert_eq!(captured, begun);
    let session: Vec<_> = records.iter().filter(|(_, r)| r.request.header("cookie").is_some()).collect();
    assert_eq!(session.len(), 6);
    assert!(session.iter().all(|(partition, _)| *partition == session[0].0), "a session stays together");
    assert!(session.is_sorted_by_key(|(_, record)| record.captured_at), "a session stays in order");
    assert!(records.iter().all(|(_, record)| record.source == Source::Import));
    let order = &records.iter().find(|(_, r)| r.request.method == "POST" && r.response.as_ref().unwrap().status == 201);
    let answer = order.unwrap().1.response.as_ref().unwrap();
    assert_eq!((answer.header("content-encoding"), answer.header("original-content-encoding")), (None, Some("gzip")));
    assert!(answer.body.content.as_ref().is_some_and(|body| body.starts_with(b"{")), "{answer:?}");
    let withheld = records.iter().filter_map(|(_, record)| record.response.as_ref()?.body.withheld);
    assert_eq!(withheld.collect::<Vec<_>>(), [Withheld::UnsupportedType], "the picture");

    replayed_and_balanced(stack).await;
}

fn began(entry: &Value) -> i64 {
    entry["startedDateTime"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

/// Replays what was imported at its own pace, ten times as fast, and looks at both accounts and the report.
async fn replayed_and_balanced(stack: &Devstack) {
    let stop = CancellationToken::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let candidate = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(Shop::new(Build::Candidate).serve(listener, stop.clone()));
    let replay = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(replay.path(), "timing = { original = { speed = 10.0 } }\n").unwrap();
    let create = ["launch", "create", "recorded-v2", "--service", "recorded", "--candidate", &candidate];
    let how = ["--from", "earliest", "--isolation", "a shop of this test's own", "--replay"];
    run(stack, &[&create[..], &how, &[replay.path().to_str().unwrap()]].concat()).await.ok();

    let mut config = replayer::config::Config { kafka: kafka(stack), ..Default::default() };
    config.service.instance = "recorded-replayer".parse().unwrap();
    config.masking.key = Some(shadow_runtime::Secret::new(KEY));
    let replayer = tokio::spawn(replayer::run(config, stop.clone()));
    let mut config = comparator::config::Config { kafka: kafka(stack), ..Default::default() };
    config.service.instance = "recorded-comparator".parse().unwrap();
    config.clickhouse.url = stack.clickhouse_url().parse().unwrap();
    let comparator = tokio::spawn(comparator::run(config, stop.clone()));

    let settled = tokio::time::timeout(PATIENCE, async {
        loop {
            let ran = run(stack, &["ledger", "--json"]).await;
            let ledger: Value = serde_json::from_str(&ran.out).unwrap_or_default();
            let of = |list: &str, name: &str, value: &str| {
                let all = ledger[list].as_array().cloned().unwrap_or_default();
                all.into_iter().find(|one| one[name].as_str().is_some_and(|name| name.starts_with(value)))
            };
            let launch = of("launches", "launch", "recorded-v2");
            let agent = of("agents", "service", "recorded");
            if let (Some(launch), Some(agent)) = (launch, agent)
                && (&launch["captured"], &launch["pending"], &agent["state"])
                    == (&7.into(), &0.into(), &"stopped".into())
            {
                return (launch, agent);
            }
        }
    });
    let (launch, agent) = settled.await.unwrap();
    assert_eq!((&launch["completed"], &launch["balanced"]), (&7.into(), &1.into()), "{launch}");
    assert!(agent["instance"].as_str().unwrap().starts_with("import-"), "{agent}");
    assert_eq!((&agent["seen"], &agent["acknowledged"], &agent["balanced"]), (&7.into(), &7.into(), &1.into()));
    let report = run(stack, &["report", "recorded-v2"]).await.ok();
    assert!(report.contains("captured 7 = completed 7") && report.contains("the ledger balances"), "{report}");
    stop.cancel();
    for service in [replayer, comparator] {
        service.await.unwrap().unwrap();
    }
}

/// Two exchanges of one session, 40 ms from the first request to the last answer.
const LINES: &str = concat!(
    r#"{"started_at":"2026-01-31T12:00:00Z","took_ms":5,"request":{"method":"GET","url":"http://shop.example/a","headers":{"x-session":"1"}},"response":{"status":200,"body":"hi"}}"#,
    "\n",
    r#"{"started_at":"2026-01-31T12:00:00.03Z","took_ms":10,"request":{"method":"GET","url":"http://shop.example/b","headers":{"x-session":"1"}},"error":"timeout"}"#,
    "\n",
);

#[tokio::test]
async fn a_recording_repeats_with_new_ids_and_later_times() {
    let Some(stack) = stack().await else { return };
    let args = ["ndjson", "-", "--service", "repeated", "--session-header", "x-session", "--repeat", "3"];
    let text = import(stack, &args, LINES).await.ok();
    assert!(text.contains("imported 6 exchanges with shop.example into shadow.captured.repeated"), "{text}");
    assert!(text.contains("recorded from 2026-01-31T12:00:00Z on, 40.0 ms long") && text.contains("3 times"), "{text}");
    let records = records(stack, "repeated").await;
    assert!(records.iter().all(|(partition, _)| *partition == records[0].0));
    let first = records[0].1.captured_at.micros();
    let times: Vec<_> = records.iter().map(|(_, record)| (record.captured_at.micros() - first) / 1000).collect();
    assert_eq!(times, [0, 30, 40, 70, 80, 110]);
    let ids: std::collections::BTreeSet<_> = records.iter().map(|(_, record)| record.request_id).collect();
    let sequences: Vec<_> = records.iter().map(|(_, record)| record.sequence).collect();
    assert_eq!((ids.len(), sequences), (6, vec![0, 1, 2, 3, 4, 5]));
}

#[tokio::test]
async fn an_endless_recording_stays_within_reach_of_the_slowest_launch_until_it_is_told_to_stop() {
    let Some(stack) = stack().await else { return };
    let import = |repeat: &'static str| {
        let args = ["import", "ndjson", "-", "--service", "endless", "--repeat", repeat, "--ahead", "5"];
        let mut command = bare(&args);
        command.env("SHADOW_KAFKA_BROKERS", stack.brokers()).env("SHADOW_MASKING_KEY", KEY);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut once = import("1");
    once.stdin.take().unwrap().write_all(LINES.as_bytes()).await.unwrap();
    assert!(once.wait().await.unwrap().success());
    // Replayers of the tests beside this one refuse a target that is production, so the launch stands two records behind for good.
    let create = ["launch", "create", "endless-v2", "--service", "endless", "--candidate", "http://127.0.0.1:47111"];
    run(stack, &[&create[..], &["--from", "earliest", "--paused"]].concat()).await.ok();
    let upstream = Upstream {
        service: "endless".parse().unwrap(),
        instance: "endless-agent".to_owned(),
        addresses: vec!["127.0.0.1:47111".to_owned()],
        change: Change::by("endless-agent", ""),
    };
    ControlWriter::new(&kafka(stack)).unwrap().put(&ControlRecord::Upstream(upstream)).await.unwrap();
    // Whether members confirm is of no matter here: they refuse.
    run(stack, &["launch", "resume", "endless-v2", "--timeout", "10ms"]).await;

    let mut endless = import("forever");
    endless.stdin.take().unwrap().write_all(LINES.as_bytes()).await.unwrap();
    let reached = tokio::time::timeout(PATIENCE, async { while records(stack, "endless").await.len() < 5 {} });
    reached.await.unwrap();
    let pid = endless.id().unwrap().to_string();
    assert!(tokio::process::Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let ran = Ran::of(&endless.wait_with_output().await.unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("imported 3 exchanges"), "{ran:?}");
    assert!(ran.err.contains("at most 5 records ahead of launch endless-v2"), "{ran:?}");
    assert_eq!(records(stack, "endless").await.len(), 5);
}

#[tokio::test]
async fn what_is_no_recording_or_not_of_one_service_is_refused_before_anything_is_written() {
    let nobody = closed_port();
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let ask = async |content: &str, args: &[&str]| {
        std::fs::write(file.path(), content).unwrap();
        let mut command =
            bare(&[&["import", "har", path, "--service", "s", "--kafka-brokers", &nobody], args].concat());
        Ran::of(&command.env("SHADOW_MASKING_KEY", KEY).output().await.unwrap())
    };
    let two = BROWSER.replacen("127.0.0.1:8731/", "cdn.example/", 1);
    for (content, args, code, says) in [
        ("<html>", &[][..], 64, "is not a HAR file"),
        ("{\"log\":{}}", &[], 64, "it has no log.entries"),
        (&two, &[], 64, "several hosts: 127.0.0.1:8731 (6), cdn.example (1)"),
        (&two, &["--host", "shop.example"], 64, "no exchange with such a host"),
        (&two, &["--repeat", "0"], 64, "forever"),
        (&two, &["--session-header", "a b"], 64, "header"),
        ("{\"log\":{\"entries\":[7]}}", &[], 1, "nothing to import"),
        (BROWSER, &[], 69, "cannot reach Kafka"),
        (&BROWSER[..BROWSER.len() - 900], &["--dry-run"], 1, ""),
        (&two, &["--host", "127.0.0.1", "--dry-run"], 0, ""),
    ] {
        let ran = ask(content, args).await;
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
    }
    let cut = ask(&BROWSER[..BROWSER.len() - 900], &["--dry-run"]).await.out;
    assert!(cut.contains("would import 6 exchanges") && cut.contains("what follows"), "{cut}");
    let twice = ask(&two, &["--host", "127.0.0.1", "--repeat", "2", "--dry-run", "--json"]).await;
    let twice: Value = serde_json::from_str(&twice.out).unwrap();
    let told = ["imported", "left_out", "passes"].map(|what| twice[what].as_u64());
    assert_eq!(told, [Some(12), Some(2), Some(2)], "{twice}");
    let ran = run_bare(&["import", "har", path, "--service", "s"]).await;
    assert!(ran.code == 64 && ran.err.contains("needs the masking key"), "{ran:?}");
}
