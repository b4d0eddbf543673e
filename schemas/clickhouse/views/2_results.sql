-- What became of exchanges, how often they match, and how fast they are. All views read deduplicated rows, so redelivery changes no
-- number in any of them.

-- How often the candidate answered as the primary did. match_rate is NULL where nothing could be compared. Of the differing ones,
-- undecided counts those in which no difference is proven to be a fault and all are listed: more evidence may show them to be noise.
CREATE OR REPLACE VIEW match_rate AS
SELECT
    launch,
    service,
    route,
    countIf(outcome = 'completed') AS completed,
    countIf(verdict_result = 'matched') AS matched,
    countIf(verdict_result = 'differing') AS differing,
    countIf(verdict_result = 'noise') AS noise,
    countIf(verdict_result = 'expected') AS expected,
    countIf(verdict_result = 'truncated') AS truncated,
    countIf(verdict_result = 'incomparable') AS incomparable,
    countIf(verdict_result = 'conflict') AS conflict,
    matched + differing + noise + expected AS compared,
    if(compared = 0, NULL, (matched + noise + expected) / compared) AS match_rate,
    countIf(verdict_result = 'differing' AND differences_omitted = 0 AND NOT has(differences.standing, 'fault')) AS undecided
FROM judged
GROUP BY launch, service, route
HAVING completed > 0;

-- Latency of completed exchanges in milliseconds: both sides, and the distribution of candidate minus primary pair by pair.
CREATE OR REPLACE VIEW latency AS
SELECT
    launch,
    service,
    route,
    count() AS pairs,
    quantileExact(0.1)(primary_us) / 1000 AS primary_p10_ms,
    quantileExact(0.5)(primary_us) / 1000 AS primary_p50_ms,
    quantileExact(0.9)(primary_us) / 1000 AS primary_p90_ms,
    quantileExact(0.99)(primary_us) / 1000 AS primary_p99_ms,
    quantileExact(0.1)(candidate_us) / 1000 AS candidate_p10_ms,
    quantileExact(0.5)(candidate_us) / 1000 AS candidate_p50_ms,
    quantileExact(0.9)(candidate_us) / 1000 AS candidate_p90_ms,
    quantileExact(0.99)(candidate_us) / 1000 AS candidate_p99_ms,
    quantileExact(0.1)(candidate_us - primary_us) / 1000 AS difference_p10_ms,
    quantileExact(0.5)(candidate_us - primary_us) / 1000 AS difference_p50_ms,
    quantileExact(0.9)(candidate_us - primary_us) / 1000 AS difference_p90_ms,
    quantileExact(0.99)(candidate_us - primary_us) / 1000 AS difference_p99_ms,
    quantileExact(0.5)(staleness_us) / 1000 AS staleness_p50_ms
FROM exchanges FINAL
WHERE outcome = 'completed' AND primary_us IS NOT NULL AND candidate_us IS NOT NULL
GROUP BY launch, service, route;

-- Status classes and failures of both sides, over the exchanges that were sent.
CREATE OR REPLACE VIEW errors AS
SELECT
    launch,
    service,
    route,
    side,
    class,
    count() AS exchanges
FROM
(
    SELECT
        launch,
        service,
        route,
        arrayJoin([
            ('primary', multiIf(
                primary_status IS NOT NULL, concat(toString(intDiv(primary_status, 100)), 'xx'),
                primary_error != '', primary_error,
                'unknown')),
            ('candidate', multiIf(
                candidate_status IS NOT NULL, concat(toString(intDiv(candidate_status, 100)), 'xx'),
                reason))
        ]) AS answer,
        answer.1 AS side,
        assumeNotNull(answer.2) AS class
    FROM exchanges FINAL
    WHERE outcome IN ('completed', 'failed')
)
GROUP BY launch, service, route, side, class;

-- What became of every captured offset that has an outcome. Ranges are stored without their routes: their route is empty.
CREATE OR REPLACE VIEW coverage AS
SELECT
    launch,
    service,
    route,
    sum(offsets) AS captured,
    sumIf(offsets, outcome = 'completed') AS completed,
    sumIf(offsets, outcome = 'failed') AS failed,
    sumIf(offsets, outcome = 'skipped') AS skipped,
    sumIf(offsets, outcome = 'dead_lettered') AS dead_lettered,
    sumMapIf(map(reason, offsets), outcome = 'failed') AS failed_by_class,
    sumMapIf(map(reason, offsets), outcome = 'skipped') AS skipped_by_reason
FROM
(
    SELECT launch, service, toString(route) AS route, toString(outcome) AS outcome, toString(reason) AS reason, 1::Int64 AS offsets
    FROM exchanges FINAL
    UNION ALL
    SELECT
        launch,
        service,
        '' AS route,
        if(reason = 'outcome_lost', 'dead_lettered', 'skipped') AS outcome,
        toString(reason) AS reason,
        last_offset - first_offset + 1 AS offsets
    FROM skipped_ranges FINAL
)
GROUP BY launch, service, route;

-- Candidate against control on the same exchanges, in milliseconds: both were asked at the same moment from the same place, so this
-- compares like with like. The differences are candidate minus control, pair by pair.
CREATE OR REPLACE VIEW control_latency AS
SELECT
    launch,
    service,
    route,
    count() AS pairs,
    quantileExact(0.1)(control_us) / 1000 AS control_p10_ms,
    quantileExact(0.5)(control_us) / 1000 AS control_p50_ms,
    quantileExact(0.9)(control_us) / 1000 AS control_p90_ms,
    quantileExact(0.99)(control_us) / 1000 AS control_p99_ms,
    quantileExact(0.1)(candidate_us) / 1000 AS candidate_p10_ms,
    quantileExact(0.5)(candidate_us) / 1000 AS candidate_p50_ms,
    quantileExact(0.9)(candidate_us) / 1000 AS candidate_p90_ms,
    quantileExact(0.99)(candidate_us) / 1000 AS candidate_p99_ms,
    quantileExact(0.1)(candidate_us - control_us) / 1000 AS difference_p10_ms,
    quantileExact(0.5)(candidate_us - control_us) / 1000 AS difference_p50_ms,
    quantileExact(0.9)(candidate_us - control_us) / 1000 AS difference_p90_ms,
    quantileExact(0.99)(candidate_us - control_us) / 1000 AS difference_p99_ms
FROM exchanges FINAL
WHERE outcome = 'completed' AND control_status IS NOT NULL AND control_us IS NOT NULL AND candidate_us IS NOT NULL
GROUP BY launch, service, route;

-- For services that answer with a class or a score: how often both name the same class, by the primary's class, and how far their
-- scores are apart. Scores are added up as whole billionths, so that the order of rows changes nothing; differences beyond a
-- million count as a million.
CREATE OR REPLACE VIEW agreement AS
SELECT
    launch,
    service,
    route,
    primary_class AS class,
    countIf(primary_class != '' OR candidate_class != '') AS classified,
    countIf(primary_class != '' AND primary_class = candidate_class) AS agreeing,
    if(classified = 0, NULL, agreeing / classified) AS agreement,
    count(score_difference) AS scored,
    if(scored = 0, NULL, sum(toInt64(round(least(score_difference, 1e6) * 1e9))) / scored / 1e9) AS mean_absolute_score_difference
FROM exchanges FINAL
WHERE outcome = 'completed' AND (primary_class != '' OR candidate_class != '' OR score_difference IS NOT NULL)
GROUP BY launch, service, route, class;

-- Compared exchanges by the time from capture to sending, which old traffic spends while data moves on. Each row reaches from
-- staler_than_s to the next one's; pairs counts those that were compared with the control too.
CREATE OR REPLACE VIEW staleness AS
SELECT
    launch,
    service,
    route,
    roundDown(greatest(ifNull(staleness_us, 0), 0) / 1e6, [0, 1, 10, 60, 600, 3600, 21600, 86400])::UInt32 AS staler_than_s,
    count() AS compared,
    countIf(verdict_result = 'differing') AS differing,
    differing / compared AS differing_share,
    countIf(paired) AS pairs
FROM judged
WHERE verdict_result IN ('matched', 'differing', 'noise', 'expected')
GROUP BY launch, service, route, staler_than_s;

-- Compared and differing exchanges by the minute of their capture: whether discrepancies go towards zero.
CREATE OR REPLACE VIEW trend AS
SELECT
    launch,
    service,
    route,
    toStartOfMinute(captured_at) AS minute,
    count() AS compared,
    countIf(verdict_result = 'differing') AS differing,
    1 - differing / compared AS match_rate
FROM judged
WHERE verdict_result IN ('matched', 'differing', 'noise', 'expected')
GROUP BY launch, service, route, minute;
