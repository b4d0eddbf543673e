//! One rule, checked and made ready for use.
//!
//! Guarantee: what could never work as written is refused with the text to blame, never ignored.

use regex_lite::Regex;
use shadow_record::RouteTable;

use super::config::{RuleConfig, Side, Strategy, TextConfig};
use super::json_path::JsonPath;
use super::names::{Name, NameSet};
use super::xml_path::XmlPath;
use crate::headers::{is_credential, is_recorded};
use crate::token::Form;

/// Kinds of named values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Header,
    Cookie,
    Query,
    Path,
    Form,
    Part,
}

/// One compiled rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Counted from 1, as in the file.
    pub(crate) number: usize,
    pub(crate) strategy: Strategy,
    pub(crate) length: usize,
    pub(crate) form: Option<Form>,
    names: [NameSet; 6],
    pub(crate) json: Vec<JsonPath>,
    pub(crate) xml: Vec<XmlPath>,
    /// All text, under no pattern.
    pub(crate) all_text: bool,
    pub(crate) text: Vec<Regex>,
    pub(crate) content_type: Vec<String>,
    /// One route, or `None` for all.
    pub(crate) route: Option<RouteTable>,
    pub(crate) side: Option<Side>,
}

impl Rule {
    pub(crate) fn names(&self, place: Place) -> &NameSet {
        &self.names[place as usize]
    }

    /// Every name in the rule: who lists a name has declared it.
    pub(super) fn names_listed(&self) -> impl Iterator<Item = &Name> {
        let xml = self.xml.iter().flat_map(XmlPath::names);
        self.names.iter().flat_map(NameSet::iter).chain(self.json.iter().flat_map(JsonPath::names)).chain(xml)
    }
}

/// Why a rule is refused, and the text in it that is to blame.
pub(super) struct Refusal {
    pub(super) at: String,
    pub(super) reason: String,
}

pub(super) fn refuse(at: impl Into<String>, reason: impl Into<String>) -> Refusal {
    Refusal { at: at.into(), reason: reason.into() }
}

/// Checks one rule and makes it ready for use.
pub(super) fn compile(number: usize, config: &RuleConfig) -> Result<Rule, Refusal> {
    let lists = [&config.header, &config.cookie, &config.query, &config.path, &config.form, &config.part];
    let paths = [&config.json, &config.xml];
    if lists.iter().chain(&paths).all(|names| names.is_empty()) && config.text.is_empty() {
        return Err(refuse(
            "strategy",
            "the rule selects nothing: give header, cookie, query, path, form, part, json, xml or text",
        ));
    }
    check_headers(config)?;
    check_strategy(config)?;
    let route = config.route.as_deref().filter(|route| *route != "*");
    let route = route.map(|route| RouteTable::parse(&[route]).map_err(|e| refuse(route, e.to_string()))).transpose()?;
    let json = config.json.iter().map(|path| JsonPath::parse(path).map_err(|reason| refuse(path, reason)));
    let json = json.collect::<Result<Vec<_>, _>>()?;
    if config.strategy == Strategy::Drop && json.iter().any(JsonPath::is_root) {
        return Err(refuse("\"$\"", "a whole body cannot be dropped; drop its members"));
    }
    let xml = config.xml.iter().map(|path| XmlPath::parse(path).map_err(|reason| refuse(path, reason)));
    let xml = xml.collect::<Result<Vec<_>, _>>()?;
    let (all_text, patterns) = match &config.text {
        TextConfig::All(all) => (*all, &[][..]),
        TextConfig::Patterns(patterns) => (false, &patterns[..]),
    };
    let text = patterns.iter().map(|pattern| match Regex::new(pattern) {
        Ok(regex) if regex.is_match("") => {
            Err(refuse(pattern, format!("`{pattern}` matches nothing at all, so everywhere")))
        }
        Ok(regex) => Ok(regex),
        Err(error) => Err(refuse(pattern, format!("`{pattern}` is no pattern: {error}"))),
    });
    let text = text.collect::<Result<Vec<_>, _>>()?;
    let lower: Vec<_> = config.header.iter().map(|name| name.to_ascii_lowercase()).collect();
    let names = [&lower, &config.cookie, &config.query, &config.path, &config.form, &config.part];
    Ok(Rule {
        number,
        strategy: config.strategy,
        length: config.length.unwrap_or_default().into(),
        form: config.token_form,
        names: names.map(|names| NameSet::of(names)),
        json,
        xml,
        all_text,
        text,
        content_type: config.content_type.iter().map(|t| t.to_ascii_lowercase()).collect(),
        route,
        side: config.side,
    })
}

/// What cannot be done to what the rule selects.
fn check_strategy(config: &RuleConfig) -> Result<(), Refusal> {
    let strategy = config.strategy;
    if strategy == Strategy::Keep && config.cookie.iter().any(|name| name == "*") {
        return Err(refuse("cookie", "cookies are credentials: name those that are public instead of `*`"));
    }
    if strategy == Strategy::Drop && !config.path.is_empty() {
        return Err(refuse("path", "a path segment cannot be dropped; use `redact`"));
    }
    if strategy != Strategy::Keep && config.text == TextConfig::All(true) {
        return Err(refuse("text", "a whole text can only be kept: without a rule each line is masked; give patterns"));
    }
    match (strategy, config.length) {
        (Strategy::Truncate, None | Some(0)) => {
            return Err(refuse("truncate", "truncate needs `length`, the number of characters that stay"));
        }
        (Strategy::Truncate, _) | (_, None) => {}
        (_, Some(_)) => return Err(refuse("length", "only `truncate` has a length")),
    }
    if config.token_form.is_some() && strategy != Strategy::Token {
        return Err(refuse("as", "only `token` has a form"));
    }
    if let Some(kind) = config.content_type.iter().find(|kind| !kind.contains('/') || kind.contains(';')) {
        return Err(refuse(kind, format!("`{kind}` is no content type; write it as `application/json`")));
    }
    Ok(())
}

fn check_headers(config: &RuleConfig) -> Result<(), Refusal> {
    for header in &config.header {
        let name = header.to_ascii_lowercase();
        if matches!(name.as_str(), "cookie" | "set-cookie") {
            return Err(refuse(header, format!("`{header}` is selected by cookie name: use `cookie = [..]`")));
        }
        if name == "content-type" {
            return Err(refuse(header, "the content type says how a body is read: it is always kept"));
        }
        if !is_recorded(&name) {
            return Err(refuse(header, format!("`{header}` concerns one connection only and is never recorded")));
        }
        if config.strategy == Strategy::Keep && is_credential(&name) {
            return Err(refuse(header, format!("`{header}` carries credentials and cannot be kept; use `token`")));
        }
        if name != "*" && http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(refuse(header, format!("`{header}` is not a header name")));
        }
    }
    Ok(())
}
