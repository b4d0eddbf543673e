//! Tunnels: bytes to and fro, or TLS that ends at the agent where the operator says so.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use shadow_ca::NewCa;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::egress::{egress, metric};
use crate::support::{Running, nobody, run};
use crate::wire::{Origin, ask, closed, read_message};

/// A destination with TLS that only its own authority vouches for, and the agent's authority, which the primary trusts.
struct World {
    directory: TempDir,
    own: CertificateDer<'static>,
    agents: CertificateDer<'static>,
    partner: SocketAddr,
}

impl World {
    /// The destination agrees to any of these protocols, and answers with the protocol, the host and the path that it was asked for.
    async fn with(protocols: &'static [&'static [u8]]) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let partner = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config))));
        let (directory, ca) = (TempDir::new().unwrap(), NewCa::for_egress().unwrap());
        std::fs::write(directory.path().join("trust.pem"), issuer.pem()).unwrap();
        std::fs::write(directory.path().join("ca-key.pem"), &ca.key).unwrap();
        let agents = CertificateDer::from_pem_slice(ca.certificate.as_bytes()).unwrap();
        Self { directory, own: issuer.der().clone(), agents, partner }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// An agent that ends the TLS of `hosts`.
    async fn intercepting(&self, hosts: &str) -> (Running, SocketAddr) {
        let trust = format!("egress.trust = {:?}", self.file("trust.pem"));
        let key = format!("egress.ca_key.file = {:?}", self.file("ca-key.pem"));
        egress(&[&trust, &key, &format!("egress.intercept = [{hosts}]")]).await
    }

    /// TLS with `localhost` through a tunnel, trusting only this authority.
    async fn shaken(
        &self,
        proxy: SocketAddr,
        trusted: &CertificateDer<'static>,
        protocols: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let tunnel = tunnel(proxy, &format!("localhost:{}", self.partner.port())).await;
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tunnel).await
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let tls = tls.clone();
        tokio::spawn(async move {
            // Who does not trust it goes away.
            let Ok(stream) = tls.accept(stream).await else { return };
            let answer = service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                let host = request.headers().get("host").and_then(|host| host.to_str().ok()).map(str::to_owned);
                let host = host.or_else(|| request.uri().authority().map(ToString::to_string)).unwrap_or_default();
                let text = format!("{:?} {host} {}", request.version(), request.uri().path());
                Ok::<_, std::convert::Infallible>(hyper::Response::new(Full::new(Bytes::from(text))))
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            drop(builder.serve_connection(TokioIo::new(stream), answer).await);
        });
    }
}

/// An open tunnel.
async fn tunnel(proxy: SocketAddr, to: &str) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.write_all(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    stream
}

async fn http1(stream: TlsStream<TcpStream>, path: &str) -> String {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get(path).header("host", "shop.example").body(Full::<Bytes>::default()).unwrap();
    let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    String::from_utf8(answer.to_bytes().to_vec()).unwrap()
}

#[test]
fn bytes_pass_both_ways_and_the_end_of_one_side_is_told_to_the_other() {
    run(async {
        let partner = Origin::spawn(|_, mut stream| async move {
            // It speaks first, as mail servers do.
            stream.write_all(b"220 ready\r\n").await.unwrap();
            let mut got = Vec::new();
            stream.read_to_end(&mut got).await.unwrap();
            got.reverse();
            stream.write_all(&got).await.unwrap();
        })
        .await;
        let (running, proxy) = egress(&[]).await;
        let mut tunnel = tunnel(proxy, &partner.address.to_string()).await;
        assert_eq!(metric(&running, "egress_connections").await, Some(1), "a tunnel has its place");
        tunnel.write_all(b"\x00\xffabc").await.unwrap();
        tunnel.shutdown().await.unwrap();
        let mut got = Vec::new();
        tunnel.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"220 ready\r\ncba\xff\x00");
        drop(tunnel);
        while metric(&running, "egress_connections").await != Some(0) {}
        assert_eq!(running.agent.calls().unwrap().seen, 1);
        running.stop().await;
    });
}

#[test]
fn a_tunnel_to_nobody_is_a_502_and_one_that_is_open_ends_with_the_agent() {
    run(async {
        let (running, proxy) = egress(&[]).await;
        let call = format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", nobody());
        assert!(ask(proxy, call.as_bytes()).await.start.starts_with("HTTP/1.1 502"));
        let partner = Origin::spawn(|_, mut stream| async move {
            assert!(closed(&mut stream).await);
        })
        .await;
        let mut tunnel = tunnel(proxy, &partner.address.to_string()).await;
        running.stop().await;
        assert!(closed(&mut tunnel).await);
    });
}

#[test]
fn tls_of_the_hosts_that_are_named_ends_at_the_agent_in_the_protocol_of_the_caller() {
    run(async {
        let world = World::with(&[b"h2", b"http/1.1"]).await;
        let (running, proxy) = world.intercepting("\"localhost\"").await;
        let stream = world.shaken(proxy, &world.agents, &[]).await.unwrap();
        assert_eq!(http1(stream, "/a").await, "HTTP/1.1 shop.example /a", "what the caller says is kept");
        let stream = world.shaken(proxy, &world.agents, &[b"h2", b"http/1.1"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let to = format!("https://localhost:{}/b", world.partner.port());
        for _ in 0..2 {
            let request = hyper::Request::get(&to).body(Full::<Bytes>::default()).unwrap();
            let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
            assert_eq!(answer, format!("HTTP/2.0 localhost:{} /b", world.partner.port()));
        }
        drop(sender);
        assert_eq!(running.agent.calls().unwrap().seen, 3, "each call in them is one");
        running.stop().await;
    });
}

#[test]
fn a_caller_in_http2_reaches_a_destination_that_only_knows_http1() {
    run(async {
        let world = World::with(&[b"http/1.1"]).await;
        let (running, proxy) = world.intercepting("\"*.example\", \"localhost\"").await;
        let stream = world.shaken(proxy, &world.agents, &[b"h2"]).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let to = format!("https://localhost:{}/c", world.partner.port());
        let request = hyper::Request::post(&to).body(Full::<Bytes>::from("x")).unwrap();
        let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(answer, format!("HTTP/1.1 localhost:{} /c", world.partner.port()));
        drop(sender);
        running.stop().await;
    });
}

#[test]
fn a_base_url_may_stand_for_a_destination_with_tls() {
    run(async {
        let world = World::with(&[b"http/1.1"]).await;
        let port = world.partner.port();
        let trust = format!("egress.trust = {:?}", world.file("trust.pem"));
        let alias = format!("egress.aliases = [{{ path = \"/pay\", to = \"https://localhost:{port}\" }}]");
        let (running, proxy) = egress(&[&trust, &alias]).await;
        let answer = ask(proxy, b"GET /pay/x HTTP/1.1\r\nHost: agent\r\n\r\n").await;
        assert_eq!(answer.body, format!("HTTP/1.1 localhost:{port} /x").as_bytes());
        running.stop().await;
    });
}

#[test]
fn a_destination_that_nobody_vouches_for_is_no_destination() {
    run(async {
        let world = World::with(&[b"http/1.1"]).await;
        let key = format!("egress.ca_key.file = {:?}", world.file("ca-key.pem"));
        let (running, proxy) = egress(&[&key, "egress.intercept = [\"localhost\"]"]).await;
        let stream = world.shaken(proxy, &world.agents, &[]).await.unwrap();
        let answer = http1(stream, "/a").await;
        assert!(answer.contains("the destination gave no answer") && answer.contains("certificate"), "{answer}");
        running.stop().await;
    });
}

#[test]
fn tls_of_other_hosts_is_theirs_and_a_caller_that_does_not_trust_the_agent_is_counted() {
    run(async {
        let world = World::with(&[b"http/1.1"]).await;
        let (running, proxy) = world.intercepting("\"api.example\"").await;
        let stream = world.shaken(proxy, &world.own, &[]).await.unwrap();
        assert_eq!(http1(stream, "/a").await, "HTTP/1.1 shop.example /a");
        assert_eq!(running.agent.calls().unwrap().seen, 1, "the tunnel, not what is in it");
        running.stop().await;
        let (running, proxy) = world.intercepting("\"localhost\"").await;
        assert!(world.shaken(proxy, &world.own, &[]).await.is_err(), "it is the agent's certificate");
        while metric(&running, "egress_refused_total{reason=\"handshake\"}").await != Some(1) {}
        running.stop().await;
    });
}

#[test]
fn what_is_no_tls_passes_a_tunnel_to_a_named_host_unread() {
    run(async {
        let partner = Origin::spawn(|_, mut stream| async move {
            let request = read_message(&mut stream, false).await.unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", request.start.len(), request.start);
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let world = World::with(&[b"http/1.1"]).await;
        let (running, proxy) = world.intercepting("\"127.0.0.1\"").await;
        let mut tunnel = tunnel(proxy, &partner.address.to_string()).await;
        tunnel.write_all(b"GET /socket HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert_eq!(read_message(&mut tunnel, false).await.unwrap().body, b"GET /socket HTTP/1.1");
        drop(tunnel);
        running.stop().await;
    });
}

#[test]
fn a_handshake_that_never_comes_or_is_garbage_ends_the_tunnel() {
    run(async {
        let world = World::with(&[b"http/1.1"]).await;
        let key = format!("egress.ca_key.file = {:?}", world.file("ca-key.pem"));
        let short = ["egress.intercept = [\"localhost\"]", "egress.connect = \"200ms\"", "egress.idle = \"200ms\""];
        let (running, proxy) = egress(&[&[key.as_str()][..], &short].concat()).await;
        for first in [&b""[..], b"\x16\x03", b"\x16\x03\x01\x00\x05hello"] {
            let mut tunnel = tunnel(proxy, "localhost:443").await;
            tunnel.write_all(first).await.unwrap();
            let mut rest = Vec::new();
            drop(tunnel.read_to_end(&mut rest).await);
        }
        while metric(&running, "egress_refused_total{reason=\"handshake\"}").await != Some(2) {}
        while metric(&running, "egress_connections").await != Some(0) {}
        running.stop().await;
    });
}

#[test]
fn a_connection_in_a_tunnel_that_says_nothing_loses_its_place() {
    run(async {
        let world = World::with(&[b"h2"]).await;
        let trust = format!("egress.trust = {:?}", world.file("trust.pem"));
        let key = format!("egress.ca_key.file = {:?}", world.file("ca-key.pem"));
        let short = ["egress.intercept = [\"localhost\"]", "egress.idle = \"300ms\""];
        let (running, proxy) = egress(&[&[trust.as_str(), &key][..], &short].concat()).await;
        for protocols in [&[][..], &[&b"h2"[..]]] {
            let _silent = world.shaken(proxy, &world.agents, protocols).await.unwrap();
            while metric(&running, "egress_connections").await != Some(0) {}
        }
        running.stop().await;
    });
}
