//! Whether the configurations of agent, replayer and comparator belong together: one masking key, one set of rules, one Kafka, the
//! declared service. Reads files, reaches for no network. Guarantee: no key, nor any part of one, is in a finding.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use shadow_mask::Masker;
use shadow_runtime::{MaskingConfig, ServiceArgs};

use super::finding::Findings;
use super::topology::Topology;

/// Rights that let every user of the host read a file.
const OTHERS: u32 = 0o004;
/// How to make and place a key.
const KEY_REMEDY: &str =
    "make one with `openssl rand -hex 32`, give the same to every agent and replayer, readable by their users only";

/// Judges the files that the topology names; relative paths are relative to `dir`.
pub(crate) fn judge(topology: &Topology, dir: &Path, findings: &mut Findings<'_>) {
    let configs = &topology.configs;
    let agent =
        configs.agent.as_ref().and_then(|path| load::<capture_agent::Config>("agent", dir.join(path), findings));
    let replayer = configs
        .replayer
        .as_ref()
        .and_then(|path| load::<replayer::config::Config>("replayer", dir.join(path), findings));
    let comparator = configs
        .comparator
        .as_ref()
        .and_then(|path| load::<comparator::config::Config>("comparator", dir.join(path), findings));
    if agent.is_none() || replayer.is_none() {
        let both = configs.agent.is_some() && configs.replayer.is_some();
        if !both {
            findings.warn(
                "the masking keys of agent and replayer are not compared",
                "name both files under [configs]: agent = \"agent.toml\", replayer = \"replayer.toml\"",
            );
        }
    }
    if let Some((_, agent)) = &agent {
        let declared = topology.service.to_string();
        match agent.service.name.as_ref().map(ToString::to_string) {
            Some(name) if name != declared => findings.problem(
                format!("the agent captures service {name}, the topology is of {declared}"),
                "name the same service in both",
            ),
            _ => {}
        }
        if agent.primary.url.as_ref().is_some_and(|url| url.origin() != topology.primary.url.origin()) {
            findings.warn(
                "the agent's primary is not the url under [primary]",
                "make sure that the topology is of this agent's production",
            );
        }
    }
    let of_agent = agent.as_ref().and_then(|(path, config)| masker("agent", path, &config.masking, findings));
    let of_replayer = replayer.as_ref().and_then(|(path, config)| masker("replayer", path, &config.masking, findings));
    if let (Some(agent), Some(replayer)) = (of_agent, of_replayer) {
        same_masking(&agent, &replayer, findings);
    }
    let brokers = [
        agent.as_ref().map(|(_, config)| config.kafka.brokers.clone()),
        replayer.as_ref().map(|(_, config)| config.kafka.brokers.clone()),
        comparator.as_ref().map(|(_, config)| config.kafka.brokers.clone()),
    ];
    let mut brokers: Vec<_> = brokers.into_iter().flatten().collect();
    brokers.dedup();
    if brokers.len() > 1 {
        findings.warn(
            format!("the services name different brokers: {}", brokers.join(" / ")),
            "make sure that they are of one cluster",
        );
    }
}

fn same_masking(agent: &Masker, replayer: &Masker, findings: &mut Findings<'_>) {
    if agent.key_id() != replayer.key_id() {
        findings.problem(
            "agent and replayer have different masking keys: no answer would match, and the loop guard could not verify a mark",
            KEY_REMEDY,
        );
    } else if agent.ruleset().version() != replayer.ruleset().version() {
        findings.problem(
            "agent and replayer have different masking rules: what one keeps, the other masks",
            "give both the same masking.rules_file",
        );
    } else {
        findings.ok("agent and replayer have the same masking key and rules");
    }
}

fn load<C: Default + Serialize + DeserializeOwned>(
    service: &str,
    path: PathBuf,
    findings: &mut Findings<'_>,
) -> Option<(PathBuf, C)> {
    let args = ServiceArgs { config: Some(path.clone()), ..ServiceArgs::default() };
    // Without this process's environment, which is not the service's.
    match shadow_runtime::config::load_from(&args, []) {
        Ok(config) => Some((path, config)),
        Err(error) => {
            findings.problem(
                format!("the configuration of the {service} cannot be used: {error}"),
                format!("mend {}, and check it with the service's own --check", path.display()),
            );
            None
        }
    }
}

fn masker(service: &str, path: &Path, masking: &MaskingConfig, findings: &mut Findings<'_>) -> Option<Masker> {
    if masking.key.is_none() {
        findings.warn(
            format!("the masking key of the {service} comes from its environment, so it is not compared"),
            "give it by file: [masking] key = { file = \"...\" }",
        );
        return None;
    }
    if let Some(file) = key_file(path) {
        let readable = std::fs::metadata(&file).is_ok_and(|meta| meta.permissions().mode() & OTHERS != 0);
        if readable {
            findings.problem(
                format!("every user of this host can read the masking key of the {service}, {}", file.display()),
                format!("chmod o-rwx {}; think of the key as known", file.display()),
            );
        }
    }
    match masking.masker() {
        Ok(masker) => Some(masker),
        Err(problems) => {
            let causes: Vec<_> = problems.iter().map(ToString::to_string).collect();
            findings.problem(format!("the masking of the {service} cannot be used: {}", causes.join("; ")), KEY_REMEDY);
            None
        }
    }
}

/// The file that `masking.key` names in the configuration at `path`.
fn key_file(path: &Path) -> Option<PathBuf> {
    let table: toml::Table = std::fs::read_to_string(path).ok()?.parse().ok()?;
    Some(table.get("masking")?.get("key")?.get("file")?.as_str()?.into())
}
