//! Launches on a real broker.

use shadow_control::{Change, ControlRecord, ControlWriter, Upstream, ensure_shared_topics};
use shadow_kafka::Admin;

use super::support::{captured, kafka, run, stack};

#[tokio::test]
async fn a_launch_is_created_listed_paused_and_resumed() {
    let Some(stack) = stack().await else { return };
    captured(stack, "round-trip", &[2, 0, 1]).await;
    let args = ["launch", "create", "rt-v2", "--service", "round-trip", "--candidate", "http://127.0.0.1:9"];
    let made =
        run(stack, &[&args[..], &["--from", "earliest", "--sample", "0.1", "--why", "rehearsal"]].concat()).await;
    let text = made.ok();
    assert!(text.contains("launch rt-v2 created, active") && text.contains("safe methods only"), "{text}");

    let replayed = "shadow.replayed.round-trip.rt-v2";
    assert_eq!(Admin::new(&kafka(stack)).unwrap().partitions(replayed).await.unwrap(), Some(3));
    let again = run(stack, &args).await;
    assert_eq!(again.code, 1);
    assert!(again.err.contains("launch rt-v2 exists"), "{}", again.err);

    let list = run(stack, &["launch", "list", "--json"]).await.json();
    let launch = list.as_array().unwrap().iter().find(|launch| launch["name"] == "rt-v2").unwrap();
    assert_eq!((&launch["status"], &launch["sample"]), (&"active".into(), &0.1.into()));
    assert_eq!(launch["start"], serde_json::json!({ "0": 0, "1": 0, "2": 0 }));

    let paused = run(stack, &["launch", "pause", "rt-v2", "--why", "drill"]).await.ok();
    assert!(paused.contains("launch rt-v2 paused") && paused.contains("no live replayers"), "{paused}");
    let shown = run(stack, &["launch", "show", "rt-v2", "--json"]).await.json();
    assert_eq!((&shown["status"], &shown["change"]["why"]), (&"paused".into(), &"drill".into()));
    run(stack, &["launch", "resume", "rt-v2"]).await.ok();
    assert_eq!(run(stack, &["launch", "show", "rt-v2", "--json"]).await.json()["status"], "active");
}

#[tokio::test]
async fn of_two_who_create_a_launch_at_once_one_keeps_the_name_and_the_other_is_told() {
    let Some(stack) = stack().await else { return };
    captured(stack, "contended", &[0]).await;
    let create = async |candidate: &str| {
        run(stack, &["launch", "create", "contended-v2", "--service", "contended", "--candidate", candidate]).await
    };
    let [a, b] = ["http://127.0.0.1:10/", "http://127.0.0.1:11/"];
    let (first, second) = tokio::join!(create(a), create(b));
    let (won, lost) = if first.code == 0 { (a, second) } else { (b, first) };
    assert!(lost.code == 1 && lost.err.contains("contended-v2"), "{lost:?}");
    assert_eq!(run(stack, &["launch", "show", "contended-v2", "--json"]).await.json()["candidate"], won);
}

#[tokio::test]
async fn a_launch_begins_where_it_was_told_to() {
    let Some(stack) = stack().await else { return };
    captured(stack, "begin", &[2, 1]).await;
    for (name, from, expected) in [
        ("begin-earliest", "earliest", [0, 0]),
        ("begin-latest", "latest", [2, 1]),
        ("begin-1970", "1970-01-01T00:00:00Z", [0, 0]),
        ("begin-2200", "2200-01-01T00:00:00Z", [2, 1]),
    ] {
        let args = ["launch", "create", name, "--service", "begin", "--candidate", "http://127.0.0.1:9", "--json"];
        let launch = run(stack, &[&args[..], &["--from", from, "--paused"]].concat()).await.json();
        assert_eq!(launch["start"], serde_json::json!({ "0": expected[0], "1": expected[1] }), "{from}");
        assert_eq!(launch["status"], "paused");
    }
}

#[tokio::test]
async fn what_was_never_captured_cannot_be_replayed() {
    let Some(stack) = stack().await else { return };
    captured(stack, "known", &[0]).await;
    let ran = run(stack, &["launch", "create", "x", "--service", "unknown", "--candidate", "http://127.0.0.1:9"]).await;
    assert_eq!(ran.code, 1);
    for part in ["shadow.captured.unknown does not exist", "known", "start a capture agent"] {
        assert!(ran.err.contains(part), "{}", ran.err);
    }
    let ran = run(stack, &["launch", "show", "no-such-launch"]).await;
    assert!(ran.code == 1 && ran.err.contains("there is no launch no-such-launch"), "{ran:?}");
}

#[tokio::test]
async fn production_is_refused_as_a_target_and_nothing_is_written() {
    let Some(stack) = stack().await else { return };
    captured(stack, "guarded", &[0]).await;
    ensure_shared_topics(&Admin::new(&kafka(stack)).unwrap()).await.unwrap();
    let upstream = Upstream {
        service: "guarded".parse().unwrap(),
        instance: "agent-7".to_owned(),
        addresses: vec!["127.0.0.1:47110".to_owned()],
        change: Change::by("agent-7", ""),
    };
    ControlWriter::new(&kafka(stack)).unwrap().put(&ControlRecord::Upstream(upstream)).await.unwrap();
    let args = ["launch", "create", "guarded-v2", "--service", "guarded", "--candidate", "http://localhost:47110/api"];
    let ran = run(stack, &args).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("a target equal to the primary") && ran.err.contains("agent-7"), "{}", ran.err);
    assert_eq!(run(stack, &["launch", "show", "guarded-v2"]).await.code, 1);
    let replayed = "shadow.replayed.guarded.guarded-v2";
    assert_eq!(Admin::new(&kafka(stack)).unwrap().partitions(replayed).await.unwrap(), None);
}

#[tokio::test]
async fn rules_that_do_not_hold_are_refused_with_their_line() {
    let Some(stack) = stack().await else { return };
    captured(stack, "ruled", &[0]).await;
    let rules = tempfile::NamedTempFile::new().unwrap();
    let file = rules.path().to_str().unwrap();
    let args =
        ["launch", "create", "ruled-v2", "--service", "ruled", "--candidate", "http://127.0.0.1:9", "--rules", file];
    std::fs::write(rules.path(), "\n[[ignore]]\njson = [\"not a path\"]").unwrap();
    let ran = run(stack, &args).await;
    assert!(ran.code == 64 && ran.err.contains("line 3"), "{ran:?}");
    std::fs::write(rules.path(), "[[ignore]]\njson = [\"$.at\"]").unwrap();
    run(stack, &args).await.ok();
    let shown = run(stack, &["launch", "show", "ruled-v2", "--json"]).await.json();
    assert_eq!(shown["rules"], "[[ignore]]\njson = [\"$.at\"]");
}

#[tokio::test]
async fn a_launch_is_changed_promoted_reversed_and_deleted() {
    let Some(stack) = stack().await else { return };
    captured(stack, "turning", &[1, 1]).await;
    let rules = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rules.path(), "[[ignore]]\njson = [\"$.at\"]").unwrap();
    let create =
        ["launch", "create", "turn-v2", "--service", "turning", "--candidate", "http://127.0.0.1:9", "--sample", "0.1"];
    let more = [
        "--rules",
        rules.path().to_str().unwrap(),
        "--isolation",
        "own database",
        "--max-in-flight",
        "7",
        "--deny",
        "10.9.0.0/16",
    ];
    run(stack, &[&create[..], &more].concat()).await.ok();

    let set =
        run(stack, &["launch", "set", "turn-v2", "--sample", "0.5", "--route", "GET /a", "--why", "more"]).await.ok();
    for line in ["sample          0.1   ->  0.5", "filters.routes  none  ->  [\"GET /a\"]", "no live replayers"] {
        assert!(set.contains(line), "{set}");
    }
    assert!(run(stack, &["launch", "set", "turn-v2", "--sample", "0.5"]).await.ok().contains("nothing is changed"));
    let shown = run(stack, &["launch", "show", "turn-v2", "--json"]).await.json();
    assert_eq!(
        (&shown["sample"], &shown["limits"]["max_in_flight"], &shown["change"]["why"]),
        (&0.5.into(), &7.into(), &"more".into())
    );

    let reverse = ["launch", "reverse", "turn-v2", "--as", "turn-v1", "--candidate", "http://127.0.0.1:10", "--json"];
    let early = run(stack, &reverse).await;
    assert!(early.code == 1 && early.err.contains("launch promote turn-v2"), "{early:?}");
    let early = run(stack, &["launch", "delete", "turn-v2"]).await;
    assert!(early.code == 1 && early.err.contains("turn-v2 is active, not ended"), "{early:?}");

    let promoted = run(stack, &["launch", "promote", "turn-v2", "--why", "live"]).await.ok();
    assert!(
        promoted.contains("launch turn-v2 is promoted") && promoted.contains("launch reverse turn-v2"),
        "{promoted}"
    );
    for refused in [
        &["launch", "rollback", "turn-v2"][..],
        &["launch", "set", "turn-v2", "--sample", "1"],
        &["launch", "pause", "turn-v2"],
        &["rate", "set", "turning", "5/s", "--launch", "turn-v2"],
    ] {
        let ran = run(stack, refused).await;
        assert!(ran.code == 1 && ran.err.contains("launch turn-v2 has ended: promoted"), "{refused:?}: {ran:?}");
    }

    let denied = run(stack, &[&reverse[..], &["--deny", "127.0.0.0/8"]].concat()).await;
    assert!(denied.code == 64 && denied.err.contains("is denied"), "{denied:?}");
    let behind = run(stack, &[&reverse[..], &["--deny", "10.0.0.0/8"]].concat()).await.json();
    assert_eq!(behind["replay"]["deny"], serde_json::json!(["10.0.0.0/8"]), "in place of the promoted launch's");
    assert_eq!(
        (&behind["candidate"], &behind["status"], &behind["sample"]),
        (&"http://127.0.0.1:10/".into(), &"active".into(), &1.0.into())
    );
    for same in ["filters", "rules", "gates", "limits", "comparison", "service"] {
        assert_eq!(behind[same], run(stack, &["launch", "show", "turn-v2", "--json"]).await.json()[same], "{same}");
    }
    assert_eq!(behind["isolation"], serde_json::Value::Null, "another copy, another isolation");
    assert_eq!(behind["start"], serde_json::json!({ "0": 1, "1": 1 }));

    let (admin, replayed) = (Admin::new(&kafka(stack)).unwrap(), "shadow.replayed.turning.turn-v2");
    let unsure = run(stack, &["launch", "delete", "turn-v2", "--with-topics"]).await;
    assert!(unsure.code == 64 && unsure.err.contains(replayed) && unsure.err.contains("--yes"), "{unsure:?}");
    let deleted = run(stack, &["launch", "delete", "turn-v2", "--why", "done"]).await.ok();
    assert!(deleted.contains("stays    topic shadow.replayed.turning.turn-v2"), "{deleted}");
    assert_eq!(admin.partitions(replayed).await.unwrap(), Some(2));
    assert_eq!(run(stack, &["launch", "show", "turn-v2"]).await.code, 1);
    let twice = run(stack, &["launch", "delete", "turn-v2"]).await;
    assert!(twice.code == 1 && twice.err.contains("there is no launch turn-v2"), "{twice:?}");
    let rest = run(stack, &["launch", "delete", "turn-v2", "--with-topics", "--yes", "--json"]).await.json();
    assert_eq!(rest["control_version"], serde_json::Value::Null);
    assert_eq!(rest["deleted"].as_array().unwrap().last().unwrap(), &format!("topic {replayed}"), "{rest}");
    assert_eq!(run(stack, &["launch", "delete", "turn-v2", "--with-topics", "--yes"]).await.code, 1, "nothing is left");

    run(stack, &["launch", "rollback", "turn-v1"]).await.ok();
    let deleted = run(stack, &["launch", "delete", "turn-v1", "--with-topics", "--yes"]).await.ok();
    assert!(deleted.contains("deleted  group shadow-replayer.turn-v1"), "{deleted}");
    let topics = admin.topics().await.unwrap();
    assert!(!topics.iter().any(|topic| topic == "shadow.replayed.turning.turn-v1"), "{topics:?}");
}
