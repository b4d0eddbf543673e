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
-- primary's is never recorded, destinations that the primary reaches through tunnels, and exchanges that are incomparable for that reason.
CREATE OR REPLACE VIEW effects_by_exchange AS
WITH
    -- Stands for no amount: aggregates leave nulls out.
    toDecimal64(-900000000000000, 4) AS none,
    grouped AS
    (
        SELECT
            e.launch AS launch,
            e.partition AS partition,
            e.captured_offset AS captured_offset,
            e.request_id AS request_id,
            e.destination AS destination,
            e.method AS method,
            e.effect_route AS effect_route,
            any(e.service) AS service,
            any(e.route) AS route,
            any(e.captured_at) AS captured_at,
            any(e.effects_result) AS effects_result,
            any(e.effects_reason) AS effects_reason,
            groupArrayIf(toInt128(toUnixTimestamp64Micro(e.at)) * 4294967296 + e.sequence % 4294967296, e.side = 'primary') AS p_key,
            groupArrayIf(e.at, e.side = 'primary') AS p_at,
            groupArrayIf(e.intent, e.side = 'primary') AS p_intent,
            groupArrayIf(cityHash64(e.query, e.body), e.side = 'primary') AS p_content,
            groupArrayIf(e.query, e.side = 'primary') AS p_query,
            groupArrayIf(e.body, e.side = 'primary') AS p_body,
            groupArrayIf(ifNull(e.status, 0), e.side = 'primary') AS p_status,
            groupArrayIf(e.answer, e.side = 'primary') AS p_answer,
            groupArrayIf(ifNull(e.amount, none), e.side = 'primary') AS p_amount,
            groupArrayIf(e.currency, e.side = 'primary') AS p_currency,
            groupArrayIf(toInt128(toUnixTimestamp64Micro(e.at)) * 4294967296 + e.sequence % 4294967296, e.side = 'candidate') AS c_key,
            groupArrayIf(e.at, e.side = 'candidate') AS c_at,
            groupArrayIf(e.intent, e.side = 'candidate') AS c_intent,
            groupArrayIf(cityHash64(e.query, e.body), e.side = 'candidate') AS c_content,
            groupArrayIf(e.query, e.side = 'candidate') AS c_query,
            groupArrayIf(e.body, e.side = 'candidate') AS c_body,
            groupArrayIf(ifNull(e.status, 0), e.side = 'candidate') AS c_status,
            groupArrayIf(e.answer, e.side = 'candidate') AS c_answer,
            groupArrayIf(ifNull(e.amount, none), e.side = 'candidate') AS c_amount,
            groupArrayIf(e.currency, e.side = 'candidate') AS c_currency,
            groupArrayIf(e.decision, e.side = 'candidate') AS c_decision
        FROM correlated_effects AS e
        WHERE e.intent != 0 AND e.side IN ('primary', 'candidate')
        GROUP BY launch, partition, captured_offset, request_id, destination, method, effect_route
    ),
    -- Places in the arrays: in order, each intent once; then the n-th call of a content with the n-th of the other side, then the rest.
    paired AS
    (
        SELECT
            *,
            arraySort(i -> p_key[i], arrayEnumerate(p_key)) AS p_sorted,
            arraySort(i -> c_key[i], arrayEnumerate(c_key)) AS c_sorted,
            arrayFilter((i, n) -> n = 1, p_sorted, arrayEnumerateUniq(arrayMap(i -> p_intent[i], p_sorted))) AS p_calls,
            arrayFilter((i, n) -> n = 1, c_sorted, arrayEnumerateUniq(arrayMap(i -> c_intent[i], c_sorted))) AS c_calls,
            arrayMap(i -> p_content[i], p_calls) AS p_contents,
            arrayMap(i -> c_content[i], c_calls) AS c_contents,
            arrayZip(p_contents, arrayEnumerateUniq(p_contents)) AS p_nth,
            arrayZip(c_contents, arrayEnumerateUniq(c_contents)) AS c_nth,
            arrayFilter(k -> has(c_nth, k), p_nth) AS both,
            arrayFilter((i, k) -> NOT has(both, k), p_calls, p_nth) AS p_rest,
            arrayFilter((i, k) -> NOT has(both, k), c_calls, c_nth) AS c_rest,
            arrayConcat(
                arrayMap(k -> (p_calls[indexOf(p_nth, k)], c_calls[indexOf(c_nth, k)]), both),
                arrayMap(i -> (p_rest[i], c_rest[i]), range(1, 1 + greatest(length(p_rest), length(c_rest))))) AS pairs
        FROM grouped
    )
SELECT
    launch,
    service,
    route,
    partition,
    captured_offset,
    request_id,
    captured_at,
    effects_result,
    effects_reason,
    destination,
    method,
    effect_route,
    multiIf(
        pair.1 > 0 AND pair.2 > 0, if(p_content[pair.1] = c_content[pair.2], 'equal', 'different'),
        method IN ('MAIL', 'CONNECT') OR effects_reason IN ('uncorrelated', 'forgotten'), 'unknown',
        pair.1 > 0, 'missing',
        effects_reason = 'not_recorded' OR (service, destination) IN (SELECT service, destination FROM effects WHERE side = 'primary' AND method = 'CONNECT'), 'unknown',
        'additional') AS standing,
    if(pair.1 > 0, p_at[pair.1], NULL) AS primary_at,
    if(pair.2 > 0, c_at[pair.2], NULL) AS candidate_at,
    p_query[pair.1] AS primary_query,
    c_query[pair.2] AS candidate_query,
    p_body[pair.1] AS primary_body,
    c_body[pair.2] AS candidate_body,
    nullIf(p_status[pair.1], 0) AS primary_status,
    nullIf(c_status[pair.2], 0) AS candidate_status,
    p_answer[pair.1] AS primary_answer,
    c_answer[pair.2] AS candidate_answer,
    if(pair.1 > 0, nullIf(p_amount[pair.1], none), NULL) AS primary_amount,
    if(pair.2 > 0, nullIf(c_amount[pair.2], none), NULL) AS candidate_amount,
    if(pair.1 > 0, p_currency[pair.1], c_currency[pair.2]) AS currency,
    c_decision[pair.2] AS candidate_decision
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
