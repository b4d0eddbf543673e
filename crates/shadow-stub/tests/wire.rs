//! The stub on real sockets: every way in, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "wire/abuse.rs"]
mod abuse;
#[path = "wire/crowd.rs"]
mod crowd;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use shadow_stub::{
    Alias, Answer, Answers, Ca, Call, Circumstances, Engine, Expects, NewCa, Refusals, Refused, Rules, ServeLimits,
    Server, Sink,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const RULES: &str = r#"
[[rule]]
host = "pay.example"
path = "/charge"
answer = { status = 201, body = '{"charged":{{ request.json.amount }}}' }
[[rule]]
path = "/close"
answer = { body = "0123456789", fault = "close" }
[[rule]]
path = "/truncate"
answer = { body = "0123456789", fault = "truncate" }
[[rule]]
method = "MAIL"
when = "request.json.subject == 'refuse me'"
answer = { status = 400 }
"#;

const LIMITS: ServeLimits = ServeLimits { connections: 20, body: 1000, bodies: 60_000 };

/// Answers by the rules and keeps every call.
struct Kept {
    engine: Engine,
    calls: Mutex<Vec<Call>>,
}

#[derive(Clone)]
struct Keep(Arc<Kept>);

impl Answers for Keep {
    async fn answer(&self, call: Call) -> Answer {
        let at = Circumstances { world: "w", seed: 1, now: 0 };
        let answer = self.0.engine.answer(&call, at).1;
        self.0.calls.lock().unwrap().push(call);
        answer
    }
}

struct Running {
    keep: Keep,
    refusals: Refusals,
    ca: NewCa,
    plain: SocketAddr,
    tls: SocketAddr,
    mail: SocketAddr,
    stop: CancellationToken,
}

async fn start() -> Running {
    let keep = Keep(Arc::new(Kept { engine: Engine::new(Rules::parse(RULES).unwrap()), calls: Mutex::default() }));
    let (ca, refusals) = (NewCa::generate().unwrap(), Refusals::default());
    let alias = Alias { host: None, path: "/pay".to_owned(), to: "https://pay.example".parse().unwrap() };
    let server = Server::new(keep.clone(), Some(Ca::of_key(&ca.key).unwrap()), vec![alias], LIMITS, refusals.clone());
    let sink = Sink::new(Arc::new(keep.clone()), "mail".to_owned(), LIMITS, refusals.clone());
    let bind = || async { TcpListener::bind("127.0.0.1:0").await.unwrap() };
    let (plain, tls, mail) = (bind().await, bind().await, bind().await);
    let at = [&plain, &tls, &mail].map(|listener| listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(server.clone().serve(plain, Expects::Http, stop.clone()));
    tokio::spawn(server.serve(tls, Expects::Tls, stop.clone()));
    tokio::spawn(sink.serve(mail, stop.clone()));
    Running { keep, refusals, ca, plain: at[0], tls: at[1], mail: at[2], stop }
}

impl Running {
    /// What was called since the last time it was asked.
    fn calls(&self) -> Vec<String> {
        let calls: Vec<Call> = self.keep.0.calls.lock().unwrap().drain(..).collect();
        calls
            .iter()
            .map(|call| format!("{} {}://{}{}", call.method, call.scheme, call.destination(), call.path))
            .collect()
    }

    fn refused(&self, reason: Refused) -> u64 {
        self.refusals.of(reason)
    }

    async fn handshake<S>(&self, stream: S, name: &str) -> std::io::Result<tokio_rustls::client::TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        handshake(stream, name, Some(&self.ca.certificate)).await
    }

    async fn tunnel(&self, authority: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.plain).await.unwrap();
        stream
            .write_all(format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
        stream
    }
}

/// A handshake as `name`, by a client that trusts one authority or none.
async fn handshake<S>(
    stream: S,
    name: &str,
    trusted: Option<&str>,
) -> std::io::Result<tokio_rustls::client::TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut roots = rustls::RootCertStore::empty();
    if let Some(pem) = trusted {
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// One request, the connection closed after it; the whole answer.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, head: &str, body: &str) -> String {
    let request = format!(
        "{head}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A TLS peer that closes without saying so is an end as well.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const CHARGE: &str = r#"{"amount":5}"#;

#[tokio::test]
async fn a_call_is_the_same_whichever_way_it_comes() {
    let stub = start().await;
    let connect = || async { TcpStream::connect(stub.plain).await.unwrap() };
    let tls = stub.handshake(TcpStream::connect(stub.tls).await.unwrap(), "pay.example").await.unwrap();
    let in_tunnel = stub.handshake(stub.tunnel("pay.example:443").await, "pay.example").await.unwrap();
    let answers = [
        ask(connect().await, "POST /pay/charge HTTP/1.1\r\nhost: stub:8080", CHARGE).await,
        ask(connect().await, "POST https://pay.example/charge HTTP/1.1\r\nhost: pay.example", CHARGE).await,
        ask(in_tunnel, "POST /charge HTTP/1.1\r\nhost: PAY.example", CHARGE).await,
    ];
    for answer in answers {
        assert!(answer.starts_with("HTTP/1.1 201") && answer.ends_with(r#"{"charged":5}"#), "{answer}");
    }
    assert_eq!(stub.calls(), ["POST https://pay.example/charge"; 3]);
    // A DNS alias keeps the port that was called.
    ask(tls, "POST /charge HTTP/1.1\r\nhost: pay.example", CHARGE).await;
    assert_eq!(stub.calls(), [format!("POST https://pay.example:{}/charge", stub.tls.port())]);
    ask(stub.tunnel("pay.example:80").await, "POST /charge HTTP/1.1\r\nhost: pay.example", CHARGE).await;
    assert_eq!(stub.calls(), ["POST http://pay.example/charge"]);
    stub.stop.cancel();
}

#[tokio::test]
async fn who_asks_for_another_host_than_he_connected_to_is_refused() {
    let stub = start().await;
    assert!(stub.handshake(stub.tunnel("pay.example:443").await, "other.example").await.is_err());
    assert_eq!(stub.refused(Refused::Misdirected), 1);
    let tls = stub.handshake(TcpStream::connect(stub.tls).await.unwrap(), "pay.example").await.unwrap();
    let answer = ask(tls, "GET /charge HTTP/1.1\r\nhost: other.example", "").await;
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    assert_eq!((stub.refused(Refused::Misdirected), stub.calls().len()), (2, 0));
    stub.stop.cancel();
}

#[tokio::test]
async fn faults_look_like_faults_to_the_caller() {
    let stub = start().await;
    let connect = || async { TcpStream::connect(stub.plain).await.unwrap() };
    assert_eq!(ask(connect().await, "GET /close HTTP/1.1\r\nhost: a", "").await, "");
    let answer = ask(connect().await, "GET /truncate HTTP/1.1\r\nhost: a", "").await;
    assert!(answer.contains("content-length: 10") && !answer.ends_with("0123456789"), "{answer}");
    assert_eq!(stub.calls().len(), 2);
    stub.stop.cancel();
}

/// Says all lines at once and gives the codes of the replies.
async fn converse(stub: &Running, lines: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(stub.mail).await.unwrap();
    stream.write_all(lines.replace('\n', "\r\n").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut replies = String::new();
    let _ = stream.read_to_string(&mut replies).await;
    replies.lines().filter(|line| line.as_bytes().get(3) != Some(&b'-')).map(|line| line[..3].to_owned()).collect()
}

#[tokio::test]
async fn mail_is_kept_and_none_is_sent_on() {
    let stub = start().await;
    let codes = converse(
        &stub,
        "EHLO shadow\nAUTH PLAIN AGEAYg==\nMAIL FROM:<shop@example.com> SIZE=10\nRCPT TO:<ann@example.com>\nRCPT TO:<bob@example.com>\nDATA\n\
         From: Shop <shop@example.com>\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n\n..one\ntwo\n.\nQUIT\n",
    )
    .await;
    assert_eq!(codes, ["220", "250", "235", "250", "250", "250", "354", "250", "221"]);
    let call = stub.keep.0.calls.lock().unwrap().pop().unwrap();
    assert_eq!((call.method.as_str(), call.destination().as_str()), ("MAIL", "mail:25"));
    let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(
        (&body["from"], &body["to"], &body["subject"]),
        (&"shop@example.com".into(), &serde_json::json!(["ann@example.com", "bob@example.com"]), &"Grüße".into())
    );
    assert_eq!(body["text"].as_str().unwrap().replace("\r\n", "\n"), ".one\ntwo\n");
    let codes = converse(&stub, "HELO a\nMAIL FROM:<>\nRCPT TO:<a@b>\nDATA\nSubject: refuse me\n\nx\n.\nQUIT\n").await;
    assert_eq!(codes, ["220", "250", "250", "250", "354", "550", "221"]);
    stub.stop.cancel();
}
