//! `docs/metrics.md` is what the services register: written by this test when asked to, and held to it otherwise.

use std::fmt::Write as _;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::exposition::{Families, Family, parse};
use super::support::{Service, free_port, until};

/// Which makes this test write the page.
const UPDATE: &str = "UPDATE_DOCS";

const HEAD: &str = "# Metrics

Every service shows its metrics on `GET /metrics` of its [admin endpoint](configuration.md#admin), as OpenMetrics text that Prometheus
reads. Dashboards and alerts on them: [observability.md](observability.md).

This page is written from the code, and a test fails when it does not fit: `UPDATE_DOCS=1 cargo test -p shadow-tests --test
observability metrics_page` writes it anew.

Names are those of samples: counters end in `_total`; a histogram `x` has `x_bucket` (with the label `le`), `x_sum` and `x_count`. A
series with labels appears when there is something to count, apart from reasons, which are there from the start in the capture agent and
in masking. Labels are bounded: launches, partitions and fixed lists, never anything out of a request.
";

/// Every family of every service, by the name of the service.
pub(crate) async fn every_service() -> Vec<(&'static str, Families)> {
    vec![
        ("capture-agent", capture_agent().await),
        ("replayer", shown(&replayer::metrics::every_metric())),
        ("comparator", shown(&comparator::metrics::every_metric())),
        ("shadow-stub", shown(&shadow_stub::every_metric())),
    ]
}

/// What a registry shows; every family that is registered must show.
fn shown(registry: &Registry) -> Families {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    let families = parse(&text);
    let registered = format!("{registry:?}");
    for registered in registered.split("Descriptor { name: \"").skip(1).filter_map(|rest| rest.split('"').next()) {
        let name = format!("shadow_{registered}");
        let there = families.keys().any(|known| known.starts_with(&name));
        assert!(there, "{name} is registered, but shows no series: give it one in the service's `every_metric`");
    }
    families
}

/// An agent shows everything from the start, without Kafka and without a primary.
async fn capture_agent() -> Families {
    drop(rustls::crypto::ring::default_provider().install_default());
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("agent.pem"), dir.path().join("agent.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let agent = Service::start(
        "capture-agent",
        &format!(
            "[service]\nname = \"shop\"\n[listen]\naddress = \"127.0.0.1:0\"\ncertificate = {certificate:?}\nkey = {key:?}\n\
             [primary]\nurl = \"https://localhost:{}\"\n[capture]\naccount = {:?}\n[egress]\nlisten = \"127.0.0.1:0\"\n[kafka]\nbrokers = \"127.0.0.1:{}\"\n",
            free_port(),
            dir.path(),
            free_port(),
        ),
    );
    let url = format!("{}/metrics", agent.admin());
    let text = until("the agent's metrics", || async { reqwest::get(&url).await.ok()?.text().await.ok() }).await;
    parse(&text)
}

fn rows(page: &mut String, families: impl IntoIterator<Item = (String, Family)>) {
    page.push_str("\n| Name | Type | Labels | Unit | Meaning |\n|---|---|---|---|---|\n");
    for (name, family) in families {
        let sample = match family.kind.as_str() {
            "histogram" => name.clone(),
            _ => family.samples(&name).remove(0),
        };
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, help) = (&family.kind, family.help.trim_end_matches('.'));
        writeln!(page, "| `{sample}` | {kind} | {} | {} | {help} |", labels.join(", "), Family::unit(&name)).unwrap();
    }
}

/// The page as it should be.
fn page(services: Vec<(&'static str, Families)>) -> String {
    let mut page = HEAD.to_owned();
    let everywhere = |name: &str| services.iter().all(|(_, families)| families.contains_key(name));
    page.push_str("\n## Every service\n");
    let common = services[0].1.iter().filter(|(name, _)| everywhere(name));
    rows(&mut page, common.map(|(name, family)| (name.clone(), family.clone())));
    for (service, families) in &services {
        write!(page, "\n## `{service}`\n").unwrap();
        let own = families.iter().filter(|(name, _)| !everywhere(name));
        rows(&mut page, own.map(|(name, family)| (name.clone(), family.clone())));
    }
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_page_says_what_the_services_register() {
    let services = every_service().await;
    for (service, families) in &services {
        for (name, family) in families {
            assert!(
                name.starts_with("shadow_") && !family.kind.is_empty() && !family.help.is_empty(),
                "{service} {name}"
            );
        }
    }
    let (path, page) = (super::docs().join("metrics.md"), page(services));
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let told = std::fs::read_to_string(&path).unwrap_or_default();
    let stale: Vec<&str> = page.lines().filter(|line| !told.lines().any(|known| known == *line)).collect();
    assert!(told == page, "docs/metrics.md is stale; {UPDATE}=1 writes it anew. It lacks:\n{}", stale.join("\n"));
}
