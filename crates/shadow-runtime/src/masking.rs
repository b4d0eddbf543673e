//! The section `[masking]`. Agents and replayers of a service need the same one, or equal values get different tokens; so they
//! read the same one. Beside it, what their maskers count.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use shadow_mask::{MaskKey, Masker, Ruleset};
use shadow_record::RouteTable;

use crate::{Problem, Secret};

/// The section `[masking]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskingConfig {
    /// The masking key, at least 32 bytes. Required.
    pub key: Option<Secret>,
    /// The key before it, while the key is being changed.
    pub previous_key: Option<Secret>,
    /// File with the masking rules (TOML); the built-in ones when absent.
    pub rules_file: Option<PathBuf>,
    /// Route templates such as `GET /orders/{id}`, first match wins.
    pub routes: Vec<String>,
}

impl MaskingConfig {
    /// The masker that this section describes.
    ///
    /// # Errors
    /// Every problem with it.
    pub fn masker(&self) -> Result<Masker, Vec<Problem>> {
        match (self.parsed_key(), self.parsed_previous_key(), self.parsed_rules(), self.parsed_routes()) {
            (Ok(key), Ok(previous), Ok(rules), Ok(routes)) => {
                let masker = Masker::new(key, rules, routes);
                Ok(match previous {
                    Some(previous) => masker.recognising(&previous),
                    None => masker,
                })
            }
            (key, previous, rules, routes) => {
                Err([key.err(), previous.err(), rules.err(), routes.err()].into_iter().flatten().collect())
            }
        }
    }

    fn parsed_key(&self) -> Result<MaskKey, Problem> {
        let remedy = "make one with `openssl rand -hex 32`, give it to every agent and replayer of the service, and write \
                      masking.key = { file = \"...\" }";
        let key = self.key.as_ref().ok_or_else(|| Problem::key("masking.key", "is missing", remedy))?;
        MaskKey::parse(key.expose()).map_err(|error| Problem::key("masking.key", error.to_string(), remedy))
    }

    fn parsed_previous_key(&self) -> Result<Option<MaskKey>, Problem> {
        const NAME: &str = "masking.previous_key";
        let Some(previous) = &self.previous_key else { return Ok(None) };
        let previous = MaskKey::parse(previous.expose())
            .map_err(|error| Problem::key(NAME, error.to_string(), "give the key that was used before, or none"))?;
        match self.parsed_key() {
            Ok(key) if key.key_id() == previous.key_id() => {
                Err(Problem::key(NAME, "is masking.key itself", "give the key that was used before, or none"))
            }
            _ => Ok(Some(previous)),
        }
    }

    fn parsed_rules(&self) -> Result<Ruleset, Problem> {
        let Some(path) = &self.rules_file else { return Ok(Ruleset::default()) };
        let problem = |cause: String| Problem::key("masking.rules_file", cause, "mend the file or leave the key out");
        let text = std::fs::read_to_string(path)
            .map_err(|error| problem(format!("`{}` cannot be read: {error}", path.display())))?;
        Ruleset::parse(&text).map_err(|error| problem(error.to_string()))
    }

    fn parsed_routes(&self) -> Result<RouteTable, Problem> {
        RouteTable::parse(&self.routes)
            .map_err(|error| Problem::key("masking.routes", error.to_string(), "write it as `GET /orders/{id}`"))
    }
}

/// The same as in the counters of heartbeats: `mask_refused_<reason>` and `mask_forged`, where they are not 0.
pub fn masking_counters(masker: &Masker) -> impl Iterator<Item = (String, i64)> {
    let refused = masker.refused().map(|(reason, count)| (format!("mask_refused_{}", reason.as_str()), count));
    let counts = refused.chain([("mask_forged".to_owned(), masker.forged())]);
    counts.filter(|(_, count)| *count > 0).map(|(name, count)| (name, i64::try_from(count).unwrap_or(i64::MAX)))
}

/// What `/metrics` shows of a masker: read from it when asked for.
#[derive(Debug)]
pub struct MaskingMetrics(Arc<Masker>);

impl MaskingMetrics {
    /// Adds them to a registry.
    pub fn register(masker: Arc<Masker>, registry: &mut Registry) {
        registry.register_collector(Box::new(Self(masker)));
    }
}

impl Collector for MaskingMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help = "Bodies of which only length and digest leave, as they could not be masked";
        let mut refused = encoder.encode_descriptor("mask_refused", help, None, MetricType::Counter)?;
        for (reason, count) in self.0.refused() {
            ConstCounter::new(count).encode(refused.encode_family(&[("reason", reason.as_str())])?)?;
        }
        let help = "Values dressed as tokens whose tag does not verify; they were masked";
        ConstCounter::new(self.0.forged()).encode(encoder.encode_descriptor(
            "mask_forged",
            help,
            None,
            MetricType::Counter,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(key: &str, previous: Option<&str>) -> MaskingConfig {
        let secret = |text: &str| Secret::new(text.repeat(32));
        MaskingConfig { key: Some(secret(key)), previous_key: previous.map(secret), ..MaskingConfig::default() }
    }

    #[test]
    fn a_masker_recognises_the_tokens_and_marks_of_the_previous_key() {
        let before = section("a", None).masker().unwrap();
        let token = before.value("alice@example.org");
        let (after, stranger) = (section("b", Some("a")).masker().unwrap(), section("b", None).masker().unwrap());
        assert_eq!(after.value(&token), token);
        assert_ne!(stranger.value(&token), token);
        assert_eq!(after.value("alice@example.org"), stranger.value("alice@example.org"));
        assert_eq!((after.key_id(), before.key_id() == after.key_id()), (stranger.key_id(), false));
        let believed = |masker: &Masker| masker.mark_signers().any(|sign| sign(b"mark") == before.mark_tag(b"mark"));
        assert!(believed(&after) && !believed(&stranger));
    }

    #[test]
    fn a_previous_key_that_is_short_or_the_key_itself_is_refused() {
        for (previous, cause) in [("a".repeat(32), "is masking.key itself"), ("short".to_owned(), "32 bytes")] {
            let config = MaskingConfig { previous_key: Some(Secret::new(previous)), ..section("a", None) };
            let problems: Vec<_> = config.masker().unwrap_err().iter().map(ToString::to_string).collect();
            assert!(
                matches!(&problems[..], [only] if only.contains("previous_key") && only.contains(cause)),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn what_was_refused_and_forged_is_shown_with_its_reason() {
        let masker = Arc::new(section("a", None).masker().unwrap());
        let headers = [("content-type", "application/json")].into_iter();
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let body = shadow_mask::RawBody::Whole(b"{".as_slice().into());
        masker.response("GET", "/", shadow_mask::RawResponse { status: 200, headers, body });
        masker.value("msk_forged");
        let told: Vec<_> = masking_counters(&masker).collect();
        assert_eq!(told, [("mask_refused_json".to_owned(), 1), ("mask_forged".to_owned(), 1)]);
        let mut registry = Registry::default();
        MaskingMetrics::register(masker, &mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in
            ["mask_refused_total{reason=\"json\"} 1", "mask_refused_total{reason=\"xml\"} 0", "mask_forged_total 1"]
        {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
