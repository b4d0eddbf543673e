-- What a row says since there are control legs, expected changes and measures; and what people decided about noise.
--
-- The control is a second copy of the live build that answers a sample of the requests at the same moment as the candidate. What
-- its answers differ in from the primary's is how noise is known.

ALTER TABLE exchanges ADD COLUMN IF NOT EXISTS result_without_differences LowCardinality(String) COMMENT 'What the result would be without the differences: matched, truncated or incomparable' AFTER result,
    ADD COLUMN IF NOT EXISTS rules_used Array(UInt16) COMMENT 'Indices of the rules that decided something in this exchange, in either comparison' AFTER rules_version,
    ADD COLUMN IF NOT EXISTS differences.expected Array(String) COMMENT 'Name of the expected change that covers the difference, or empty' AFTER `differences.count`,
    ADD COLUMN IF NOT EXISTS primary_class String COMMENT 'Class that the primary''s answer names, by the launch''s measure rules' AFTER differences_omitted,
    ADD COLUMN IF NOT EXISTS candidate_class String AFTER primary_class,
    ADD COLUMN IF NOT EXISTS score_difference Nullable(Float64) COMMENT 'How far the two scores lie apart, never negative' AFTER candidate_class,
    ADD COLUMN IF NOT EXISTS control_sent_at Nullable(DateTime64(6, 'UTC')) COMMENT 'Empty when the request was not sent to a control' AFTER score_difference,
    ADD COLUMN IF NOT EXISTS control_status Nullable(UInt16) AFTER control_sent_at,
    ADD COLUMN IF NOT EXISTS control_error LowCardinality(String) COMMENT 'Why the control gave no answer: a failure class, or empty' AFTER control_status,
    ADD COLUMN IF NOT EXISTS control_first_byte_us Nullable(Int64) AFTER control_error,
    ADD COLUMN IF NOT EXISTS control_us Nullable(Int64) AFTER control_first_byte_us,
    ADD COLUMN IF NOT EXISTS control_result LowCardinality(String) COMMENT 'Primary against control: matched, differing, expected, truncated, incomparable or failed; empty without a control or without comparison' AFTER control_us,
    ADD COLUMN IF NOT EXISTS control Nested(signature String, place String, kind LowCardinality(String), transition String) COMMENT 'Where the control''s answer differs from the primary''s' AFTER control_result,
    ADD COLUMN IF NOT EXISTS control_differences_omitted UInt32 COMMENT 'Places of the control beyond the bound of listed signatures' AFTER `control.transition`,
    ADD COLUMN IF NOT EXISTS attributes Map(LowCardinality(String), String) COMMENT 'Of the masked request, for drivers: query:, path:, header: and body: names with their values, content_length as a class' AFTER control_differences_omitted;

ALTER TABLE launches ADD COLUMN IF NOT EXISTS control String COMMENT 'URL of the control; empty without one',
    ADD COLUMN IF NOT EXISTS control_sample Float64 COMMENT 'Share of the sent requests that go to the control too; 0 without one',
    ADD COLUMN IF NOT EXISTS gates String COMMENT 'Gates as TOML; empty for the default ones',
    ADD COLUMN IF NOT EXISTS rules String COMMENT 'Comparison rules as TOML; empty for the default ones';

-- What was learnt or decided about noise, by signature. The newest overruling entry of a signature that has not expired wins over any
-- evidence; the newest frozen one holds where a launch has not enough evidence of its own. Only shadowctl writes here.
CREATE TABLE IF NOT EXISTS noise_profiles
(
    service LowCardinality(String),
    version UInt64 COMMENT 'Counts up for each service, with every freeze and every overruling',
    signature String,
    route LowCardinality(String),
    place String,
    kind LowCardinality(String),
    transition String,
    origin LowCardinality(String) COMMENT 'frozen: a launch''s evidence; overruled: by hand',
    decision LowCardinality(String) COMMENT 'noise or fault; live takes an overruling back',
    launch LowCardinality(String) COMMENT 'Where it was learnt or decided',
    pairs UInt64 COMMENT 'Evidence at that time, as in the view noise',
    control_differing UInt64,
    candidate_differing UInt64,
    by String,
    why String,
    learnt_at DateTime64(6, 'UTC'),
    expires_at DateTime64(6, 'UTC') COMMENT 'Exchanges that are sent from then on are judged without it'
)
ENGINE = ReplacingMergeTree(learnt_at)
ORDER BY (service, version, signature, origin)
COMMENT 'What was learnt or decided about noise';
