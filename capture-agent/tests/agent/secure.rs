//! TLS on both sides, the PROXY protocol on both sides, and a restart under load, through a whole agent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use capture_agent::{Agent, Config};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

use crate::support::{Running, config, run};
use crate::wire::{Origin, ask, read_message};

const GET: &[u8] = b"GET /a HTTP/1.1\r\nhOST: shop\r\nX-Odd:  1\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 Fine\r\nx-ODD: 1\r\nContent-Length: 2\r\n\r\nok";

/// An authority, and a certificate for `localhost` that the agent and the primary both use.
struct Certificates {
    directory: TempDir,
    authority: CertificateDer<'static>,
}

impl Certificates {
    fn make() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let made = Self { directory: TempDir::new().unwrap(), authority: issuer.der().clone() };
        for (name, pem) in [("ca.pem", issuer.pem()), ("leaf.pem", leaf.pem()), ("leaf.key", key.serialize_pem())] {
            std::fs::write(made.file(name), pem).unwrap();
        }
        made
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// An agent that uses them on both sides.
    fn config(&self, primary: SocketAddr, settings: &[&str]) -> Config {
        let mut config = config(primary, settings);
        config.listen.certificate = Some(self.file("leaf.pem"));
        config.listen.key = Some(self.file("leaf.key"));
        config.primary.url = Some(format!("https://localhost:{}", primary.port()).parse().unwrap());
        config.primary.ca = Some(self.file("ca.pem"));
        config
    }

    fn acceptor(&self, alpn: &[u8]) -> TlsAcceptor {
        let chain = vec![CertificateDer::from_pem_file(self.file("leaf.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.file("leaf.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![alpn.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// A client's connection that offers these protocols.
    async fn connect(&self, address: SocketAddr, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let socket = TcpStream::connect(address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap()
    }
}

#[test]
fn http1_passes_unchanged_between_two_tls_connections() {
    run(async {
        let certificates = Certificates::make();
        let acceptor = certificates.acceptor(b"http/1.1");
        let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let origin = Origin::spawn(move |_, socket| {
            let (acceptor, told) = (acceptor.clone(), told.clone());
            async move {
                let mut stream = acceptor.accept(socket).await.unwrap();
                let mut heard = vec![0; GET.len()];
                stream.read_exact(&mut heard).await.unwrap();
                told.send(heard).unwrap();
                stream.write_all(OK).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        })
        .await;
        let running = Running::with(certificates.config(origin.address, &[])).await;
        let mut client = certificates.connect(running.address(), &[b"h2", b"http/1.1"]).await;
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]), "the primary does not speak HTTP/2");
        client.write_all(GET).await.unwrap();
        assert_eq!(hears.recv().await.unwrap(), GET);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, OK, "and the end is told as one");
        drop(client);
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn http2_is_agreed_on_in_both_handshakes() {
    run(async {
        let certificates = Certificates::make();
        let acceptor = certificates.acceptor(b"h2");
        let origin = Origin::spawn(move |_, socket| {
            let acceptor = acceptor.clone();
            async move {
                let stream = acceptor.accept(socket).await.unwrap();
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                let service = service_fn(|request: http::Request<Incoming>| async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    Ok::<_, Infallible>(http::Response::new(Full::new(body)))
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await;
        let settings = certificates.config(origin.address, &["primary.protocol = \"http2\""]);
        let running = Running::with(settings).await;
        let stream = certificates.connect(running.address(), &[b"h2"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::post("https://localhost/").body(Full::new(Bytes::from_static(b"echo"))).unwrap();
        let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(answer.to_bytes(), "echo");
        drop(sender);
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn a_client_in_cleartext_is_not_let_in_where_tls_is_required() {
    run(async {
        let certificates = Certificates::make();
        let (origin, requests) = Origin::canned(OK).await;
        let running = Running::with(certificates.config(origin.address, &[])).await;
        let mut client = crate::wire::send(running.address(), GET).await;
        assert!(read_message(&mut client, false).await.is_none());
        assert!(requests.lock().unwrap().is_empty());
        assert_eq!(running.stop().await.seen, 0);
    });
}

#[test]
fn the_clients_address_passes_from_proxy_protocol_to_proxy_protocol_and_into_lines() {
    run(async {
        let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let origin = Origin::spawn(move |_, mut stream| {
            let told = told.clone();
            async move {
                let mut line = Vec::new();
                while !line.ends_with(b"\r\n") {
                    line.push(stream.read_u8().await.unwrap());
                }
                let request = read_message(&mut stream, false).await.unwrap();
                told.send((String::from_utf8(line).unwrap(), request)).unwrap();
                stream.write_all(OK).await.unwrap();
            }
        })
        .await;
        let lines = [
            "listen.proxy_protocol = \"required\"",
            "primary.proxy_protocol = \"v1\"",
            "primary.forwarded = \"append\"",
        ];
        let running = Running::with(config(origin.address, &lines)).await;
        let mut client = crate::wire::send(running.address(), b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 80\r\n").await;
        client.write_all(GET).await.unwrap();
        let (line, request) = hears.recv().await.unwrap();
        assert_eq!(line, "PROXY TCP4 192.0.2.7 198.51.100.1 5000 80\r\n");
        assert_eq!(request.header("x-forwarded-for"), Some("192.0.2.7"));
        drop(client);
        // Without the header nobody is let in, whatever the request says.
        let mut client = crate::wire::send(running.address(), GET).await;
        assert!(read_message(&mut client, false).await.is_none());
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn a_new_agent_takes_over_and_no_request_is_lost() {
    run(async {
        let (origin, _) = Origin::canned(OK).await;
        let directory = TempDir::new().unwrap();
        let takeover = format!("listen.takeover = \"{}\"", directory.path().join("agent.sock").display());
        let settings = || config(origin.address, &[&takeover]);
        let old = Running::with(settings()).await;
        let address = old.address();
        let stop = CancellationToken::new();
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let stop = stop.clone();
                tokio::spawn(async move {
                    let mut answered = 0;
                    while !stop.is_cancelled() {
                        // One connection each: all of them are accepted by one agent or the other.
                        assert_eq!(ask(address, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.body, b"ok");
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        let mut next = settings();
        next.listen.address = address;
        let new = Running::with(next).await;
        assert_eq!(new.address(), address);
        // It ends by itself; nobody has told it to.
        let Running { agent, .. } = old;
        let before = Agent::finish(agent).await;
        while new.agent.account().seen < 100 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        let mut answered = 0;
        for client in clients {
            answered += client.await.unwrap();
        }
        let after = new.stop().await;
        assert!(before.balances() && before.seen > 0, "{before:?}");
        assert_eq!(before.seen + after.seen, answered);
    });
}
