//! What `preflight` says on each of its streams, and how it exits.

use std::path::{Path, PathBuf};

use shadow_control::{Change, ControlRecord, ControlWriter, Upstream};
use tempfile::TempDir;

use super::support::{bare, captured, closed_port, kafka, run, run_bare, stack};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/preflight.toml");

fn written(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn example(changes: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mut text = std::fs::read_to_string(EXAMPLE).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let path = written(&dir, "topology.toml", &text);
    (dir, path)
}

async fn offline(path: &Path) -> super::support::Ran {
    run_bare(&["preflight", "--config", path.to_str().unwrap(), "--offline"]).await
}

#[tokio::test]
async fn the_example_is_ready() {
    let ran = offline(Path::new(EXAMPLE)).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with("ready, with ") && ran.err.contains("what to do: "), "{ran:?}");
}

#[tokio::test]
async fn an_unsafe_topology_is_exactly_that_on_stdout_with_the_reasons_on_stderr() {
    for (from, to, reason) in [
        (
            "host = \"10.0.3.9\", name = \"checkout\",",
            "host = \"10.0.1.9:5432\", name = \"checkout\",",
            "declared as the candidate's own",
        ),
        (
            "{ kind = \"redis\", host = \"10.0.3.10\", mode = \"own\" }",
            "{ kind = \"redis\", host = \"10.0.3.10\", mode = \"shared\" }",
            "which it shares",
        ),
        ("egress = \"stub\"     #", "egress = \"open\"     #", "outbound calls go wherever"),
        ("url = \"http://10.0.3.7:8080\"", "url = \"http://10.0.1.5:8080\"", "is production"),
        ("url = \"http://10.0.3.8:8080\"", "url = \"http://[::ffff:10.0.1.5]:8080\"", "is production"),
        ("host = \"10.0.3.11\"", "host = \"10.0.1.10\"", "declared as the control's own"),
    ] {
        let (_dir, path) = example(&[(from, to)]);
        for more in [&[][..], &["--json"]] {
            let args = [&["preflight", "--config", path.to_str().unwrap(), "--offline"], more].concat();
            let output = bare(&args).output().await.unwrap();
            assert_eq!(output.stdout, b"{\"error\":\"unsafe\"}\n", "{to}");
            assert_eq!(output.status.code(), Some(1), "{to}");
            let told = String::from_utf8(output.stderr).unwrap();
            assert!(told.contains("UNSAFE") && told.contains(reason) && told.contains("what to do: "), "{told}");
        }
    }
}

#[tokio::test]
async fn what_does_not_resolve_is_not_shown_to_be_another_host() {
    let (store, named) = ("host = \"10.0.3.10\"", "host = \"cache.shadow.example\"");
    let separate = format!("{named}, separate = \"in another account\"");
    let skip = ("route = \"POST /payments\"", "route = \"*\"");
    let (target, of_name) = ("http://10.0.3.7:8080", "http://checkout-v2.shadow.example:8080");
    for (changes, code) in [
        (&[(store, named)][..], 1),
        (&[(store, named), skip], 2),
        (&[(store, &separate)], 0),
        (&[(target, of_name)], 1),
        (&[(target, of_name), skip], 2),
        (&[("http://10.0.1.5:8080", "http://checkout.example:8080")], 1),
        (&[("http://10.0.1.5:8080", "http://checkout.example:80")], 0),
    ] {
        let (_dir, path) = example(changes);
        let ran = offline(&path).await;
        assert_eq!(ran.code, code, "{changes:?}: {ran:?}");
        assert_eq!(ran.out == "{\"error\":\"unsafe\"}\n", code == 1, "{changes:?}: {ran:?}");
        assert_eq!(ran.err.contains("does not resolve here"), code != 0, "{changes:?}: {ran:?}");
    }
}

#[tokio::test]
async fn settings_that_cannot_be_read_do_not_hide_that_it_is_unsafe() {
    let shadow = format!("url = \"http://{}\"", closed_port());
    let here = [("url = \"http://10.0.3.7:8080\"", shadow.as_str()), ("url = \"http://10.0.3.8:8080\"", &shadow)];
    for (name, open, code) in [
        ("SHADOWCTL_KAFKA_PROPERTIES", true, 1),
        ("SHADOW_CLICKHOUSE_USER_FILE", true, 1),
        ("SHADOW_CLICKHOUSE_USER_FILE", false, 69),
    ] {
        let opened = [("egress = \"stub\"     #", "egress = \"open\"     #")];
        let (_dir, path) = example(&[&here[..], &opened[..usize::from(open)]].concat());
        let mut command = bare(&["preflight", "--config", path.to_str().unwrap(), "--kafka-brokers", &closed_port()]);
        let output = command.env(name, "/nonexistent").output().await.unwrap();
        let ran = super::support::Ran::of(&output);
        assert_eq!(ran.code, code, "{name}: {ran:?}");
        assert_eq!(ran.out == "{\"error\":\"unsafe\"}\n", open, "{name}: {ran:?}");
        assert!(ran.err.contains("cannot read /nonexistent"), "{name}: {ran:?}");
    }
}

#[tokio::test]
async fn what_else_is_wrong_has_another_answer_and_another_status() {
    for (from, to, reason) in [
        ("capacity = \"500/s\"", "capacity = \"150/s\"", "is more than the candidate takes"),
        ("10.0.3.0/24", "10.0.4.0/24", "not on the launch's allow-list"),
        ("10.0.1.0/24", "10.0.3.0/24", "on the launch's deny-list"),
        ("# agent = ", "agent = ", "the configuration of the agent cannot be used"),
    ] {
        let (_dir, path) = example(&[(from, to)]);
        let ran = offline(&path).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.out.starts_with("not ready") && ran.err.contains(reason), "{ran:?}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_with_its_line() {
    for (from, to, line) in [
        (
            "mode = \"own\" },\n    { kind = \"redis\", host = \"10.0.3.10\"",
            "mode = \"mine\" },\n    { kind = \"redis\", host = \"10.0.3.10\"",
            "line 30",
        ),
        ("rate = \"200/s\"", "rate = \"fast\"", "line 7"),
        ("service = ", "servise = ", "line 4"),
        ("url = \"http://10.0.3.7:8080\"", "url = \"ftp://10.0.3.7\"", "url under [candidate]"),
        ("sample = 0.1", "sample = 2.0", "sample under [control]"),
    ] {
        let (_dir, path) = example(&[(from, to)]);
        let ran = offline(&path).await;
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{ran:?}");
        assert!(ran.err.contains(line) && ran.err.contains("what to do: "), "{ran:?}");
    }
    assert_eq!(offline(Path::new("/nonexistent.toml")).await.code, 64);
}

#[tokio::test]
async fn keys_are_compared_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let key = |name: &str, byte: &str| written(&dir, name, &byte.repeat(64));
    let (ours, theirs) = (key("ours", "a"), key("theirs", "b"));
    for file in [&ours, &theirs] {
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let config = |name: &str, key: &Path, more: &str| {
        written(&dir, name, &format!("{more}[masking]\nkey = {{ file = {key:?} }}\n[kafka]\nbrokers = \"b:9092\"\n"));
    };
    config("agent.toml", &ours, "[service]\nname = \"checkout\"\n[primary]\nurl = \"http://10.0.1.5:8080\"\n");
    let text = std::fs::read_to_string(EXAMPLE).unwrap().replace("# agent", "agent").replace("# replayer", "replayer");
    let path = written(&dir, "topology.toml", &text);

    config("replayer.toml", &ours, "");
    let same = offline(&path).await;
    assert_eq!(same.code, 0, "{same:?}");
    assert!(same.out.contains("the same masking key and rules"), "{same:?}");

    config("replayer.toml", &theirs, "");
    let different = offline(&path).await;
    assert_eq!(different.code, 2, "{different:?}");
    assert!(different.err.contains("different masking keys"), "{different:?}");

    config("replayer.toml", &ours, "");
    std::fs::set_permissions(&ours, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let readable = offline(&path).await;
    assert!(readable.code == 2 && readable.err.contains("every user of this host can read"), "{readable:?}");

    let short = written(&dir, "short", "abc");
    config("replayer.toml", &short, "");
    let refused = offline(&path).await;
    assert!(refused.code == 2 && refused.err.contains("the masking of the replayer cannot be used"), "{refused:?}");
    for ran in [same, different, readable, refused] {
        assert!(!format!("{ran:?}").contains("aaaaaaaa") && !format!("{ran:?}").contains("bbbbbbbb"));
    }
}

#[tokio::test]
async fn what_does_not_answer_is_said_and_never_safe() {
    let (broker, clickhouse) = (closed_port(), format!("http://{}", closed_port()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let shadow = format!("url = \"http://{}\"", listener.local_addr().unwrap());
    let (_dir, path) = example(&[
        ("allow = [\"10.0.3.0/24\"]", &format!("allow = []\nkafka = \"{broker}\"\nclickhouse = \"{clickhouse}\"")),
        ("url = \"http://10.0.3.7:8080\"", &shadow),
        ("url = \"http://10.0.3.8:8080\"", &shadow),
    ]);
    let ran = run_bare(&["preflight", "--config", path.to_str().unwrap(), "--json"]).await;
    assert_eq!(ran.code, 69, "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["ready"], false);
    let silent: Vec<_> =
        report["findings"].as_array().unwrap().iter().filter(|f| f["level"] == "unreachable").collect();
    assert!(
        silent.iter().any(|f| f["check"] == "kafka") && silent.iter().any(|f| f["check"] == "clickhouse"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_an_agent_announced_is_unsafe() {
    let Some(stack) = stack().await else { return };
    run(stack, &["schema", "apply"]).await.ok();
    captured(stack, "flown", &[0, 0]).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let here = format!("url = \"http://{address}\"");
    let (_dir, path) = example(&[
        ("allow = [\"10.0.3.0/24\"]", "allow = []"),
        ("service = \"checkout\"", "service = \"flown\""),
        ("url = \"http://10.0.3.7:8080\"", &here),
        ("url = \"http://10.0.3.8:8080\"", &here),
    ]);
    let args = ["preflight", "--config", path.to_str().unwrap()];
    let unannounced = run(stack, &args).await;
    assert_eq!(unannounced.code, 2, "{unannounced:?}");
    assert!(unannounced.err.contains("no agent of service flown has announced"), "{unannounced:?}");

    let upstream = |address: &str| {
        ControlRecord::Upstream(Upstream {
            service: "flown".parse().unwrap(),
            instance: "a1".to_owned(),
            addresses: vec!["10.0.1.5:8080".to_owned(), address.to_owned()],
            change: Change::by("a1", "test"),
        })
    };
    let writer = ControlWriter::new(&kafka(stack)).unwrap();
    writer.put(&upstream("10.0.1.6:8080")).await.unwrap();
    let ready = run(stack, &args).await;
    assert_eq!(ready.code, 0, "{ready:?}");
    assert!(ready.out.contains("shadow.captured.flown has 2 partitions"), "{ready:?}");
    assert!(ready.err.contains("the rate of shadow.captured.flown is"), "{ready:?}");

    writer.put(&upstream(&address)).await.unwrap();
    let production = run(stack, &args).await;
    assert_eq!((production.code, production.out.as_str()), (1, "{\"error\":\"unsafe\"}\n"), "{production:?}");
    assert!(production.err.contains(&format!("service flown is at {address}")), "{production:?}");
    writer.delete(&upstream(&address).key()).await.unwrap();
}
