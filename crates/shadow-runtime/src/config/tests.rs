use std::collections::BTreeMap;
use std::io::Write as _;

use serde::Deserialize;

use super::*;
use crate::admin::AdminConfig;
use crate::units::{ByteSize, HumanDuration};
use crate::{Instance, Secret};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    kafka: Kafka,
    replay: Replay,
    masking: Masking,
    log: LogConfig,
    admin: AdminConfig,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Kafka {
    brokers: String,
    properties: BTreeMap<String, String>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self { brokers: "127.0.0.1:9092".to_owned(), properties: BTreeMap::new() }
    }
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Replay {
    instance: Instance,
    target: Option<String>,
    max_in_flight: u16,
    sample: f64,
    allow: Vec<String>,
    ports: Vec<u16>,
    timeout: HumanDuration,
    body: ByteSize,
    dry: bool,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Masking {
    key: Option<Secret>,
    rule: Vec<Rule>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rule {
    path: String,
    action: String,
}

fn file(toml: &str) -> (tempfile::NamedTempFile, ServiceArgs) {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    let args = ServiceArgs { config: Some(file.path().to_owned()), ..ServiceArgs::default() };
    (file, args)
}

fn load(args: &ServiceArgs, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load_from(args, environment.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))))
}

fn set(assignments: &[&str]) -> ServiceArgs {
    ServiceArgs { set: assignments.iter().map(|&s| s.to_owned()).collect(), ..ServiceArgs::default() }
}

fn refusal(args: &ServiceArgs, environment: &[(&str, &str)]) -> String {
    load(args, environment).unwrap_err().to_string()
}

#[test]
fn without_any_layer_the_defaults_hold() {
    assert_eq!(load(&ServiceArgs::default(), &[]).unwrap(), Config::default());
}

#[test]
fn the_environment_outranks_the_file_and_flags_outrank_both() {
    let (_file, mut args) = file("[kafka]\nbrokers = 'file:1'\n[replay]\nmax_in_flight = 1\nsample = 0.5\n");
    let environment = [("SHADOW_KAFKA_BROKERS", "env:1,env:2"), ("SHADOW_REPLAY_MAX_IN_FLIGHT", "2")];
    let config = load(&args, &environment).unwrap();
    assert_eq!((config.kafka.brokers.as_str(), config.replay.max_in_flight), ("env:1,env:2", 2));
    args.set = vec!["replay.max_in_flight=3".to_owned()];
    let config = load(&args, &environment).unwrap();
    assert_eq!((config.replay.max_in_flight, config.replay.sample), (3, 0.5));
}

#[test]
fn text_becomes_whatever_type_the_key_has() {
    let args = set(&[
        "replay.target=http://127.0.0.1:1",
        "replay.sample=1",
        "replay.allow=a:1, b:2",
        "replay.ports=[1, 2]",
        "replay.timeout=250ms",
        "replay.body=256KiB",
        "replay.dry=true",
        "kafka.properties={ 'client.id' = 'x' }",
        "log.format=json",
        "masking.rule=[{ path = '/a', action = 'keep' }]",
    ]);
    let config = load(&args, &[("SHADOW_REPLAY_INSTANCE", "7")]).unwrap();
    assert_eq!(config.replay.instance.as_str(), "7");
    assert_eq!(config.replay.target.as_deref(), Some("http://127.0.0.1:1"));
    assert_eq!((config.replay.sample, config.replay.dry), (1.0, true));
    assert_eq!(config.replay.allow, ["a:1", "b:2"]);
    assert_eq!(config.replay.ports, [1, 2]);
    assert_eq!((config.replay.timeout, config.replay.body), (HumanDuration::from_millis(250), ByteSize::kib(256)));
    assert_eq!(config.kafka.properties["client.id"], "x");
    assert_eq!(config.masking.rule[0].path, "/a");
}

#[test]
fn a_list_of_one_word_needs_no_brackets() {
    let config = load(&set(&["replay.allow=a:1", "replay.ports=[7]"]), &[]).unwrap();
    assert_eq!((config.replay.allow.as_slice(), config.replay.ports.as_slice()), (&["a:1".to_owned()][..], &[7][..]));
}

#[test]
fn an_unknown_key_in_the_file_is_refused_at_its_line_with_the_likely_one() {
    let (file, args) = file("[kafka]\nbrokers = 'a:1'\n\n[replay]\n  max_in_fligth = 3\n");
    let error = refusal(&args, &[]);
    let place = format!("{}:5:3", file.path().display());
    assert_eq!(error, format!("{place}: unknown key `max_in_fligth`; did you mean `max_in_flight`?"));
}

#[test]
fn an_unknown_section_or_nested_key_in_the_file_is_refused() {
    let (_file, args) = file("[kafak]\nbrokers = 'a:1'\n");
    assert!(refusal(&args, &[]).contains(":1:2: unknown key `kafak`; did you mean `kafka`?"));
    let (_file, args) = file("[[masking.rule]]\npath = '/a'\nreason = 'x'\n");
    assert!(refusal(&args, &[]).contains(":3:1: unknown key `reason`; known here: path, action"));
}

#[test]
fn a_file_that_is_not_toml_or_not_there_says_so_and_quotes_no_line() {
    let (_file, args) = file("[kafka]\nbrokers = hunter2 oops\n");
    let error = refusal(&args, &[]);
    assert!(error.contains(":2:") && error.contains("not TOML") && !error.contains("hunter2"), "{error}");
    let missing = ServiceArgs { config: Some("/nonexistent/x.toml".into()), ..ServiceArgs::default() };
    let error = refusal(&missing, &[]);
    assert!(error.starts_with("/nonexistent/x.toml: cannot be read") && error.contains("--config"), "{error}");
}

#[test]
fn a_wrong_type_in_the_file_is_shown_at_its_line() {
    let (_file, args) = file("[replay]\ntimeout = '3 weeks'\n");
    let error = refusal(&args, &[]);
    assert!(error.contains(":2:11: `3 weeks` is not a duration"), "{error}");
}

#[test]
fn an_unknown_environment_key_in_a_known_section_is_refused() {
    let error = refusal(&ServiceArgs::default(), &[("SHADOW_KAFKA_BROKRES", "a:1")]);
    assert_eq!(error, "environment SHADOW_KAFKA_BROKRES: unknown key `brokres`; did you mean `brokers`?");
    let error = refusal(&ServiceArgs::default(), &[("SHADOW_KAFKA_SERVICE_HOST", "10.0.0.1")]);
    assert!(error.contains("enableServiceLinks: false"), "{error}");
}

#[test]
fn variables_of_other_sections_and_empty_ones_are_ignored() {
    let others =
        [("SHADOW_CLICKHOUSE_URL", "x"), ("SHADOW_CONFIG", "y"), ("SHADOWY", "z"), ("SHADOW_KAFKA_BROKERS", "")];
    assert_eq!(load(&ServiceArgs::default(), &others).unwrap(), Config::default());
}

#[test]
fn every_wrong_override_is_reported_at_once_with_its_name() {
    let args = set(&["replay.max_in_flight=many", "replay", "nosuch.key=1"]);
    let error = load(&args, &[("SHADOW_REPLAY_SAMPLE", "often")]).unwrap_err();
    assert_eq!(error.problems().len(), 4, "{error}");
    let lines = error.to_string();
    for expected in [
        "environment SHADOW_REPLAY_SAMPLE: invalid type",
        "--set replay.max_in_flight: invalid type",
        "--set replay: is not an assignment; write --set section.key=value",
        "--set nosuch.key: unknown key `nosuch`",
    ] {
        assert!(lines.contains(expected), "{expected} not in:\n{lines}");
    }
}

#[test]
fn a_secret_comes_from_the_environment_or_a_file_and_never_from_a_flag() {
    let config = load(&ServiceArgs::default(), &[("SHADOW_MASKING_KEY", "hunter2")]).unwrap();
    assert_eq!(config.masking.key.unwrap().expose(), "hunter2");

    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "from-a-file\n").unwrap();
    let path = secret.path().to_str().unwrap();
    let config = load(&ServiceArgs::default(), &[("SHADOW_MASKING_KEY_FILE", path)]).unwrap();
    assert_eq!(config.masking.key.unwrap().expose(), "from-a-file");
    let config = load(&set(&[&format!("masking.key_file={path}")]), &[]).unwrap();
    assert_eq!(config.masking.key.unwrap().expose(), "from-a-file");

    let error = refusal(&set(&["masking.key=hunter2"]), &[]);
    assert!(error.contains("command line") && error.contains("key_file") && !error.contains("hunter2"), "{error}");
    let error = refusal(&ServiceArgs::default(), &[("SHADOW_MASKING_KEY_FILE", "/nonexistent/key")]);
    assert!(error.contains("`/nonexistent/key` cannot be read"), "{error}");
}

#[test]
fn a_secret_in_the_file_is_refused_at_its_line_without_being_repeated() {
    let (_file, args) = file("[masking]\nkey = 'hunter2'\n");
    let error = refusal(&args, &[]);
    assert!(error.contains(":2:7: a secret must not stand") && !error.contains("hunter2"), "{error}");
}

#[test]
fn neither_debug_nor_the_shown_configuration_holds_a_secret() {
    let properties = "{ 'sasl.password' = 'hunter2', 'ssl.key.location' = '/etc/key', 'sasl.username' = 'ann' }";
    let args = set(&["replay.target=http://ann:hunter2@host:1/x?y@z", &format!("kafka.properties={properties}")]);
    let config = load(&args, &[("SHADOW_MASKING_KEY", "hunter2")]).unwrap();
    assert!(!format!("{:?}", config.masking).contains("hunter2"));
    let shown = redacted(&config);
    assert!(!shown.to_string().contains("hunter2"), "{shown}");
    assert_eq!(shown["masking"]["key"], "***");
    assert_eq!(shown["kafka"]["properties"]["sasl.password"], "***");
    assert_eq!(shown["kafka"]["properties"]["ssl.key.location"], "/etc/key");
    assert_eq!(shown["replay"]["target"], "http://***@host:1/x?y@z");
}

#[test]
fn a_value_of_the_wrong_type_under_a_private_name_is_not_repeated() {
    let error = refusal(&ServiceArgs::default(), &[("SHADOW_ADMIN_TOKEN_FILE", "/nonexistent/hunter2")]);
    assert!(error.contains("cannot be read"), "{error}");
}

#[test]
fn the_keys_of_a_configuration_are_known_without_a_list() {
    let keys = keys::<Config>().unwrap();
    for key in ["kafka.brokers", "replay.max_in_flight", "masking.key", "admin.listen", "admin.token", "log.level"] {
        assert!(keys.iter().any(|known| known == key), "{key} not in {keys:?}");
    }
}
