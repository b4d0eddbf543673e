//! A broker that asks who comes: TLS with a password (SASL/SCRAM) on one listener, with a certificate (mutual TLS) on another, and rights for
//! each of them. The plain listener stays for the stack itself, which may do everything.

use std::fmt;
use std::path::Path;

use super::config::{TOOL_JVM, run_tool, write};
use super::install::Installation;
use crate::DevstackError;
use crate::process::{DataLifetime, Launcher};

/// What the broker shows, whom it knows, and what they may do.
#[derive(Clone, Default)]
pub struct KafkaSecurity {
    /// The broker's certificate for 127.0.0.1, PEM.
    pub certificate: String,
    /// Its private key, PKCS#8 PEM.
    pub key: String,
    /// The authority that signs clients' certificates, PEM.
    pub client_ca: String,
    /// Users and their passwords.
    pub users: Vec<(String, String)>,
    /// Rights as arguments of Kafka's own `kafka-acls` tool, as in `--allow-principal User:agent --operation Write --topic shadow.status`.
    pub grants: Vec<String>,
}

impl fmt::Debug for KafkaSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<_> = self.users.iter().map(|(name, _)| name).collect();
        f.debug_struct("KafkaSecurity").field("users", &users).field("grants", &self.grants).finish_non_exhaustive()
    }
}

/// Where the broker can be reached with TLS, as `host:port`.
#[derive(Clone, Debug)]
pub struct SecureBrokers {
    /// With a password.
    pub with_password: String,
    /// With a certificate.
    pub with_certificate: String,
}

impl SecureBrokers {
    pub(crate) fn at(password: u16, certificate: u16) -> Self {
        let at = |port| format!("127.0.0.1:{port}");
        Self { with_password: at(password), with_certificate: at(certificate) }
    }
}

/// Adds both listeners to the broker's settings.
pub(crate) fn add(
    settings: String,
    dir: &Path,
    brokers: &SecureBrokers,
    security: &KafkaSecurity,
) -> Result<String, DevstackError> {
    // The broker reads a key and its certificates from one file.
    write(&dir.join("broker.pem"), &format!("{}{}", security.key, security.certificate))?;
    write(&dir.join("clients.pem"), &security.client_ca)?;
    let listeners = format!(",PASSWORD://{},CERTIFICATE://{}\n", brokers.with_password, brokers.with_certificate);
    let lines = settings.lines().map(|line| match line.split_once('=') {
        Some(("listeners" | "advertised.listeners", _)) => format!("{line}{listeners}"),
        Some(("listener.security.protocol.map", _)) => format!("{line},PASSWORD:SASL_SSL,CERTIFICATE:SSL\n"),
        _ => format!("{line}\n"),
    });
    let settings: String = lines.collect();
    Ok(settings
        + "\
ssl.keystore.type=PEM
ssl.keystore.location=broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=clients.pem
listener.name.certificate.ssl.client.auth=required
listener.name.password.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.password.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
# Who comes over the plain listener: the stack itself.
super.users=User:ANONYMOUS
")
}

/// Gives everybody their rights, with Kafka's own tool.
pub(crate) async fn grant(
    kafka: &Installation,
    launcher: &Launcher,
    (dir, lifetime): (&Path, DataLifetime),
    brokers: &str,
    security: &KafkaSecurity,
) -> Result<(), DevstackError> {
    let log4j = dir.join("log4j2.properties");
    for grant in &security.grants {
        let mut args = vec!["--bootstrap-server", brokers, "--add"];
        args.extend(grant.split_whitespace());
        let command = kafka.command(TOOL_JVM, &log4j, "org.apache.kafka.tools.AclCommand", &args);
        run_tool(launcher, &command, dir, lifetime).await?;
    }
    Ok(())
}
