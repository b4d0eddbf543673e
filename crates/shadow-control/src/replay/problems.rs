//! What is wrong with how a launch wants to replay.
//!
//! Pure. `shadowctl` refuses to write such a launch, and a replayer that reads one all the same does not run it: a rule that could
//! not work as written is never ignored.

use std::collections::BTreeSet;

use http::{HeaderName, HeaderValue};
use shadow_record::Route;

use super::{Handshake, JsonPlace, LearnRule, Order, Replay, SampleBy, Timing, WritePolicy, WriteRule};

impl Replay {
    /// Every problem, each with its key, cause and remedy; empty when the launch can run.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Timing::Original { speed } = self.timing
            && !(speed.is_finite() && speed > 0.0)
        {
            problems.push(format!("`timing.original.speed` is {speed}: give a factor above 0, such as 1.0"));
        }
        if self.max_age_s == Some(0) {
            problems
                .push("`max_age_s` is 0, so that every record is too old: give seconds, or leave it out".to_owned());
        }
        if self.session_limit_ms == 0 {
            problems.push("`session_limit_ms` is 0: give milliseconds, or use `order = \"none\"`".to_owned());
        }
        self.breaker_problems(&mut problems);
        for (number, rule) in self.writes.iter().enumerate() {
            rule.problems(&mut |text| problems.push(format!("`writes` rule {}: {text}", number + 1)));
            if self.writes[..number].iter().any(|before| before.route == rule.route) {
                problems.push(format!(
                    "`writes` rule {}: route `{}` has a rule before it, which always holds: remove one",
                    number + 1,
                    rule.route
                ));
            }
        }
        self.learn_problems(&mut problems);
        for target in self.deny.iter().filter(|target| target.is_empty() || target.contains(char::is_whitespace)) {
            problems
                .push(format!("`deny` holds `{target}`: write `host`, `host:port` or a network such as 10.0.0.0/8"));
        }
        if let Some(handshake) = &self.handshake {
            handshake.problems(&mut |text| problems.push(format!("`handshake`: {text}")));
        }
        problems
    }

    fn breaker_problems(&self, problems: &mut Vec<String>) {
        let breaker = &self.breaker;
        for (key, share) in [("failures", breaker.failures), ("slow", breaker.slow)] {
            if !(share > 0.0 && share <= 1.0) {
                problems.push(format!("`breaker.{key}` is {share}: give a share above 0 and up to 1"));
            }
        }
        let zeros = [
            ("least", breaker.least == 0),
            ("window_s", breaker.window_s == 0),
            ("open_s", breaker.open_s == 0),
            ("slow_ms", breaker.slow_ms == Some(0)),
        ];
        for (key, _) in zeros.into_iter().filter(|(_, is_zero)| *is_zero) {
            problems.push(format!("`breaker.{key}` is 0: give at least 1"));
        }
    }

    fn learn_problems(&self, problems: &mut Vec<String>) {
        if self.learn.is_empty() {
            return;
        }
        if self.order != Order::Session {
            problems.push(
                "`learn` needs `order = \"session\"`: what an answer says must be known before the next request"
                    .to_owned(),
            );
        }
        if self.sample_by != SampleBy::Session {
            problems.push(
                "`learn` needs `sample_by = \"session\"`: the answers it learns from must not be sampled out"
                    .to_owned(),
            );
        }
        let mut names = BTreeSet::new();
        for rule in &self.learn {
            let name = &rule.name;
            rule.problems(&mut |text| problems.push(format!("`learn` rule `{name}`: {text}")));
            if !names.insert(name) {
                problems.push(format!(
                    "`learn` rule `{name}`: the name is given twice, and records name rules: rename one"
                ));
            }
        }
    }
}

impl WriteRule {
    fn problems(&self, problem: &mut dyn FnMut(String)) {
        if self.route != "*"
            && let Err(error) = Route::parse(&self.route)
        {
            problem(error.to_string());
        }
        match (self.policy, &self.header, &self.query) {
            (WritePolicy::DryRun, None, None) => {
                problem("`dry_run` needs `header = \"name: value\"` or `query = \"name=value\"`, which the service understands".to_owned());
            }
            (WritePolicy::DryRun, ..) | (_, None, None) => {}
            _ => problem("only `dry_run` has a header or a query parameter: remove it".to_owned()),
        }
        if let Some(header) = &self.header
            && self.added_header().is_none()
        {
            problem(format!("`{header}` is no header that can be added: write `name: value`, such as `x-dry-run: 1`"));
        }
        if let Some(query) = &self.query
            && self.added_parameter().is_none()
        {
            problem(format!(
                "`{query}` is no query parameter: write `name=value`, such as `dry_run=1`, percent-encoded"
            ));
        }
    }

    /// The header that a dry run adds; `None` when there is none, or none that can be sent.
    pub fn added_header(&self) -> Option<(HeaderName, HeaderValue)> {
        header(self.header.as_deref()?)
    }

    /// The query parameter that a dry run adds, as it stands in a URL; `None` when there is none, or none that can be sent.
    pub fn added_parameter(&self) -> Option<&str> {
        let query = self.query.as_deref()?;
        let (name, _) = query.split_once('=')?;
        let in_query = |b: u8| b.is_ascii_graphic() && !b"#&\"<>'".contains(&b);
        (!name.is_empty() && query.bytes().all(in_query)).then_some(query)
    }
}

impl LearnRule {
    fn problems(&self, problem: &mut dyn FnMut(String)) {
        let in_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(in_name) {
            problem("a name is 1 to 64 letters, digits, `-`, `_` and `.`".to_owned());
        }
        if let Some(route) = &self.route
            && let Err(error) = Route::parse(route)
        {
            problem(error.to_string());
        }
        let places = [&self.header, &self.cookie, &self.json];
        if places.iter().filter(|place| place.is_some()).count() != 1 {
            problem("name exactly one of `header`, `cookie` and `json`".to_owned());
        }
        if let Some(header) = &self.header
            && (HeaderName::from_bytes(header.as_bytes()).is_err() || header.eq_ignore_ascii_case("set-cookie"))
        {
            problem(format!("`{header}` is no header to learn from; use `cookie` for cookies"));
        }
        if self.cookie.as_deref().is_some_and(|name| name.is_empty() || name.contains(['=', ';', ' '])) {
            problem("`cookie` is not the name of a cookie".to_owned());
        }
        if let Some(Err(error)) = self.json.as_deref().map(JsonPlace::parse) {
            problem(error);
        }
    }
}

impl Handshake {
    fn problems(&self, problem: &mut dyn FnMut(String)) {
        if !self.path.starts_with('/') || self.path.contains(char::is_whitespace) {
            problem(format!("path `{}` is none: write it as `/healthz`", self.path));
        }
        if HeaderName::from_bytes(self.header.as_bytes()).is_err() {
            problem(format!("header `{}` is no header's name", self.header));
        }
        if self.value.trim().is_empty() || HeaderValue::from_str(&self.value).is_err() {
            problem("the value is none that a header can have: give what only the shadow answers".to_owned());
        }
    }
}

/// Headers that belong to the connection, say how the body is read, or that only Shadowline sets.
const NOT_TO_BE_SET: [&str; 18] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "shadowline-claims",
    "shadowline-replay",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// Whether rules may set the header of a replayed request.
pub fn may_be_set(name: &HeaderName) -> bool {
    !NOT_TO_BE_SET.contains(&name.as_str())
}

fn header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok().filter(may_be_set)?;
    Some((name, HeaderValue::from_str(value.trim()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(toml: &str) -> Vec<String> {
        toml::from_str::<Replay>(toml).unwrap().problems()
    }

    #[test]
    fn what_can_run_has_no_problems() {
        assert_eq!(Replay::default().problems(), Vec::<String>::new());
        let whole = r#"
            sample_by = "session"
            timing = { original = { speed = 2.0 } }
            deny = ["db", "10.0.0.0/8", "db:5432"]
            writes = [
                { route = "POST /orders", policy = "dry_run", header = "X-Dry-Run: 1" },
                { route = "PUT /orders/{id}", policy = "dry_run", query = "dry=%31" },
                { route = "*", policy = "skip" },
            ]
            learn = [
                { name = "session", cookie = "sid" },
                { name = "order", route = "POST /orders", json = "$.order.id", into = ["path"] },
                { name = "csrf", header = "X-CSRF" },
            ]
            handshake = { path = "/healthz", header = "x-role", value = "shadow" }
        "#;
        assert_eq!(problems(whole), Vec::<String>::new());
    }

    #[test]
    fn the_examples_of_the_documentation_can_run() {
        let page = include_str!("../../../../docs/replay.md");
        let blocks = page.split("```toml").skip(1).filter_map(|rest| rest.split("```").next());
        let of_replay: Vec<_> =
            blocks.filter(|block| block.contains("[[writes]]") || block.contains("[[learn]]")).collect();
        assert!(of_replay.len() >= 2);
        for block in of_replay {
            assert_eq!(problems(block), Vec::<String>::new(), "{block}");
        }
    }

    #[test]
    fn each_problem_is_named_with_its_key() {
        let table = [
            ("timing = { original = { speed = 0.0 } }", "`timing.original.speed` is 0"),
            ("timing = { original = { speed = nan } }", "`timing.original.speed` is NaN"),
            ("max_age_s = 0", "`max_age_s` is 0"),
            ("session_limit_ms = 0", "`session_limit_ms` is 0"),
            ("breaker = { failures = 1.5 }", "`breaker.failures` is 1.5"),
            ("breaker = { slow = 0.0 }", "`breaker.slow` is 0"),
            ("breaker = { least = 0 }", "`breaker.least` is 0"),
            ("breaker = { window_s = 0 }", "`breaker.window_s` is 0"),
            ("breaker = { open_s = 0 }", "`breaker.open_s` is 0"),
            ("breaker = { slow_ms = 0 }", "`breaker.slow_ms` is 0"),
            ("writes = [{ route = 'orders', policy = 'skip' }]", "`writes` rule 1: route `orders`"),
            ("writes = [{ route = '*', policy = 'dry_run' }]", "`dry_run` needs"),
            ("writes = [{ route = '*', policy = 'skip', query = 'a=1' }]", "only `dry_run`"),
            ("writes = [{ route = '*', policy = 'dry_run', header = 'dry' }]", "`dry` is no header"),
            ("writes = [{ route = '*', policy = 'dry_run', header = 'Host: x' }]", "`Host: x` is no header"),
            ("writes = [{ route = '*', policy = 'dry_run', query = 'a=1&b=2' }]", "is no query parameter"),
            (
                "writes = [{ route = '*', policy = 'skip' }, { route = '*', policy = 'isolated' }]",
                "rule 2: route `*` has",
            ),
            ("deny = ['a b']", "`deny` holds `a b`"),
            ("handshake = { path = 'x', header = 'a', value = 'b' }", "`handshake`: path `x`"),
            ("handshake = { path = '/', header = 'a b', value = 'b' }", "`handshake`: header `a b`"),
            ("handshake = { path = '/', header = 'a', value = ' ' }", "`handshake`: the value"),
        ];
        for (toml, expected) in table {
            let found = problems(toml);
            assert!(matches!(&found[..], [only] if only.contains(expected)), "{toml}: {found:?}");
        }
    }

    #[test]
    fn learning_needs_whole_sessions_in_order() {
        let rule = "learn = [{ name = 'a', cookie = 'sid' }]";
        let found = problems(&format!("order = 'none'\n{rule}"));
        assert!(found.len() == 2 && found[0].contains("`order") && found[1].contains("`sample_by"), "{found:?}");
        let table = [
            ("{ name = 'a' }", "exactly one of"),
            ("{ name = 'a', cookie = 'x', json = '$.a' }", "exactly one of"),
            ("{ name = 'a', json = 'id' }", "does not start with $"),
            ("{ name = 'a', header = 'set-cookie' }", "is no header to learn from"),
            ("{ name = 'a', cookie = '' }", "not the name of a cookie"),
            ("{ name = '', cookie = 'x' }", "a name is 1 to 64"),
            ("{ name = 'a', cookie = 'x', route = 'nowhere' }", "no method"),
            ("{ name = 'a', cookie = 'x' }, { name = 'a', cookie = 'y' }", "given twice"),
        ];
        for (rules, expected) in table {
            let found = problems(&format!("sample_by = 'session'\nlearn = [{rules}]"));
            assert!(matches!(&found[..], [only] if only.contains(expected)), "{rules}: {found:?}");
        }
    }
}
