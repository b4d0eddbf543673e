//! Kafka and ClickHouse without Docker, for the demo, the tests and the benchmarks.
