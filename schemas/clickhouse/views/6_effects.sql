-- What the versions asked of others. The comparator says in exchanges how the calls of an exchange compare; these views show the calls.

-- Calls that told of no request and yet belong to one: made while the candidate served one request alone, which went to no control. Those
-- that are known to come from a launch belong to that launch, others to each launch of the service that had a lone request then.
CREATE OR REPLACE VIEW scheduled_effects AS
WITH
    lone AS
    (
        SELECT launch, service, partition, captured_offset, assumeNotNull(sent_at) AS sent_at, assumeNotNull(candidate_us) AS candidate_us
        FROM exchanges FINAL
        WHERE alone = 1 AND control_sent_at IS NULL AND sent_at IS NOT NULL AND candidate_us IS NOT NULL
    ),
    launches_of AS (SELECT service, groupUniqArray(toString(launch)) AS launches FROM lone GROUP BY service),
    untold AS
    (
        SELECT e.service AS service, e.side AS side, e.instance AS instance, e.epoch AS epoch, e.sequence AS sequence, e.at AS at,
            arrayJoin(if(e.launch = '', l.launches, [toString(e.launch)])) AS launch
        FROM (SELECT service, side, launch, instance, epoch, sequence, at FROM effects FINAL WHERE request_id IS NULL AND side = 'candidate') AS e
        INNER JOIN launches_of AS l ON l.service = e.service
    )
SELECT
    x.launch AS launch,
    x.service AS service,
    x.partition AS partition,
    x.captured_offset AS captured_offset,
    e.side AS side,
    e.instance AS instance,
    e.epoch AS epoch,
    e.sequence AS sequence
FROM untold AS e
ASOF INNER JOIN lone AS x ON x.service = e.service AND x.launch = e.launch AND x.sent_at <= e.at
WHERE e.at <= x.sent_at + toIntervalMicrosecond(x.candidate_us);

-- Every call that belongs to an exchange, once for each launch that has the exchange. The candidate's and the control's are those of the
-- send that decided the exchange: by its number, or, where the trace alone told, by the time from half a second before sending to five
-- seconds after the last byte; or, where they told nothing, as in scheduled_effects. Of a request that was never sent there are the primary's alone.
--
-- amount and currency are what the call asks for: amount and currency, or amount.value and amount.currency, of a JSON body or a form.
-- amount is NULL where there is none, and where only a token of it is known. recipients are those of a mail (to). Calls of one exchange and
-- side with the same intent are one; it is 0 for what the stub answered as an earlier call with the same idempotency key.
CREATE OR REPLACE VIEW correlated_effects AS
WITH
    wanted AS
    (
        SELECT launch, service, route, partition, captured_offset, request_id, captured_at, sent_at, send, candidate_us, control_sent_at,
            control_us, outcome, result, effects_result, effects_reason
        FROM exchanges FINAL
        WHERE request_id IS NOT NULL
    ),
    placed AS
    (
        SELECT
            x.launch AS launch, x.service AS service, x.route AS route, x.partition AS partition, x.captured_offset AS captured_offset,
            x.captured_at AS captured_at, x.outcome AS outcome, x.result AS result, x.effects_result AS effects_result, x.effects_reason AS
            effects_reason, x.request_id AS request_id, e.route AS effect_route, e.side AS side, e.at AS at, e.appended_at AS appended_at,
            e.total_us AS total_us, e.correlated_by AS correlated_by, e.destination AS destination, e.method AS method, e.path AS path,
            e.query AS query, e.content_type AS content_type, e.body AS body, e.body_bytes AS body_bytes, e.idempotency_key AS idempotency_key, e.rule AS rule, e.decision AS
            decision, e.fault AS fault, e.status AS status, e.answer AS answer, e.instance AS instance, e.epoch AS epoch, e.sequence AS
            sequence
        FROM (SELECT * FROM effects FINAL WHERE request_id IS NOT NULL) AS e
        INNER JOIN wanted AS x ON x.service = e.service AND x.request_id = e.request_id
        WHERE e.side = 'primary' OR (e.launch = x.launch AND if(e.send IS NOT NULL, ifNull(e.send = x.send, 0), ifNull(
            e.at >= x.sent_at - toIntervalMillisecond(500) AND e.at <= if(e.side = 'control', x.control_sent_at, x.sent_at)
                + toIntervalMicrosecond(ifNull(if(e.side = 'control', x.control_us, x.candidate_us), 0) + 5000000), 0)))
        UNION ALL
        SELECT
            x.launch AS launch, x.service AS service, x.route AS route, x.partition AS partition, x.captured_offset AS captured_offset,
            x.captured_at AS captured_at, x.outcome AS outcome, x.result AS result, x.effects_result AS effects_result, x.effects_reason AS
            effects_reason, x.request_id AS request_id, e.route AS effect_route, e.side AS side, e.at AS at, e.appended_at AS appended_at,
            e.total_us AS total_us, e.correlated_by AS correlated_by, e.destination AS destination, e.method AS method, e.path AS path,
            e.query AS query, e.content_type AS content_type, e.body AS body, e.body_bytes AS body_bytes, e.idempotency_key AS idempotency_key, e.rule AS rule, e.decision AS
            decision, e.fault AS fault, e.status AS status, e.answer AS answer, e.instance AS instance, e.epoch AS epoch, e.sequence AS
            sequence
        FROM (SELECT * FROM effects FINAL WHERE request_id IS NULL) AS e
        INNER JOIN scheduled_effects AS s
            ON s.service = e.service AND s.side = e.side AND s.instance = e.instance AND s.epoch = e.epoch AND s.sequence = e.sequence
        INNER JOIN wanted AS x ON x.launch = s.launch AND x.partition = s.partition AND x.captured_offset = s.captured_offset
    )
SELECT
    *,
    multiIf(decision = 'again', 0, idempotency_key != '', cityHash64(idempotency_key, destination, method, path, query, body), cityHash64(instance, epoch, sequence)) AS intent,
    if(startsWith(body, '{'),
        coalesce(toDecimal64OrNull(trim(BOTH '"' FROM JSONExtractRaw(body, 'amount')), 4), toDecimal64OrNull(trim(BOTH '"' FROM JSONExtractRaw(body, 'amount', 'value')), 4)),
        toDecimal64OrNull(extractURLParameter(concat('?', body), 'amount'), 4)) AS amount,
    lower(if(startsWith(body, '{'),
        coalesce(nullIf(JSONExtractString(body, 'currency'), ''), JSONExtractString(body, 'amount', 'currency')),
        extractURLParameter(concat('?', body), 'currency'))) AS currency,
    arrayFilter(r -> r != '', multiIf(
        NOT startsWith(body, '{'), [decodeURLFormComponent(extractURLParameter(concat('?', body), 'to'))],
        JSONType(body, 'to') = 'Array', arrayMap(r -> if(startsWith(r, '{'), JSONExtractString(r, 'email'), trim(BOTH '"' FROM r)), JSONExtractArrayRaw(body, 'to')),
        [JSONExtractString(body, 'to')])) AS recipients
FROM placed;

-- The calls of every exchange side by side: one row for each call of the primary with the candidate's that stands for it. Calls of one
-- destination, method and route belong together, first those with equal content, then the rest in their order. standing is equal or different by
-- what was recorded (what the comparison rules forgive is different here; what differs under them stands in differences), missing or
-- additional where a call stands alone, and unknown where it does but nobody can say that the other side made none: mail, of which the
-- primary's is never recorded, a destination to which the primary had a tunnel, and exchanges that are incomparable for that reason.
CREATE OR REPLACE VIEW effects_by_exchange AS
WITH
    grouped AS
    (
        SELECT
            launch, service, route, partition, captured_offset, request_id, captured_at, effects_result, effects_reason, destination, method, effect_route,
            arraySort(c -> (c.1, c.2, c.3, c.4), groupArrayIf((at, instance, epoch, sequence, cityHash64(query, body), query, body, status, answer, amount, currency, decision, intent), side = 'primary')) AS p_all,
            arraySort(c -> (c.1, c.2, c.3, c.4), groupArrayIf((at, instance, epoch, sequence, cityHash64(query, body), query, body, status, answer, amount, currency, decision, intent), side = 'candidate')) AS c_all,
            arrayFilter((c, n) -> n = 1, p_all, arrayEnumerateUniq(arrayMap(c -> c.13, p_all))) AS p,
            arrayFilter((c, n) -> n = 1, c_all, arrayEnumerateUniq(arrayMap(c -> c.13, c_all))) AS c
        FROM correlated_effects
        WHERE intent != 0 AND side IN ('primary', 'candidate')
        GROUP BY launch, service, route, partition, captured_offset, request_id, captured_at, effects_result, effects_reason, destination, method, effect_route
    ),
    paired AS
    (
        SELECT
            * EXCEPT (p, c, p_all, c_all),
            max(method = 'CONNECT' AND notEmpty(p)) OVER (PARTITION BY launch, service, partition, captured_offset, request_id, destination) AS tunnelled,
            arrayMap(x -> x.5, p) AS p_contents,
            arrayMap(x -> x.5, c) AS c_contents,
            arrayZip(p_contents, arrayEnumerateUniq(p_contents)) AS p_keys,
            arrayZip(c_contents, arrayEnumerateUniq(c_contents)) AS c_keys,
            arrayFilter(k -> has(c_keys, k), p_keys) AS both,
            arrayFilter((x, k) -> NOT has(both, k), p, p_keys) AS p_rest,
            arrayFilter((x, k) -> NOT has(both, k), c, c_keys) AS c_rest,
            arrayConcat(
                arrayMap(k -> (1, 1, p[indexOf(p_keys, k)], c[indexOf(c_keys, k)]), both),
                arrayMap(i -> (i <= length(p_rest), i <= length(c_rest), p_rest[i], c_rest[i]), range(1, 1 + greatest(length(p_rest), length(c_rest))))) AS pairs
        FROM grouped
    )
SELECT
    launch, service, route, partition, captured_offset, request_id, captured_at, effects_result, effects_reason, destination, method, effect_route,
    multiIf(
        pair.1 AND pair.2, if(pair.3.5 = pair.4.5, 'equal', 'different'),
        method IN ('MAIL', 'CONNECT') OR effects_reason IN ('uncorrelated', 'forgotten'), 'unknown',
        pair.1, 'missing',
        tunnelled OR effects_reason = 'not_recorded', 'unknown',
        'additional') AS standing,
    if(pair.1, pair.3.1, NULL) AS primary_at,
    if(pair.2, pair.4.1, NULL) AS candidate_at,
    pair.3.6 AS primary_query,
    pair.4.6 AS candidate_query,
    pair.3.7 AS primary_body,
    pair.4.7 AS candidate_body,
    pair.3.8 AS primary_status,
    pair.4.8 AS candidate_status,
    pair.3.9 AS primary_answer,
    pair.4.9 AS candidate_answer,
    pair.3.10 AS primary_amount,
    pair.4.10 AS candidate_amount,
    if(pair.3.11 != '', pair.3.11, pair.4.11) AS currency,
    pair.4.12 AS candidate_decision
FROM paired
ARRAY JOIN pairs AS pair;

-- Calls that told of no request and that no request was alone to make. They are compared with nothing.
CREATE OR REPLACE VIEW uncorrelated_effects AS
SELECT service, side, launch, destination, method, route, count() AS calls, countIf(trace_id != '') AS with_a_trace, min(at) AS first_at, max(at) AS last_at
FROM effects FINAL
WHERE request_id IS NULL AND (service, side, instance, epoch, sequence) NOT IN (SELECT service, side, instance, epoch, sequence FROM scheduled_effects)
GROUP BY service, side, launch, destination, method, route;

-- How calls differ, by what was called for: in how many exchanges a call is missing, additional, in another order, or asks for something
-- else. As in differences, noise and expected changes are left out.
CREATE OR REPLACE VIEW effect_differences AS
WITH extractGroups(place, '^effects ([^ ]+) ([^ /]+)([^ ]*)(.*)$') AS parts
SELECT
    launch,
    service,
    route,
    parts[1] AS method,
    parts[2] AS destination,
    parts[3] AS effect_route,
    count(DISTINCT partition, captured_offset) AS exchanges,
    uniqExactIf((partition, captured_offset), kind = 'missing' AND parts[4] = '') AS missing,
    uniqExactIf((partition, captured_offset), kind = 'added' AND parts[4] = '') AS additional,
    uniqExactIf((partition, captured_offset), kind = 'order' AND parts[4] = '') AS reordered,
    uniqExactIf((partition, captured_offset), parts[4] != '') AS different,
    min(captured_at) AS first_seen,
    max(captured_at) AS last_seen
FROM differences
WHERE startsWith(place, 'effects')
GROUP BY launch, service, route, method, destination, effect_route;

-- Amounts that calls ask for, of the exchanges of which the calls could be compared, whether the one they were asked of granted them or not.
CREATE OR REPLACE VIEW spend AS
SELECT
    e.launch AS launch,
    e.service AS service,
    e.destination AS destination,
    e.method AS method,
    e.effect_route AS effect_route,
    e.currency AS currency,
    countIf(e.primary_amount IS NOT NULL) AS primary_calls,
    countIf(e.candidate_amount IS NOT NULL) AS candidate_calls,
    sum(ifNull(e.primary_amount, 0)) AS primary_amount,
    sum(ifNull(e.candidate_amount, 0)) AS candidate_amount,
    sum(ifNull(e.candidate_amount, 0) - ifNull(e.primary_amount, 0)) AS difference
FROM effects_by_exchange AS e
WHERE e.effects_result IN ('matched', 'differing', 'expected') AND e.standing != 'unknown' AND (e.primary_amount IS NOT NULL OR e.candidate_amount IS NOT NULL)
GROUP BY launch, service, destination, method, effect_route, currency;
