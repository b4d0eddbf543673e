-- Side effects: what the versions asked of others while they served a request.

-- How the outbound calls of an exchange compare. Their differences stand in `differences` with those of the answers, under places that begin
-- with `effects`.
ALTER TABLE exchanges ADD COLUMN IF NOT EXISTS effects_result LowCardinality(String) COMMENT 'Of the candidate''s outbound calls: matched, differing, expected, incomparable; empty when there was nothing to compare' AFTER result_without_differences,
    ADD COLUMN IF NOT EXISTS effects_reason LowCardinality(String) COMMENT 'Why they are incomparable: not_recorded (not all of the primary''s are known), uncorrelated (calls that may belong here did not tell), forgotten (more effects than the comparator holds), too_many, unseen (bodies that cannot be looked at)' AFTER effects_result,
    ADD COLUMN IF NOT EXISTS primary_effects UInt16 COMMENT 'Outbound calls of the primary' AFTER effects_reason,
    ADD COLUMN IF NOT EXISTS candidate_effects UInt16 COMMENT 'Outbound calls of the candidate for this outcome''s send; those of other sends of the same request do not count' AFTER primary_effects,
    ADD COLUMN IF NOT EXISTS control_effects UInt16 COMMENT 'Outbound calls of the control' AFTER candidate_effects,
    ADD COLUMN IF NOT EXISTS send Nullable(Int64) COMMENT 'Number of the send that this outcome is of; effects carry it too' AFTER attempt,
    ADD COLUMN IF NOT EXISTS alone UInt8 COMMENT 'No other request of the launch was under way between its send and its last byte: calls at that time can only be its own' AFTER send;

-- One row per outbound call, as it was recorded. It replaces a row of the same call, so storing it again changes nothing; of a record
-- that its publisher sent twice, not knowing that the first arrived, the first one stays.
CREATE TABLE IF NOT EXISTS effects
(
    service LowCardinality(String),
    side LowCardinality(String) COMMENT 'primary, candidate or control',
    launch LowCardinality(String) COMMENT 'Empty for the primary, and where it is not known',
    request_id Nullable(UUID) COMMENT 'Null where the call did not tell',
    instance LowCardinality(String) COMMENT 'The stub, or the capture agent',
    epoch Int64,
    sequence Int64 COMMENT 'Number of the call in the instance''s epoch',
    at DateTime64(6, 'UTC') COMMENT 'When the call was complete',
    appended_at DateTime64(6, 'UTC') COMMENT 'When the broker appended the record',
    total_us Int64,
    attempt Int32,
    send Nullable(Int64) COMMENT 'Which send of the request it belongs to, as in exchanges',
    correlated_by LowCardinality(String),
    trace_id String,
    destination LowCardinality(String),
    method LowCardinality(String),
    route LowCardinality(String),
    path String,
    query String,
    content_type LowCardinality(String),
    body String COMMENT 'Masked, cut at the comparator''s bound' CODEC(ZSTD(1)),
    body_bytes Int64 COMMENT 'Of the original',
    idempotency_key String COMMENT 'Masked; equal calls with the same one are one intent',
    rule LowCardinality(String),
    decision LowCardinality(String),
    fault LowCardinality(String),
    status Nullable(UInt16) COMMENT 'Of the answer; null when there was none',
    answer String COMMENT 'Masked, cut at the comparator''s bound' CODEC(ZSTD(1)),
    ruleset LowCardinality(String),
    key_id LowCardinality(String),
    version UInt64 COMMENT 'Falls with appended_at',
    INDEX of_request request_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(at)
ORDER BY (service, side, launch, instance, epoch, sequence)
COMMENT 'Outbound calls of all versions';
