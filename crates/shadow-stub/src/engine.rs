//! One call in, its answer out: the first rule that matches, its state, its faults. No I/O.
//!
//! Guarantees: a call that no rule matches is refused, whatever it is; equal calls of the same request and attempt get equal identifiers,
//! so that a resend does not look like another effect; a rule that fails on a call says so in its answer and changes nothing.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use minijinja::value::Object;
use minijinja::{Error, ErrorKind, State, Value};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::request::{Call, from_json, map};
use crate::rules::{Action, Fault, Rule, Rules, StateRule, With};
use crate::state::{World, Worlds, fits, merge};

/// What a call is answered with.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers; the length is the server's to say.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body.
    pub body: Bytes,
    /// How long the answer takes.
    pub delay: Duration,
    /// What goes wrong.
    pub fault: Option<Fault>,
}

/// How a call was decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// By this rule.
    Rule(Arc<str>),
    /// By this rule, as an earlier call with the same idempotency key was.
    Again(Arc<str>),
    /// No rule matches.
    Unmatched,
    /// The rule matches, but could not be carried out.
    Failed {
        /// The rule.
        rule: Arc<str>,
        /// Why.
        cause: String,
    },
}

impl Decision {
    /// As effects and metrics spell it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Rule(_) => "answered",
            Self::Again(_) => "again",
            Self::Unmatched => "unmatched",
            Self::Failed { .. } => "rule_failed",
        }
    }

    /// The rule, if one matched.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Rule(rule) | Self::Again(rule) | Self::Failed { rule, .. } => Some(rule),
            Self::Unmatched => None,
        }
    }
}

/// What an answer may depend on besides the call.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Whose objects are seen: those of one launch's candidate, of its control.
    pub world: &'a str,
    /// Where identifiers come from; the same for a resend.
    pub seed: u64,
    /// Seconds since 1970.
    pub now: i64,
}

/// Rules and what they remember.
#[derive(Debug)]
pub struct Engine {
    rules: Rules,
    worlds: Mutex<Worlds<Answer>>,
}

/// Why a rule could not be carried out.
type Cause = String;

impl Engine {
    /// An engine that remembers nothing yet.
    pub fn new(rules: Rules) -> Self {
        Self { rules, worlds: Mutex::new(Worlds::new()) }
    }

    /// The path template of the rule that decided.
    pub fn route(&self, decision: &Decision) -> String {
        let rule = decision.rule().and_then(|name| self.rules.rules.iter().find(|rule| *rule.name == *name));
        rule.and_then(|rule| rule.route.clone()).unwrap_or_else(|| "/{unmatched..}".to_owned())
    }

    /// Answers a call.
    pub fn answer(&self, call: &Call, at: Circumstances<'_>) -> (Decision, Answer) {
        let request = call.to_value();
        let candidates = self.rules.rules.iter().filter_map(|rule| {
            let path = rule.matches(&call.method, &call.host, &call.path)?;
            Some((rule, context(&request, path, at)))
        });
        let Some((rule, context)) = candidates.into_iter().find(|(rule, context)| rule.holds(&self.rules, context))
        else {
            let what = format!("no rule for {} {}{}", call.method, call.destination(), call.path);
            return (Decision::Unmatched, refusal(&what));
        };
        match self.carry_out(rule, context, at) {
            Ok(answered) => answered,
            Err(cause) => {
                let answer = refusal(&format!("rule {} failed: {cause}", rule.name));
                (Decision::Failed { rule: rule.name.clone(), cause }, answer)
            }
        }
    }

    fn carry_out(&self, rule: &Rule, context: Value, at: Circumstances<'_>) -> Result<(Decision, Answer), Cause> {
        let key = rule.idempotent_by.as_ref().map(|key| self.render(key, &context)).transpose()?;
        let key = key.filter(|key| !key.is_empty()).map(|key| format!("{}\n{key}", rule.name));
        if key.is_none() && rule.state.is_none() {
            return Ok((Decision::Rule(rule.name.clone()), self.plain(rule, &context, at)?));
        }
        let mut worlds = self.worlds.lock().unwrap_or_else(PoisonError::into_inner);
        let world = worlds.of(at.world);
        if let Some(kept) = key.as_ref().and_then(|key| world.answers().get(key)) {
            return Ok((Decision::Again(rule.name.clone()), kept.clone()));
        }
        let answer = match &rule.state {
            Some(state) => self.stateful(rule, state, &context, at, world)?,
            None => self.plain(rule, &context, at)?,
        };
        if let Some(key) = key {
            world.answers().put(key, answer.clone());
        }
        Ok((Decision::Rule(rule.name.clone()), answer))
    }

    fn plain(&self, rule: &Rule, context: &Value, at: Circumstances<'_>) -> Result<Answer, Cause> {
        let body = self.render(&rule.body, context)?;
        self.dressed(rule, context, at, body)
    }

    /// Does what the rule says with the objects of the collection, then answers.
    fn stateful(
        &self,
        rule: &Rule,
        state: &StateRule,
        context: &Value,
        at: Circumstances<'_>,
        world: &mut World<Answer>,
    ) -> Result<Answer, Cause> {
        let context = &self.seen(state, context, world)?;
        let objects = world.collection(&state.collection);
        if state.action == Action::List {
            let newest: Value = objects.newest().map(from_json).collect();
            let context = with(context, "objects", newest);
            return self.plain(rule, &context, at);
        }
        if state.action == Action::Create {
            let object = self.object(rule, context)?;
            let key = match &state.key {
                Some(key) => self.render(key, &with(context, "object", from_json(&object)))?,
                None => object.get("id").and_then(Json::as_str).unwrap_or_default().to_owned(),
            };
            if key.is_empty() {
                return Err("the object has no `id`, and state.key is not set".to_owned());
            }
            let context = with(context, "object", from_json(&object));
            let answer = self.dressed(rule, &context, at, object.to_string())?;
            let also = self.also(state, &context, world)?;
            world.collection(&state.collection).put(key, object);
            put_all(also, world);
            return Ok(answer);
        }
        let key = self.render(state.key.as_ref().ok_or("state.key is not set")?, context)?;
        let Some(object) = objects.get(&key) else {
            let (status, body) = &state.missing;
            let body = self.render(body, context)?;
            return Ok(Answer { status: *status, ..self.dressed(rule, context, at, body)? });
        };
        let context = with(context, "object", from_json(object));
        match state.action {
            Action::Read => self.dressed(rule, &context, at, object.to_string()),
            Action::Update => {
                let mut changed = object.clone();
                merge(&mut changed, self.object(rule, &context)?);
                if !fits(&changed) {
                    return Err("the object grew too large".to_owned());
                }
                let context = with(&context, "object", from_json(&changed));
                let answer = self.dressed(rule, &context, at, changed.to_string())?;
                let also = self.also(state, &context, world)?;
                world.collection(&state.collection).put(key, changed);
                put_all(also, world);
                Ok(answer)
            }
            _ => {
                let answer = self.plain(rule, &context, at)?;
                objects.remove(&key);
                Ok(answer)
            }
        }
    }

    /// The context with the other objects that templates see.
    fn seen(&self, state: &StateRule, context: &Value, world: &mut World<Answer>) -> Result<Value, Cause> {
        let mut context = context.clone();
        for With { name, collection, key } in &state.with {
            let key = self.render(key, &context)?;
            let object = world.collection(collection).get(&key).map_or(Value::UNDEFINED, from_json);
            context = with(&context, name, object);
        }
        Ok(context)
    }

    /// What else changes, as it will be then.
    fn also(&self, state: &StateRule, context: &Value, world: &mut World<Answer>) -> Result<Vec<Put>, Cause> {
        let mut changes = Vec::with_capacity(state.also.len());
        for also in &state.also {
            let key = self.render(&also.key, context)?;
            if key.is_empty() {
                continue;
            }
            let before = world.collection(&also.collection).get(&key).cloned();
            let seen = before.as_ref().map_or(Value::UNDEFINED, from_json);
            let change = self.parsed(&also.body, &with(context, "other", seen))?;
            let mut object = before.unwrap_or_else(|| Json::Object(serde_json::Map::new()));
            merge(&mut object, change);
            changes.push(Put { collection: also.collection.clone(), key, object });
        }
        Ok(changes)
    }

    /// The body as a JSON object.
    fn object(&self, rule: &Rule, context: &Value) -> Result<Json, Cause> {
        self.parsed(&rule.body, context)
    }

    fn parsed(&self, template: &str, context: &Value) -> Result<Json, Cause> {
        let text = self.render(template, context)?;
        match serde_json::from_str(&text) {
            Ok(object @ Json::Object(_)) if fits(&object) => Ok(object),
            Ok(_) => Err("the body is not a JSON object of at most 256 KiB".to_owned()),
            Err(error) => Err(format!("the body is not JSON: {error}")),
        }
    }

    /// An answer with the rule's status, headers, delay and fault.
    fn dressed(&self, rule: &Rule, context: &Value, at: Circumstances<'_>, body: String) -> Result<Answer, Cause> {
        let mut headers = Vec::with_capacity(rule.headers.len() + 1);
        for (name, template) in &rule.headers {
            let value = self.render(template, context)?;
            let value = HeaderValue::from_str(value.trim()).map_err(|_| format!("header {name} has no legal value"))?;
            headers.push((name.clone(), value));
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| name == header::CONTENT_TYPE) {
            headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
        }
        let fault = rule.fault.filter(|(_, share)| fraction(at.seed) < *share).map(|(fault, _)| fault);
        Ok(Answer { status: rule.status, headers, body: body.into(), delay: rule.delay, fault })
    }

    fn render(&self, template: &str, context: &Value) -> Result<String, Cause> {
        self.rules.render(template, context).map_err(|error| error.to_string())
    }
}

/// An object on its way to its collection.
struct Put {
    collection: String,
    key: String,
    object: Json,
}

fn put_all(changes: Vec<Put>, world: &mut World<Answer>) {
    for Put { collection, key, object } in changes {
        if fits(&object) {
            world.collection(&collection).put(key, object);
        }
    }
}

/// What is answered where no rule can: 501, with the reason in words.
fn refusal(why: &str) -> Answer {
    let body = serde_json::json!({ "error": { "code": "not_stubbed", "message": why } }).to_string();
    Answer {
        status: StatusCode::NOT_IMPLEMENTED,
        headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        body: body.into(),
        delay: Duration::ZERO,
        fault: None,
    }
}

fn context(request: &Value, path: Value, at: Circumstances<'_>) -> Value {
    let ids = Value::from_object(Ids { seed: at.seed, given: AtomicU64::new(0) });
    let world = Value::from(at.world);
    let now = Value::from(at.now);
    map([("request", request.clone()), ("path", path), ("id", ids), ("now", now), ("world", world)])
}

fn with(context: &Value, name: &str, value: Value) -> Value {
    minijinja::value::merge_maps([context.clone(), map([(name, value)])])
}

/// `id('pi_', 24)`: an identifier of letters and digits behind a prefix, another one at each call.
struct Ids {
    seed: u64,
    given: AtomicU64,
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("id(prefix, length)")
    }
}

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Longest identifier.
const LONGEST_ID: usize = 128;

impl Object for Ids {
    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let (prefix, length): (String, usize) = minijinja::value::from_args(args)?;
        if length > LONGEST_ID {
            return Err(Error::new(ErrorKind::InvalidOperation, "an id has at most 128 characters"));
        }
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let mut id = prefix;
        let mut block = 0u32;
        let wanted = id.len() + length;
        while id.len() < wanted {
            let hash = Sha256::new()
                .chain_update(self.seed.to_be_bytes())
                .chain_update(number.to_be_bytes())
                .chain_update(block.to_be_bytes())
                .finalize();
            let letters = hash.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]));
            id.extend(letters.take(wanted - id.len()));
            block += 1;
        }
        Ok(Value::from(id))
    }
}

/// The seed as a number from 0 up to 1.
fn fraction(seed: u64) -> f64 {
    // 53 bits fit a double exactly.
    (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::call;

    const AT: Circumstances<'static> = Circumstances { world: "w", seed: 7, now: 1_700_000_000 };

    fn engine(rules: &str) -> Engine {
        Engine::new(Rules::parse(rules).unwrap())
    }

    fn text(answer: &Answer) -> &str {
        std::str::from_utf8(&answer.body).unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_answers_and_nothing_else_is_let_through() {
        let engine = engine(
            r#"
            [[rule]]
            name = "large"
            method = "POST"
            host = "api.example"
            path = "/pay/{who}"
            when = "request.json.amount > 100"
            answer = { status = 402, body = '{"refused":"{{ path.who }}"}' }
            [[rule]]
            name = "any"
            method = ["POST", "PUT"]
            path = "/pay/{who}"
            answer = { headers = { x-at = "{{ now }}" }, body = "{{ request.headers['content-type'] }}" }
            "#,
        );
        let (decision, answer) = engine.answer(&call("POST", "/pay/ann", "application/json", r#"{"amount":101}"#), AT);
        assert_eq!(
            (decision.rule(), answer.status.as_u16(), text(&answer)),
            (Some("large"), 402, r#"{"refused":"ann"}"#)
        );
        let (decision, answer) = engine.answer(&call("POST", "/pay/ann", "application/json", "{broken"), AT);
        assert_eq!((decision.rule(), text(&answer)), (Some("any"), "application/json"));
        assert_eq!(answer.headers[0].1, "1700000000");
        for other in [call("GET", "/pay/ann", "", ""), call("POST", "/pay", "", ""), call("POST", "/pay/a/b", "", "")] {
            let (decision, answer) = engine.answer(&other, AT);
            assert_eq!((decision, answer.status.as_u16()), (Decision::Unmatched, 501));
        }
    }

    #[test]
    fn objects_live_on_in_their_world() {
        let engine = engine(
            r#"
            [[rule]]
            method = "POST"
            path = "/orders"
            state = { collection = "orders", do = "create" }
            answer = { status = 201, body = '{"id":"{{ id("o_", 8) }}","n":{{ request.json.n }},"state":"new"}' }
            [[rule]]
            method = "GET"
            path = "/orders"
            state = { collection = "orders", do = "list" }
            answer = { body = '{"count":{{ objects|length }},"last":{{ objects[0]|tojson }}}' }
            [[rule]]
            method = "GET"
            path = "/orders/{id}"
            state = { collection = "orders", do = "read", key = "{{ path.id }}", missing = { status = 410, body = '"gone: {{ path.id }}"' } }
            [[rule]]
            method = "POST"
            path = "/orders/{id}/pay"
            state = { collection = "orders", do = "update", key = "{{ path.id }}" }
            answer = { body = '{"state":"paid","n":{{ object.n + 1 }}}' }
            [[rule]]
            method = "DELETE"
            path = "/orders/{id}"
            state = { collection = "orders", do = "delete", key = "{{ path.id }}" }
            answer = { body = '{"deleted":true}' }
            "#,
        );
        let ask = |method, target: &str, body| engine.answer(&call(method, target, "application/json", body), AT).1;
        let made: Json = serde_json::from_slice(&ask("POST", "/orders", r#"{"n":1}"#).body).unwrap();
        let place = format!("/orders/{}", made["id"].as_str().unwrap());
        assert_eq!(text(&ask("GET", &place, "")), made.to_string());
        assert_eq!(
            text(&ask("POST", &format!("{place}/pay"), "{}")),
            made.to_string().replace("new", "paid").replace(":1,", ":2,")
        );
        assert!(text(&ask("GET", "/orders", "")).starts_with(r#"{"count":1,"last":{"#));
        let elsewhere = engine.answer(&call("GET", &place, "", ""), Circumstances { world: "other", ..AT }).1;
        assert_eq!((elsewhere.status.as_u16(), text(&elsewhere).starts_with("\"gone: o_")), (410, true));
        assert_eq!(text(&ask("DELETE", &place, "")), r#"{"deleted":true}"#);
        assert_eq!(ask("GET", &place, "").status.as_u16(), 410);
        assert_eq!(ask("POST", &format!("{place}/pay"), "{}").status.as_u16(), 404);
    }

    #[test]
    fn a_call_that_comes_again_is_answered_as_before_and_ids_depend_on_the_seed_alone() {
        let engine = engine(
            r#"
            [[rule]]
            path = "/charge"
            idempotent_by = "{{ request.headers['idempotency-key'] }}"
            answer = { body = '{{ id("ch_", 24) }} {{ id("ch_", 24) }}' }
            "#,
        );
        let mut first = call("POST", "/charge", "", "");
        let ids = |seed, call: &Call| text(&engine.answer(call, Circumstances { seed, ..AT }).1).to_owned();
        let (one, two) = (ids(1, &first), ids(2, &first));
        assert_eq!(one, ids(1, &first));
        assert!(one != two && one.len() == 55);
        let (left, right) = one.split_once(' ').unwrap();
        assert_ne!(left, right);
        first.headers.insert("idempotency-key", HeaderValue::from_static("k"));
        let kept = ids(3, &first);
        let (decision, again) = engine.answer(&first, Circumstances { seed: 4, ..AT });
        assert_eq!((decision.as_str(), text(&again)), ("again", kept.as_str()));
    }

    #[test]
    fn a_rule_that_fails_says_so_and_changes_nothing() {
        let engine = engine(
            r#"
            [[rule]]
            path = "/endless"
            answer = { body = "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}" }
            [[rule]]
            path = "/broken"
            state = { collection = "c", do = "create" }
            answer = { body = "not json" }
            [[rule]]
            path = "/faulty"
            answer = { fault = "close", share = 0.3, delay = "20ms" }
            "#,
        );
        for path in ["/endless", "/broken"] {
            let (decision, answer) = engine.answer(&call("GET", path, "", ""), AT);
            assert!(matches!(decision, Decision::Failed { .. }), "{decision:?}");
            assert_eq!(answer.status.as_u16(), 501);
        }
        let faulty = (0..1000).filter(|seed| {
            let (_, answer) = engine.answer(&call("GET", "/faulty", "", ""), Circumstances { seed: *seed, ..AT });
            assert_eq!(answer.delay, Duration::from_millis(20));
            answer.fault == Some(Fault::Close)
        });
        let share = faulty.count() as f64 / 1000.0;
        assert!((share - 0.3).abs() < 0.05, "{share}");
    }
}
