//! Verdicts on rows in ClickHouse: words, exit codes, and that order statistics are what they are said to be.

use serde_json::Value;
use shadow_devstack::Devstack;

use super::support::{Ran, bare, closed_port, run, run_bare, stack};

/// One database for one test.
struct Rows<'a> {
    stack: &'a Devstack,
    database: &'static str,
    client: clickhouse::Client,
}

impl<'a> Rows<'a> {
    async fn new(stack: &'a Devstack, database: &'static str) -> Self {
        run(stack, &["schema", "apply", "--clickhouse-database", database]).await.ok();
        let client = clickhouse::Client::default().with_url(stack.clickhouse_url()).with_database(database);
        Self { stack, database, client }
    }

    async fn insert(&self, sql: &str) {
        self.client.query(&sql.replace('?', "??")).execute().await.unwrap();
    }

    async fn launch(&self, launch: &str, control: &str, gates: &str) {
        self.insert(&format!(
            "INSERT INTO launches (launch, service, candidate, status, sample, control, gates) \
             VALUES ('{launch}', 'shop', 'x', 'active', 1, '{control}', '{gates}')"
        ))
        .await;
    }

    /// `count` exchanges of a route, offsets from `first`; the primary takes 10.000 ms to 19.999 ms, evenly. `more` are pairs of
    /// column and expression over `number`.
    async fn exchanges(&self, launch: &str, route: &str, first: u64, count: u64, more: &[(&str, &str)]) {
        let mut columns = vec![
            ("launch", format!("'{launch}'")),
            ("service", "'shop'".to_owned()),
            ("route", format!("'{}'", route.replace('\'', "\\'"))),
            ("captured_offset", format!("number + {first}")),
            ("captured_at", format!("toDateTime64('2026-01-31 12:00:00', 6) + number + {first}")),
            ("outcome", "'completed'".to_owned()),
            ("result", "'matched'".to_owned()),
            ("primary_status", "200".to_owned()),
            ("candidate_status", "200".to_owned()),
            ("primary_us", format!("10000 + intDiv(number * 10000, {count})")),
            ("candidate_us", format!("10000 + intDiv(number * 10000, {count})")),
        ];
        for (column, expression) in more {
            columns.retain(|(name, _)| name != column);
            columns.push((column, (*expression).to_owned()));
        }
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let values: Vec<&str> = columns.iter().map(|(_, value)| value.as_str()).collect();
        let sql =
            format!("INSERT INTO exchanges ({}) SELECT {} FROM numbers({count})", names.join(", "), values.join(", "));
        self.insert(&sql).await;
    }

    /// The account up to `offset`.
    async fn accounted(&self, launch: &str, offset: u64) {
        self.insert(&format!(
            "INSERT INTO watermarks (launch, service, low_offset, high_offset) VALUES ('{launch}', 'shop', {offset}, {offset})"
        ))
        .await;
    }

    async fn verdict(&self, launch: &str, more: &[&str]) -> Ran {
        let args = [&["verdict", launch, "--clickhouse-database", self.database][..], more].concat();
        run(self.stack, &args).await
    }

    async fn judged(&self, launch: &str, code: i32) -> Value {
        let ran = self.verdict(launch, &["--json"]).await;
        assert_eq!(ran.code, code, "{ran:?}");
        serde_json::from_str(&ran.out).unwrap()
    }
}

fn gate<'a>(verdict: &'a Value, route: &str, gate: &str) -> &'a Value {
    let wanted = |result: &&Value| result["gate"] == gate && result["route"].as_str().unwrap_or("") == route;
    verdict["gates"].as_array().unwrap().iter().find(wanted).unwrap()
}

fn measure<'a>(verdict: &'a Value, route: &str, name: &str) -> &'a Value {
    let wanted = |measure: &&Value| measure["measure"] == name && measure["route"].as_str().unwrap_or("") == route;
    verdict["measures"].as_array().unwrap().iter().find(wanted).unwrap()
}

#[tokio::test]
async fn a_candidate_passes_fails_or_lacks_evidence_and_the_exit_code_says_which() {
    let Some(stack) = stack().await else { return };
    let rows = Rows::new(stack, "verdict_codes").await;

    rows.launch("good", "", "").await;
    rows.exchanges("good", "GET /it's", 0, 5_000, &[]).await;
    rows.accounted("good", 5_000).await;
    let good = rows.judged("good", 0).await;
    assert_eq!((&good["decision"], &good["gates_from"]), (&"pass".into(), &"defaults".into()));
    assert_eq!(gate(&good, "GET /it's", "p50_ratio")["estimate"], 1.0, "{good}");

    rows.launch("young", "", "").await;
    let text = rows.verdict("young", &[]).await;
    assert!(text.code == 2 && text.out.starts_with("young: INSUFFICIENT\nNothing of this launch"), "{text:?}");
    rows.exchanges("young", "GET /a", 0, 500, &[]).await;
    rows.accounted("young", 500).await;
    let young = rows.judged("young", 2).await;
    assert!(gate(&young, "GET /a", "match_rate")["needed"]["about"].as_u64().unwrap() > 3_000, "{young}");

    rows.launch("bad", "", "").await;
    let differing = [("result", "if(number % 10 = 0, 'differing', 'matched')")];
    rows.exchanges("bad", "GET /a", 0, 1_000, &differing).await;
    rows.accounted("bad", 1_000).await;
    let bad = rows.verdict("bad", &[]).await;
    assert!(bad.code == 1 && bad.out.starts_with("bad: FAIL\n2 of 9 gates fail: match_rate of the launch"), "{bad:?}");
    assert_eq!(bad.err, "");
    let report = run(stack, &["report", "bad", "--clickhouse-database", rows.database]).await.ok();
    assert!(report.contains("\nverdict fail: 2 of 9 gates fail: match_rate of the launch"), "{report}");

    let only = "[launch]\nmatch_rate = 0.9\n[routes]\nmatch_rate = \\'off\\'\n[[route]]\nroute = \\'GET /typo\\'";
    rows.launch("unsent", "", only).await;
    let skipped = [
        ("outcome", "'skipped'"),
        ("reason", "'unsafe_method'"),
        ("result", "''"),
        ("candidate_status", "NULL"),
        ("candidate_us", "NULL"),
    ];
    rows.exchanges("unsent", "GET /a", 0, 5_000, &[]).await;
    rows.exchanges("unsent", "POST /pay", 5_000, 1_000, &skipped).await;
    rows.exchanges("unsent", "", 6_000, 10, &[]).await;
    rows.accounted("unsent", 6_010).await;
    let unsent = rows.judged("unsent", 2).await;
    let lacking = &unsent["lacking"][0];
    assert_eq!(
        (&lacking["route"], &lacking["captured"], &lacking["sent"]),
        (&"POST /pay".into(), &1_000.into(), &0.into())
    );
    assert!(
        unsent["gates"].as_array().unwrap().iter().all(|gate| gate["route"] != ""),
        "no route is no route: {unsent}"
    );
    assert_eq!(gate(&unsent, "", "judged")["sample"], 6_010);
    assert_eq!(unsent["notes"][0], "The gates name routes that were never seen: GET /typo.");

    rows.launch("stopped", "", "").await;
    rows.exchanges("stopped", "GET /a", 0, 5_000, &[]).await;
    rows.accounted("stopped", 5_000).await;
    rows.judged("stopped", 0).await;
    rows.insert(
        "INSERT INTO instance_status (instance, role, service, launch, epoch, sequence, at, state) VALUES \
         ('r1', 'replayer', 'shop', 'stopped', 1, 7, '2026-01-31 12:00:00', 'paused'), \
         ('r2', 'replayer', 'shop', 'stopped', 1, 9, '2026-01-31 12:05:00', 'running')",
    )
    .await;
    rows.judged("stopped", 0).await;
    rows.insert(
        "INSERT INTO instance_status (instance, role, service, launch, epoch, sequence, at, state) VALUES \
         ('r2', 'replayer', 'shop', 'stopped', 1, 10, '2026-01-31 12:05:10', 'paused')",
    )
    .await;
    let stopped = rows.judged("stopped", 2).await;
    assert_eq!(stopped["state"], "halted", "one that is gone does not stop it, one that lives does");

    rows.launch("lost", "", "").await;
    rows.exchanges("lost", "GET /a", 0, 5_000, &[]).await;
    rows.accounted("lost", 5_001).await;
    assert_eq!(rows.judged("lost", 3).await["decision"], "unbalanced");
}

#[tokio::test]
async fn what_gives_no_verdict_never_looks_like_one() {
    let Some(stack) = stack().await else { return };
    let rows = Rows::new(stack, "verdict_none").await;
    let unknown = rows.verdict("nobody", &[]).await;
    assert!(unknown.code == 66 && unknown.err.contains("knows no launch nobody"), "{unknown:?}");
    let elsewhere = run(stack, &["verdict", "nobody", "--clickhouse-database", "verdict_nowhere"]).await;
    assert!(elsewhere.code == 66 && elsewhere.err.contains("schema apply"), "{elsewhere:?}");
    let nobody = format!("http://{}", closed_port());
    let away = run_bare(&["verdict", "nobody", "--clickhouse-url", &nobody]).await;
    assert_eq!(away.code, 69, "{away:?}");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gates.toml");
    std::fs::write(&file, "[routes]\nmatch_rate = 99.9").unwrap();
    let wrong = rows.verdict("nobody", &["--gates", file.to_str().unwrap()]).await;
    assert!(wrong.code == 64 && wrong.err.contains("line 2: 99.9 is not a share"), "{wrong:?}");
    let missing = bare(&["verdict", "nobody", "--gates", "/nowhere"]).output().await.unwrap();
    assert_eq!(missing.status.code(), Some(64));
}

#[tokio::test]
async fn latencies_are_held_against_the_control_where_there_is_one() {
    let Some(stack) = stack().await else { return };
    let rows = Rows::new(stack, "verdict_latency").await;
    // Every tenth request went to the control, which took 30 ms where the candidate took 36 ms; production is ten times faster.
    let legs = [
        ("control_status", "if(number % 10 = 0, 200, NULL)"),
        ("control_us", "if(number % 10 = 0, 30000 + number, NULL)"),
        ("candidate_us", "36000 + number"),
        ("primary_us", "3000"),
    ];
    rows.launch("with", "http://control", "[routes]\np95_difference_ms = 5\n[launch]\np99_ratio = 2").await;
    rows.exchanges("with", "GET /a", 0, 10_000, &legs).await;
    rows.accounted("with", 10_000).await;
    let with = rows.judged("with", 1).await;
    assert_eq!((&with["reference"], &with["gates_from"]), (&"control".into(), &"launch".into()));
    let median = gate(&with, "GET /a", "p50_ratio");
    // Values 30.000, 30.010, ... 39.990 ms: the 500th is 34.990, and so on.
    assert_eq!((&median["decision"], &median["sample"]), (&"pass".into(), &1_000.into()));
    assert_eq!(measure(&with, "GET /a", "control_p50_ms")["estimate"], 34.99);
    assert_eq!(measure(&with, "GET /a", "candidate_p95_ms")["estimate"], 45.49);
    let interval = &measure(&with, "GET /a", "control_p50_ms")["interval"];
    assert!(interval["low"].as_f64().unwrap() < 34.99 && interval["low"].as_f64().unwrap() > 33.0, "{interval}");
    assert!(interval["high"].as_f64().unwrap() > 34.99 && interval["high"].as_f64().unwrap() < 37.0, "{interval}");
    assert_eq!(gate(&with, "GET /a", "p95_difference_ms")["decision"], "fail", "it is 6 ms throughout");
    assert_eq!(gate(&with, "", "p99_ratio")["decision"], "pass");

    rows.launch("without", "", "").await;
    rows.exchanges("without", "GET /a", 0, 10_000, &legs).await;
    rows.accounted("without", 10_000).await;
    let without = rows.judged("without", 1).await;
    assert_eq!(gate(&without, "GET /a", "p50_ratio")["decision"], "fail", "41 ms against production's 3 ms");
    assert_eq!(without["reference"], "primary");
}

#[tokio::test]
async fn what_timed_out_is_slow_and_a_quick_refusal_is_not_quick() {
    let Some(stack) = stack().await else { return };
    let rows = Rows::new(stack, "verdict_timeouts").await;
    let only = "[launch]\np50_ratio = \\'off\\'\n[routes]\np99_ratio = 2";
    rows.launch("late", "http://control", only).await;
    let control = [("control_status", "200"), ("control_us", "20000"), ("candidate_us", "20000")];
    rows.exchanges("late", "GET /a", 0, 5_000, &control).await;
    let timed_out = [
        ("outcome", "'failed'"),
        ("reason", "'timeout'"),
        ("result", "''"),
        ("candidate_status", "NULL"),
        ("candidate_us", "NULL"),
        ("control_status", "200"),
        ("control_us", "20000"),
    ];
    rows.exchanges("late", "GET /a", 5_000, 300, &timed_out).await;
    let refused =
        [("candidate_status", "404"), ("candidate_us", "1"), ("control_status", "200"), ("control_us", "20000")];
    rows.exchanges("late", "GET /a", 5_300, 5_000, &refused).await;
    let both = [&timed_out[..5], &[("control_error", "'timeout'")][..]].concat();
    rows.exchanges("late", "GET /a", 10_300, 10, &both).await;
    rows.accounted("late", 10_310).await;
    let late = rows.judged("late", 1).await;
    let tail = gate(&late, "GET /a", "p99_ratio");
    assert_eq!((&tail["decision"], &tail["sample"]), (&"fail".into(), &5_310.into()), "{tail}");
    let median = measure(&late, "GET /a", "candidate_p50_ms");
    assert_eq!(median["estimate"], 20.0, "answers of another class have no part in it");
    assert_eq!(measure(&late, "GET /a", "p99_difference_ms")["estimate"], Value::Null, "infinite");
    assert_eq!(measure(&late, "GET /a", "control_failed")["estimate"].as_f64().map(|share| share > 0.0), Some(true));
}

#[tokio::test]
async fn errors_are_paired_and_what_the_candidate_could_not_answer_is_left_out() {
    let Some(stack) = stack().await else { return };
    let rows = Rows::new(stack, "verdict_errors").await;
    rows.launch("errors", "", "").await;
    // Both fail on the first hundred; the candidate alone on the next thirty; clients went away from the next fifty.
    let both = [("primary_status", "503"), ("candidate_status", "503")];
    rows.exchanges("errors", "GET /a", 0, 100, &both).await;
    rows.exchanges("errors", "GET /a", 100, 20, &[("candidate_status", "500")]).await;
    let timeout = [("outcome", "'failed'"), ("reason", "'timeout'"), ("result", "''"), ("candidate_status", "NULL")];
    rows.exchanges("errors", "GET /a", 120, 10, &timeout).await;
    let aborted = [("primary_status", "NULL"), ("primary_error", "'client_aborted'")];
    rows.exchanges("errors", "GET /a", 130, 50, &aborted).await;
    let killed = [("outcome", "'failed'"), ("reason", "'killed'"), ("result", "''"), ("candidate_status", "NULL")];
    rows.exchanges("errors", "GET /a", 180, 500, &killed).await;
    rows.exchanges("errors", "GET /a", 680, 5_000, &[]).await;
    rows.accounted("errors", 5_680).await;
    let verdict = rows.judged("errors", 1).await;
    let errors = gate(&verdict, "GET /a", "error_rate");
    assert_eq!(
        errors["reason"],
        "Of 5,130 requests 30 failed on the candidate alone (20 status 500, 10 timeout) and 0 on the primary alone, more than \
         chance explains."
    );
    let availability = measure(&verdict, "GET /a", "availability");
    assert_eq!(availability["sample"], 5_180);
    assert!((availability["estimate"].as_f64().unwrap() - 5_170.0 / 5_180.0).abs() < 1e-9, "{availability}");
}

#[tokio::test]
async fn noise_counts_as_a_match_and_models_are_held_to_their_classes() {
    let Some(stack) = stack().await else { return };
    let rows = Rows::new(stack, "verdict_noise").await;
    // One place flaps on every second request, on the control too.
    let flapping = [
        ("result", "if(number % 2 = 0, 'differing', 'matched')"),
        ("result_without_differences", "if(number % 2 = 0, 'matched', '')"),
        ("differences.signature", "if(number % 2 = 0, ['s'], [])"),
        ("differences.place", "if(number % 2 = 0, ['$.at'], [])"),
        ("differences.kind", "if(number % 2 = 0, ['value'], [])"),
        ("differences.transition", "if(number % 2 = 0, ['changed'], [])"),
        ("differences.example", "if(number % 2 = 0, [''], [])"),
        ("differences.primary", "if(number % 2 = 0, ['1'], [])"),
        ("differences.candidate", "if(number % 2 = 0, ['2'], [])"),
        ("differences.count", "if(number % 2 = 0, [1], [])"),
        ("differences.expected", "if(number % 2 = 0, [''], [])"),
        ("control_status", "200"),
        ("control_us", "10000 + number"),
        ("candidate_us", "10000 + number"),
        ("control_sent_at", "now64(6)"),
        ("sent_at", "now64(6)"),
        ("control_result", "if(number % 2 = 1, 'differing', 'matched')"),
        ("control.signature", "if(number % 2 = 1, ['s'], [])"),
        ("control.place", "if(number % 2 = 1, ['$.at'], [])"),
        ("control.kind", "if(number % 2 = 1, ['value'], [])"),
        ("control.transition", "if(number % 2 = 1, ['changed'], [])"),
        ("primary_class", "if(number % 10 = 0, 'dog', 'cat')"),
        ("candidate_class", "'cat'"),
        ("score_difference", "if(number % 2 = 0, -0.01, 0.03)"),
    ];
    rows.launch("model", "http://control", "[launch]\nclass_agreement = 0.95\nscore_difference = 0.05").await;
    rows.exchanges("model", "POST /classify", 0, 10_000, &flapping).await;
    rows.accounted("model", 10_000).await;
    let verdict = rows.judged("model", 1).await;
    assert_eq!(gate(&verdict, "POST /classify", "match_rate")["decision"], "pass", "{verdict}");
    let excess = gate(&verdict, "POST /classify", "noise_excess");
    assert_eq!((&excess["decision"], &excess["sample"]), (&"insufficient".into(), &10_000.into()), "half of it flaps");
    assert_eq!(measure(&verdict, "POST /classify", "noise_share")["estimate"], 0.5);

    // Half of the pairs are not known to be anything yet: too few of them are the control's.
    let young = |expression: &str| expression.replace("number % 2 = 1", "number = 1");
    let young: Vec<(&str, String)> = flapping.iter().map(|(column, of)| (*column, young(of))).collect();
    let mut young: Vec<(&str, &str)> = young.iter().map(|(column, of)| (*column, of.as_str())).collect();
    young.push(("differences.signature", "if(number % 2 = 0, [toString(number)], [])"));
    rows.launch("young", "http://control", "").await;
    rows.exchanges("young", "POST /classify", 0, 40, &young).await;
    rows.accounted("young", 40).await;
    let young = rows.judged("young", 2).await;
    let rate = gate(&young, "POST /classify", "match_rate");
    assert!(
        rate["reason"].as_str().unwrap().contains("20 differences are not yet known to be noise or fault"),
        "{rate}"
    );
    assert!(young["notes"].as_array().unwrap().is_empty(), "{young}");
    rows.launch("dead", "http://control", "").await;
    let dead = [("control_error", "'connect'"), ("result", "if(number % 9 = 0, 'differing', 'matched')")];
    rows.exchanges("dead", "GET /a", 0, 900, &dead).await;
    rows.accounted("dead", 900).await;
    let dead = rows.judged("dead", 2).await;
    assert_eq!(gate(&dead, "GET /a", "control")["decision"], "insufficient");
    assert_eq!(dead["notes"][0], "The control answered none of its 900 requests.");
    let agreement = gate(&verdict, "", "class_agreement");
    assert_eq!((&agreement["decision"], &agreement["estimate"]), (&"fail".into(), &0.9.into()));
    let scores = gate(&verdict, "", "score_difference");
    assert_eq!(scores["decision"], "pass");
    assert!((scores["estimate"].as_f64().unwrap() - 0.02).abs() < 1e-9, "{scores}");
    let dog = verdict["measures"].as_array().unwrap().iter().find(|measure| measure["class"] == "dog").unwrap();
    assert_eq!((&dog["estimate"], &dog["sample"]), (&0.0.into(), &1_000.into()));
}

#[tokio::test]
async fn a_report_is_one_page_that_holds_everything_it_shows() {
    let Some(stack) = stack().await else { return };
    let rows = Rows::new(stack, "verdict_page").await;
    let differing = [
        ("result", "if(number % 10 = 0, 'differing', 'matched')"),
        ("result_without_differences", "if(number % 10 = 0, 'matched', '')"),
        ("request_id", "toUUID('01890a5d-ac96-774b-bcce-b302099a8057')"),
        ("differences.signature", "if(number % 10 = 0, ['s'], [])"),
        ("differences.place", "if(number % 10 = 0, ['$.total'], [])"),
        ("differences.kind", "if(number % 10 = 0, ['value'], [])"),
        ("differences.transition", "if(number % 10 = 0, ['changed'], [])"),
        ("differences.example", "if(number % 10 = 0, [''], [])"),
        ("differences.primary", "if(number % 10 = 0, ['<b>1</b>'], [])"),
        ("differences.candidate", "if(number % 10 = 0, ['2'], [])"),
        ("differences.count", "if(number % 10 = 0, [1], [])"),
        ("differences.expected", "if(number % 10 = 0, [''], [])"),
        ("attributes", "map('query:currency', if(number % 10 = 0, 'JPY', 'EUR'))"),
        ("control_status", "200"),
        ("control_us", "9000 + number"),
        ("control_result", "'matched'"),
        ("sent_at", "toDateTime64('2026-01-31 12:00:01', 6) + number"),
        ("staleness_us", "number * 1000"),
    ];
    rows.launch("paged", "http://control", "").await;
    rows.exchanges("paged", "GET /carts/{id}", 0, 1_000, &differing).await;
    rows.accounted("paged", 1_000).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.html");
    let args = ["report", "paged", "--html", file.to_str().unwrap(), "--clickhouse-database", "verdict_page"];
    run(stack, &args).await.ok();
    let page = std::fs::read_to_string(&file).unwrap();
    for shown in
        ["GET /carts/{id}", "$.total", "query:currency", "JPY", "&lt;b&gt;1&lt;/b&gt;", "proven against the control"]
    {
        assert!(page.contains(shown), "{shown} is not in\n{page}");
    }
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("href="));

    let nowhere = ["report", "paged", "--html", "/nowhere/report.html", "--clickhouse-database", "verdict_page"];
    let refused = run(stack, &nowhere).await;
    assert!(refused.code == 64 && refused.err.contains("/nowhere/report.html"), "{refused:?}");
}

#[tokio::test]
async fn outbound_calls_that_nobody_could_compare_are_said_wherever_the_launch_is_judged() {
    let Some(stack) = stack().await else { return };
    let rows = Rows::new(stack, "verdict_calls").await;
    let called = [
        ("effects_result", "multiIf(number % 10 = 0, 'incomparable', number % 10 = 1, 'matched', '')"),
        ("effects_reason", "multiIf(number % 100 = 0, 'uncorrelated', number % 10 = 0, 'not_recorded', '')"),
        ("primary_effects", "number % 10 = 1"),
        ("candidate_effects", "number % 10 < 2"),
        ("sent_at", "toDateTime64('2026-01-31 12:00:01', 6) + number"),
    ];
    rows.launch("calling", "", "").await;
    rows.exchanges("calling", "POST /checkout", 0, 5_000, &called).await;
    rows.accounted("calling", 5_000).await;
    // Seven tell of the launch alone, two of nothing at its time, one of nothing a day later; and what told of its request.
    rows.insert(
        "INSERT INTO effects (service, side, launch, request_id, instance, sequence, at, destination, method, route, decision) \
         SELECT 'shop', 'candidate', if(number < 7 OR number > 9, 'calling', ''), if(number > 9, generateUUIDv4(), NULL), 'stub', number, \
            toDateTime64('2026-01-31 12:00:05', 6) + if(number = 9, 86400, number), 'a.example', 'POST', '/', \
            if(number = 3, 'unmatched', 'answered') FROM numbers(1010)",
    )
    .await;
    let judged = rows.judged("calling", 0).await;
    assert_eq!(judged["reason"], "All 9 required gates pass; not all outbound calls could be compared.");
    let effects = &judged["effects"];
    assert_eq!(
        (&effects["compared"], &effects["incomparable"]["not_recorded"]),
        (&500.into(), &450.into()),
        "{judged}"
    );
    assert_eq!(
        (&effects["recorded"], &effects["uncorrelated"], &effects["unmatched"]),
        (&1_009.into(), &9.into(), &1.into())
    );
    assert!(
        judged["notes"][0]
            .as_str()
            .unwrap()
            .contains("for 500 requests and could not be for 500 (not_recorded 450, uncorrelated 50)")
    );
    let text = rows.verdict("calling", &[]).await;
    assert!(text.out.contains("compared with nothing: 9."), "{text:?}");
    let of = ["report", "calling", "--clickhouse-database", rows.database];
    let report = run(stack, &of).await.ok();
    let head = "\noutbound calls: compared for 500 exchanges, 0 differ; NOT COMPARED for 500\n";
    assert!(report.contains(head) && report.contains("no rule of the stub matched: 1 calls"), "{report}");
    assert_eq!(run(stack, &[&of[..], &["--json"]].concat()).await.json()["effects"]["candidate_calls"], 1_000);

    // With none compared, and none that could not be, somebody switched it off.
    rows.launch("silent", "", "").await;
    rows.exchanges("silent", "POST /checkout", 0, 5_000, &[]).await;
    rows.accounted("silent", 5_000).await;
    rows.insert("INSERT INTO effects (service, side, launch, request_id, instance, sequence) VALUES ('shop', 'candidate', 'silent', generateUUIDv4(), 's', 1)").await;
    let silent = rows.judged("silent", 0).await;
    assert_eq!(silent["notes"][0], "Outbound calls of the candidate were recorded (1), and none was compared.");
}
