//! `shadowctl stub`: what the stub needs besides its rules.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use shadow_stub::NewCa;

use crate::failure::Failure;
use crate::output::note;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum StubCommand {
    /// Make a certificate authority for the stub, so that the shadow's calls with TLS can end there
    #[command(after_help = "\
Give the certificate to the shadow alone (SSL_CERT_FILE, REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS, or the trust store of its
image) and the key to the stub alone (stub.ca_key). Whoever has the key can pretend to be any host to whoever trusts the
certificate: never let production trust it.

Example:
  shadowctl stub ca --certificate ca.pem --key ca-key.pem")]
    Ca(CaArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CaArgs {
    /// Where to write the certificate
    #[arg(long, value_name = "FILE", default_value = "ca.pem")]
    certificate: PathBuf,
    /// Where to write the private key; readable for its owner only
    #[arg(long, value_name = "FILE", default_value = "ca-key.pem")]
    key: PathBuf,
}

pub(crate) fn run(command: StubCommand) -> Result<(), Failure> {
    let StubCommand::Ca(CaArgs { certificate, key }) = command;
    let ca = NewCa::generate().map_err(Failure::internal)?;
    // The key first: a certificate without its key would be trusted for nothing.
    create(&key, &ca.key, 0o600)?;
    create(&certificate, &ca.certificate, 0o644)?;
    note(&format!(
        "{} is for the shadow's trusted authorities, {} for stub.ca_key",
        certificate.display(),
        key.display()
    ));
    Ok(())
}

/// Writes a file that is not there yet: a key that something trusts must not be lost.
fn create(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let remedy = "name another file, or move the old one away if nothing trusts it any more";
        Failure::usage(format!("cannot write {}: {error}", path.display()), remedy)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_authority_is_made_once_and_its_key_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("ca.pem"), folder.path().join("key.pem"));
        let ask = || run(StubCommand::Ca(CaArgs { certificate: certificate.clone(), key: key.clone() }));
        ask().unwrap();
        let made = std::fs::read_to_string(&key).unwrap();
        assert!(shadow_stub::Ca::of_key(&made).is_ok());
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(ask().unwrap_err().cause.contains("key.pem"));
        assert_eq!(std::fs::read_to_string(&key).unwrap(), made);
    }
}
