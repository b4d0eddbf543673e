//! The shipped alerts: their expressions and runbooks; and what Prometheus' own tool says of rules, configuration and rule tests.

use std::path::PathBuf;
use std::process::Command;

use super::dashboards::{self, Query};
use super::promql::used;
use super::{docs, shipped};

const RULES: &str = "alerts.yml";
const GRAFANA: &str = "grafana/provisioning/alerting/ledger.yml";

/// The values of `key` in a file that has one key a line.
fn values(text: &str, key: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.trim_start_matches([' ', '-']));
    let values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    values.map(|value| value.trim_matches('"').to_owned()).collect()
}

/// Every expression of an alert.
pub(crate) fn promql() -> Vec<Query> {
    let text = shipped(RULES);
    let (names, expressions) = (values(&text, "alert"), values(&text, "expr"));
    assert_eq!(names.len(), expressions.len());
    let query = |(place, text)| Query { place, text, series: false };
    names.into_iter().zip(expressions).map(query).collect()
}

/// Every query of an alert of Grafana's.
pub(crate) fn sql() -> Vec<Query> {
    let text = shipped(GRAFANA);
    let (names, queries) = (values(&text, "title"), values(&text, "rawSql"));
    assert_eq!(names.len(), queries.len());
    let query = |(place, text)| Query { place, text, series: false };
    names.into_iter().zip(queries).map(query).collect()
}

#[test]
fn every_alert_has_a_runbook_that_is_there_and_is_on_the_page() {
    let page = std::fs::read_to_string(docs().join("operations.md")).unwrap();
    let anchor = |heading: &str| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-');
        heading.chars().filter(kept).collect::<String>().trim().to_lowercase().replace(' ', "-")
    };
    let anchors: Vec<String> = page.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    let told = std::fs::read_to_string(docs().join("observability.md")).unwrap();
    for (file, name) in [(RULES, "alert"), (GRAFANA, "title")] {
        let text = shipped(file);
        let (names, runbooks) = (values(&text, name), values(&text, "runbook"));
        assert!(!names.is_empty() && names.len() == runbooks.len(), "{file}: each alert has one runbook");
        for (name, runbook) in names.iter().zip(&runbooks) {
            let there = runbook.strip_prefix("docs/operations.md#").is_some_and(|to| anchors.contains(&to.to_owned()));
            assert!(there, "{name}: {runbook}");
            assert!(told.contains(&format!("`{name}`")), "docs/observability.md does not tell of {name}");
        }
    }
}

#[test]
fn every_alert_is_shown_to_fire() {
    let tests = shipped("alerts.test.yml");
    for query in promql() {
        assert!(tests.contains(&format!("alertname=\"{}\"", query.place)), "no test lets {} fire", query.place);
    }
}

/// Prometheus' own tool. Debian's package `prometheus` has it; in CI it must be there.
pub(crate) fn promtool(args: &[&str]) {
    let folder: PathBuf = docs().join("observability");
    let output = match Command::new("promtool").args(args).current_dir(&folder).output() {
        Ok(output) => output,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "promtool: {error}; install Debian's package `prometheus`");
            return;
        }
    };
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {args:?}\n{said}");
}

#[test]
fn prometheus_accepts_the_configuration_and_the_rules_and_each_alert_fires_when_it_should() {
    promtool(&["check", "config", "--syntax-only", "prometheus.yml"]);
    promtool(&["check", "rules", RULES]);
    promtool(&["test", "rules", "alerts.test.yml"]);
}

#[test]
fn prometheus_accepts_every_expression_of_the_dashboards() {
    let mut rules = "groups:\n  - name: panels\n    rules:\n".to_owned();
    for (number, query) in dashboards::promql().iter().enumerate() {
        assert!(!used(&query.text).selected.is_empty(), "{query:?} selects nothing");
        let expression = query.text.replace("$__rate_interval", "5m").replace('\'', "''");
        rules.push_str(&format!("      - {{record: 'panel_{number}', expr: '{expression}'}}\n"));
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("panels.yml");
    std::fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}
