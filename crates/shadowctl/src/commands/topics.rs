//! `shadowctl topics`: creates Kafka's topics before anybody writes to them. Safe to run again. Services create what they need
//! themselves when it is not there; a deployment whose services may not create topics, or that settles partition counts in one
//! place, does it with this.

use serde::Serialize;
use shadow_control::ensure_shared_topics;
use shadow_kafka::{KafkaError, TopicSpec};
use shadow_record::{ServiceName, topics};

use crate::failure::Failure;
use crate::kafka::Kafka;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum TopicsCommand {
    /// Create what is missing: the shared topics, and those of captured traffic and of effects of each service
    Apply {
        /// A service; repeatable
        #[arg(long = "service", value_name = "NAME", required = true)]
        services: Vec<ServiceName>,
        /// Partitions of captured traffic and of effects, for ever; agents and stubs must be told the same
        #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(i32).range(1..=10_000))]
        partitions: i32,
        #[command(flatten)]
        output: Output,
    },
}

pub(crate) async fn run(kafka: &Kafka, command: TopicsCommand) -> Result<(), Failure> {
    let TopicsCommand::Apply { services, partitions, output } = command;
    output.show(&apply(kafka, &services, partitions).await?, Applied::render)
}

/// What there is now.
#[derive(Debug, Serialize)]
struct Applied {
    topics: Vec<String>,
    partitions: i32,
}

impl Applied {
    fn render(&self) -> String {
        format!("topics with {} partitions are there: {}", self.partitions, self.topics.join(", "))
    }
}

async fn apply(kafka: &Kafka, services: &[ServiceName], partitions: i32) -> Result<Applied, Failure> {
    ensure_shared_topics(&kafka.admin).await?;
    let mut applied = Applied { topics: Vec::new(), partitions };
    for topic in services.iter().flat_map(|service| [topics::captured(service), topics::effects(service)]) {
        kafka.admin.ensure_topic(&TopicSpec::deleting(&topic, partitions)).await.map_err(refused)?;
        applied.topics.push(topic);
    }
    Ok(applied)
}

/// A partition count that is another one is the caller's to correct: no topic changes.
fn refused(error: KafkaError) -> Failure {
    match error {
        KafkaError::PartitionCount { found, .. } => Failure::negative(
            error.to_string(),
            format!("give --partitions {found}; more partitions need a new service name, or the topic deleted"),
        ),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lists_the_topics_that_are_there() {
        let topics = vec!["shadow.captured.shop".to_owned(), "shadow.effects.shop".to_owned()];
        let said = Applied { topics, partitions: 3 }.render();
        assert_eq!(said, "topics with 3 partitions are there: shadow.captured.shop, shadow.effects.shop");
    }

    #[test]
    fn another_partition_count_is_refused_with_the_count_that_would_do() {
        let error = KafkaError::PartitionCount { topic: "shadow.captured.shop".to_owned(), found: 4, wanted: 12 };
        let failure = refused(error);
        assert!(failure.remedy.contains("--partitions 4"), "{failure:?}");
        assert!(failure.cause.contains("shadow.captured.shop"), "{failure:?}");
    }
}
