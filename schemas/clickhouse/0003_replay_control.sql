-- What a row says since replay has an order, protects the shadow and changes requests.

ALTER TABLE exchanges ADD COLUMN IF NOT EXISTS session String COMMENT 'First 16 digits of the HMAC of the session; empty when the request belongs to none' AFTER attempt,
    ADD COLUMN IF NOT EXISTS held_by LowCardinality(String) COMMENT 'What made the request leave later than it was meant to: session, concurrency or breaker; empty when nothing did. Leave these out of what is said about latency' AFTER session,
    ADD COLUMN IF NOT EXISTS rewritten Array(LowCardinality(String)) COMMENT 'What in the request is not what was captured, by the name of the rule: identity:, learned:, dry_run' AFTER held_by;

-- Evidence that the kill switch works: one row per member and pull of the switch. Times are milliseconds from the beginning of
-- the command, at most; below 0 is before it.
CREATE TABLE IF NOT EXISTS drills
(
    drill Int64 COMMENT 'When the drill began, microseconds since 1970',
    trial UInt32 COMMENT 'Number of the pull in its drill, from 1',
    at DateTime64(6, 'UTC') COMMENT 'When the switch was pulled',
    by String COMMENT 'Who drilled',
    why String,
    launch LowCardinality(String),
    instance LowCardinality(String),
    control_version Int64 COMMENT 'Offset of the control record that paused',
    answered LowCardinality(String) COMMENT 'confirmed, stopped or silent',
    silence LowCardinality(String) COMMENT 'proved by a later heartbeat, broken, or unproved',
    appended_ms Float64 COMMENT 'Until the record was known to stand',
    heard_ms Nullable(Float64) COMMENT 'Until the member had read it',
    acknowledged_ms Nullable(Float64) COMMENT 'Until the broker had the heartbeat that confirms',
    last_send_ms Nullable(Float64) COMMENT 'Until the last request left',
    last_send_after_heard_ms Nullable(Float64) COMMENT 'From hearing to the last request, by the clock of the member',
    candidate_before Nullable(UInt64) COMMENT 'The count of the candidate itself at the begin of the hold',
    candidate_after Nullable(UInt64) COMMENT 'The same at its end'
)
ENGINE = ReplacingMergeTree
ORDER BY (launch, drill, trial, instance);

-- Every record of the control topic since comparators follow it, deletions too: who changed what, when and why. The topic itself keeps the
-- newest record of each key only. Identity is where the record stood (and when, should the topic ever be created anew).
CREATE TABLE IF NOT EXISTS control_changes
(
    version Int64 COMMENT 'Control version that the record made: its offset',
    at DateTime64(6, 'UTC') COMMENT 'When the broker appended it',
    key String,
    kind LowCardinality(String) COMMENT 'launch, rate, pause or upstream',
    subject String COMMENT 'The key without its kind: a launch, a topic, an instance, all',
    launch String COMMENT 'The launch it is about; empty when it is about more than one',
    by String COMMENT 'Person, instance or ramp; empty for a deletion, whose author stands in the record of the key before it',
    why String,
    deleted UInt8,
    value String COMMENT 'The record as JSON; empty for a deletion and for what is no control record' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (at, version)
COMMENT 'History of the control topic';
