//! Noise, faults and what they go together with, on generated exchanges: launches in which it is known what flaps and what is broken.
//! ClickHouse draws them itself, from hashes of seed and offset, so every run sees the same.

use crate::stack::Place;

/// A place of every answer: how often it flaps on any two answers of the live build, and how often the candidate breaks it besides.
struct Flapping {
    name: &'static str,
    flaps: f64,
    broken: f64,
}

const fn flapping(name: &'static str, flaps: f64, broken: f64) -> Flapping {
    Flapping { name, flaps, broken }
}

/// Exchanges of a launch, a tenth of them with a control, as the default is.
async fn simulate(place: &Place, launch: &str, seed: u32, exchanges: u32, places: &[Flapping]) {
    simulate_on(place, launch, "'GET /a'", seed, exchanges, places).await;
}

/// As [`simulate`], on the routes that an expression over `number` gives.
async fn simulate_on(place: &Place, launch: &str, route: &str, seed: u32, exchanges: u32, places: &[Flapping]) {
    let list = |of: &dyn Fn(&Flapping) -> String| places.iter().map(of).collect::<Vec<_>>().join(", ");
    let names = list(&|p| format!("'{}'", p.name));
    let (flaps, broken) = (list(&|p| format!("{:?}", p.flaps)), list(&|p| format!("{:?}", p.broken)));
    let sql = format!(
        "INSERT INTO exchanges (launch, service, partition, captured_offset, version, request_id, route, captured_at, sent_at, outcome, \
            result, control_result, attributes, \
            differences.signature, differences.place, differences.kind, differences.transition, differences.example, \
            differences.primary, differences.candidate, differences.count, differences.expected, \
            control.signature, control.place, control.kind, control.transition) \
         WITH [{names}] AS names, [{flaps}] AS flaps, [{broken}] AS broken, \
            (a, b) -> sipHash64(number, {seed}, a, b) / 18446744073709551616. AS draw, \
            arrayFilter((name, f, b) -> draw(name, 1) < f OR draw(name, 2) < b, names, flaps, broken) AS candidate, \
            draw('control', 0) < 0.1 AS sampled, \
            arrayFilter((name, f) -> sampled AND draw(name, 3) < f, names, flaps) AS control, \
            {route} AS path_template, \
            name -> lower(hex(sipHash64(path_template, name))) AS signature, \
            words -> arrayMap(x -> words, candidate) AS each \
         SELECT '{launch}', 'shop', number % 4, intDiv(number, 4), 1000, generateUUIDv4(number), path_template, \
            toDateTime64('2026-01-02 03:00:00', 6, 'UTC') + toIntervalMillisecond(number) AS at, at + toIntervalSecond(1), 'completed', \
            if(empty(candidate), 'matched', 'differing'), multiIf(NOT sampled, '', empty(control), 'matched', 'differing'), \
            map('query:page', toString(sipHash64(number) % 50), 'path:id', toString(number)), \
            arrayMap(n -> signature(n), candidate), candidate, each('value'), each('changed'), candidate, \
            each('1'), each('2'), arrayMap(x -> 1, candidate), each(''), \
            arrayMap(n -> signature(n), control), control, arrayMap(x -> 'value', control), arrayMap(x -> 'changed', control) \
         FROM numbers({exchanges})"
    );
    place.query(&sql).await;
    let known = format!("INSERT INTO watermarks (launch, service, partition) VALUES ('{launch}', 'shop', 0)");
    place.query(&known).await;
}

/// Places with the standing of their signature, of one launch.
async fn standings(place: &Place, launch: &str) -> String {
    let sql = format!("SELECT place, standing FROM signatures WHERE launch = '{launch}' ORDER BY place");
    place.query(&sql).await
}

/// What the views cost; run by hand, for docs/benchmarks.md.
#[allow(clippy::print_stdout, reason = "the figures are what it is run for")]
pub(crate) async fn what_each_view_takes_over_a_million_exchanges(place: Place) {
    let places = [
        flapping("$.rarely", 0.01, 0.0),
        flapping("$.sometimes", 0.1, 0.0),
        flapping("$.always", 1.0, 0.0),
        flapping("$.steady", 0.0, 0.01),
    ];
    simulate_on(&place, "million", "concat('GET /', toString(number % 40))", 1, 1_000_000, &places).await;
    for view in crate::stack::VIEWS.iter().filter(|view| **view != "ledger_agent") {
        let mut seconds = Vec::new();
        for _ in 0..3 {
            let begun = std::time::Instant::now();
            place.query(&format!("SELECT * FROM {view} WHERE launch = 'million' FORMAT Null")).await;
            seconds.push(begun.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        println!("{view}: {:.2} s", seconds[1]);
    }
}

pub(crate) async fn what_flaps_on_the_control_is_no_fault_and_what_only_the_candidate_shows_is(place: Place) {
    const SEEDS: u32 = 20;
    const REQUESTS: u32 = 12_000;
    let quiet = [
        flapping("$.rarely", 0.01, 0.0),
        flapping("$.sometimes", 0.1, 0.0),
        flapping("$.often", 0.5, 0.0),
        flapping("$.always", 1.0, 0.0),
    ];
    let broken = [
        flapping("$.rarely", 0.01, 0.1),
        flapping("$.sometimes", 0.1, 0.2),
        flapping("$.often", 0.5, 0.4),
        flapping("$.always", 1.0, 0.0),
        flapping("$.steady", 0.0, 0.05),
    ];
    for seed in 0..SEEDS {
        simulate(&place, &format!("same-{seed}"), seed, REQUESTS, &quiet).await;
        simulate(&place, &format!("broken-{seed}"), seed, REQUESTS, &broken).await;
    }
    let found = place.query("SELECT launch, place, standing FROM signatures WHERE launch LIKE 'same-%'").await;
    assert_eq!(found, "", "no difference of two copies of one build is left");
    let rates =
        place.query("SELECT sum(differing), min(match_rate), count() FROM match_rate WHERE launch LIKE 'same-%'").await;
    assert_eq!(rates, format!("0\t1\t{SEEDS}\n"));
    for seed in 0..SEEDS {
        let found = standings(&place, &format!("broken-{seed}")).await;
        assert_eq!(found, "$.often\tfault\n$.rarely\tfault\n$.sometimes\tfault\n$.steady\tfault\n", "seed {seed}");
    }
}

pub(crate) async fn flaps_that_the_control_did_not_see_stay_undecided(place: Place) {
    let rare = [flapping("$.hardly_ever", 0.0005, 0.0), flapping("$.always", 1.0, 0.0)];
    simulate(&place, "rare", 1, 12_000, &rare).await;
    assert_eq!(standings(&place, "rare").await, "$.hardly_ever\tundecided\n");
    let evidence = place
        .query("SELECT exchanges > 0, pairs > 1000, control_differing < 3 FROM signatures WHERE launch = 'rare'")
        .await;
    assert_eq!(evidence, "1\t1\t1\n");
    let undecided =
        place.query("SELECT differing > 0, undecided = differing FROM match_rate WHERE launch = 'rare'").await;
    assert_eq!(undecided, "1\t1\n", "it counts as differing, and as undecided");
    // Too few pairs say nothing, however often they flap.
    simulate(&place, "young", 1, 150, &[flapping("$.often", 0.5, 0.0)]).await;
    assert_eq!(place.query("SELECT pairs < 30 FROM signatures WHERE launch = 'young'").await, "1\n");
    assert_eq!(standings(&place, "young").await, "$.often\tundecided\n");
}

/// An entry of the profile about `place_name`, which expires after the given second of the simulated day's third hour.
async fn enter(place: &Place, version: u32, place_name: &str, origin: &str, decision: &str, until_second: u32) {
    let sql = format!(
        "INSERT INTO noise_profiles (service, version, signature, route, place, kind, transition, origin, decision, expires_at) \
         SELECT 'shop', {version}, lower(hex(sipHash64('GET /a', '{place_name}'))), 'GET /a', '{place_name}', 'value', 'changed', \
            '{origin}', '{decision}', toDateTime64('2026-01-02 03:00:00', 6, 'UTC') + toIntervalSecond({until_second})"
    );
    place.query(&sql).await;
}

pub(crate) async fn a_profile_holds_until_it_expires_and_overruling_wins(place: Place) {
    // Twelve seconds of traffic, each exchange sent a second after its capture.
    let flaps = [flapping("$.hardly_ever", 0.0005, 0.0), flapping("$.often", 0.5, 0.0), flapping("$.steady", 0.0, 0.2)];
    simulate(&place, "next", 1, 12_000, &flaps).await;
    let differing = "SELECT countIf(verdict_result = 'differing') FROM judged WHERE launch = 'next' AND has(differences.place, '$.hardly_ever') AND NOT has(differences.place, '$.steady')";
    let of_hardly_ever = place.query(differing).await;
    enter(&place, 1, "$.hardly_ever", "frozen", "noise", 7).await;
    let later: u32 = place.query(differing).await.trim().parse().unwrap();
    assert!(later > 0 && later < of_hardly_ever.trim().parse().unwrap(), "{later} of {of_hardly_ever}");
    enter(&place, 2, "$.hardly_ever", "frozen", "noise", 60).await;
    assert_eq!(standings(&place, "next").await, "$.steady\tfault\n", "a later freeze holds for the whole launch");
    // Frozen noise does not hide a fault that this launch proves; overruling does, either way.
    enter(&place, 3, "$.steady", "frozen", "noise", 60).await;
    assert_eq!(standings(&place, "next").await, "$.steady\tfault\n");
    enter(&place, 4, "$.steady", "overruled", "noise", 60).await;
    enter(&place, 5, "$.often", "overruled", "fault", 60).await;
    assert_eq!(standings(&place, "next").await, "$.often\tfault\n");
    let basis = "SELECT place, decision, basis, evidence FROM noise WHERE launch = 'next' ORDER BY place";
    let shown = place.query(basis).await;
    assert_eq!(
        shown,
        "$.hardly_ever\tnoise\tfrozen\tundecided\n$.often\tfault\toverruled\tnoise\n$.steady\tnoise\toverruled\tfault\n"
    );
    enter(&place, 6, "$.steady", "overruled", "live", 60).await;
    enter(&place, 7, "$.often", "overruled", "live", 60).await;
    assert_eq!(standings(&place, "next").await, "$.steady\tfault\n", "taken back, the evidence speaks");
    let before = place.views().await;
    place.query("INSERT INTO noise_profiles SELECT * FROM noise_profiles").await;
    place.query("INSERT INTO exchanges SELECT * FROM exchanges").await;
    assert_eq!(place.views().await, before, "entries and rows that come twice count once");
}

pub(crate) async fn an_exchange_is_noise_only_when_all_of_it_is(place: Place) {
    simulate(&place, "mixed", 3, 3_000, &[flapping("$.always", 1.0, 0.0), flapping("$.steady", 0.0, 0.1)]).await;
    let results = "SELECT verdict_result, differences.standing, count() > 100 FROM judged WHERE launch = 'mixed' GROUP BY ALL ORDER BY ALL";
    assert_eq!(place.query(results).await, "differing\t['noise','fault']\t1\nnoise\t['noise']\t1\n");
    let change = |what: &str, of: &str| {
        format!(
            "INSERT INTO exchanges SELECT * REPLACE (version + 1 AS version, {what}) FROM exchanges FINAL \
             WHERE launch = 'mixed' AND control_result = '' AND length(differences.place) = 1 AND captured_offset % 10 = {of}"
        )
    };
    // What was not listed, or could not be looked at, is not known to be noise.
    place.query(&change("1 AS differences_omitted", "1")).await;
    place.query(&change("'truncated' AS result_without_differences", "2")).await;
    // An expected change is judged by itself.
    place.query(&change("['total'] AS `differences.expected`", "3")).await;
    let results = "SELECT captured_offset % 10 AS digit, verdict_result, any(differences.standing) FROM judged WHERE launch = 'mixed' \
                   AND control_result = '' AND length(differences.place) = 1 AND digit IN (1, 2, 3, 4) GROUP BY ALL ORDER BY ALL";
    assert_eq!(
        place.query(results).await,
        "1\tdiffering\t['noise']\n2\ttruncated\t['noise']\n3\tnoise\t['expected']\n4\tnoise\t['noise']\n"
    );
}

pub(crate) async fn a_driver_is_named_when_it_cannot_be_chance(place: Place) {
    simulate(&place, "driven", 4, 4_000, &[flapping("$.steady", 0.0, 0.2)]).await;
    let named = "SELECT attribute, is, value, share, round(lift, 1) FROM drivers WHERE launch = 'driven'";
    assert_eq!(place.query(named).await, "", "spread over everything, nothing drives it");
    let with = |attributes: &str| {
        format!(
            "INSERT INTO exchanges SELECT * REPLACE (version + 1 AS version, mapConcat(attributes, {attributes}) AS attributes) \
             FROM exchanges FINAL WHERE launch = 'driven'"
        )
    };
    place.query(&with("map('header:accept-language', if(result = 'differing', 'de', 'en'))")).await;
    assert_eq!(place.query(named).await, "header:accept-language\t=\tde\t1\t5\n");
    place.query(&with("if(result = 'differing', map('header:accept-language', 'de'), map('header:accept-language', 'de', 'body:coupon', '1'))")).await;
    assert_eq!(place.query(named).await, "body:coupon\tabsent\t\t1\t5\n");
}

pub(crate) async fn what_only_old_replays_show_is_named(place: Place) {
    simulate(&place, "stale", 5, 4_000, &[flapping("$.old", 0.0, 0.2), flapping("$.steady", 0.0, 0.2)]).await;
    let age = |seconds: &str| {
        format!(
            "INSERT INTO exchanges SELECT * REPLACE (version + 1 AS version, ({seconds}) * 1000000 AS staleness_us) \
             FROM exchanges FINAL WHERE launch = 'stale'"
        )
    };
    let named = "SELECT place, only_stale, stale_from_s, fresh_exchanges > 1000 FROM signatures WHERE launch = 'stale' ORDER BY place";
    place.query(&age("if(has(differences.place, '$.old'), 90, if(captured_offset % 3 = 0, 2, 400))")).await;
    assert_eq!(place.query(named).await, "$.old\t1\t60\t1\n$.steady\t0\t1\t0\n");
    place.query(&age("90")).await;
    assert_eq!(
        place.query(named).await,
        "$.old\t0\t60\t0\n$.steady\t0\t60\t0\n",
        "without a fresh one there is nothing to compare with"
    );
    let ages = "SELECT staler_than_s, compared FROM staleness WHERE launch = 'stale'";
    assert_eq!(place.query(ages).await, "60\t4000\n");
}
