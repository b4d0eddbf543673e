//! The demo from its first line to its exit code, and what is left when it is cut short.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::support::bare;

/// Two demos at once would measure each other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn the_demo_finds_exactly_what_was_seeded() {
    let _alone = ALONE.lock().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    // Other tests run beside it: at a rate that leaves them room, no queue hides the slow route.
    let output = bare(&["demo", "--requests", "2000", "--rate", "100", "--json", path]).output().await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
    assert!(out.contains("found exactly the 7 seeded regressions"), "{out}");
    assert!(!err.contains("WARN") && !err.contains("ERROR"), "{err}");

    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let (ledger, effects) = (&report["report"]["ledger"], &report["report"]["effects"]);
    let nobody = [&effects["uncorrelated"], &effects["unmatched"], &report["outcome"]["partners"]["by_shadow"]];
    assert_eq!(nobody, [&serde_json::json!(0); 3], "{effects}");
    assert_eq!(effects["incomparable"], serde_json::json!({}), "every checkout's calls were compared");
    assert_eq!((&report["as_expected"], &report["load"]["succeeded"]), (&true.into(), &2000.into()));
    assert_eq!((&ledger["captured"], &ledger["pending"], &ledger["balanced"]), (&2000.into(), &0.into(), &1.into()));
}

#[tokio::test]
async fn ctrl_c_ends_the_demo_at_every_stage_and_leaves_no_process() {
    let _alone = ALONE.lock().await;
    for stage in ["starting Kafka", "candidate ", "waiting until each"] {
        let scratch = tempfile::tempdir().unwrap();
        let mut command = bare(&["demo", "--requests", "1000"]).into_std();
        command.env("TMPDIR", scratch.path()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut demo = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(demo.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains(stage) {
            line.clear();
            assert_ne!(lines.read_line(&mut line).await.unwrap(), 0, "the demo ended before `{stage}`");
        }
        interrupt(demo.id().unwrap()).await;
        let mut rest = String::new();
        lines.read_to_string(&mut rest).await.unwrap();
        assert_eq!(demo.wait().await.unwrap().code(), Some(130), "{stage}: {rest}");
        assert!(rest.contains("interrupted while") && rest.contains("everything has been stopped"), "{stage}: {rest}");
        assert_eq!(processes_naming(scratch.path()), Vec::<String>::new(), "{stage}");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "{stage}: files were left behind");
    }
}

async fn interrupt(pid: u32) {
    let killed = tokio::process::Command::new("kill").args(["-INT", &pid.to_string()]).status().await.unwrap();
    assert!(killed.success());
}

/// The command lines of all processes that name `dir`.
fn processes_naming(dir: &Path) -> Vec<String> {
    let dir = dir.to_str().unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(dir)).collect()
}
