-- Which requests a fault goes together with.

-- Of every signature the request attribute that predicts it best: that it has a value (=), is there (present) or is not (absent).
-- Of the compared exchanges of the route, `exchanges` have the attribute, and `differing` of them show the signature. share is the part
-- of the signature's exchanges that have it, lift how many times more often they show the signature than all of the route.
--
-- log_evidence is Chernoff's bound, which holds for draws without replacement too: were the signature spread over the exchanges of
-- the route regardless of the attribute, so many would have it with a probability of at most exp(-log_evidence). An attribute is
-- named only where this, times all attributes that could have been named, is at most one in a thousand, and where 5 exchanges or more
-- show both.
CREATE OR REPLACE VIEW drivers AS
WITH
    5 AS least_support,
    log(1000) AS surely,
    compared AS
    (
        SELECT
            launch,
            service,
            route,
            if(verdict_result = 'differing', arrayDistinct(arrayFilter((s, standing) -> standing IN ('fault', 'undecided'), differences.signature, differences.standing)), []) AS signatures,
            arrayMap(n -> toString(n), mapKeys(attributes)) AS names,
            arrayZip(names, mapValues(attributes)) AS pairs
        FROM judged
        WHERE verdict_result IN ('matched', 'differing', 'noise', 'expected')
    ),
    routes AS
    (
        SELECT
            launch,
            service,
            route,
            count() AS all_exchanges,
            -- A value that 5 exchanges have takes 5 of all values; a name may be there or not.
            sum(length(names)) / least_support + 2 * length(groupUniqArrayArray(names)) AS tries,
            sumMap(names, arrayMap(x -> 1::UInt64, names)) AS by_name,
            sumMap(signatures, arrayMap(x -> 1::UInt64, signatures)) AS by_signature,
            sumMap(arrayFlatten(arrayMap(s -> arrayMap(n -> (s, n), names), signatures)) AS with_names, arrayMap(x -> 1::UInt64, with_names)) AS by_both,
            sumMap(arrayFlatten(arrayMap(s -> arrayMap(p -> (s, p.1, p.2), pairs), signatures)) AS with_values, arrayMap(x -> 1::UInt64, with_values)) AS by_all
        FROM compared
        GROUP BY launch, service, route
        HAVING notEmpty(by_signature.1)
    ),
    supported AS
    (
        SELECT launch, route, arrayFilter(c -> c.2 >= least_support, arrayZip(by_all.1, by_all.2)) AS counted
        FROM routes
    ),
    values AS
    (
        SELECT c.launch AS launch, c.route AS route, pair, count() AS exchanges
        FROM compared AS c
        INNER JOIN (SELECT launch, route, arrayDistinct(arrayMap(c -> (c.1.2, c.1.3), counted)) AS pairs FROM supported) AS w ON w.launch = c.launch AND w.route = c.route
        ARRAY JOIN arrayIntersect(c.pairs, w.pairs) AS pair
        GROUP BY launch, route, pair
    ),
    counted AS (SELECT launch, route, groupArray(pair) AS pairs, groupArray(exchanges) AS exchanges FROM values GROUP BY launch, route),
    tried AS
    (
        SELECT
            r.launch AS launch,
            r.service AS service,
            r.route AS route,
            r.all_exchanges AS all_exchanges,
            log(r.tries) + surely AS least_evidence,
            shown.1 AS signature,
            shown.2 AS all_differing,
            arrayConcat(
                arrayMap(
                    c -> (c.1.2, '=', c.1.3, toUInt64(c.2), toUInt64(v.exchanges[indexOf(v.pairs, (c.1.2, c.1.3))])),
                    arrayFilter(c -> c.1.1 = shown.1 AND c.2 >= least_support, arrayZip(r.by_all.1, r.by_all.2))),
                arrayFlatten(arrayMap(
                    n -> [
                        (n.1, 'present', '', toUInt64(r.by_both.2[indexOf(r.by_both.1, (shown.1, n.1))]), toUInt64(n.2)),
                        (n.1, 'absent', '', toUInt64(shown.2 - r.by_both.2[indexOf(r.by_both.1, (shown.1, n.1))]), toUInt64(r.all_exchanges - n.2))],
                    arrayZip(r.by_name.1, r.by_name.2)))) AS conditions
        FROM routes AS r
        LEFT JOIN counted AS v ON v.launch = r.launch AND v.route = r.route
        ARRAY JOIN arrayZip(r.by_signature.1, r.by_signature.2) AS shown
    ),
    weighed AS
    (
        SELECT
            launch,
            service,
            route,
            signature,
            condition.1 AS attribute,
            condition.2 AS is,
            condition.3 AS value,
            condition.5 AS exchanges,
            condition.4 AS differing,
            differing / all_differing AS share,
            differing / exchanges AS rate,
            all_differing / all_exchanges AS route_rate,
            rate / route_rate AS lift,
            round(differing * log(lift) + if(rate = 1, 0, (exchanges - differing) * log((1 - rate) / (1 - route_rate))), 6) AS log_evidence
        FROM tried
        ARRAY JOIN conditions AS condition
        WHERE differing >= least_support AND rate > route_rate AND log_evidence >= least_evidence
    )
SELECT
    launch,
    service,
    route,
    signature,
    best.1 AS attribute,
    best.2 AS is,
    best.3 AS value,
    best.4 AS exchanges,
    best.5 AS differing,
    best.6 AS share,
    best.7 AS lift,
    best.8 AS log_evidence
FROM
(
    SELECT
        launch,
        service,
        route,
        signature,
        argMax((attribute, is, value, exchanges, differing, share, lift, log_evidence), (log_evidence, is = '=', attribute, value)) AS best
    FROM weighed
    GROUP BY launch, service, route, signature
);
