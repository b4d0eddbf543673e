//! The agent's HTTP/2 under h2spec, a conformance suite of 146 cases: what fails is in the list below, with the reason. The suite
//! also runs against the primary itself, which is of the same library, to tell the library's failures from the agent's.
//!
//! The suite is built once, from what Go's module client fetches, and kept in the user's cache directory.

#![allow(clippy::unwrap_used, reason = "the lint allows it in tests, but knows them by their attribute")]
#![allow(clippy::print_stdout, reason = "the outcome is worth reading, and so is why there is none")]

#[allow(dead_code, reason = "shared with the other tests from outside")]
#[path = "../agent/support.rs"]
mod support;
#[allow(dead_code, reason = "shared with the other tests from outside")]
#[path = "../agent/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use support::{Running, config, run};
use wire::Origin;

/// The suite. Its version, whose cases the list below is about, and all it is built from are pinned in `go.mod` beside this file.
const SUITE: &str = "github.com/summerwind/h2spec/cmd/h2spec";

/// What the HTTP library does otherwise than the suite expects, and why that is let be.
const EXPECTED: &[(&str, &str)] = &[(
    "http2/3.5 Sends invalid connection preface",
    "the suite expects a frame or a quiet end. The agent takes what does not begin with the preface for HTTP/1 and answers 400; \
     the library alone closes with bytes unread, which makes it a reset",
)];

/// The suite's program. `None` where there is no Go to fetch it with; where everything must be shown, that is a failure.
fn suite() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let folder = cache.join("shadowline").join("h2spec-2.2.1");
    let program = folder.join("h2spec");
    if program.exists() {
        return Some(program);
    }
    // Built beside its place and moved there whole, so that a build that breaks off leaves nothing that looks finished.
    std::fs::create_dir_all(&folder).unwrap();
    let building = tempfile::tempdir_in(&folder).unwrap();
    let built = building.path().join("h2spec");
    let mut go = Command::new("go");
    go.args(["build", "-mod=readonly", "-o"]).arg(&built).arg(SUITE);
    go.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/h2spec")).stdin(Stdio::null());
    let trouble = match go.output() {
        Ok(output) if output.status.success() => {
            std::fs::rename(&built, &program).unwrap();
            return Some(program);
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => format!("no `go`: {error}; install the package `golang-go`"),
    };
    assert!(std::env::var_os("CI").is_none(), "no h2spec: {trouble}");
    println!("skipped: no h2spec: {trouble}");
    None
}

/// A case by its place in the suite and its title.
type Case = String;

/// What a run of the suite found.
struct Report {
    passed: usize,
    failed: BTreeSet<Case>,
}

/// Runs the suite against a server.
fn examine(program: &Path, server: SocketAddr) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.xml");
    // Its exit code says only whether anything failed; the report says what.
    Command::new(program)
        .args(["--host", "127.0.0.1", "--port", &server.port().to_string(), "--timeout", "2", "--junit-report"])
        .arg(&report)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    read(&std::fs::read_to_string(&report).expect("the suite writes its report"))
}

/// Reads a JUnit report as the suite writes it: every case an element, and in it what went wrong, if anything.
fn read(xml: &str) -> Report {
    let mut report = Report { passed: 0, failed: BTreeSet::new() };
    for case in xml.split("<testcase ").skip(1) {
        let case = case.split("</testcase>").next().unwrap();
        let attribute = |name: &str| {
            let value = case.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split_once('"'));
            value.unwrap_or_else(|| panic!("no {name} in {case}")).0
        };
        if case.contains("<failure") || case.contains("<error") {
            report.failed.insert(format!("{} {}", attribute("package"), attribute("classname")));
        } else if !case.contains("<skipped") {
            report.passed += 1;
        }
    }
    report
}

/// A primary of the library that the agent speaks HTTP/2 with.
async fn primary() -> Origin {
    Origin::spawn(|_, stream| async move {
        let service = service_fn(|request: hyper::Request<Incoming>| async move {
            // The library sends a body to HEAD when it is given one, so it is given none.
            let body: &[u8] = if request.method() == "HEAD" { b"" } else { b"an answer of some length" };
            // Read to its end, as the suite's cases about bodies need somebody who looks.
            let whole = request.into_body().collect().await;
            let status = if whole.is_ok() { 200 } else { 400 };
            let body = Full::new(Bytes::from_static(body));
            Ok::<_, Infallible>(hyper::Response::builder().status(status).body(body).unwrap())
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
    })
    .await
}

#[test]
fn what_fails_is_listed_with_its_reason() {
    let Some(program) = suite() else { return };
    run(async {
        let primary = primary().await;
        let running = Running::with(config(primary.address, &["primary.protocol = \"http2\""])).await;
        let (direct, through) = (primary.address, running.address());
        let examined = tokio::task::spawn_blocking(move || (examine(&program, direct), examine(&program, through)));
        let (direct, through) = examined.await.unwrap();
        println!("direct: {} passed, {} failed", direct.passed, direct.failed.len());
        println!("through the agent: {} passed, {} failed", through.passed, through.failed.len());
        assert!(through.passed > 100, "the suite did not run");
        let expected = EXPECTED.iter().map(|(case, _)| (*case).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(through.failed, expected, "through the agent");
        assert!(direct.failed.is_subset(&expected), "directly: {:?}", direct.failed);
        running.stop().await;
    });
}
