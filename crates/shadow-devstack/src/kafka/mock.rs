//! librdkafka's mock broker as a stand-in for Apache Kafka.

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};

use super::topics::Quiet;
use crate::DevstackError;

/// A mock cluster of one broker. It lives in a producer's handle, which, unlike the cluster's own, may cross threads.
pub(crate) struct MockBroker {
    owner: BaseProducer<Quiet>,
    brokers: String,
}

impl MockBroker {
    pub(crate) fn start() -> Result<Self, DevstackError> {
        let owner: BaseProducer<Quiet> =
            ClientConfig::new().set("test.mock.num.brokers", "1").set("log_level", "0").create_with_context(Quiet)?;
        let brokers = owner.client().mock_cluster().map(|cluster| cluster.bootstrap_servers());
        let brokers = brokers.expect("a client configured with mock brokers has a mock cluster");
        Ok(Self { owner, brokers })
    }

    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    pub(crate) fn create_topic(&self, name: &str, partitions: i32) -> Result<(), DevstackError> {
        let cluster = self.owner.client().mock_cluster();
        let cluster = cluster.expect("a client configured with mock brokers has a mock cluster");
        cluster
            .create_topic(name, partitions, 1)
            .map_err(|error| DevstackError::Topic { name: name.to_owned(), reason: error.to_string() })
    }
}
