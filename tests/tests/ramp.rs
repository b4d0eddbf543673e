//! Ramps end to end: a replayer that follows the sample, a comparator that keeps the books and the history, and a controller.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support.rs"]
mod support;

use std::process::Stdio;
use std::time::Duration;

use axum::extract::Path;
use axum::{Json, Router, routing::any};
use serde_json::{Value, json};
use support::{BINARY, Rig, sql, until};

/// Gates that some hundred exchanges can pass. What the primary's microseconds in these records would say about latency says nothing.
const GATES: &str = r#"
[launch]
match_rate = 0.99
error_rate_margin = 0.03
p50_ratio = "off"
[routes]
match_rate = 0.99
error_rate_margin = 0.03
p50_ratio = "off"
except = ["POST /orders/{id}"]
"#;

/// A candidate that answers as the primary of the tests' traffic does.
async fn good_candidate() -> String {
    let order = |Path(id): Path<i64>| async move { Json(json!({"id": id, "total": id * 3})) };
    let app = Router::new().route("/orders/{id}", any(order));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// `shadowctl ramp run` of one launch, until its end.
fn controller(rig: &Rig, launch: &str) -> tokio::process::Child {
    tokio::process::Command::new(BINARY)
        .args(["shadowctl", "ramp", "run", launch, "--every", "200ms"])
        .env("SHADOW_KAFKA_BROKERS", &rig.kafka.brokers)
        .env("SHADOW_CLICKHOUSE_URL", rig.stack.clickhouse_url())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_candidate_climbs_to_the_top_and_a_bad_one_is_rolled_back_at_the_first_step() {
    let mut rig = Rig::start().await;
    let (replayer, comparator) = (rig.replayer("r1").ready().await, rig.comparator("c1").ready().await);
    let dir = tempfile::tempdir().unwrap();
    let gates = dir.path().join("gates.toml");
    std::fs::write(&gates, GATES).unwrap();
    let good = good_candidate().await;
    for (name, candidate) in [("good", &good), ("bad", &rig.candidate.url)] {
        let create = ["launch", "create", name, "--service", "shop", "--candidate", candidate, "--from", "earliest"];
        let more = ["--gates", gates.to_str().unwrap(), "--ramp", "50%:1s,75%:1s,100%:1s"];
        rig.shadowctl(&[&create[..], &more].concat()).await;
    }

    let controllers = [controller(&rig, "good"), controller(&rig, "bad")].map(tokio::process::Child::wait_with_output);
    let [good, bad] = controllers;
    let controllers = async { tokio::join!(good, bad) };
    tokio::pin!(controllers);
    // Traffic for as long as they run: a step climbs only when something was sent at it.
    let mut traffic = tokio::time::interval(Duration::from_millis(200));
    let (good, bad) = loop {
        tokio::select! {
            ended = &mut controllers => break ended,
            _ = traffic.tick() => rig.traffic.write(400).await,
        }
    };
    let (good, bad) = (good.unwrap(), bad.unwrap());
    let (said, told) = (String::from_utf8_lossy(&good.stdout), String::from_utf8_lossy(&bad.stdout));
    assert!(good.status.success() && said.contains("good done (100 %)"), "{said}{good:?}");
    assert!(bad.status.code() == Some(1) && told.contains("bad rolls back (50 %)"), "{told}{bad:?}");

    let of = async |launch: &str| -> Value {
        serde_json::from_str(&rig.shadowctl(&["launch", "show", launch, "--json"]).await).unwrap()
    };
    let launch = of("good").await;
    assert_eq!(
        (&launch["sample"], &launch["status"], &launch["ramp"]["state"]),
        (&1.0.into(), &"active".into(), &"done".into())
    );
    let launch = of("bad").await;
    assert_eq!(
        (&launch["sample"], &launch["status"], &launch["ramp"]["at"]),
        (&0.5.into(), &"rolled_back".into(), &0.into())
    );

    // Who, what and why stand in ClickHouse.
    let history = "SELECT subject, JSONExtractFloat(value, 'sample'), JSONExtractString(value, 'status'), why FROM \
        shadow.control_changes FINAL WHERE by = 'ramp' ORDER BY subject, version";
    let history = until("the history of both", || async {
        let history = sql(&rig.stack, history).await;
        (history.lines().count() == 6).then_some(history)
    })
    .await;
    let lines: Vec<&str> = history.lines().collect();
    for (line, part) in [
        (0, "bad\t0.5\tactive\tthe first step"),
        (1, "bad\t0.5\trolled_back\tverdict fail at 50 %: "),
        (2, "good\t0.5\tactive\tthe first step"),
        (3, "good\t0.75\tactive\tfrom 50 % to 75 %: verdict pass"),
        (4, "good\t1\tactive\tfrom 75 % to 100 %: verdict pass"),
        (5, "good\t1\tactive\tverdict pass after"),
    ] {
        assert!(lines[line].starts_with(part), "{part}\n{history}");
    }
    assert!(lines[1].contains("match_rate"), "{history}");
    let audit = rig.shadowctl(&["audit", "--launch", "bad"]).await;
    assert!(audit.contains("status active -> rolled_back") && audit.contains("verdict fail at 50 %"), "{audit}");

    // Every member has stopped with the launch that ended: nothing of it holds its group any more.
    rig.shadowctl(&["launch", "promote", "good", "--why", "live"]).await;
    for name in ["good", "bad"] {
        let deleted = rig.shadowctl(&["launch", "delete", name, "--with-topics", "--yes", "--why", "cleaned up"]).await;
        assert!(deleted.contains("deleted  group shadow-comparator."), "{deleted}");
    }
    let history = "SELECT deleted, by = '', why FROM shadow.control_changes FINAL WHERE key = 'launch/good' ORDER BY version DESC LIMIT 2";
    until("the deletion in the history", || async {
        (sql(&rig.stack, history).await == "1\t1\t\n0\t0\tcleaned up\n").then_some(())
    })
    .await;
    replayer.stop();
    comparator.stop();
    rig.stack.stop().await;
}
