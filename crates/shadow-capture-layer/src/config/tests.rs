//! One file for an agent and a layer, and what is refused.

use std::collections::BTreeSet;
use std::io::Write as _;

use shadow_capture::Threshold;

use super::*;

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn the_agents_file_is_the_layers_too() {
    let key = file(&"5".repeat(64));
    let text = format!(
        r#"
        [service]
        name = "checkout"
        [listen]
        address = "0.0.0.0:8080"
        [primary]
        url = "http://127.0.0.1:3000"
        [capture]
        body_limit = "1KiB"
        latency_budget = "off"
        [sampling]
        rate = 0.5
        [masking]
        key = {{ file = {:?} }}
        [kafka]
        brokers = "kafka:9092"
        [admin]
        listen = "127.0.0.1:0"
        [log]
        level = "debug"
        "#,
        key.path()
    );
    let config = Config::load(file(&text).path()).unwrap();
    assert_eq!((config.sampling.rate, config.capture.latency_budget), (0.5, Threshold::Off));
    let problems = config.problems();
    assert!(problems.len() == 1 && problems[0].to_string().contains("layer.addresses: is missing"), "{problems:?}");
    assert_eq!(config.address("checkout.internal:3000").problems(), []);
}

#[test]
fn keys_and_sections_that_do_not_exist_are_refused_with_their_place() {
    for (text, hint) in [("[captur]", "capture"), ("[layer]\naddreses = []", "addresses")] {
        let error = Config::load(file(text).path()).unwrap_err().to_string();
        assert!(error.contains(&format!("did you mean `{hint}`?")), "{error}");
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let config = Config { sampling: SamplingConfig { rate: 2.0, ..Default::default() }, ..Config::default() };
    let told = config.address("http://checkout:80/").address("[::1]:3000").problems();
    let keys: Vec<_> = told.iter().map(|problem| problem.place.to_string()).collect();
    assert_eq!(keys, ["service.name", "layer.addresses", "sampling", "masking.key"], "{told:?}");
}

#[test]
fn the_page_names_the_layers_own_keys_and_no_others() {
    let page = include_str!("../../../../docs/layer.md");
    let cell = |line: &'static str| Some(line.strip_prefix("| `layer.")?.split_once('`')?.0);
    let told: BTreeSet<_> = page.lines().filter_map(cell).collect();
    let keys = shadow_runtime::config::keys::<Config>().unwrap();
    assert_eq!(told, keys.iter().filter_map(|key| key.strip_prefix("layer.")).collect());
}
