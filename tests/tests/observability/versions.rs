//! The versions' own metrics, from a shop in two builds to the dashboard's queries: through the replayer's admin endpoint into a Prometheus
//! with the shipped configuration, which cannot reach the candidate otherwise.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::http::header;
use axum::routing::get;
use reqwest::StatusCode;
use serde_json::Value;
use shadow_shop::{Build, Shop};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::alerts::promtool;
use super::support::{Service, free_port, kafka_of, stack, until};
use super::{dashboards, shipped};

const TOKEN: &str = "0123456789abcdef-token";

/// What a candidate may try: series of Shadowline's and of Prometheus', other versions' labels, and other times.
const FORGED: &str = "shadow_replay_gate_shut{launch=\"v2\"} 1\nup{job=\"replayer\"} 0\nALERTS{alertname=\"x\",alertstate=\"firing\"} 1\n\
    process_open_fds{job=\"primary\",instance=\"primary\"} 4711\nprocess_resident_memory_bytes 4711 1000\nprocess_cpu_seconds_total 4711\n";

/// The shop, or a control that lies, on loopback until the test ends.
async fn shop(build: Build, stop: &CancellationToken) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(Shop::new(build).serve(listener, stop.clone()));
    address
}

async fn liar() -> String {
    let app = Router::new().route("/metrics", get(async || ([(header::CONTENT_TYPE, "text/plain")], FORGED)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A Prometheus of this test's own.
struct Prometheus {
    child: Child,
    url: String,
    _dir: TempDir,
}

impl Prometheus {
    /// With the shipped configuration, in which only places are other ones. Debian's package `prometheus` has the program; in CI it must be
    /// there.
    fn start(replayer: &str, primary: &str, token: &Path) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (config, targets) = (dir.path().join("prometheus.yml"), dir.path().join("primary.json"));
        std::fs::write(dir.path().join("alerts.yml"), shipped("alerts.yml")).unwrap();
        std::fs::write(&targets, format!("[{{\"targets\": [\"{primary}\"]}}]")).unwrap();
        let mut text = shipped("prometheus.yml");
        for (place, here) in [
            ("replayer:9464", replayer),
            ("/run/shadowline/admin-token", token.to_str().unwrap()),
            ("/run/shadowline/primary.json", targets.to_str().unwrap()),
            ("scrape_interval: 10s", "scrape_interval: 500ms"),
        ] {
            assert!(text.contains(place), "{place}");
            text = text.replace(place, here);
        }
        std::fs::write(&config, text).unwrap();
        promtool(&["check", "config", config.to_str().unwrap()]);
        let port = free_port();
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(child) => Some(Self { child, url: format!("http://127.0.0.1:{port}"), _dir: dir }),
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "prometheus: {error}; install Debian's package `prometheus`");
                None
            }
        }
    }

    /// Labels and value of each series that a query gives; none while it does not answer.
    async fn query(&self, query: &str) -> Option<Vec<(Value, String)>> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.url), [("query", query)]).unwrap();
        let answer: Value = reqwest::get(url).await.ok()?.json().await.ok()?;
        let series = answer["data"]["result"].as_array()?;
        Some(series.iter().map(|one| (one["metric"].clone(), one["value"][1].as_str().unwrap().to_owned())).collect())
    }

    /// The series of a query once there are `count` of them.
    async fn series(&self, query: &str, count: usize) -> Vec<(Value, String)> {
        until(query, || async { self.query(query).await.filter(|series| series.len() == count) }).await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn asked(url: &str, token: Option<&str>) -> (StatusCode, String) {
    let request = reqwest::Client::new().get(url);
    let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_what_versions_use_that_only_a_replayer_reaches() {
    let (stack, stop, dir) = (stack().await, CancellationToken::new(), tempfile::tempdir().unwrap());
    let token = dir.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let (primary, candidate, control) =
        (shop(Build::Primary, &stop).await, shop(Build::Candidate, &stop).await, liar().await);
    let config = format!(
        "[replay.metrics_of]\ncandidate = \"http://{candidate}/metrics\"\ncontrol = \"http://{control}/metrics\"\n\
         page = \"http://{candidate}/products\"\ndown = \"http://127.0.0.1:{}/metrics\"\n[kafka]\nbrokers = \"{}\"\n",
        free_port(),
        kafka_of(&stack).brokers
    );
    let replayer = Service::start_guarded("replayer", &config, &token).ready().await;
    let of = |name: &str| format!("{}/targets/{name}/metrics", replayer.admin());

    let (status, text) = asked(&of("candidate"), Some(TOKEN)).await;
    assert!(status == StatusCode::OK && text.contains("\nprocess_resident_memory_bytes "), "{status}: {text}");
    for (name, expected, says) in [
        ("nobody", StatusCode::NOT_FOUND, "replay.metrics_of names: candidate, control, down, page"),
        ("page", StatusCode::BAD_GATEWAY, "/products answered with what is not text/plain"),
        ("down", StatusCode::BAD_GATEWAY, "/metrics did not answer: "),
    ] {
        let (status, text) = asked(&of(name), Some(TOKEN)).await;
        assert!(status == expected && text.contains(says), "{name}: {status} {text}");
    }
    for token in [None, Some("0123456789abcdef-tokex")] {
        for name in ["candidate", "nobody"] {
            assert_eq!(asked(&of(name), token).await.0, StatusCode::UNAUTHORIZED, "{name}");
        }
    }

    let Some(prometheus) = Prometheus::start(replayer.admin().trim_start_matches("http://"), &primary, &token) else {
        return;
    };
    let panels: Vec<_> = dashboards::promql().into_iter().filter(|query| query.text.contains("(process_")).collect();
    assert!(panels.len() >= 3, "{panels:?}");
    for panel in panels {
        let series = prometheus.series(&panel.text.replace("$__rate_interval", "5m"), 3).await;
        let mut jobs: Vec<_> = series.iter().map(|(labels, _)| labels["job"].as_str().unwrap()).collect();
        jobs.sort_unstable();
        assert_eq!(jobs, ["candidate", "control", "primary"], "{}", panel.place);
    }
    // One series each, told from the replayer by its instance; the shop's is what the shop said.
    for (job, instance) in [("candidate", "candidate"), ("control", "control"), ("primary", primary.as_str())] {
        let series = prometheus.series(&format!("process_resident_memory_bytes{{job=\"{job}\"}}"), 1).await;
        assert_eq!(series[0].0["instance"], instance, "{series:?}");
        let told: f64 = series[0].1.parse().unwrap();
        assert_eq!(told == 4711.0, job == "control", "{series:?}");
    }
    // What the control forged is nobody's: not the primary's files, not Shadowline's gates.
    let forged = prometheus.series("process_open_fds == 4711", 1).await;
    assert_eq!(forged[0].0["job"], "control", "{forged:?}");
    for query in
        ["{job=\"control\",__name__=~\"shadow_.*|ALERTS\"}", "{exported_job=\"replayer\"}", "ALERTS{alertname=\"x\"}"]
    {
        assert_eq!(prometheus.query(query).await.unwrap(), [], "{query}");
    }
    drop(prometheus);
    replayer.stop();
    stop.cancel();
    stack.stop().await;
}
