-- Whether every request is accounted for.

-- The account of every launch by partition, from offsets and deduplicated rows only. settled_below_low counts what covers
-- the offsets from start_offset to low_offset, overlaps counts offsets claimed by more than one row or range. A partition that
-- has rows and no watermark is in the account, from its first row to its last, and never balances.
CREATE OR REPLACE VIEW ledger_partition AS
WITH
    spans AS
    (
        SELECT launch, partition, captured_offset AS first, captured_offset AS last, toString(outcome) AS outcome, verdict_result AS result
        FROM judged
        UNION ALL
        SELECT launch, partition, first_offset AS first, last_offset AS last, if(reason = 'outcome_lost', 'dead_lettered', 'skipped') AS outcome, '' AS result
        FROM skipped_ranges FINAL
    ),
    ordered AS
    (
        SELECT
            *,
            max(toNullable(last)) OVER (PARTITION BY launch, partition ORDER BY first, last ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
        FROM spans
    ),
    known AS
    (
        SELECT launch, service, partition, start_offset, low_offset, high_offset, 1::UInt8 AS begun
        FROM watermarks FINAL
        UNION ALL
        SELECT launch, service, partition, min(first), min(first), max(next), 0::UInt8
        FROM
        (
            SELECT launch, service, partition, captured_offset AS first, captured_offset + 1 AS next FROM exchanges
            UNION ALL
            SELECT launch, service, partition, first_offset AS first, last_offset + 1 AS next FROM skipped_ranges
        )
        WHERE (launch, partition) NOT IN (SELECT launch, partition FROM watermarks)
        GROUP BY launch, service, partition
    ),
    counted AS
    (
        SELECT
            w.launch AS launch,
            w.service AS service,
            w.partition AS partition,
            w.start_offset AS start_offset,
            w.low_offset AS low_offset,
            w.begun AS begun,
            greatest(w.high_offset, maxIf(s.last + 1, s.outcome != ''), w.low_offset) AS high_offset,
            sumIf(s.last - s.first + 1, s.outcome = 'completed') AS completed,
            sumIf(s.last - s.first + 1, s.outcome = 'failed') AS failed,
            sumIf(s.last - s.first + 1, s.outcome = 'skipped') AS skipped,
            sumIf(s.last - s.first + 1, s.outcome = 'dead_lettered') AS dead_lettered,
            countIf(s.result = 'matched') AS matched,
            countIf(s.result = 'differing') AS differing,
            countIf(s.result = 'noise') AS noise,
            countIf(s.result = 'expected') AS expected,
            countIf(s.result = 'truncated') AS truncated,
            countIf(s.result = 'incomparable') AS incomparable,
            countIf(s.result = 'conflict') AS conflict,
            sumIf(least(s.last, w.low_offset - 1) - s.first + 1, s.outcome != '' AND s.first < w.low_offset) AS settled_below_low,
            countIf(s.outcome != '' AND s.first < w.start_offset) AS before_start,
            sumIf(least(s.last, assumeNotNull(s.reached)) - s.first + 1, s.reached IS NOT NULL AND s.first <= s.reached) AS overlaps
        FROM known AS w
        LEFT JOIN ordered AS s ON s.launch = w.launch AND s.partition = w.partition
        GROUP BY w.launch, w.service, w.partition, w.start_offset, w.low_offset, w.high_offset, w.begun
    )
SELECT
    launch,
    service,
    partition,
    start_offset,
    low_offset,
    high_offset,
    high_offset - start_offset AS captured,
    completed,
    failed,
    skipped,
    dead_lettered,
    captured - completed - failed - skipped - dead_lettered AS pending,
    matched,
    differing,
    noise,
    expected,
    truncated,
    incomparable,
    conflict,
    completed - (matched + differing + noise + expected + truncated + incomparable + conflict) AS uncompared,
    settled_below_low,
    overlaps,
    (begun = 1 AND settled_below_low = low_offset - start_offset AND overlaps = 0 AND before_start = 0 AND pending >= 0 AND uncompared >= 0) AS balanced
FROM counted;

-- captured = completed + failed + skipped + dead_lettered + pending, and
-- completed = matched + differing + noise + expected + truncated + incomparable + conflict + uncompared.
CREATE OR REPLACE VIEW ledger_launch AS
SELECT
    launch,
    service,
    sum(p.captured) AS captured,
    sum(p.completed) AS completed,
    sum(p.failed) AS failed,
    sum(p.skipped) AS skipped,
    sum(p.dead_lettered) AS dead_lettered,
    sum(p.pending) AS pending,
    sum(p.matched) AS matched,
    sum(p.differing) AS differing,
    sum(p.noise) AS noise,
    sum(p.expected) AS expected,
    sum(p.truncated) AS truncated,
    sum(p.incomparable) AS incomparable,
    sum(p.conflict) AS conflict,
    sum(p.uncompared) AS uncompared,
    sum(p.low_offset - p.start_offset) AS due,
    sum(p.settled_below_low) AS settled_below_low,
    sum(p.overlaps) AS overlaps,
    min(p.balanced) AS balanced
FROM ledger_partition AS p
GROUP BY launch, service;

-- The agents' account by epoch, from their counters: seen = excluded + sampled_out + dropped + acknowledged + in_doubt +
-- in_flight + lost_with_agent. An epoch ends with its final account, which the agent publishes when it stops, or another one
-- of its service for it when it was killed (state killed). Until then it is dead when a later epoch of the instance exists, or when
-- it is silent for a minute longer than the newest heartbeat of all.
--
-- Records that Kafka has show in the sequence numbers of the stored exchanges. Of an epoch that ended, those beyond what was
-- acknowledged are found: in doubt no longer, or, where there is no final account, not lost. Without one what was seen after the
-- last heartbeat is only known up to the highest number stored. An epoch with more records than its agent ever gave to Kafka
-- does not balance.
CREATE OR REPLACE VIEW ledger_agent AS
WITH
    newest AS (SELECT max(at) AS at FROM instance_status),
    last_epochs AS (SELECT instance, service, max(epoch) AS epoch FROM instance_status WHERE role = 'capture_agent' GROUP BY instance, service),
    said AS
    (
        SELECT
            s.service AS service,
            s.instance AS instance,
            s.epoch AS epoch,
            s.at AS at,
            if(s.counters['killed'] = 1, 'killed', s.state) AS state,
            (s.state = 'stopped') AS ended,
            (s.state != 'stopped' AND (s.epoch < l.epoch OR s.at < (SELECT at FROM newest) - INTERVAL 1 MINUTE)) AS dead,
            s.counters['seen'] AS seen,
            s.counters['excluded'] AS excluded,
            s.counters['sampled_out'] AS sampled_out,
            s.counters['dropped'] AS dropped,
            s.counters['acknowledged'] AS acknowledged,
            s.counters['in_doubt'] AS in_doubt,
            s.counters['in_flight'] AS in_flight,
            s.counters['lost_with_agent'] AS lost
        FROM (SELECT * FROM instance_status FINAL WHERE role = 'capture_agent') AS s
        LEFT JOIN last_epochs AS l ON l.instance = s.instance AND l.service = s.service
    ),
    sequences AS
    (
        SELECT
            e.agent AS agent,
            e.service AS service,
            e.epoch AS epoch,
            max(e.sequence) + 1 AS reached,
            uniqExact(e.sequence)::Int64 AS stored,
            uniqExactIf(e.sequence, e.sequence >= h.seen)::Int64 AS stored_since
        FROM exchanges AS e
        INNER JOIN (SELECT instance, service, epoch, seen FROM said WHERE dead OR (ended AND in_doubt > 0)) AS h
            ON h.instance = e.agent AND h.service = e.service AND h.epoch = e.epoch
        GROUP BY agent, service, epoch
    ),
    weighed AS
    (
        SELECT
            h.*,
            if(h.dead, greatest(h.seen, q.reached), h.seen) AS all_seen,
            greatest(0, q.stored - h.acknowledged, if(h.dead, q.stored_since, 0)) AS found,
            if(h.dead, all_seen - h.excluded - h.sampled_out - h.dropped - h.acknowledged - h.in_doubt, 0) AS open,
            least(found, open) AS found_open,
            least(found - found_open, h.in_doubt) AS found_in_doubt
        FROM said AS h
        LEFT JOIN sequences AS q ON q.agent = h.instance AND q.service = h.service AND q.epoch = h.epoch
    )
SELECT
    w.service AS service,
    w.instance AS instance,
    w.epoch AS epoch,
    w.at AS at,
    w.state AS state,
    w.dead AS dead,
    w.excluded AS excluded,
    w.sampled_out AS sampled_out,
    w.dropped AS dropped,
    w.acknowledged + w.found_open + w.found_in_doubt AS acknowledged,
    w.in_doubt - w.found_in_doubt AS in_doubt,
    if(w.dead, 0, w.in_flight) AS in_flight,
    w.all_seen AS seen,
    if(w.dead, w.open - w.found_open, w.lost) AS lost_with_agent,
    (seen = excluded + sampled_out + dropped + acknowledged + in_doubt + in_flight + lost_with_agent AND lost_with_agent >= 0
        AND w.found = w.found_open + w.found_in_doubt) AS balanced
FROM weighed AS w;
