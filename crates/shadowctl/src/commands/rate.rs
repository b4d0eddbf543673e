//! `shadowctl rate`: how fast captured traffic is replayed, changed while it runs.

use serde::Serialize;
use shadow_control::{ControlRecord, ControlState, ControlWriter, Rate, ensure_shared_topics};
use shadow_record::{LaunchName, ServiceName, topics};

use super::launch::{change, refuse_ended};
use crate::failure::Failure;
use crate::kafka::{Kafka, launch_of};
use crate::output::Output;
use crate::table::Table;
use crate::words;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum RateCommand {
    /// Set the rate of a captured topic, or of one launch of it; every replayer follows within a second
    #[command(after_help = "\
The rate of a topic holds for each of its launches that has none of its own, over all replayers of that launch.

Examples:
  shadowctl rate set checkout 500/s
  shadowctl rate set checkout 50/s --launch checkout-v2
  shadowctl rate set shadow.captured.checkout 30/min --why 'candidate is warming up'
  shadowctl rate set checkout unlimited")]
    Set {
        #[command(flatten)]
        of: Of,
        /// `500/s`, `30/min`, `100/h` or `unlimited`
        rate: Given,
        #[command(flatten)]
        how: How,
    },
    /// Take a rate away: a launch follows its topic's again, a topic has no limit again
    #[command(after_help = "\
Examples:
  shadowctl rate unset checkout --launch checkout-v2
  shadowctl rate unset checkout")]
    Unset {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        how: How,
    },
    /// Show the rate of one captured topic, or of all, and of their launches
    Show {
        /// The captured topic, or just the service
        #[arg(value_parser = topic)]
        topic: Option<String>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Of {
    /// The captured topic, or just the service
    #[arg(value_parser = topic)]
    topic: String,
    /// Only of this launch of the topic
    #[arg(long, value_name = "LAUNCH")]
    launch: Option<LaunchName>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct How {
    /// Why, for whoever looks at it later
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    output: Output,
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

/// Where the rate that holds comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// The launch has its own.
    Launch,
    /// The topic has one.
    Topic,
    /// Nobody set one: no limit.
    Default,
}

impl Origin {
    /// Of the rate that holds for `launch`, or for the topic.
    pub(crate) fn of(state: &ControlState, topic: &str, launch: Option<&LaunchName>) -> Self {
        match state.rate(topic, launch) {
            Some(rate) if rate.launch.is_some() => Self::Launch,
            Some(_) => Self::Topic,
            None => Self::Default,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Launch => "its own",
            Self::Topic => "the topic's",
            Self::Default => "none set",
        }
    }
}

/// The rate of one topic, or of one launch of it.
#[derive(Debug, Serialize)]
struct Shown {
    topic: String,
    /// `null` for each launch that has none of its own.
    launch: Option<LaunchName>,
    /// Requests per second; `null` for no limit.
    per_second: Option<f64>,
    origin: Origin,
    changed_at: Option<String>,
    by: Option<String>,
    why: Option<String>,
}

impl Shown {
    fn of(state: &ControlState, topic: &str, launch: Option<&LaunchName>) -> Self {
        let change = state.rate(topic, launch).map(|rate| rate.change.clone());
        Self {
            topic: topic.to_owned(),
            launch: launch.cloned(),
            per_second: state.rate_of(topic, launch),
            origin: Origin::of(state, topic, launch),
            changed_at: change.as_ref().map(|change| words::when(change.at)),
            by: change.as_ref().map(|change| change.by.clone()),
            why: change.map(|change| change.why),
        }
    }
}

/// The topic's rate, then that of each of its launches.
fn of_topic(state: &ControlState, topic: &str) -> Vec<Shown> {
    let launches = state.launches.values().filter(|launch| topics::captured(&launch.service) == topic);
    let each = launches.map(|launch| Shown::of(state, topic, Some(&launch.name)));
    std::iter::once(Shown::of(state, topic, None)).chain(each).collect()
}

fn render(shown: &[Shown]) -> String {
    let mut table = Table::new(&["topic", "launch", ">rate", "origin", "changed", "by", "why"]);
    for rate in shown {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let cells = [text(&rate.changed_at), text(&rate.by), text(&rate.why)];
        let [changed, by, why] = cells;
        let launch = rate.launch.as_ref().map(LaunchName::to_string).unwrap_or_default();
        let origin = if rate.launch.is_some() { rate.origin.words() } else { "" };
        table.row([rate.topic.clone(), launch, words::rate(rate.per_second), origin.to_owned(), changed, by, why]);
    }
    table.render()
}

pub(crate) async fn run(kafka: &Kafka, command: RateCommand) -> Result<(), Failure> {
    match command {
        RateCommand::Set { of, rate: Given(per_second), how } => set(kafka, of, per_second, how).await,
        RateCommand::Unset { of, how } => unset(kafka, of, how).await,
        RateCommand::Show { topic, output } => {
            let state = kafka.control().await?;
            let topics = match topic {
                Some(topic) => vec![topic],
                None => known_topics(kafka, &state).await?,
            };
            let shown: Vec<Shown> = topics.iter().flat_map(|topic| of_topic(&state, topic)).collect();
            output.show(&shown, |shown| render(shown))
        }
    }
}

async fn set(kafka: &Kafka, of: Of, per_second: Option<f64>, how: How) -> Result<(), Failure> {
    let before = kafka.control().await?;
    let Of { topic, launch } = of;
    check(&before, &topic, launch.as_ref())?;
    known(kafka, &before, &topic).await?;
    ensure_shared_topics(&kafka.admin).await?;
    let rate = Rate { topic: topic.clone(), launch: launch.clone(), per_second, change: change(how.why) };
    let version = ControlWriter::new(&kafka.config)?.put(&ControlRecord::Rate(rate.clone())).await?;
    let mut after = before.clone();
    after.rates.insert((topic.clone(), launch.clone()), rate);
    say(&before, &after, version, &topic, launch.as_ref(), how.output)
}

async fn unset(kafka: &Kafka, of: Of, how: How) -> Result<(), Failure> {
    let before = kafka.control().await?;
    let Of { topic, launch } = of;
    let Some(rate) = before.rates.get(&(topic.clone(), launch.clone())) else {
        let subject = launch.map_or(format!("topic {topic}"), |launch| format!("launch {launch} on {topic}"));
        return Err(Failure::negative(
            format!("{subject} has no rate of its own"),
            "`shadowctl rate show` tells which are set",
        ));
    };
    // A deletion has no room for who and why: they stand in the record before it.
    let last_word = ControlRecord::Rate(Rate { change: change(how.why), ..rate.clone() });
    let writer = ControlWriter::new(&kafka.config)?;
    writer.put(&last_word).await?;
    let version = writer.delete(&last_word.key()).await?;
    let mut after = before.clone();
    after.rates.remove(&(topic.clone(), launch.clone()));
    say(&before, &after, version, &topic, launch.as_ref(), how.output)
}

/// # Errors
/// When the launch does not replay the topic, or no longer does.
fn check(state: &ControlState, topic: &str, launch: Option<&LaunchName>) -> Result<(), Failure> {
    let Some(name) = launch else { return Ok(()) };
    let launch = launch_of(state, name)?;
    refuse_ended(launch, "an ended launch sends nothing")?;
    let its = topics::captured(&launch.service);
    if its == topic {
        return Ok(());
    }
    Err(Failure::negative(
        format!("launch {name} replays {its}, not {topic}"),
        format!("`shadowctl rate set {} ... --launch {name}`", launch.service),
    ))
}

/// A rate of a topic that nobody captures or replays is a misspelt one, and somebody believes that traffic was cut.
///
/// # Errors
/// When there is neither the topic nor a launch of it, naming the services that were captured.
async fn known(kafka: &Kafka, state: &ControlState, topic: &str) -> Result<(), Failure> {
    let replayed = state.launches.values().any(|launch| topics::captured(&launch.service) == topic);
    match topic.strip_prefix(topics::CAPTURED_PREFIX).map(str::parse::<ServiceName>) {
        Some(Ok(service)) if !replayed => kafka.captured_partitions(&service).await.map(drop),
        _ => Ok(()),
    }
}

fn say(
    before: &ControlState,
    after: &ControlState,
    version: i64,
    topic: &str,
    launch: Option<&LaunchName>,
    output: Output,
) -> Result<(), Failure> {
    output.show(&Shown::of(after, topic, launch), |shown| {
        let (now, was) = (words::rate(shown.per_second), words::rate(before.rate_of(topic, launch)));
        let subject = match launch {
            Some(launch) => format!("{now} for launch {launch}, {}", shown.origin.words()),
            None => format!("{now} for each launch"),
        };
        let mut text = format!("{topic}: {subject} (was {was}; control version {version})");
        let launches: Vec<_> = after.launches.values().filter(|l| topics::captured(&l.service) == topic).collect();
        if launches.is_empty() {
            text.push_str("\nnote: no launch replays this topic yet");
        }
        let own = launches.iter().filter(|l| Origin::of(after, topic, Some(&l.name)) == Origin::Launch);
        let own: Vec<&str> = own.map(|l| l.name.as_str()).collect();
        if launch.is_none() && !own.is_empty() {
            text.push_str(&format!("\nnote: not for {}, with a rate of its own", own.join(", ")));
        }
        text
    })
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
