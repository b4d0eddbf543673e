-- What a row says since replay has an order, protects the shadow and changes requests.

ALTER TABLE exchanges ADD COLUMN IF NOT EXISTS session String COMMENT 'First 16 digits of the HMAC of the session; empty when the request belongs to none' AFTER attempt,
    ADD COLUMN IF NOT EXISTS held_by LowCardinality(String) COMMENT 'What made the request leave later than it was meant to: session, concurrency or breaker; empty when nothing did. Leave these out of what is said about latency' AFTER session,
    ADD COLUMN IF NOT EXISTS rewritten Array(LowCardinality(String)) COMMENT 'What in the request is not what was captured, by the name of the rule: identity:, learned:, dry_run' AFTER held_by;
