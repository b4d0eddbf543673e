-- Tables of the comparison. Every table replaces rows of the same identity, so inserting a row again changes nothing; read
-- them with FINAL, or through the views. Statements end with a semicolon at the end of a line and may be run again.

-- One row per captured offset that has an outcome in a launch; its differences are nested in it.
-- The first outcome wins: version falls with the offset of the replayed record, and a row that lacks the primary's side (its
-- captured record was already gone when it was stored again) loses against the same outcome with it.
CREATE TABLE IF NOT EXISTS exchanges
(
    launch LowCardinality(String),
    service LowCardinality(String),
    partition Int32,
    captured_offset Int64,
    replayed_offset Int64 COMMENT 'Offset of the replayed record that decided this row',
    version UInt64,

    request_id Nullable(UUID),
    route LowCardinality(String),
    method LowCardinality(String),
    path String,
    source LowCardinality(String),
    agent LowCardinality(String),
    epoch Int64 COMMENT 'Start of the agent, microseconds since 1970',
    sequence Int64 COMMENT 'Number of the request in the agent''s epoch',

    captured_at DateTime64(6, 'UTC') COMMENT 'Arrival at the agent; the append time where the captured record could not be read',
    appended_at DateTime64(6, 'UTC') COMMENT 'When the broker appended the captured record',
    intended_at Nullable(DateTime64(6, 'UTC')),
    sent_at Nullable(DateTime64(6, 'UTC')),
    staleness_us Nullable(Int64) COMMENT 'Captured to sent',

    primary_status Nullable(UInt16),
    candidate_status Nullable(UInt16),
    primary_error LowCardinality(String) COMMENT 'Why the primary gave no answer',
    primary_first_byte_us Nullable(Int64),
    primary_us Nullable(Int64),
    candidate_first_byte_us Nullable(Int64),
    candidate_us Nullable(Int64),
    primary_body_bytes Nullable(Int64),
    candidate_body_bytes Nullable(Int64),

    outcome LowCardinality(String) COMMENT 'completed, failed, skipped or dead_lettered',
    reason LowCardinality(String) COMMENT 'Failure class, skip reason, or why it was dead-lettered',
    result LowCardinality(String) COMMENT 'Of completed ones: matched, differing, noise, expected, truncated, incomparable, conflict; empty when not compared',
    rules_version LowCardinality(String),
    ruleset LowCardinality(String) COMMENT 'Masking rules of the primary''s side',
    key_id LowCardinality(String),
    candidate_ruleset LowCardinality(String),
    candidate_key_id LowCardinality(String),
    replayer LowCardinality(String),
    attempt Int32,

    differences Nested
    (
        signature String,
        place String,
        kind LowCardinality(String),
        transition String,
        example String,
        primary String,
        candidate String,
        count UInt32
    ),
    differences_omitted UInt32 COMMENT 'Places beyond the bound of listed signatures',
    primary_body String COMMENT 'Masked, of differing exchanges only, cut at the comparator''s bound' CODEC(ZSTD(1)),
    candidate_body String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(captured_at)
ORDER BY (launch, partition, captured_offset)
COMMENT 'One row per captured offset with an outcome';

-- Consecutive captured offsets that a launch did not replay. Reason outcome_lost: neither the captured record nor its outcome
-- could be read any more; the ledger counts these as dead-lettered.
CREATE TABLE IF NOT EXISTS skipped_ranges
(
    launch LowCardinality(String),
    service LowCardinality(String),
    partition Int32,
    first_offset Int64,
    last_offset Int64,
    replayed_offset Int64,
    version UInt64,
    reason LowCardinality(String),
    replayer LowCardinality(String),
    at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (launch, partition, first_offset)
COMMENT 'Captured offsets that were not replayed, as ranges';

-- How far the comparator has come. Everything from start_offset to low_offset is in exchanges or skipped_ranges, exactly once.
CREATE TABLE IF NOT EXISTS watermarks
(
    launch LowCardinality(String),
    service LowCardinality(String),
    partition Int32,
    start_offset Int64,
    low_offset Int64 COMMENT 'Lowest captured offset without a stored outcome',
    high_offset Int64 COMMENT 'Next offset to be captured, when this was written',
    at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (launch, partition)
COMMENT 'Progress of the comparison by partition';

-- The newest heartbeat of every instance and epoch, with its cumulative counters.
CREATE TABLE IF NOT EXISTS instance_status
(
    instance LowCardinality(String),
    role LowCardinality(String),
    service LowCardinality(String),
    launch LowCardinality(String) COMMENT 'Empty for the instance itself',
    epoch Int64,
    sequence Int64,
    at DateTime64(6, 'UTC'),
    state LowCardinality(String),
    control_version Int64,
    heard_at Nullable(DateTime64(6, 'UTC')),
    last_send_at Nullable(DateTime64(6, 'UTC')),
    counters Map(String, Int64)
)
ENGINE = ReplacingMergeTree(sequence)
ORDER BY (role, service, instance, launch, epoch)
COMMENT 'Newest heartbeat by instance and epoch';

-- Records that could not be read, by where they stood.
CREATE TABLE IF NOT EXISTS dead_letters
(
    topic LowCardinality(String),
    partition Int32,
    offset Int64,
    reason LowCardinality(String),
    detail String,
    bytes String CODEC(ZSTD(1)),
    instance LowCardinality(String),
    at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (topic, partition, offset)
COMMENT 'Records that could not be read';

-- Launches as the control topic last told them.
CREATE TABLE IF NOT EXISTS launches
(
    launch LowCardinality(String),
    service LowCardinality(String),
    candidate String,
    status LowCardinality(String),
    sample Float64,
    changed_by String,
    changed_why String,
    changed_at DateTime64(6, 'UTC'),
    control_version Int64
)
ENGINE = ReplacingMergeTree(control_version)
ORDER BY launch
COMMENT 'Launches as last changed';
