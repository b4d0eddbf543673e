//! Kubernetes' resources among themselves: what one names, another has.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::{VALIDATOR, kubernetes, python, root};

/// Prints every document as JSON, with the name of its file.
const DUMP: &str = r#"
import json, os, sys, yaml
print(json.dumps([[os.path.basename(p), d] for p in sys.argv[1:] for d in yaml.safe_load_all(open(p))]))
"#;

const SERVICES: [&str; 4] = ["capture-agent", "replayer", "comparator", "shadow-stub"];
/// What the resources of the primary's Deployment belong to; all others are in `shadowline`.
const SIDECAR: &str = "sidecar.yaml";
const ADMIN: u64 = 9464;

/// A resource and its file.
struct Resource {
    file: String,
    body: Value,
}

/// A resource that makes pods: its labels and what is in the pod.
struct Pod<'a> {
    file: &'a str,
    name: &'a str,
    labels: &'a Value,
    spec: &'a Value,
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn resources() -> Option<Vec<Resource>> {
    let python = python::python_with(VALIDATOR)?;
    let files = kubernetes(&["kustomization.yaml"]);
    let output = Command::new(python).arg("-c").arg(DUMP).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let documents: Vec<(String, Value)> = serde_json::from_slice(&output.stdout).unwrap();
    Some(documents.into_iter().map(|(file, body)| Resource { file, body }).collect())
}

impl Resource {
    fn kind(&self) -> &str {
        self.body["kind"].as_str().unwrap()
    }

    fn name(&self) -> &str {
        self.body["metadata"]["name"].as_str().unwrap()
    }

    fn pod(&self) -> Option<Pod<'_>> {
        let template = &self.body["spec"]["template"];
        let made = template.is_object();
        made.then(|| Pod {
            file: &self.file,
            name: self.name(),
            labels: &template["metadata"]["labels"],
            spec: &template["spec"],
        })
    }
}

impl Pod<'_> {
    fn containers(&self) -> &[Value] {
        list(&self.spec["containers"])
    }

    /// What a selector of Kubernetes says of it.
    fn is_selected_by(&self, selector: &Value) -> bool {
        let has = |key: &str, values: &[Value]| values.contains(&self.labels[key]);
        let labels = selector["matchLabels"].as_object().into_iter().flatten();
        let all = labels.into_iter().all(|(key, value)| has(key, std::slice::from_ref(value)));
        all && list(&selector["matchExpressions"]).iter().all(|expression| {
            assert_eq!(expression["operator"], "In");
            has(expression["key"].as_str().unwrap(), list(&expression["values"]))
        })
    }

    /// The kind and name of what a volume holds.
    fn volume(&self, name: &Value) -> Option<(&'static str, &str)> {
        let volume = list(&self.spec["volumes"]).iter().find(|volume| volume["name"] == *name)?;
        let secret = volume["secret"]["secretName"].as_str().map(|name| ("secret", name));
        secret.or_else(|| volume["configMap"]["name"].as_str().map(|name| ("config map", name)))
    }
}

fn env<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    list(&container["env"]).iter().find(|entry| entry["name"] == name)
}

/// What all of Shadowline's pods get.
fn settings() -> BTreeMap<String, String> {
    let text = text("docs/examples/kubernetes/settings.env");
    text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

/// A setting of the container's own, or of all.
fn setting(container: &Value, name: &str) -> Option<String> {
    let own = env(container, name).and_then(|entry| entry["value"].as_str()).map(str::to_owned);
    own.or_else(|| list(&container["envFrom"]).iter().any(|_| true).then(|| settings().remove(name)).flatten())
}

/// The secrets of the page, their keys and namespaces.
fn secrets() -> BTreeMap<String, (Vec<String>, Vec<String>)> {
    let page = text("docs/integrations.md");
    let rows = page.split_once("| Secret | Keys | Namespace |").unwrap().1.lines().skip(2);
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    rows.map_while(|row| {
        let mut cells = row.strip_prefix('|')?.split('|').map(quoted);
        let (name, keys) = (cells.next()?.remove(0), cells.next()?);
        Some((name, (keys, cells.next()?)))
    })
    .collect()
}

/// What the kustomization generates: config maps and the keys that are files.
fn config_maps() -> BTreeMap<String, Vec<String>> {
    let text = text("docs/examples/kubernetes/kustomization.yaml");
    let generated = text.split_once("configMapGenerator:").unwrap().1.split("labels:").next().unwrap();
    let maps = generated.split("- name: ").skip(1).map(|map| {
        let (name, rest) = map.split_once('\n').unwrap();
        let files = rest.split_once("files: [").map_or("", |(_, files)| files.split(']').next().unwrap());
        (name.to_owned(), files.split(", ").map(str::to_owned).collect())
    });
    maps.collect()
}

#[test]
fn every_service_can_be_scraped_under_the_name_that_alerts_ask_for() {
    let Some(resources) = resources() else { return };
    let pods: Vec<Pod<'_>> = resources.iter().filter_map(Resource::pod).collect();
    let (alerts, scrape) = (text("docs/observability/alerts.yml"), text("docs/examples/kubernetes/prometheus.yml"));
    let jobs = scrape.split_once("regex: Running;(").unwrap().1.split_once(");admin").unwrap().0;
    assert_eq!(jobs.split('|').collect::<BTreeSet<_>>(), BTreeSet::from(SERVICES));
    let mut seen = BTreeSet::new();
    for pod in &pods {
        for container in pod.containers() {
            let (name, image) = (container["name"].as_str().unwrap(), container["image"].as_str().unwrap_or_default());
            let Some(service) = SERVICES.into_iter().find(|s| image.contains(&format!("/{s}:"))) else { continue };
            seen.insert(service);
            assert_eq!(name, service, "the job is the container's name");
            assert!(
                alerts.contains(&format!("job=\"{service}\"")) || alerts.contains(service),
                "no alert on {service}"
            );
            let port = list(&container["ports"]).iter().find(|port| port["name"] == "admin");
            assert_eq!(port.map(|port| &port["containerPort"]), Some(&Value::from(ADMIN)), "{name}");
            let listen = setting(container, "SHADOW_ADMIN_LISTEN");
            assert_eq!(listen, Some(format!("0.0.0.0:{ADMIN}")), "{name}: the image's own is loopback");
            let token = env(container, "SHADOW_ADMIN_TOKEN").map(|entry| &entry["valueFrom"]["secretKeyRef"]["name"]);
            assert_eq!(token, Some(&Value::from("admin")), "{name}");
            let let_in = |resource: &Resource| {
                let spec = &resource.body["spec"];
                let ports = list(&spec["ingress"]).iter().flat_map(|rule| list(&rule["ports"]));
                let open = ports.into_iter().any(|port| port["port"] == ADMIN);
                resource.kind() == "NetworkPolicy" && open && pod.is_selected_by(&spec["podSelector"])
            };
            assert!(pod.file == SIDECAR || resources.iter().any(let_in), "no policy lets Prometheus in at {name}");
        }
    }
    assert_eq!(seen, BTreeSet::from(SERVICES));
    assert!(
        resources.iter().all(|r| !r.body.to_string().contains("prometheus.io/")),
        "annotations come without the token"
    );
}

#[test]
fn whoever_is_dark_reaches_the_stub_and_nothing_else() {
    let Some(resources) = resources() else { return };
    let pods: Vec<Pod<'_>> = resources.iter().filter_map(Resource::pod).filter(|pod| pod.file != SIDECAR).collect();
    let policies: Vec<&Value> =
        resources.iter().filter(|r| r.kind() == "NetworkPolicy").map(|r| &r.body["spec"]).collect();
    for policy in &policies {
        let rules = list(&policy["ingress"]).iter().flat_map(|rule| list(&rule["from"]));
        let rules = rules.chain(list(&policy["egress"]).iter().flat_map(|rule| list(&rule["to"])));
        let here = rules.filter(|peer| peer["namespaceSelector"].is_null()).map(|peer| &peer["podSelector"]);
        for selector in here.chain([&policy["podSelector"]]) {
            assert!(pods.iter().any(|pod| pod.is_selected_by(selector)), "{selector} selects nothing");
        }
    }
    let mut dark = BTreeSet::new();
    for pod in &pods {
        let ours = pod.containers().iter().all(|c| c["image"].as_str().unwrap().starts_with("shadowline/"));
        let of = |direction: &str, rules: &str| {
            let of_pod = policies.iter().filter(|policy| pod.is_selected_by(&policy["podSelector"]));
            let of_pod: Vec<&&Value> =
                of_pod.filter(|p| list(&p["policyTypes"]).iter().any(|t| t == direction)).collect();
            assert!(!of_pod.is_empty() || direction == "Egress", "{} may be reached by anybody", pod.name);
            (!of_pod.is_empty()).then(|| of_pod.into_iter().flat_map(|policy| list(&policy[rules])).collect::<Vec<_>>())
        };
        of("Ingress", "ingress");
        if ours {
            continue;
        }
        dark.insert(pod.name);
        let (ingress, egress) = (of("Ingress", "ingress").unwrap(), of("Egress", "egress").expect("nothing holds it"));
        for (rule, key) in
            ingress.into_iter().map(|rule| (rule, "from")).chain(egress.into_iter().map(|rule| (rule, "to")))
        {
            for peer in list(&rule[key]) {
                let names: Vec<&str> =
                    pods.iter().filter(|p| p.is_selected_by(&peer["podSelector"])).map(|p| p.name).collect();
                let dns = peer["podSelector"]["matchLabels"]["k8s-app"] == "kube-dns";
                let other = if key == "to" { "stub" } else { "replayer" };
                assert!((dns && key == "to") || names == [other], "{}: {peer}", pod.name);
            }
            assert!(!list(&rule[key]).is_empty() && !list(&rule["ports"]).is_empty(), "{}: {rule}", pod.name);
        }
    }
    assert_eq!(dark, BTreeSet::from(["candidate", "control", "isolation-check"]));
    let replayer = pods.iter().find(|pod| pod.name == "replayer").unwrap();
    let allowed = setting(&replayer.containers()[0], "SHADOW_REPLAY_ALLOW");
    assert_eq!(allowed.as_deref(), Some("candidate,control"), "and nobody else is sent anything");
    for service in resources.iter().filter(|resource| resource.kind() == "Service") {
        let selector = serde_json::json!({"matchLabels": service.body["spec"]["selector"]});
        let pod = pods.iter().find(|pod| pod.is_selected_by(&selector)).expect("a Service of nothing");
        let mut ports = pod.containers().iter().flat_map(|container| list(&container["ports"]));
        let port = &service.body["spec"]["ports"][0]["targetPort"];
        assert!(ports.any(|offered| offered["name"] == *port), "{}: {port}", service.name());
    }
}

#[test]
fn every_secret_file_and_user_that_is_named_is_there() {
    let Some(resources) = resources() else { return };
    let (secrets, maps, mut used) = (secrets(), config_maps(), BTreeSet::new());
    let users = text("docs/examples/security/clickhouse-users.sql") + &text("docs/examples/security/kafka-acls.conf");
    for pod in resources.iter().filter_map(|resource| resource.pod()) {
        let namespace = if pod.file == SIDECAR { "shop" } else { "shadowline" };
        let mut take = |secret: &str, key: &str| {
            let (keys, namespaces) = secrets.get(secret).unwrap_or_else(|| panic!("{}: secret {secret}", pod.name));
            assert!(keys.contains(&key.to_owned()), "{}: {secret} has no {key}", pod.name);
            assert!(namespaces.contains(&namespace.to_owned()), "{}: {secret} is not in {namespace}", pod.name);
            used.insert((secret.to_owned(), key.to_owned()));
        };
        for container in pod.containers() {
            for entry in list(&container["env"]) {
                let from = &entry["valueFrom"]["secretKeyRef"];
                from["name"].as_str().into_iter().for_each(|name| take(name, from["key"].as_str().unwrap()));
                let name = entry["name"].as_str().unwrap();
                let user = entry["value"].as_str().filter(|_| name.ends_with("_USER"));
                assert!(
                    user.is_none_or(|user| users.contains(&format!("{user} "))),
                    "{}: nobody makes {user:?}",
                    pod.name
                );
            }
            for from in list(&container["envFrom"]) {
                assert!(maps.contains_key(from["configMapRef"]["name"].as_str().unwrap()), "{}: {from}", pod.name);
            }
            // A file that a setting names, and that the container will open.
            let own = list(&container["env"]).iter().filter_map(|entry| entry["value"].as_str().map(str::to_owned));
            let whose = |what: &str| env(container, &format!("SHADOW_{what}_USER")).is_some();
            let of_all = ["KAFKA", "CLICKHOUSE"].into_iter().filter(|what| whose(what));
            let of_all = of_all.map(|what| setting(container, &format!("SHADOW_{what}_CA")).expect("TLS is on"));
            for value in own.chain(of_all) {
                for path in value.split('"').filter(|part| part.starts_with("/etc/")) {
                    let mounts = list(&container["volumeMounts"]).iter();
                    let mut mounts =
                        mounts.filter_map(|mount| Some((path.strip_prefix(mount["mountPath"].as_str()?)?, mount)));
                    let (file, mount) = mounts.next().unwrap_or_else(|| panic!("{}: {path} is not mounted", pod.name));
                    let file = file.trim_start_matches('/');
                    match pod.volume(&mount["name"]) {
                        Some(("secret", name)) => take(name, file),
                        Some((_, name)) => assert!(maps[name].contains(&file.to_owned()), "{}: {path}", pod.name),
                        None => panic!("{}: {path} is in no volume", pod.name),
                    }
                }
            }
        }
    }
    let told: BTreeSet<(String, String)> =
        secrets.iter().flat_map(|(name, (keys, _))| keys.iter().map(|key| (name.clone(), key.clone()))).collect();
    assert_eq!(used, told, "secrets that are used, and those of docs/integrations.md");
    for part in ["KAFKA_BROKERS=", "CLICKHOUSE_URL=https://"] {
        assert!(text("docs/examples/kubernetes/settings.env").contains(part), "{part}");
    }
}

#[test]
fn the_pod_of_the_primary_is_ready_when_the_primary_is() {
    let Some(resources) = resources() else { return };
    let patch = resources.iter().find(|resource| resource.file == SIDECAR).unwrap();
    let pod = patch.pod().unwrap();
    let ports = pod.containers().iter().flat_map(|container| list(&container["ports"]));
    let names: Vec<&str> = ports.map(|port| port["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["primary", "http", "admin"], "the agent takes `http` over");
    for container in pod.containers() {
        for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
            let port = &container[probe]["httpGet"]["port"];
            let own = list(&container["ports"]).iter().any(|offered| offered["name"] == *port);
            assert!(port.is_null() || own, "{probe} of {}: no port {port} of its own", container["name"]);
        }
    }
    let agent = pod.containers().iter().find(|container| container["name"] == "capture-agent").unwrap();
    let probe = &agent["readinessProbe"]["httpGet"];
    assert_eq!(probe["port"], "http", "through the agent to the primary, not to its admin endpoint");
    assert!(agent["livenessProbe"].is_null(), "nothing of the agent's own ends connections of production");
    let excluded = setting(agent, "SHADOW_SAMPLING_EXCLUDE").unwrap();
    assert!(excluded.contains(&format!("GET {}", probe["path"].as_str().unwrap())), "{excluded}");
    let listen = setting(agent, "SHADOW_LISTEN_ADDRESS").unwrap();
    assert!(listen.ends_with(&format!(":{}", agent["ports"][0]["containerPort"])), "{listen}");
    let account = list(&pod.spec["volumes"]).iter().find(|volume| volume["name"] == "account").unwrap();
    assert_eq!(account["emptyDir"]["medium"], "Memory", "docs/operations.md says so");
}

#[test]
fn commands_name_what_is_there() {
    let Some(resources) = resources() else { return };
    let folder = root().join("docs/examples/kubernetes");
    let mut texts: Vec<String> = ["docs/integrations.md", "docs/growing.md"].map(text).to_vec();
    texts.extend(kubernetes(&[]).iter().map(|path| std::fs::read_to_string(path).unwrap()));
    let (mut commands, mut named) = (0, 0);
    for command in texts.iter().flat_map(|text| text.lines()).flat_map(|line| line.split("kubectl ").skip(1)) {
        let command = command.split(['`', ';', '&']).next().unwrap().trim();
        let words: Vec<&str> = command.split_whitespace().collect();
        commands += 1;
        assert!(!words.contains(&"replace"), "names of config maps are generated: {command}");
        for pair in words.windows(2) {
            match pair {
                ["-f", file] => assert!(folder.join(file).exists(), "{command}"),
                ["-k", place] => assert!(*place == "." || root().join(place).exists(), "{command}"),
                _ => {}
            }
        }
        let slashed = words.iter().filter_map(|word| word.split_once('/'));
        let apart = words.windows(2).filter(|pair| pair[0] == "job").map(|pair| (pair[0], pair[1]));
        for (kind, name) in slashed.chain(apart).filter(|(kind, _)| ["deploy", "deployment", "job"].contains(kind)) {
            let there = |r: &&Resource| r.kind().to_lowercase().starts_with(kind) && r.name() == name;
            assert!(resources.iter().any(|resource| there(&resource)), "{command}: no {kind} {name}");
            assert!(command.contains("-n shadowline"), "{command}: in which namespace?");
            named += 1;
        }
    }
    assert!(commands > 8 && named > 5, "{commands} commands, {named} names");
}
