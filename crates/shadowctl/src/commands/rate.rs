//! `shadowctl rate`: how fast captured traffic is replayed, changed while it runs.

use serde::Serialize;
use shadow_control::{ControlRecord, ControlState, ControlWriter, Rate, ensure_shared_topics};
use shadow_record::{ServiceName, topics};

use super::launch::change;
use crate::failure::Failure;
use crate::kafka::Kafka;
use crate::output::Output;
use crate::table::Table;
use crate::words;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum RateCommand {
    /// Set the rate of a captured topic; every replayer follows within a second
    #[command(after_help = "\
The rate holds for each launch of the topic, over all its replayers.

Examples:
  shadowctl rate set checkout 500/s
  shadowctl rate set shadow.captured.checkout 30/min --why 'candidate is warming up'
  shadowctl rate set checkout unlimited")]
    Set {
        /// The captured topic, or just the service
        #[arg(value_parser = topic)]
        topic: String,
        /// `500/s`, `30/min`, `100/h` or `unlimited`
        rate: Given,
        /// Why, for whoever looks at it later
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Show the rate of one captured topic, or of all
    Show {
        /// The captured topic, or just the service
        #[arg(value_parser = topic)]
        topic: Option<String>,
        #[command(flatten)]
        output: Output,
    },
}

/// A rate as it was typed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Given(Option<f64>);

impl std::str::FromStr for Given {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        words::parse_rate(text).map(Self)
    }
}

/// A captured topic from its name or that of its service.
fn topic(text: &str) -> Result<String, String> {
    let service = text.strip_prefix(topics::CAPTURED_PREFIX).unwrap_or(text);
    match service.parse::<ServiceName>() {
        Ok(service) => Ok(topics::captured(&service)),
        Err(_) => Err("write the service (checkout) or its captured topic (shadow.captured.checkout)".to_owned()),
    }
}

/// The rate of one topic.
#[derive(Debug, Serialize)]
struct Shown {
    topic: String,
    /// Requests per second; `null` for no limit.
    per_second: Option<f64>,
    changed_at: Option<String>,
    by: Option<String>,
    why: Option<String>,
}

impl Shown {
    fn of(state: &ControlState, topic: &str) -> Self {
        let change = state.rate(topic, None).map(|rate| rate.change.clone());
        Self {
            topic: topic.to_owned(),
            per_second: state.rate_of(topic, None),
            changed_at: change.as_ref().map(|change| words::when(change.at)),
            by: change.as_ref().map(|change| change.by.clone()),
            why: change.map(|change| change.why),
        }
    }
}

fn render(shown: &[Shown]) -> String {
    let mut table = Table::new(&["topic", ">rate", "changed", "by", "why"]);
    for rate in shown {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let cells = [text(&rate.changed_at), text(&rate.by), text(&rate.why)];
        let [changed, by, why] = cells;
        table.row([rate.topic.clone(), words::rate(rate.per_second), changed, by, why]);
    }
    table.render()
}

pub(crate) async fn run(kafka: &Kafka, command: RateCommand) -> Result<(), Failure> {
    match command {
        RateCommand::Set { topic, rate: Given(per_second), why, output } => {
            let before = kafka.control().await?;
            ensure_shared_topics(&kafka.admin).await?;
            let rate = Rate { topic: topic.clone(), launch: None, per_second, change: change(why) };
            let version = ControlWriter::new(&kafka.config)?.put(&ControlRecord::Rate(rate.clone())).await?;
            let mut after = before.clone();
            after.rates.insert((topic.clone(), None), rate);
            output.show(&Shown::of(&after, &topic), |shown| {
                let (now, was) = (words::rate(shown.per_second), words::rate(before.rate_of(&topic, None)));
                let mut text = format!("{topic}: {now} for each launch (was {was}; control version {version})");
                if !before.launches.values().any(|launch| topics::captured(&launch.service) == topic) {
                    text.push_str("\nnote: no launch replays this topic yet");
                }
                text
            })
        }
        RateCommand::Show { topic, output } => {
            let state = kafka.control().await?;
            let topics = match topic {
                Some(topic) => vec![topic],
                None => known_topics(kafka, &state).await?,
            };
            let shown: Vec<Shown> = topics.iter().map(|topic| Shown::of(&state, topic)).collect();
            output.show(&shown, |shown| render(shown))
        }
    }
}

/// Captured topics that exist or have a rate.
async fn known_topics(kafka: &Kafka, state: &ControlState) -> Result<Vec<String>, Failure> {
    let captured = kafka.captured_services().await?;
    let captured = captured.iter().map(|service| format!("{}{service}", topics::CAPTURED_PREFIX));
    let mut topics: Vec<String> = captured.chain(state.rates.keys().map(|(topic, _)| topic.clone())).collect();
    topics.sort();
    topics.dedup();
    Ok(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_be_named_by_its_service() {
        assert_eq!(topic("shop").unwrap(), "shadow.captured.shop");
        assert_eq!(topic("shadow.captured.shop").unwrap(), "shadow.captured.shop");
        assert!(topic("shadow.replayed.shop.v2").is_err());
    }
}
