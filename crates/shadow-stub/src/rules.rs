//! Rules: what each outbound call is answered with. Pure.
//!
//! TOML, in order; the first rule that matches a call answers it. What no rule matches is refused by whoever asks. Strings that
//! may hold `{{ ... }}` are templates (Jinja's language).
//!
//! Guarantees: a rule that cannot work is refused when it is read, by its name or number and with the cause; a template can neither loop
//! for ever nor reach anything but its call.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, StatusCode};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::Deserialize;

use crate::place::{HostPattern, PathPattern};

mod file;

use file::{AlsoConfig, AnswerConfig, MissingConfig, RuleConfig, RulesFile, StateConfig, WithConfig, not_found};

/// Most instructions of one template.
const FUEL: u64 = 200_000;
/// Longest delay that a rule may ask for.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// What goes wrong instead of, or with, an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The connection is closed without an answer.
    Close,
    /// No answer ever comes.
    Hang,
    /// The connection ends in the middle of the body.
    Truncate,
}

impl Fault {
    /// As effects spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Hang => "hang",
            Self::Truncate => "truncate",
        }
    }
}

/// What a rule does with the objects of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// The body becomes an object, and the answer.
    Create,
    /// The answer is the object.
    Read,
    /// The body is merged into the object, which is the answer.
    Update,
    /// The object is gone; the body is the answer.
    Delete,
    /// The body is a template over `objects`, newest first.
    List,
}

/// A rule that may be used.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    methods: Vec<String>,
    host: HostPattern,
    path: PathPattern,
    /// The path as it was written; `None` for every path.
    pub(crate) route: Option<String>,
    when: Option<String>,
    pub(crate) status: StatusCode,
    /// Each with the name of its value's template.
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: String,
    pub(crate) delay: Duration,
    pub(crate) fault: Option<(Fault, f64)>,
    pub(crate) state: Option<StateRule>,
    pub(crate) idempotent_by: Option<String>,
    /// Whether the primary's answer goes before the rule's.
    pub(crate) mirror: bool,
}

#[derive(Debug)]
pub(crate) struct StateRule {
    pub(crate) collection: String,
    pub(crate) action: Action,
    pub(crate) key: Option<String>,
    pub(crate) missing: (StatusCode, String),
    pub(crate) with: Vec<With>,
    pub(crate) also: Vec<Also>,
}

#[derive(Debug)]
pub(crate) struct With {
    pub(crate) name: String,
    pub(crate) collection: String,
    pub(crate) key: String,
}

#[derive(Debug)]
pub(crate) struct Also {
    pub(crate) collection: String,
    pub(crate) key: String,
    pub(crate) body: String,
}

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// Not TOML of this shape.
    #[error("{0}")]
    Shape(#[from] toml::de::Error),
    /// A rule that cannot work.
    #[error("rule {rule}: {what}: {cause}")]
    Rule {
        /// Its name or number.
        rule: String,
        /// Which part of it.
        what: &'static str,
        /// Why not.
        cause: String,
    },
}

/// Rules in order, with their templates.
#[derive(Debug)]
pub struct Rules {
    pub(crate) rules: Vec<Rule>,
    templates: Environment<'static>,
}

impl Rules {
    /// No rules: everything is refused.
    pub fn none() -> Self {
        Self { rules: Vec::new(), templates: environment() }
    }

    /// Reads the text of one file; its rules come after those read before.
    ///
    /// # Errors
    /// [`RulesError`], the first.
    pub fn read(&mut self, text: &str) -> Result<(), RulesError> {
        toml::from_str::<RulesFile>(text)?.rule.into_iter().try_for_each(|config| self.add(config))
    }

    /// The rules of one text.
    ///
    /// # Errors
    /// As [`Rules::read`].
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let mut rules = Self::none();
        rules.read(text).map(|()| rules)
    }

    /// The routes that the rules name, such as `POST /v1/charges`: what a masker leaves readable of paths.
    pub fn routes(&self) -> Vec<String> {
        let of = |rule: &Rule| {
            let path = rule.route.clone()?;
            let any = ["*".to_owned()];
            let methods = if rule.methods.is_empty() { &any[..] } else { &rule.methods[..] };
            Some(methods.iter().map(|method| format!("{method} {path}")).collect::<Vec<_>>())
        };
        let mut routes: Vec<String> = self.rules.iter().filter_map(of).flatten().collect();
        let mut seen = std::collections::BTreeSet::new();
        routes.retain(|route| seen.insert(route.clone()));
        routes
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    fn add(&mut self, config: RuleConfig) -> Result<(), RulesError> {
        let number = self.rules.len() + 1;
        let name = config.name.unwrap_or_else(|| format!("#{number}"));
        let refused = |what| {
            let rule = name.clone();
            move |cause: String| RulesError::Rule { rule, what, cause }
        };
        if self.rules.iter().any(|rule| *rule.name == *name) {
            return Err(refused("name")("another rule has it".to_owned()));
        }
        let host = HostPattern::parse(config.host.as_deref()).map_err(refused("host"))?;
        let path = PathPattern::parse(config.path.as_deref()).map_err(refused("path"))?;
        let mut template = |part: &str, what: &'static str, source: String| -> Result<String, RulesError> {
            let id = format!("{number}/{part}");
            let added = self.templates.add_template_owned(id.clone(), source);
            added.map(|()| id).map_err(|error| refused(what)(error.to_string()))
        };
        let AnswerConfig { status, headers, body, delay, fault, share } = config.answer;
        let when = config.when.map(|when| template("when", "when", format!("{{% if {when} %}}1{{% endif %}}")));
        let idempotent_by = config.idempotent_by.map(|key| template("idempotent", "idempotent_by", key)).transpose()?;
        let mut lines = Vec::new();
        for (header, value) in headers {
            let parsed = HeaderName::from_bytes(header.as_bytes());
            let parsed = parsed.map_err(|_| refused("header")(format!("`{header}` is not a header's name")))?;
            lines.push((parsed, template(&format!("header/{header}"), "header", value)?));
        }
        let body = template("body", "body", body)?;
        let state = match config.state {
            None => None,
            Some(StateConfig { collection, action, key, missing, with, also }) => {
                let key = key.map(|key| template("key", "state.key", key)).transpose()?;
                if key.is_none() && matches!(action, Action::Read | Action::Update | Action::Delete) {
                    return Err(refused("state.key")("is missing: which object?".to_owned()));
                }
                let missing = missing.unwrap_or(MissingConfig { status: not_found(), body: String::new() });
                let status = status_of(missing.status).map_err(refused("state.missing"))?;
                let missing = (status, template("missing", "state.missing", missing.body)?);
                let with = with.into_iter().map(|WithConfig { name, collection, key }| {
                    let key = template(&format!("with/{name}"), "state.with", key)?;
                    Ok(With { name, collection, key })
                });
                let with = with.collect::<Result<_, RulesError>>()?;
                let also = also.into_iter().enumerate().map(|(n, AlsoConfig { collection, key, body })| {
                    let key = template(&format!("also/{n}/key"), "state.also", key)?;
                    Ok(Also { collection, key, body: template(&format!("also/{n}/body"), "state.also", body)? })
                });
                let also = also.collect::<Result<_, RulesError>>()?;
                Some(StateRule { collection, action, key, missing, with, also })
            }
        };
        let share = share.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&share) {
            return Err(refused("share")(format!("{share} is not from 0 to 1")));
        }
        let rule = Rule {
            methods: config.method.iter().map(|method| method.to_ascii_uppercase()).collect(),
            host,
            path,
            route: config.path,
            when: when.transpose()?,
            status: status_of(status.unwrap_or(200)).map_err(refused("status"))?,
            headers: lines,
            body,
            delay: delay.map_or(Ok(Duration::ZERO), |text| duration(&text)).map_err(refused("delay"))?,
            fault: fault.map(|fault| (fault, share)),
            state,
            idempotent_by,
            mirror: config.mirror,
            name: name.into(),
        };
        self.rules.push(rule);
        Ok(())
    }

    /// Renders one of a rule's templates.
    pub(crate) fn render(&self, id: &str, context: &Value) -> Result<String, minijinja::Error> {
        self.templates.get_template(id)?.render(context.clone())
    }
}

impl Rule {
    /// Whether method and place are the rule's; if so, what the path's parameters hold.
    pub(crate) fn matches(&self, method: &str, host: &str, path: &str) -> Option<Value> {
        let method_fits = self.methods.is_empty() || self.methods.iter().any(|m| m == method);
        if method_fits && self.host.matches(host) { self.path.matches(path) } else { None }
    }

    /// Whether its condition holds. One that fails on this call does not.
    pub(crate) fn holds(&self, rules: &Rules, context: &Value) -> bool {
        self.when.as_ref().is_none_or(|when| rules.render(when, context).is_ok_and(|text| text == "1"))
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(FUEL));
    environment
}

fn status_of(status: u16) -> Result<StatusCode, String> {
    match StatusCode::from_u16(status) {
        Ok(code) if status >= 200 => Ok(code),
        _ => Err(format!("{status} is not a status from 200 to 999")),
    }
}

/// `20ms`, `2s`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is not a time such as 20ms or 2s"))?;
    let delay = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => return Err(format!("`{text}` is not a time such as 20ms or 2s")),
    };
    if delay <= LONGEST_DELAY { Ok(delay) } else { Err(format!("`{text}` is more than {} s", LONGEST_DELAY.as_secs())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_cannot_work_is_refused_by_name_and_cause() {
        for (text, expected) in [
            ("[[rule]]\nnmae = \"x\"", "unknown field `nmae`"),
            ("[[rule]]\nname = \"x\"\npath = \"v1\"", "rule x: path: `v1` does not start with /"),
            ("[[rule]]\n[rule.answer]\nstatus = 99", "rule #1: status: 99"),
            ("[[rule]]\n[rule.answer]\nbody = \"{{ a\"", "rule #1: body:"),
            ("[[rule]]\nwhen = \"a ==\"", "rule #1: when:"),
            ("[[rule]]\n[rule.answer]\ndelay = \"2h\"", "rule #1: delay: `2h`"),
            ("[[rule]]\n[rule.answer]\nfault = \"close\"\nshare = 2.0", "rule #1: share: 2"),
            ("[[rule]]\n[rule.state]\ncollection = \"a\"\ndo = \"read\"", "rule #1: state.key: is missing"),
            ("[[rule]]\nname = \"x\"\n[[rule]]\nname = \"x\"", "rule x: name: another"),
            ("[[rule]]\n[rule.answer.headers]\n\"a b\" = \"x\"", "rule #1: header: `a b`"),
        ] {
            let error = Rules::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }
}
