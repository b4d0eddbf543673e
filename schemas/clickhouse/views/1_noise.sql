-- Noise told from fault, and every exchange judged by that. docs/noise.md explains the statistics.

-- What is known about every signature of a launch. pairs are the exchanges of its route that were compared with both the candidate
-- and the control, in full; of these the control shows the signature in control_differing, the candidate (outside of expected
-- changes) in candidate_differing, and just one of them in only_candidate and only_control.
--
-- log_evidence is the natural logarithm of an e-value against "where just one of them shows it, it is as likely the control":
-- 2^m * B(only_candidate + 1, only_control + 1), m being both together. Where the candidate leads, it never exceeds the mixture
-- of binomial likelihood ratios over p in (1/2, 1]; so were that so, it would ever reach 1000 in one of a thousand signatures,
-- however often one looks.
--
-- The evidence says noise when the control shows the signature in 3 or more of 30 or more pairs and log_evidence for a leading
-- candidate is below log 20; fault when the candidate leads with log 1000; otherwise it is undecided. In the decision an
-- overruling by hand wins over the evidence, and what an earlier launch froze as noise holds while it is undecided. Both hold for
-- exchanges sent before they expire.
CREATE OR REPLACE VIEW noise AS
WITH
    30 AS least_pairs,
    3 AS least_differing,
    log(20) AS suspect,
    log(1000) AS proven,
    paired AS
    (
        SELECT
            launch,
            service,
            route,
            arrayFilter((d, name) -> name = '', arrayZip(differences.signature, differences.place, differences.kind::Array(String), differences.transition), differences.expected) AS by_candidate,
            arrayZip(control.signature, control.place, control.kind::Array(String), control.transition) AS by_control
        FROM exchanges FINAL
        WHERE control_result IN ('matched', 'differing', 'expected') AND result IN ('matched', 'differing', 'expected')
            AND control_differences_omitted = 0 AND differences_omitted = 0
    ),
    -- Every pair counts once under the empty signature, so that one pass gives the pairs of the route too.
    counted AS
    (
        SELECT
            launch,
            service,
            route,
            d,
            countIf(has(by_control, d)) AS control_differing,
            countIf(has(by_candidate, d)) AS candidate_differing,
            countIf(NOT has(by_control, d)) AS only_candidate,
            countIf(NOT has(by_candidate, d)) AS only_control
        FROM paired
        ARRAY JOIN arrayDistinct(arrayConcat([('', '', '', '')], by_candidate, by_control)) AS d
        GROUP BY launch, service, route, d
    ),
    of_routes AS
    (
        SELECT
            launch,
            service,
            route,
            sumIf(only_candidate, d.1 = '') AS pairs,
            groupArrayIf((d.1, d.2, d.3, d.4, control_differing, candidate_differing, only_candidate, only_control), d.1 != '') AS signatures
        FROM counted
        GROUP BY launch, service, route
    ),
    overrulings AS
    (
        SELECT service, signature, argMax((decision, expires_at, route, place, kind, transition, version), version) AS newest
        FROM noise_profiles FINAL
        WHERE origin = 'overruled'
        GROUP BY service, signature
    ),
    frozen AS
    (
        SELECT service, signature, argMax((decision, expires_at, route, place, kind, transition, version), version) AS newest
        FROM noise_profiles FINAL
        WHERE origin = 'frozen'
        GROUP BY service, signature
    ),
    launches_of AS (SELECT DISTINCT launch, service FROM watermarks),
    known AS
    (
        SELECT
            launch,
            service,
            route,
            pairs,
            s.1 AS signature,
            s.2 AS place,
            s.3 AS kind,
            s.4 AS transition,
            s.5 AS control_differing,
            s.6 AS candidate_differing,
            s.7 AS only_candidate,
            s.8 AS only_control,
            '' AS overruled,
            toDateTime64(0, 6, 'UTC') AS overruled_until,
            toDateTime64(0, 6, 'UTC') AS frozen_until,
            0::UInt64 AS version
        FROM of_routes
        ARRAY JOIN signatures AS s
        UNION ALL
        SELECT l.launch, l.service, o.newest.3, 0, o.signature, o.newest.4, toString(o.newest.5), o.newest.6, 0, 0, 0, 0, toString(o.newest.1), o.newest.2, toDateTime64(0, 6, 'UTC'), o.newest.7
        FROM launches_of AS l INNER JOIN overrulings AS o ON o.service = l.service
        WHERE o.newest.1 != 'live'
        UNION ALL
        SELECT l.launch, l.service, f.newest.3, 0, f.signature, f.newest.4, toString(f.newest.5), f.newest.6, 0, 0, 0, 0, '', toDateTime64(0, 6, 'UTC'), f.newest.2, f.newest.7
        FROM launches_of AS l INNER JOIN frozen AS f ON f.service = l.service
    ),
    weighed AS
    (
        SELECT
            launch,
            service,
            route,
            signature,
            place,
            kind,
            transition,
            max(pairs) AS pairs,
            sum(control_differing) AS control_differing,
            sum(candidate_differing) AS candidate_differing,
            sum(only_candidate) AS only_candidate,
            sum(only_control) AS only_control,
            max(overruled) AS overruled,
            max(overruled_until) AS overruled_until,
            max(frozen_until) AS frozen_until,
            max(version) AS version
        FROM known
        GROUP BY launch, service, route, signature, place, kind, transition
    )
SELECT
    launch,
    service,
    route,
    signature,
    place,
    kind,
    transition,
    pairs,
    control_differing,
    candidate_differing,
    only_candidate,
    only_control,
    round((only_candidate + only_control) * log(2) + lgamma(only_candidate + 1) + lgamma(only_control + 1) - lgamma(only_candidate + only_control + 2), 6) AS log_evidence,
    multiIf(
        only_candidate > only_control AND log_evidence >= proven, 'fault',
        pairs >= least_pairs AND control_differing >= least_differing AND (only_candidate <= only_control OR log_evidence < suspect), 'noise',
        'undecided') AS evidence,
    multiIf(overruled != '', overruled, evidence != 'undecided', evidence, frozen_until > 0, 'noise', 'undecided') AS decision,
    multiIf(overruled != '', 'overruled', evidence != 'undecided', 'live', frozen_until > 0, 'frozen', '') AS basis,
    overruled,
    overruled_until,
    frozen_until,
    version
FROM weighed;

-- Every exchange with what the comparison says once noise is known. differences.standing tells of every listed difference whether
-- it is expected, noise, fault (proven against the control) or undecided. verdict_result is as result, but a differing exchange
-- of which every difference is expected or noise becomes noise, or truncated or incomparable where the rest could not be compared;
-- never when differences were omitted. paired tells whether it is one of noise's pairs. These are deduplicated rows: all other views read them here.
CREATE OR REPLACE VIEW judged AS
WITH of_route AS
(
    SELECT launch, route, groupArray(signature) AS signatures, groupArray((overruled, overruled_until, evidence, frozen_until)) AS decisions
    FROM noise
    WHERE evidence != 'undecided' OR basis != ''
    GROUP BY launch, route
)
SELECT
    e.*,
    arrayMap(
        (signature, name) -> if(name != '', 'expected', arrayMap(
            n -> multiIf(
                n.1 != '' AND e.sent_at < n.2, n.1,
                n.3 IN ('noise', 'fault'), n.3,
                e.sent_at < n.4, 'noise',
                'undecided'),
            [k.decisions[indexOf(k.signatures, signature)]])[1]),
        e.differences.signature,
        e.differences.expected) AS `differences.standing`,
    multiIf(
        e.result != 'differing' OR e.differences_omitted > 0 OR empty(e.differences.signature), toString(e.result),
        NOT arrayAll(s -> s IN ('expected', 'noise'), `differences.standing`), 'differing',
        e.result_without_differences IN ('truncated', 'incomparable'), toString(e.result_without_differences),
        'noise') AS verdict_result,
    (e.control_result IN ('matched', 'differing', 'expected') AND e.result IN ('matched', 'differing', 'expected')
        AND e.control_differences_omitted = 0 AND e.differences_omitted = 0) AS paired
FROM exchanges AS e FINAL
LEFT JOIN of_route AS k ON k.launch = e.launch AND k.route = e.route AND e.result = 'differing';
