-- What differs, grouped to faults, and what they go together with. Expected changes and noise are left out.

-- One row for each signature of each differing exchange.
CREATE OR REPLACE VIEW differences AS
SELECT
    launch,
    service,
    route,
    partition,
    captured_offset,
    request_id,
    captured_at,
    staleness_us,
    method,
    path,
    primary_status,
    candidate_status,
    difference.signature AS signature,
    difference.place AS place,
    difference.kind AS kind,
    difference.transition AS transition,
    difference.example AS example,
    difference.primary AS primary,
    difference.candidate AS candidate,
    difference.count AS places,
    standing
FROM judged
ARRAY JOIN differences AS difference, differences.standing AS standing
WHERE verdict_result = 'differing' AND standing IN ('fault', 'undecided');

-- Faults: differences with the same route, place, kind and transition. The examples are the earliest ones.
--
-- standing is fault when that is proven against the control, otherwise undecided: in a launch without a control always.
-- pairs, control_differing, only_candidate and only_control are the evidence (see noise).
--
-- only_stale names what only old replays show: none of the fresh_exchanges of the route, which were compared within stale_from_s
-- of their capture, shows it, and were it spread over all alike that would come about in one of a thousand signatures.
CREATE OR REPLACE VIEW signatures AS
WITH
    [0, 1, 10, 60, 600, 3600, 21600, 86400] AS ages,
    found AS
    (
        SELECT
            launch,
            service,
            signature,
            route,
            place,
            kind,
            transition,
            count() AS exchanges,
            sum(places) AS places,
            min(captured_at) AS first_seen,
            max(captured_at) AS last_seen,
            arrayMap(e -> e.2, groupArraySorted(5)((tuple(captured_at, partition, captured_offset), request_id))) AS example_request_ids,
            argMin(differences.primary, tuple(captured_at, partition, captured_offset)) AS example_primary,
            argMin(differences.candidate, tuple(captured_at, partition, captured_offset)) AS example_candidate,
            min(standing) AS standing,
            min(roundDown(greatest(ifNull(staleness_us, 0), 0) / 1e6, ages))::UInt32 AS stale_from_s
        FROM differences
        GROUP BY launch, service, signature, route, place, kind, transition
    ),
    aged AS
    (
        SELECT
            launch,
            service,
            route,
            groupArray((staler_than_s, compared)) AS by_age,
            sum(compared) AS route_compared,
            sum(pairs) AS route_pairs
        FROM staleness
        GROUP BY launch, service, route
    )
SELECT
    f.launch AS launch,
    f.service AS service,
    f.signature AS signature,
    f.route AS route,
    f.place AS place,
    f.kind AS kind,
    f.transition AS transition,
    f.exchanges AS exchanges,
    f.places AS places,
    f.first_seen AS first_seen,
    f.last_seen AS last_seen,
    f.example_request_ids AS example_request_ids,
    f.example_primary AS example_primary,
    f.example_candidate AS example_candidate,
    f.standing AS standing,
    a.route_pairs AS pairs,
    n.control_differing AS control_differing,
    n.only_candidate AS only_candidate,
    n.only_control AS only_control,
    f.stale_from_s AS stale_from_s,
    arraySum(arrayMap(b -> if(b.1 < f.stale_from_s, b.2, 0), a.by_age)) AS fresh_exchanges,
    (fresh_exchanges > 0 AND exchanges * log(1 - fresh_exchanges / greatest(a.route_compared, 1)) <= -log(1000)) AS only_stale
FROM found AS f
LEFT JOIN noise AS n ON n.launch = f.launch AND n.signature = f.signature
LEFT JOIN aged AS a ON a.launch = f.launch AND a.service = f.service AND a.route = f.route;

-- Differing exchanges of each signature by the minute of their capture.
CREATE OR REPLACE VIEW signature_trend AS
SELECT launch, service, signature, route, place, kind, transition, toStartOfMinute(captured_at) AS minute, count() AS exchanges
FROM differences
GROUP BY launch, service, signature, route, place, kind, transition, minute;

-- How often each expected change showed.
CREATE OR REPLACE VIEW expected_changes AS
SELECT
    launch,
    service,
    difference.expected AS name,
    count(DISTINCT partition, captured_offset) AS exchanges,
    sum(difference.count) AS places,
    min(captured_at) AS first_seen,
    max(captured_at) AS last_seen
FROM exchanges FINAL
ARRAY JOIN differences AS difference
WHERE name != ''
GROUP BY launch, service, name;

-- In how many exchanges each rule of a launch decided something, by its index. Rules that never did are not here;
-- `shadowctl report` names them.
CREATE OR REPLACE VIEW rule_use AS
SELECT launch, service, rules_version, rule, count() AS exchanges, min(captured_at) AS first_used, max(captured_at) AS last_used
FROM exchanges FINAL
ARRAY JOIN rules_used AS rule
GROUP BY launch, service, rules_version, rule;
