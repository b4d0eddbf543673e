//! `shadowctl stub`: what the stub needs besides its rules.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use shadow_stub::{NewCa, Rules};

use crate::failure::Failure;
use crate::output::{Output, note};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum StubCommand {
    /// Make a certificate authority for the stub, so that the shadow's calls with TLS can end there, or for an agent's egress
    #[command(after_help = "\
Give the certificate to the shadow alone (SSL_CERT_FILE, REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS, or the trust store of its
image) and the key to the stub alone (stub.ca_key). Whoever has the key can pretend to be any host to whoever trusts the
certificate: never let production trust it.

With --egress it is one for the capture agent, so that the primary's calls with TLS can be recorded: give the certificate to the
primary alone and the key to its agents alone (egress.ca_key). It never replaces the stub's.

Example:
  shadowctl stub ca --certificate ca.pem --key ca-key.pem
  shadowctl stub ca --egress --certificate egress.pem --key egress-key.pem")]
    Ca(CaArgs),
    /// Print the routes that the stub's rules name, for the agent's egress
    #[command(after_help = "\
The agent that records the primary's calls must name and mask paths as the stub does, or no call of the shadow is found to be the
primary's: put what this prints under [egress] of the agent's configuration.

Example:
  shadowctl stub routes stripe.toml mail.toml")]
    Routes(RoutesArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct RoutesArgs {
    /// The stub's files of rules, as in stub.rules
    #[arg(value_name = "RULES", required = true)]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CaArgs {
    /// Where to write the certificate
    #[arg(long, value_name = "FILE", default_value = "ca.pem")]
    certificate: PathBuf,
    /// Where to write the private key; readable for its owner only
    #[arg(long, value_name = "FILE", default_value = "ca-key.pem")]
    key: PathBuf,
    /// For the capture agent instead of the stub
    #[arg(long)]
    egress: bool,
}

pub(crate) fn run(command: StubCommand) -> Result<(), Failure> {
    match command {
        StubCommand::Ca(args) => make(args),
        StubCommand::Routes(RoutesArgs { rules, output }) => output.show(&routes(&rules)?, |routes| in_toml(routes)),
    }
}

/// The routes that these files of rules name, in their order.
fn routes(files: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let mut rules = Rules::none();
    for file in files {
        let refused = |cause: String| {
            Failure::usage(format!("{}: {cause}", file.display()), "name the files that stub.rules of the stub names")
        };
        let text = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
        rules.read(&text).map_err(|error| refused(error.to_string()))?;
    }
    Ok(rules.routes())
}

/// As the section `[egress]` of the agent's configuration takes them.
fn in_toml(routes: &[String]) -> String {
    let lines: String = routes.iter().map(|route| format!("    {route:?},\n")).collect();
    format!("routes = [\n{lines}]")
}

fn make(CaArgs { certificate, key, egress }: CaArgs) -> Result<(), Failure> {
    let ca = if egress { NewCa::for_egress() } else { NewCa::generate() };
    let ca = ca.map_err(Failure::internal)?;
    let (truster, setting) = if egress { ("primary", "egress.ca_key") } else { ("shadow", "stub.ca_key") };
    // The key first: a certificate without its key would be trusted for nothing.
    create(&key, &ca.key, 0o600)?;
    create(&certificate, &ca.certificate, 0o644)?;
    note(&format!(
        "{} is for the {truster}'s trusted authorities, {} for {setting}",
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
        let ask = || run(StubCommand::Ca(CaArgs { certificate: certificate.clone(), key: key.clone(), egress: false }));
        ask().unwrap();
        let made = std::fs::read_to_string(&key).unwrap();
        assert!(shadow_stub::Ca::of_key(&made).is_ok());
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(ask().unwrap_err().cause.contains("key.pem"));
        assert_eq!(std::fs::read_to_string(&key).unwrap(), made);
    }

    #[test]
    fn routes_are_printed_as_the_agents_configuration_takes_them() {
        let stripe = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/stub/stripe.toml");
        let found = routes(&[stripe.into()]).unwrap();
        assert!(found.contains(&"POST /v1/payment_intents/{id}/confirm".to_owned()), "{found:?}");
        let read: toml::Table = in_toml(&found).parse().unwrap();
        let read: Vec<&str> = read["routes"].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
        assert_eq!(read, found);
        shadow_record::RouteTable::parse(&found).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let wrong = folder.path().join("wrong.toml");
        std::fs::write(&wrong, "[[rule]]\nnmae = 1").unwrap();
        let cause = routes(&[stripe.into(), wrong]).unwrap_err().cause;
        assert!(cause.contains("wrong.toml: ") && cause.contains("nmae"), "{cause}");
    }
}
