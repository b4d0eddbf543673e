//! Over real sockets: what is tested is what a scraper or an attacker would meet.

use std::sync::atomic::{AtomicBool, Ordering};

use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::metrics;

const TOKEN: &str = "0123456789abcdef-token";

#[derive(Default)]
struct Switch(AtomicBool);

impl Pausable for Switch {
    fn pause(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
    fn resume(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
    fn paused(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

fn with_token() -> AdminConfig {
    AdminConfig { token: Some(Secret::new(TOKEN)), ..AdminConfig::default() }
}

async fn start(admin: Admin) -> (SocketAddr, tokio_util::sync::DropGuard) {
    let shutdown = CancellationToken::new();
    let handle = admin.serve(shutdown.clone()).await.unwrap();
    (handle.local_addr(), shutdown.drop_guard())
}

/// Sends bytes as they are, and returns all that comes back until the connection ends.
async fn exchange(address: SocketAddr, raw: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may end the connection before it has read everything.
    let _ = stream.write_all(raw).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn call(address: SocketAddr, line: &str, headers: &[&str]) -> (u16, String) {
    let host =
        if headers.iter().any(|h| h.starts_with("Host")) { String::new() } else { format!("Host: {address}\r\n") };
    let headers: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    let answer =
        exchange(address, format!("{line} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n").as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn health_is_at_once_and_readiness_follows_the_service() {
    let (ready, watched) = watch::channel(false);
    let (address, _running) = start(Admin::new(AdminConfig::default()).ready(watched)).await;
    assert_eq!(call(address, "GET /healthz", &[]).await, (200, "ok\n".to_owned()));
    assert_eq!(call(address, "GET /readyz", &[]).await.0, 503);
    ready.send_replace(true);
    assert_eq!(call(address, "GET /readyz", &[]).await.0, 200);
    ready.send_replace(false);
    assert_eq!(call(address, "GET /readyz", &[]).await.0, 503);
    assert_eq!(call(address, "GET /nosuch", &[]).await.0, 404);
}

#[tokio::test]
async fn metrics_show_the_services_own_and_the_process() {
    let mut registry = metrics::registry("test", "1.2.3");
    let counter: Counter = Counter::default();
    registry.register("drops", "Dropped", counter.clone());
    counter.inc();
    let (address, _running) = start(Admin::new(AdminConfig::default()).metrics(registry)).await;
    let (status, text) = call(address, "GET /metrics", &[]).await;
    assert_eq!(status, 200);
    for line in [
        "shadow_drops_total 1",
        "shadow_build_info{service=\"test\",version=\"1.2.3\"} 1",
        "# TYPE shadow_process_resident_memory_bytes gauge",
        "shadow_process_cpu_seconds_total ",
        "shadow_process_open_fds ",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} not in:\n{text}");
    }
}

#[tokio::test]
async fn pause_and_resume_act_once_each_and_tell_the_state() {
    let switch = Arc::new(Switch::default());
    let (address, _running) = start(Admin::new(AdminConfig::default()).pausable(switch.clone())).await;
    for _ in 0..2 {
        assert_eq!(call(address, "POST /pause", &[]).await, (200, "{\"paused\":true}".to_owned()));
    }
    assert!(switch.paused());
    assert_eq!(call(address, "POST /resume", &[]).await, (200, "{\"paused\":false}".to_owned()));
    assert!(!switch.paused());
    assert_eq!(call(address, "GET /pause", &[]).await.0, 405);
}

#[tokio::test]
async fn a_service_that_cannot_pause_says_404() {
    let (address, _running) = start(Admin::new(AdminConfig::default())).await;
    assert_eq!(call(address, "POST /pause", &[]).await.0, 404);
    assert_eq!(call(address, "POST /resume", &[]).await.0, 404);
}

#[tokio::test]
async fn the_shown_configuration_holds_no_secret() {
    let config = crate::config::redacted(&json!({ "admin": with_token(), "kafka": { "sasl.password": "hunter2" } }));
    let (address, _running) = start(Admin::new(AdminConfig::default()).config(config)).await;
    let (status, text) = call(address, "GET /config", &[]).await;
    assert_eq!(status, 200);
    assert!(text.contains("\"***\"") && !text.contains(TOKEN) && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn with_a_token_set_everything_but_the_probes_needs_it() {
    let switch = Arc::new(Switch::default());
    let (address, _running) = start(Admin::new(with_token()).pausable(switch.clone())).await;
    let wrong = [
        String::new(),
        "Authorization: Bearer 0123456789abcdef-tokeX".to_owned(),
        "Authorization: Bearer ".to_owned(),
        format!("Authorization: Basic {TOKEN}"),
        format!("Authorization: Bearer {TOKEN}x"),
        format!("X-Token: {TOKEN}"),
    ];
    for line in ["POST /pause", "POST /resume", "GET /metrics", "GET /config"] {
        for header in wrong.iter().filter(|header| !header.is_empty()) {
            assert_eq!(call(address, line, &[header]).await.0, 401, "{line} {header}");
        }
        assert_eq!(call(address, line, &[]).await.0, 401, "{line}");
        assert_eq!(call(address, line, &[&format!("authorization: bearer {TOKEN}")]).await.0, 200, "{line}");
    }
    assert!(!switch.paused());
    assert_eq!(call(address, "GET /healthz", &[]).await.0, 200);
    assert_eq!(call(address, "GET /readyz", &[]).await.0, 200);
}

#[tokio::test]
async fn a_services_own_routes_are_guarded_like_the_others() {
    let own = || Router::new().route("/own/{name}", axum::routing::get(async || "own\n"));
    let (address, _running) = start(Admin::new(with_token()).routes(own())).await;
    assert_eq!(call(address, "GET /own/x", &[]).await.0, 401);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(call(address, "GET /own/x", &[&bearer]).await, (200, "own\n".to_owned()));
    let (open, _running) = start(Admin::new(AdminConfig::default()).routes(own())).await;
    assert_eq!(call(open, "GET /own/x", &["Host: evil.example"]).await.0, 403);
    assert_eq!(call(open, "GET /own/x", &[]).await.0, 200);
}

#[tokio::test]
async fn a_web_page_cannot_use_the_open_loopback_endpoint() {
    let switch = Arc::new(Switch::default());
    let (address, _running) = start(Admin::new(AdminConfig::default()).pausable(switch.clone())).await;
    assert_eq!(call(address, "POST /pause", &["Origin: http://evil.example"]).await.0, 403);
    assert_eq!(call(address, "POST /pause", &["Host: evil.example"]).await.0, 403);
    assert_eq!(call(address, "GET /config", &["Host: evil.example:80"]).await.0, 403);
    assert!(!switch.paused());
    assert_eq!(call(address, "GET /config", &["Host: localhost:80"]).await.0, 200);
    assert_eq!(call(address, "GET /config", &["Host: [::1]:80"]).await.0, 200);
}

#[tokio::test]
async fn an_address_open_to_other_hosts_is_refused_without_a_token() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let open = AdminConfig { listen: listen.parse().unwrap(), ..AdminConfig::default() };
        let error = Admin::new(open.clone()).serve(CancellationToken::new()).await.unwrap_err();
        assert!(matches!(error, AdminError::Refused(RefusedListen::Open(_))), "{error}");
        assert!(open.problem().unwrap().to_string().contains("set admin.token, or listen on 127.0.0.1"));
    }
    let guarded = AdminConfig { listen: "0.0.0.0:0".parse().unwrap(), ..with_token() };
    let (address, _running) = start(Admin::new(guarded)).await;
    assert_eq!(call(([127, 0, 0, 1], address.port()).into(), "GET /config", &[]).await.0, 401);
}

#[tokio::test]
async fn it_listens_on_the_hosts_own_address_in_the_network_and_on_no_other() {
    let within = |network: &str| AdminConfig {
        listen: "192.0.2.1:0".parse().unwrap(),
        network: Some(network.parse().unwrap()),
        ..AdminConfig::default()
    };
    let (address, _running) = start(Admin::new(within("127.0.0.0/8"))).await;
    assert_eq!(address.ip(), std::net::Ipv4Addr::LOCALHOST);
    assert_eq!(call(address, "GET /healthz", &[]).await.0, 200);

    let open = within("198.51.100.0/24");
    assert!(open.problem().unwrap().to_string().contains("port 0 in 198.51.100.0/24"), "{open:?}");
    let absent = AdminConfig { token: with_token().token, ..open };
    let error = Admin::new(absent).serve(CancellationToken::new()).await.unwrap_err().to_string();
    assert!(error.contains("198.51.100.0/24") && error.contains("correct admin.network"), "{error}");
}

#[test]
fn a_token_that_can_be_guessed_is_refused_and_not_repeated() {
    let weak = AdminConfig { token: Some(Secret::new("hunter2")), ..AdminConfig::default() };
    let problem = weak.problem().unwrap().to_string();
    assert!(
        problem.starts_with("admin.token") && problem.contains("openssl") && !problem.contains("hunter2"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_port_in_use_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = AdminConfig { listen: taken.local_addr().unwrap(), ..AdminConfig::default() };
    let error = Admin::new(config).serve(CancellationToken::new()).await.unwrap_err().to_string();
    assert!(error.contains(&taken.local_addr().unwrap().to_string()) && error.contains("choose another"), "{error}");
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let (address, _running) = start(Admin::new(AdminConfig::default())).await;
    let endless = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}", "x".repeat(1 << 20));
    let answer = exchange(address, endless.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(call(address, "GET /healthz", &[]).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_ended() {
    let (address, _running) = start(Admin::new(AdminConfig::default())).await;
    // The clock of the test jumps whenever nothing else is left to do, so this ends at once, and never without the timeout.
    let answer = exchange(address, b"GET /healthz HTTP/1.1\r\nHost").await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn it_ends_with_the_service_while_connections_idle() {
    let shutdown = CancellationToken::new();
    let handle = Admin::new(AdminConfig::default()).serve(shutdown.clone()).await.unwrap();
    let _idle = TcpStream::connect(handle.local_addr()).await.unwrap();
    shutdown.cancel();
    handle.join().await;
}
