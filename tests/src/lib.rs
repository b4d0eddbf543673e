//! End-to-end tests on Apache Kafka and ClickHouse.
