//! The manifests that users copy: Kubernetes' resources fit its schemas, and every setting in them, in docker-compose.yml and in .env.example is
//! one that the service has. What the resources name of each other is there (`manifests/cluster.rs`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "why something was skipped is worth reading")]

#[path = "manifests/cluster.rs"]
mod cluster;
#[path = "../support/python.rs"]
mod python;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use shadow_runtime::config::keys;

const VALIDATOR: &str = "kubernetes-validate==1.37.0";

/// Prints, for each container with an image of Shadowline, the image's name and its settings.
const SETTINGS: &str = r#"
import sys, yaml
def containers(node):
    if isinstance(node, dict):
        if isinstance(node.get("image"), str): yield node
        for value in node.values(): yield from containers(value)
    elif isinstance(node, list):
        for value in node: yield from containers(value)
for path in sys.argv[1:]:
    for document in yaml.safe_load_all(open(path)):
        for container in containers(document):
            env = container.get("environment") or container.get("env") or []
            names = [e["name"] if isinstance(e, dict) else e.split("=")[0] for e in env] if isinstance(env, list) else list(env)
            image = container["image"].split("/")[-1].split(":")[0]
            for name in names: print(image, name)
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// How the environment may spell a service's keys.
fn variables(keys: Vec<String>) -> BTreeSet<String> {
    let names = keys.iter().map(|key| format!("SHADOW_{}", key.replace('.', "_").to_uppercase()));
    names.flat_map(|name| [format!("{name}_FILE"), name]).collect()
}

fn known() -> BTreeMap<&'static str, BTreeSet<String>> {
    BTreeMap::from([
        ("capture-agent", variables(keys::<capture_agent::Config>().unwrap())),
        ("replayer", variables(keys::<replayer::config::Config>().unwrap())),
        ("comparator", variables(keys::<comparator::config::Config>().unwrap())),
        ("shadow-stub", variables(keys::<shadow_stub::config::Config>().unwrap())),
    ])
}

fn kubernetes(except: &[&str]) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(root().join("docs/examples/kubernetes")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let is_resource = |path: &PathBuf| {
        path.extension().is_some_and(|kind| kind == "yaml") && !except.iter().any(|name| path.ends_with(name))
    };
    let paths: Vec<PathBuf> = paths.filter(is_resource).collect();
    assert!(paths.len() > 5, "{paths:?}");
    paths
}

#[test]
fn kubernetes_takes_every_resource() {
    let Some(python) = python::python_with(VALIDATOR) else { return };
    let validate = python.with_file_name("kubernetes-validate");
    let output = Command::new(&validate).args(["--strict"]).args(kubernetes(&["kustomization.yaml"])).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    // It succeeds with nothing to do, too.
    assert!(told.matches("passed").count() >= 16, "{told}");
}

#[test]
fn the_kustomization_names_every_file() {
    let text = std::fs::read_to_string(root().join("docs/examples/kubernetes/kustomization.yaml")).unwrap();
    for path in kubernetes(&["kustomization.yaml", "sidecar.yaml", "isolation-check.yaml"]) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(text.contains(&format!("- {name}\n")), "{name} is not in the kustomization");
    }
}

#[test]
fn every_setting_of_the_manifests_exists() {
    let Some(python) = python::python_with(VALIDATOR) else { return };
    let mut files = kubernetes(&["kustomization.yaml"]);
    files.push(root().join("docker-compose.yml"));
    let output = Command::new(python).arg("-c").arg(SETTINGS).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (known, mut seen) = (known(), BTreeSet::new());
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (image, name) = line.split_once(' ').unwrap();
        let Some(variables) = known.get(image) else { continue };
        assert!(variables.contains(name), "{image} has no setting {name}");
        seen.insert(image.to_owned());
    }
    assert_eq!(seen.len(), known.len(), "{seen:?}");

    // What all of them get must be known to each that has such a section: an unknown key of a known section is refused.
    let text = std::fs::read_to_string(root().join("docs/examples/kubernetes/settings.env")).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert!(names.len() > 3, "{names:?}");
    for (service, variables) in &known {
        for name in &names {
            let section = name.splitn(3, '_').take(2).collect::<Vec<_>>().join("_") + "_";
            let has_section = variables.iter().any(|variable| variable.starts_with(&section));
            assert!(!has_section || variables.contains(*name), "{service} has no setting {name}");
        }
        assert!(names.iter().any(|name| variables.contains(*name)), "{service} gets nothing");
    }
}

#[test]
fn the_example_environment_sets_what_compose_asks_for_and_nothing_else() {
    let compose = ["docker-compose.yml", "docker-compose.kafka-port.yml"]
        .map(|file| std::fs::read_to_string(root().join(file)).unwrap())
        .concat();
    let asked: BTreeSet<&str> = compose
        .split("${")
        .skip(1)
        .filter_map(|rest| rest.split([':', '}', '-']).next())
        .filter(|name| name.starts_with("SHADOW_"))
        .collect();
    let example = std::fs::read_to_string(root().join(".env.example")).unwrap();
    let offered: BTreeSet<&str> = example
        .lines()
        .filter_map(|line| line.trim_start_matches('#').split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("SHADOW_") && !name.contains(' '))
        .collect();
    assert_eq!(asked, offered);
}
