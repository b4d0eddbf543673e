//! Real handshakes, with certificates made for each test.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::reload::Look;
use super::reload::Standing;
use super::{Alpn, ClientFiles, ClientTls, ServerFiles, ServerTls, TlsError};
use crate::edge::stream::Stream;

/// Far enough in the past.
const LONG_AGO: (i32, u8, u8) = (2001, 1, 1);

/// An authority of its own, and the files made under it.
pub(in crate::edge) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    pub(in crate::edge) fn found() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, directory: TempDir::new().unwrap() };
        fs::write(authority.file("ca.pem"), authority.issuer.pem()).unwrap();
        authority
    }

    pub(in crate::edge) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Issues `<stem>.pem` and `<stem>.key` for a name; `until` is when it runs out.
    pub(in crate::edge) fn issue(&self, stem: &str, name: &str, until: Option<(i32, u8, u8)>) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if let Some((year, month, day)) = until {
            params.not_before = date_time_ymd(year - 1, month, day);
            params.not_after = date_time_ymd(year, month, day);
        }
        let key = KeyPair::generate().unwrap();
        fs::write(self.file(&format!("{stem}.pem")), params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        fs::write(self.file(&format!("{stem}.key")), key.serialize_pem()).unwrap();
    }

    pub(in crate::edge) fn server_files(&self, stem: &str) -> ServerFiles {
        ServerFiles {
            certificate: self.file(&format!("{stem}.pem")),
            key: self.file(&format!("{stem}.key")),
            client_ca: None,
        }
    }

    pub(in crate::edge) fn client_files(&self) -> ClientFiles {
        ClientFiles { ca: Some(self.file("ca.pem")), pair: None }
    }

    /// A client that trusts this authority and expects `name`.
    pub(in crate::edge) fn client(&self, name: &str, alpn: &[Alpn]) -> ClientTls {
        ClientTls::load(&self.client_files(), server_name(name), alpn).unwrap()
    }
}

pub(in crate::edge) fn server_name(name: &str) -> ServerName<'static> {
    ServerName::try_from(name.to_owned()).unwrap()
}

/// The two ends of a connection.
pub(in crate::edge) async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// Client and server after the handshake, or what each says of its failure.
async fn shake(client: &ClientTls, server: &ServerTls) -> (std::io::Result<Stream>, std::io::Result<Stream>) {
    let (near, far) = sockets().await;
    tokio::join!(client.connect(near), server.accept(far))
}

/// Sends a word each way, on one task: it fits into the socket's buffers.
async fn converse(client: &mut Stream, server: &mut Stream) {
    let mut word = [0; 4];
    client.write_all(b"ping").await.unwrap();
    client.flush().await.unwrap();
    server.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"ping");
    server.write_all(b"pong").await.unwrap();
    server.flush().await.unwrap();
    client.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"pong");
}

fn refused(look: Look) -> TlsError {
    match look {
        Look::Refused(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn both_sides_agree_and_talk() {
    let authority = Authority::found();
    authority.issue("shop", "shop.test", None);
    let server = ServerTls::load(&authority.server_files("shop"), &[Alpn::Http2, Alpn::Http1]).unwrap();
    let offers: [(&[Alpn], Option<Alpn>); 4] = [
        (&[Alpn::Http1], Some(Alpn::Http1)),
        (&[Alpn::Http2], Some(Alpn::Http2)),
        (&[Alpn::Http1, Alpn::Http2], Some(Alpn::Http2)),
        (&[], None),
    ];
    for (offer, agreed) in offers {
        let (near, far) = shake(&authority.client("shop.test", offer), &server).await;
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        assert_eq!((near.alpn(), far.alpn()), (agreed, agreed));
        converse(&mut near, &mut far).await;
    }
}

#[tokio::test]
async fn nothing_in_common_is_no_connection() {
    let authority = Authority::found();
    authority.issue("shop", "shop.test", None);
    let server = ServerTls::load(&authority.server_files("shop"), &[Alpn::Http1]).unwrap();
    let (near, far) = shake(&authority.client("shop.test", &[Alpn::Http2]), &server).await;
    assert!(near.is_err() && far.is_err());
}

#[tokio::test]
async fn the_primary_must_be_who_it_should_be() {
    let (authority, other) = (Authority::found(), Authority::found());
    authority.issue("shop", "shop.test", None);
    let server = ServerTls::load(&authority.server_files("shop"), &[]).unwrap();
    let public = ClientTls::load(&ClientFiles::default(), server_name("shop.test"), &[]).unwrap();
    for (client, cause) in [
        (authority.client("bank.test", &[]), "not valid for name"),
        // An authority of the same name, with another key.
        (other.client("shop.test", &[]), "BadSignature"),
        (public, "UnknownIssuer"),
    ] {
        let error = shake(&client, &server).await.0.unwrap_err().to_string();
        assert!(error.contains(cause), "{error}");
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_of_the_authority_is_turned_away() {
    let authority = Authority::found();
    authority.issue("shop", "shop.test", None);
    authority.issue("caller", "caller.test", None);
    let files = ServerFiles { client_ca: Some(authority.file("ca.pem")), ..authority.server_files("shop") };
    let server = ServerTls::load(&files, &[]).unwrap();
    assert!(shake(&authority.client("shop.test", &[]), &server).await.1.is_err());

    let pair = Some((authority.file("caller.pem"), authority.file("caller.key")));
    let files = ClientFiles { pair, ..authority.client_files() };
    let known = ClientTls::load(&files, server_name("shop.test"), &[]).unwrap();
    let (near, far) = shake(&known, &server).await;
    converse(&mut near.unwrap(), &mut far.unwrap()).await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_leaves_open_ones_alone() {
    let authority = Authority::found();
    authority.issue("shop", "old.test", None);
    let server = ServerTls::load(&authority.server_files("shop"), &[]).unwrap();
    assert!(matches!(server.look(), Look::Same));
    let (near, far) = shake(&authority.client("old.test", &[]), &server).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());

    authority.issue("shop", "new.test", None);
    assert!(matches!(server.look(), Look::Replaced));
    assert!(shake(&authority.client("new.test", &[]), &server).await.0.is_ok());
    assert!(shake(&authority.client("old.test", &[]), &server).await.0.is_err());
    converse(&mut near, &mut far).await;
}

#[tokio::test]
async fn what_cannot_be_used_never_replaces_what_could() {
    let authority = Authority::found();
    let (certificate, key) = (authority.file("shop.pem"), authority.file("shop.key"));
    authority.issue("shop", "shop.test", None);
    authority.issue("other", "shop.test", None);
    authority.issue("dated", "shop.test", Some(LONG_AGO));
    let server = ServerTls::load(&authority.server_files("shop"), &[]).unwrap();
    let (good, good_key) = (fs::read(&certificate).unwrap(), fs::read(&key).unwrap());

    fs::copy(authority.file("other.pem"), &certificate).unwrap();
    assert!(matches!(refused(server.look()), TlsError::Mismatch { .. }));
    assert_eq!(server.standing(), Standing { replaced: 0, refused: true });
    fs::write(&certificate, b"garbage").unwrap();
    assert!(matches!(refused(server.look()), TlsError::Lacks { what: "certificate", .. }));
    fs::write(&certificate, &good[..good.len() / 2]).unwrap();
    assert!(matches!(refused(server.look()), TlsError::NotPem { .. }));
    fs::write(&certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(matches!(refused(server.look()), TlsError::Unusable { .. }));
    fs::write(&certificate, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(matches!(refused(server.look()), TlsError::TooLong { .. }));
    fs::remove_file(&certificate).unwrap();
    assert!(matches!(refused(server.look()), TlsError::Unreadable { .. }));
    fs::write(&certificate, &good).unwrap();
    fs::write(&key, &good).unwrap();
    assert!(matches!(refused(server.look()), TlsError::Lacks { what: "unencrypted private key", .. }));
    fs::copy(authority.file("dated.pem"), &certificate).unwrap();
    fs::copy(authority.file("dated.key"), &key).unwrap();
    assert!(matches!(refused(server.look()), TlsError::Outdated { .. }));

    let (near, far) = shake(&authority.client("shop.test", &[]), &server).await;
    converse(&mut near.unwrap(), &mut far.unwrap()).await;

    // The first half of a change is refused, the second makes it whole.
    fs::copy(authority.file("other.pem"), &certificate).unwrap();
    fs::write(&key, &good_key).unwrap();
    assert!(matches!(refused(server.look()), TlsError::Mismatch { .. }));
    fs::copy(authority.file("other.key"), &key).unwrap();
    assert!(matches!(server.look(), Look::Replaced));
    assert_eq!(server.standing(), Standing { replaced: 1, refused: false });
}

#[tokio::test]
async fn an_agent_starts_with_a_certificate_that_has_run_out() {
    let authority = Authority::found();
    authority.issue("dated", "shop.test", Some(LONG_AGO));
    let server = ServerTls::load(&authority.server_files("dated"), &[]).unwrap();
    let error = shake(&authority.client("shop.test", &[]), &server).await.0.unwrap_err().to_string();
    assert!(error.contains("expired"), "{error}");
}

#[tokio::test]
async fn a_key_of_another_pair_is_no_start() {
    let authority = Authority::found();
    authority.issue("shop", "shop.test", None);
    authority.issue("other", "shop.test", None);
    let files = ServerFiles { key: authority.file("other.key"), ..authority.server_files("shop") };
    let error = ServerTls::load(&files, &[]).err().expect("the pair does not match");
    assert_eq!(error.file(), authority.file("other.key"));
    assert!(error.to_string().contains("does not belong to the certificate"), "{error}");
    assert!(!error.remedy().is_empty());
}

#[tokio::test(start_paused = true)]
async fn changed_files_are_found_by_looking_every_so_often() {
    let authority = Authority::found();
    authority.issue("shop", "old.test", None);
    let server = ServerTls::load(&authority.server_files("shop"), &[]).unwrap();
    let stop = CancellationToken::new();
    let watching = server.watch(Duration::from_secs(5), stop.clone()).unwrap();
    let mut generation = server.generation();
    authority.issue("shop", "new.test", None);
    generation.changed().await.unwrap();
    stop.cancel();
    watching.await.unwrap();
    assert!(shake(&authority.client("new.test", &[]), &server).await.0.is_ok());
}

#[tokio::test]
async fn changed_files_are_found_at_a_hangup_signal() {
    let authority = Authority::found();
    authority.issue("shop", "old.test", None);
    let server = ServerTls::load(&authority.server_files("shop"), &[]).unwrap();
    let stop = CancellationToken::new();
    let watching = server.watch(Duration::from_secs(86_400), stop.clone()).unwrap();
    let mut generation = server.generation();
    authority.issue("shop", "new.test", None);
    // Others that watch in this process only look at their files once more.
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
    generation.changed().await.unwrap();
    stop.cancel();
    watching.await.unwrap();
    assert!(shake(&authority.client("new.test", &[]), &server).await.0.is_ok());
}
