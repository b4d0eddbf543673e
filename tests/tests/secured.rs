//! The pipeline where nobody is trusted: Kafka with TLS, passwords, certificates and rights, ClickHouse with users.
//!
//! Every service, and whoever works with it, comes as a user of its own with just the rights that the files of `docs/examples/security/` give
//! it, so that the lists which users copy are proved to suffice and to give no more, and one who lacks a right is told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support.rs"]
mod support;
#[path = "secured/users.rs"]
mod users;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use shadow_devstack::{Devstack, KafkaChoice, KafkaSecurity, LAUNCHER_ARG};
use shadow_kafka::{Admin, KafkaConfig, KafkaError};
use shadow_runtime::Secret;
use support::{BINARY, Candidate, Service, free_port, until};
use users::{ANALYST, COMPARATOR, OPERATOR, SCHEMA};

const ACLS: &str = include_str!("../../docs/examples/security/kafka-acls.conf");
const USERS: [&str; 4] = ["shadow-replayer", "shadow-comparator", "shadow-stub", "shadow-operator"];
const PASSWORD: &str = "a password of the test's own";

/// An authority, and the files that its clients need.
struct Pki {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    ca: String,
}

impl Pki {
    fn generate() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let ca = params.self_signed(&key).unwrap().pem();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), &ca).unwrap();
        Self { folder, issuer: Issuer::new(params, key), ca }
    }

    /// Certificate and key.
    fn issue(&self, name: &str, addresses: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(addresses.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = Default::default();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

async fn secured(pki: &Pki) -> Devstack {
    drop(rustls::crypto::ring::default_provider().install_default());
    let (certificate, key) = pki.issue("broker", &["127.0.0.1"]);
    let grants = ACLS.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let security = KafkaSecurity {
        certificate,
        key,
        client_ca: pki.ca.clone(),
        users: USERS.map(|user| (user.to_owned(), PASSWORD.replace(' ', "-"))).to_vec(),
        grants: grants.map(str::to_owned).collect(),
    };
    let builder = Devstack::builder()
        .launcher(PathBuf::from(BINARY), vec![LAUNCHER_ARG.to_owned()])
        .kafka(KafkaChoice::Apache)
        .kafka_security(security);
    users::added_to(builder).start().await.expect("Apache Kafka and ClickHouse start")
}

/// `[kafka]` of a user with a password.
fn by_password(stack: &Devstack, pki: &Pki, user: &str, password: &Path) -> String {
    format!(
        "[kafka]\nbrokers = \"{}\"\nca = {:?}\nuser = \"{user}\"\npassword = {{ file = {password:?} }}\n",
        stack.secure_brokers().unwrap().with_password,
        pki.ca_file(),
    )
}

/// TLS in front of ClickHouse: the embedded server can speak none itself.
struct TlsFront {
    process: Child,
    url: String,
}

impl TlsFront {
    fn start(stack: &Devstack, pki: &Pki) -> Self {
        let (certificate, key) = pki.issue("clickhouse", &["127.0.0.1"]);
        let (certificate, key) = (pki.file("clickhouse.pem", &certificate), pki.file("clickhouse-key.pem", &key));
        let listen = format!("127.0.0.1:{}", free_port());
        let (folder, upstream) = (pki.folder.path().display(), stack.clickhouse_url());
        let config = format!(
            "daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
             events {{}}
             http {{
                 access_log off; client_max_body_size 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
                 fastcgi_temp_path {folder}/1; uwsgi_temp_path {folder}/2; scgi_temp_path {folder}/3;
                 server {{
                     listen {listen} ssl;
                     ssl_certificate {}; ssl_certificate_key {};
                     location / {{ proxy_pass {upstream}; proxy_http_version 1.1; }}
                 }}
             }}",
            certificate.display(),
            key.display(),
        );
        let config = pki.file("nginx.conf", &config);
        let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let process = Command::new(nginx.expect("nginx (Debian's nginx-light) is installed"))
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, url: format!("https://{listen}") }
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// shadowctl: in Kafka the operator, in ClickHouse whoever is asked for.
struct Shadowctl<'a> {
    stack: &'a Devstack,
    pki: &'a Pki,
    /// Holds the operator's password for Kafka.
    password: &'a Path,
}

impl Shadowctl<'_> {
    async fn run(&self, user: &str, args: &[&str]) -> std::process::Output {
        tokio::process::Command::new(BINARY)
            .arg("shadowctl")
            .args(args)
            .env("SHADOW_KAFKA_BROKERS", &self.stack.secure_brokers().unwrap().with_password)
            .env("SHADOW_KAFKA_CA", self.pki.ca_file())
            .env("SHADOW_KAFKA_USER", "shadow-operator")
            .env("SHADOW_KAFKA_PASSWORD_FILE", self.password)
            .env("SHADOW_CLICKHOUSE_URL", self.stack.clickhouse_url())
            .env("SHADOW_CLICKHOUSE_USER", user)
            .env("SHADOW_CLICKHOUSE_PASSWORD", users::password(user))
            .output()
            .await
            .unwrap()
    }

    async fn must(&self, user: &str, args: &[&str]) -> String {
        let output = self.run(user, args).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "shadowctl {args:?}: {}\n{out}{err}", output.status);
        out.into_owned()
    }
}

/// A statement of a user of the documented ones.
async fn ask(stack: &Devstack, user: &str, query: &str) -> Result<String, String> {
    ask_with(stack, user, &users::password(user), query).await
}

async fn ask_with(stack: &Devstack, user: &str, password: &str, query: &str) -> Result<String, String> {
    let client = reqwest::Client::new();
    let request = client.post(stack.clickhouse_url()).basic_auth(user, Some(password)).body(query.to_owned());
    let answer = request.send().await.unwrap();
    let ok = answer.status().is_success();
    let text = answer.text().await.unwrap();
    if ok { Ok(text) } else { Err(text) }
}

/// Noise that a control shows, and nothing else.
const NOISY: &[&str] = &[
    "INSERT INTO shadow.exchanges (launch, service, route, captured_offset, sent_at, outcome, result, control_result, \
        differences.signature, differences.place, differences.kind, differences.transition, differences.primary, differences.candidate, \
        control.signature, control.place, control.kind, control.transition) \
     SELECT 'noisy', 'shop', 'GET /orders/{id}', number, now64(6), 'completed', 'differing', 'differing', \
        ['a'], ['$.at'], ['value'], ['changed'], ['1'], ['2'], ['a'], ['$.at'], ['value'], ['changed'] FROM numbers(40)",
    "INSERT INTO shadow.launches (launch, service, candidate, status, sample, control, control_sample) \
     VALUES ('noisy', 'shop', 'x', 'active', 1, 'http://k/', 1)",
    "INSERT INTO shadow.watermarks (launch, service, low_offset, high_offset) VALUES ('noisy', 'shop', 40, 40)",
];

/// What the operator does to a launch under traffic, and what whoever only reads may ask.
async fn operate_and_read(shadowctl: &Shadowctl<'_>, listen: &str) {
    let url = format!("http://{listen}/orders/7");
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let traffic = tokio::spawn(async move {
        loop {
            pace.tick().await;
            drop(reqwest::get(&url).await);
        }
    });
    let drill = ["drill", "--launch", "v2", "--repeat", "1", "--hold", "1s", "--timeout", "60s", "--why", "a test"];
    let drilled = shadowctl.run(OPERATOR, &drill).await;
    traffic.abort();
    let kept =
        ask(shadowctl.stack, ANALYST, "SELECT count() FROM shadow.drills FINAL WHERE launch = 'v2'").await.unwrap();
    assert_ne!(kept.trim(), "0", "{}", String::from_utf8_lossy(&drilled.stderr));

    for statement in NOISY {
        ask_with(shadowctl.stack, "default", "", statement).await.unwrap();
    }
    let refused = shadowctl.run(ANALYST, &["noise", "freeze", "noisy"]).await;
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("ACCESS_DENIED"),
        "{refused:?}"
    );
    assert!(shadowctl.must(OPERATOR, &["noise", "freeze", "noisy"]).await.contains("noise profile of shop, version 1"));
    assert!(shadowctl.must(OPERATOR, &["noise", "overrule", "noisy", "a", "live"]).await.contains("version 2"));
    for read in [&["report", "v2"][..], &["ledger"], &["noise", "show", "v2"], &["audit", "--launch", "v2"]] {
        shadowctl.must(ANALYST, read).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_works_with_the_documented_rights_and_nobody_gets_in_without() {
    let pki = Pki::generate();
    let stack = secured(&pki).await;
    let password = pki.file("password", &PASSWORD.replace(' ', "-"));
    let front = TlsFront::start(&stack, &pki);
    let shadowctl = Shadowctl { stack: &stack, pki: &pki, password: &password };
    let ca = pki.ca_file().display().to_string();
    let apply = ["schema", "apply", "--clickhouse-url", &front.url, "--clickhouse-ca", &ca];
    let address = front.url.trim_start_matches("https://");
    until("TLS before ClickHouse", || async { tokio::net::TcpStream::connect(address).await.ok() }).await;
    let untrusted = shadowctl.run(SCHEMA, &["schema", "apply", "--clickhouse-url", &front.url]).await;
    assert!(!untrusted.status.success(), "its authority is not known");
    shadowctl.must(SCHEMA, &apply).await;
    // A later version replaces views that are there.
    ask_with(&stack, "default", "", "TRUNCATE TABLE shadow.schema_migrations").await.unwrap();
    assert!(shadowctl.must(SCHEMA, &apply).await.contains("applied 0001_tables"));

    // The agent comes with a certificate, the others with a password.
    let (certificate, key) = pki.issue("shadow-agent", &[]);
    let (certificate, key) = (pki.file("agent.pem", &certificate), pki.file("agent-key.pem", &key));
    let (primary, candidate) = (Candidate::start().await, Candidate::start().await);
    let (listen, accounts) = (format!("127.0.0.1:{}", free_port()), tempfile::tempdir().unwrap());
    let agent = Service::start(
        "capture-agent",
        &format!(
            "[service]\nname = \"shop\"\n[listen]\naddress = \"{listen}\"\n[primary]\nurl = \"{}\"\n[capture]\npartitions = 2\naccount = {:?}\n\
             latency_budget = \"off\"\nlag_budget = \"off\"\n[masking]\nroutes = [\"* /orders/{{id}}\"]\n\
             [kafka]\nbrokers = \"{}\"\nca = {:?}\ncertificate = {certificate:?}\nkey = {key:?}\n",
            primary.url,
            accounts.path(),
            stack.secure_brokers().unwrap().with_certificate,
            pki.ca_file(),
        ),
    )
    .ready()
    .await;
    let as_replayer = by_password(&stack, &pki, "shadow-replayer", &password);
    let replayer =
        Service::start("replayer", &format!("[masking]\nroutes = [\"* /orders/{{id}}\"]\n{as_replayer}")).ready().await;
    let as_comparator = by_password(&stack, &pki, "shadow-comparator", &password);
    let comparator = Service::start(
        "comparator",
        &format!(
            "[clickhouse]\nurl = \"{}\"\nca = {ca:?}\nuser = \"{COMPARATOR}\"\npassword = {{ file = {:?} }}\n{as_comparator}",
            front.url,
            pki.file("clickhouse", &users::password(COMPARATOR)),
        ),
    )
    .ready()
    .await;
    let as_stub = by_password(&stack, &pki, "shadow-stub", &password);
    let rules = pki.file("rules.toml", "[[rule]]\nname = \"ok\"\n[rule.answer]\nbody = \"{}\"\n");
    let stub = format!("127.0.0.1:{}", free_port());
    let stubbed = Service::start(
        "shadow-stub",
        &format!("[service]\nname = \"shop\"\n[stub]\nhttp = \"{stub}\"\nrules = [{rules:?}]\n{as_stub}"),
    )
    .ready()
    .await;

    let create = ["launch", "create", "v2", "--service", "shop", "--candidate", &candidate.url, "--from", "earliest"];
    shadowctl.must(OPERATOR, &create).await;
    for n in 0..20 {
        let answer = reqwest::get(format!("http://{listen}/orders/{n}")).await.unwrap();
        assert_eq!(answer.status().is_server_error(), n == 0);
    }
    reqwest::get(format!("http://{stub}/anything")).await.unwrap();
    let query = "SELECT count() FROM shadow.exchanges FINAL WHERE launch = 'v2' AND outcome = 'completed'";
    until("20 compared exchanges", || async {
        let counted = ask(&stack, ANALYST, query).await.unwrap();
        (counted.trim() == "20").then_some(())
    })
    .await;
    operate_and_read(&shadowctl, &listen).await;

    // Rights end where they are said to.
    for (query, allowed) in users::RIGHTS {
        for user in [SCHEMA, COMPARATOR, ANALYST, OPERATOR] {
            let answer = ask(&stack, user, query).await;
            match allowed.contains(&user) {
                true => assert!(answer.is_ok(), "{user}, {query}: {answer:?}"),
                false => {
                    assert!(answer.as_ref().is_err_and(|e| e.contains("ACCESS_DENIED")), "{user}, {query}: {answer:?}")
                }
            }
        }
    }
    let guessed = ask_with(&stack, ANALYST, "guessed", "SELECT 1").await;
    assert!(guessed.unwrap_err().contains("AUTHENTICATION_FAILED"));

    let brokers = stack.secure_brokers().unwrap();
    let known = KafkaConfig {
        ca: Some(pki.ca_file()),
        user: Some("shadow-stub".to_owned()),
        password: Some(Secret::new(PASSWORD.replace(' ', "-"))),
        ..KafkaConfig::at(&brokers.with_password)
    };
    let topics = Admin::new(&known).unwrap().topics().await.unwrap();
    assert!(topics.contains(&"shadow.effects.shop".to_owned()) && !topics.contains(&"shadow.captured.shop".to_owned()));
    let strangers = [
        KafkaConfig { password: Some(Secret::new("guessed")), ..known.clone() },
        // Signed by nobody whom this client trusts.
        KafkaConfig { ca: Some(pki.file("other.pem", &Pki::generate().ca)), ..known.clone() },
        // A certificate is asked for, and none shown.
        KafkaConfig { user: None, password: None, brokers: brokers.with_certificate.clone(), ..known.clone() },
        // No TLS at all.
        KafkaConfig::at(&brokers.with_password),
    ];
    for stranger in strangers {
        let refused = Admin::new(&stranger).unwrap().topics().await;
        assert!(matches!(refused, Err(KafkaError::Unreachable { .. })), "{stranger:?}: {refused:?}");
    }
    let wrong = pki.file("wrong", "guessed");
    let output = Shadowctl { password: &wrong, ..shadowctl }.run(OPERATOR, &["status"]).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && !told.contains("guessed"), "{told}");

    for service in [stubbed, comparator, replayer, agent] {
        let log = service.stop();
        assert!(!log.contains("a-password-of") && !log.contains(&users::password(COMPARATOR)), "a secret in the log");
    }
    stack.stop().await;
}
