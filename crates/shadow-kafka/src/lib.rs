//! Sole owner of the Kafka client: producers, group consumers, topics.
