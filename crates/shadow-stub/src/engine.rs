//! One call in, its answer out: the first rule that matches, its state, its faults. No I/O.
//!
//! Guarantees: a call that no rule matches is refused, whatever it is; identifiers depend on the seed alone; a rule that fails on a call says
//! so in its answer and changes nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use minijinja::Value;
use serde_json::Value as Json;

use crate::request::{Call, from_json, map};
use crate::rules::{Action, Fault, Rule, Rules, StateRule, With};
use crate::state::{World, Worlds, fits, merge};

mod ids;
mod mirrored;

use ids::Ids;

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

impl Answer {
    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
    }

    /// Without the record that its body is a part of.
    pub(crate) fn detached(self) -> Self {
        Self { body: Bytes::copy_from_slice(&self.body), ..self }
    }

    /// Whether it is the answer of its idempotency key: one that fails for now, or breaks off, has the caller try again with the same key.
    pub(crate) fn is_final(&self) -> bool {
        let for_now = [StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS].contains(&self.status);
        self.fault.is_none() && !for_now && !self.status.is_server_error()
    }
}

/// How a call was decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// By this rule.
    Rule(Arc<str>),
    /// As an earlier call with the same idempotency key was; the rule, unless that one was answered as the primary's.
    Again(Option<Arc<str>>),
    /// As the primary's call was.
    Mirrored,
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
            Self::Mirrored => "mirrored",
            Self::Unmatched => "unmatched",
            Self::Failed { .. } => "rule_failed",
        }
    }

    /// The rule, if one answered.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Rule(rule) | Self::Failed { rule, .. } => Some(rule),
            Self::Again(rule) => rule.as_deref(),
            Self::Mirrored | Self::Unmatched => None,
        }
    }
}

/// What an answer may depend on besides the call.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Whose objects are seen: those of one launch's candidate, of its control.
    pub world: &'a str,
    /// Where identifiers and the share of faults come from; the same for the control and for a resend.
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

/// The rule that a call is for, and what its templates see.
pub(crate) struct Matching<'e>(Option<(&'e Rule, Value)>);

impl Matching<'_> {
    /// The path template of the rule.
    pub(crate) fn route(&self) -> String {
        let route = self.0.as_ref().and_then(|(rule, _)| rule.route.clone());
        route.unwrap_or_else(|| "/{unmatched..}".to_owned())
    }

    /// Whether the call may be answered as the primary's was.
    pub(crate) fn may_be_mirrored(&self) -> bool {
        self.0.as_ref().is_none_or(|(rule, _)| rule.mirror)
    }
}

/// Why a rule could not be carried out.
type Cause = String;

impl Engine {
    /// An engine that remembers nothing yet.
    pub fn new(rules: Rules) -> Self {
        Self { rules, worlds: Mutex::new(Worlds::new()) }
    }

    /// Answers a call.
    pub fn answer(&self, call: &Call, at: Circumstances<'_>) -> (Decision, Answer) {
        self.carry_out(&self.matching(call, at), call, at)
    }

    /// The first rule that matches a call, not yet carried out.
    pub(crate) fn matching(&self, call: &Call, at: Circumstances<'_>) -> Matching<'_> {
        let request = call.to_value();
        let candidates = self.rules.rules.iter().filter_map(|rule| {
            let path = rule.matches(&call.method, &call.host, &call.path)?;
            Some((rule, context(&request, path, at)))
        });
        Matching(candidates.into_iter().find(|(rule, context)| rule.holds(&self.rules, context)))
    }

    /// The key under which a call that comes again is known, if the rule has one. A key that cannot be rendered is none here.
    pub(crate) fn key(&self, matching: &Matching<'_>) -> Option<String> {
        let (rule, context) = matching.0.as_ref()?;
        self.idempotent_by(rule, context).ok().flatten()
    }

    /// Carries out the rule that matches.
    pub(crate) fn carry_out(&self, matching: &Matching<'_>, call: &Call, at: Circumstances<'_>) -> (Decision, Answer) {
        let Some((rule, context)) = &matching.0 else {
            let what = format!("no rule for {} {}{}", call.method, call.destination(), call.path);
            return (Decision::Unmatched, refusal(&what));
        };
        self.by_rule(rule, context, at).unwrap_or_else(|cause| {
            let answer = refusal(&format!("rule {} failed: {cause}", rule.name));
            (Decision::Failed { rule: rule.name.clone(), cause }, answer)
        })
    }

    fn idempotent_by(&self, rule: &Rule, context: &Value) -> Result<Option<String>, Cause> {
        let key = rule.idempotent_by.as_ref().map(|key| self.render(key, context)).transpose()?;
        Ok(key.filter(|key| !key.is_empty()).map(|key| format!("{}\n{key}", rule.name)))
    }

    fn by_rule(&self, rule: &Rule, context: &Value, at: Circumstances<'_>) -> Result<(Decision, Answer), Cause> {
        let key = self.idempotent_by(rule, context)?;
        if key.is_none() && rule.state.is_none() {
            return Ok((Decision::Rule(rule.name.clone()), self.plain(rule, context, at)?));
        }
        let mut worlds = self.worlds.lock().unwrap_or_else(PoisonError::into_inner);
        let world = worlds.of(at.world);
        if let Some(kept) = key.as_ref().and_then(|key| world.answers().get(key)) {
            return Ok((Decision::Again(Some(rule.name.clone())), kept.clone()));
        }
        let answer = match &rule.state {
            Some(state) => self.stateful(rule, state, context, at, world)?,
            None => self.plain(rule, context, at)?,
        };
        if let Some(key) = key.filter(|_| answer.is_final()) {
            let bytes = answer.bytes() + key.len();
            world.answers().put_sized(key, answer.clone(), bytes);
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
            world.collection(&state.collection).put_sized(key, object, answer.body.len());
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
                world.collection(&state.collection).put_sized(key, changed, answer.body.len());
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
            let bytes = object.to_string().len();
            world.collection(&collection).put_sized(key, object, bytes);
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
    let ids = Value::from_object(Ids::of(at.seed));
    let world = Value::from(at.world);
    let now = Value::from(at.now);
    map([("request", request.clone()), ("path", path), ("id", ids), ("now", now), ("world", world)])
}

fn with(context: &Value, name: &str, value: Value) -> Value {
    minijinja::value::merge_maps([context.clone(), map([(name, value)])])
}

/// The seed as a number from 0 up to 1.
fn fraction(seed: u64) -> f64 {
    // 53 bits fit a double exactly.
    (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests;
