//! StartAt which captured record on a launch replays.

use std::collections::BTreeMap;
use std::str::FromStr;

use shadow_record::{ServiceName, Timestamp, topics};

use crate::failure::Failure;
use crate::kafka::Kafka;
use crate::words;

/// Where a launch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartAt {
    /// With the oldest captured record that is still kept.
    Earliest,
    /// With what is captured from now on.
    Latest,
    /// With what was captured at or after a time.
    At(Timestamp),
}

impl FromStr for StartAt {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            time => words::parse_time(time)
                .map(Self::At)
                .map_err(|_| "write earliest, latest or a time such as 2026-01-31T12:00:00Z".to_owned()),
        }
    }
}

/// The start offset of every partition of the captured topic.
///
/// # Errors
/// When the topic does not exist or Kafka does not answer.
pub(crate) async fn offsets(
    kafka: &Kafka,
    service: &ServiceName,
    from: StartAt,
) -> Result<BTreeMap<i32, i64>, Failure> {
    let topic = topics::captured(service);
    let partitions = kafka.captured_partitions(service).await?;
    if let StartAt::At(time) = from {
        let found = kafka.admin.offsets_at(&topic, time).await?;
        return Ok((0..partitions).zip(found).collect());
    }
    let mut offsets = BTreeMap::new();
    for partition in 0..partitions {
        let (low, high) = kafka.admin.watermarks(&topic, partition).await?;
        offsets.insert(partition, if from == StartAt::Earliest { low } else { high });
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_an_end_of_the_topic_or_a_time() {
        assert_eq!("earliest".parse(), Ok(StartAt::Earliest));
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(StartAt::At(Timestamp(1_000_000))));
        assert!("yesterday".parse::<StartAt>().unwrap_err().contains("2026-01-31T12:00:00Z"));
    }
}
