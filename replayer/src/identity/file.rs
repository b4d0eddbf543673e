//! The identity file (TOML), read whole and checked as it is read; secrets come from the environment or from files of their own.
//!
//! Guarantee: everything that is wrong is named, none of it with a value of the file in the text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};
use shadow_control::may_be_set;
use shadow_runtime::units::HumanDuration;
use shadow_runtime::{Problem, Secret};
use url::Url;

use super::jwt::{Algorithm, Minter, Signer};
use super::{Bearer, Fixed, Host, Identities, Identity, Kept};
use crate::config::is_origin;

/// A longer file is another one.
const LONGEST: u64 = 1 << 20;
/// Claims that say how long a token is good: they are the minter's.
const OWN_CLAIMS: [&str; 2] = ["iat", "exp"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    identity: Vec<Section>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    name: String,
    to: Vec<Url>,
    host: Option<String>,
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    set: BTreeMap<String, Source>,
    basic: Option<Basic>,
    jwt: Option<Jwt>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Basic {
    user: Source,
    password: Source,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwt {
    #[serde(default = "authorization")]
    header: String,
    algorithm: Algorithm,
    key: Source,
    key_id: Option<String>,
    #[serde(default = "five_minutes")]
    ttl: HumanDuration,
    #[serde(default)]
    claims: toml::Table,
    #[serde(default)]
    copy: Vec<String>,
}

fn authorization() -> String {
    AUTHORIZATION.to_string()
}

fn five_minutes() -> HumanDuration {
    HumanDuration::from_secs(300)
}

/// Where a value comes from: `"literal"`, `{ env = "NAME" }` or `{ file = "path" }`.
#[derive(Deserialize)]
#[serde(try_from = "toml::Value")]
enum Source {
    Literal(Secret),
    Env(String),
    File(PathBuf),
}

impl TryFrom<toml::Value> for Source {
    type Error = &'static str;

    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        const EXPECTED: &str = "a value is `\"text\"`, `{ env = \"NAME\" }` or `{ file = \"path\" }`";
        match value {
            toml::Value::String(text) => Ok(Self::Literal(Secret::new(text))),
            toml::Value::Table(table) if table.len() == 1 => match table.into_iter().next() {
                Some((key, toml::Value::String(name))) if key == "env" => Ok(Self::Env(name)),
                Some((key, toml::Value::String(path))) if key == "file" => Ok(Self::File(path.into())),
                _ => Err(EXPECTED),
            },
            _ => Err(EXPECTED),
        }
    }
}

/// The environment as the file's sources see it.
type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

impl Source {
    fn kept(&self) -> Kept {
        if matches!(self, Self::Literal(_)) { Kept::Plain } else { Kept::Secret }
    }

    fn resolve(&self, environment: Environment<'_>) -> Result<Secret, String> {
        let text = match self {
            Self::Literal(secret) => return Ok(secret.clone()),
            Self::Env(name) => {
                environment(name).ok_or_else(|| format!("the environment variable `{name}` is not set; set it"))?
            }
            Self::File(path) => read(path)?,
        };
        match text.trim() {
            "" => Err("the value is empty; put it there".to_owned()),
            text => Ok(Secret::new(text)),
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let unreadable = |why: &dyn std::fmt::Display| {
        format!("`{}` cannot be read: {why}; check the path and its permissions", path.display())
    };
    let length = std::fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    if length > LONGEST {
        return Err(unreadable(&format_args!("{length} bytes are too many")));
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(&error))
}

impl Identities {
    /// Reads the file, the keys it names and the environment.
    ///
    /// # Errors
    /// Every problem.
    pub fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        Self::load_from(path, &|name| std::env::var(name).ok())
    }

    /// [`Identities::load`] with a given environment.
    ///
    /// # Errors
    /// As there.
    pub fn load_from(path: &Path, environment: Environment<'_>) -> Result<Self, Vec<Problem>> {
        let problem = |cause: String| {
            let place = format!("`{}`: {cause}", path.display());
            Problem::key("replay.identity_file", place, "mend the file; docs/replay.md explains it")
        };
        let text = read(path).map_err(|cause| vec![problem(cause)])?;
        let file: File = toml::from_str(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = 1 + text.as_bytes()[..start.min(text.len())].iter().filter(|b| **b == b'\n').count();
            vec![problem(format!("line {line}: {}", error.message().replace('\n', " ")))]
        })?;
        let mut problems = Vec::new();
        let (mut names, mut origins) = (BTreeSet::new(), BTreeSet::new());
        let mut identities = Vec::new();
        for section in file.identity {
            let name = section.name.clone();
            let mut refuse = |cause: String| problems.push(problem(format!("identity `{name}`: {cause}")));
            if !names.insert(name.clone()) {
                refuse("the name is given twice; rename one".to_owned());
            }
            for url in &section.to {
                if !origins.insert(url.origin().ascii_serialization()) {
                    refuse(format!(
                        "`{}` has an identity already; a target has one",
                        url.origin().ascii_serialization()
                    ));
                }
            }
            identities.extend(section.compile(environment, &mut refuse));
        }
        if problems.is_empty() { Ok(Self(identities)) } else { Err(problems) }
    }
}

impl Section {
    /// The identity; `None` when something was refused that it cannot be without.
    fn compile(self, environment: Environment<'_>, refuse: &mut dyn FnMut(String)) -> Option<Identity> {
        let in_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(in_name) {
            refuse("a name is 1 to 64 letters, digits, `-`, `_` and `.`".to_owned());
        }
        if self.to.is_empty() {
            refuse("`to` names no target; write `to = [\"http://host:port\"]`".to_owned());
        }
        if self.to.iter().any(|url| !is_origin(url)) {
            refuse("`to` holds more or less than scheme, host and port; write each as `https://host:port`".to_owned());
        }
        let host = match self.host.as_deref() {
            None | Some("target") => Host::Target,
            Some("captured") => Host::Captured,
            Some(host) => match HeaderValue::from_str(host) {
                Ok(value) if !host.trim().is_empty() && !host.contains(['/', ' ', '@']) => Host::Value(value),
                _ => {
                    refuse("`host` is neither `target` nor `captured` nor a host".to_owned());
                    Host::Target
                }
            },
        };
        let remove = self.remove.iter().filter_map(|name| header(name, refuse)).collect();
        let mut set = Vec::new();
        for (name, source) in &self.set {
            let (Some(name), Some(value)) =
                (header(name, refuse), resolved(source, &format!("`set.{name}`"), environment, refuse))
            else {
                continue;
            };
            match Fixed::of(name, value.expose(), source.kept()) {
                Some(fixed) => set.push(fixed),
                None => refuse("a value of `set` has characters that no header can hold".to_owned()),
            }
        }
        if let Some(Basic { user, password }) = &self.basic {
            let user = resolved(user, "`basic.user`", environment, refuse);
            let password = resolved(password, "`basic.password`", environment, refuse);
            if let (Some(user), Some(password)) = (user, password) {
                if user.expose().contains(':') {
                    refuse("`basic.user` has a colon, which ends user names".to_owned());
                }
                set.extend(Fixed::basic(user.expose(), password.expose()));
            }
        }
        let jwt = self.jwt.and_then(|jwt| jwt.compile(environment, refuse));
        let mut own = BTreeSet::new();
        let names = set.iter().map(|fixed| &fixed.name).chain(jwt.as_ref().map(|jwt| &jwt.header));
        for name in names.filter(|name| !own.insert(name.as_str())) {
            refuse(format!("more than one of `set`, `basic` and `jwt` writes `{name}`; keep one"));
        }
        Some(Identity { to: self.to.iter().map(Url::origin).collect(), name: self.name, host, remove, set, jwt })
    }
}

impl Jwt {
    fn compile(self, environment: Environment<'_>, refuse: &mut dyn FnMut(String)) -> Option<Bearer> {
        let header = header(&self.header, refuse);
        let ttl = self.ttl.get().as_secs();
        if !(10..=86_400).contains(&ttl) {
            refuse(format!("`jwt.ttl` is {}; give 10s to 24h", self.ttl));
        }
        let fixed = match serde_json::to_value(&self.claims) {
            Ok(Value::Object(fixed)) => fixed,
            _ => Map::new(),
        };
        if has_date(&toml::Value::Table(self.claims)) {
            refuse("`jwt.claims` has a TOML date; write seconds since 1970".to_owned());
        }
        for name in fixed.keys().chain(&self.copy) {
            if OWN_CLAIMS.contains(&name.as_str()) {
                refuse(format!("the claim `{name}` follows from `ttl`; remove it"));
            }
        }
        for name in self.copy.iter().filter(|name| fixed.contains_key(*name)) {
            refuse(format!("the claim `{name}` is both fixed and copied; keep one"));
        }
        let key = resolved(&self.key, "`jwt.key`", environment, refuse)?;
        let signer =
            Signer::parse(self.algorithm, key.expose()).map_err(|cause| refuse(format!("`jwt`: {cause}"))).ok()?;
        let ttl = i64::try_from(ttl).unwrap_or(i64::MAX);
        Some(Bearer { header: header?, minter: Minter::new(signer, self.key_id.as_deref(), fixed, self.copy, ttl) })
    }
}

fn has_date(value: &toml::Value) -> bool {
    match value {
        toml::Value::Datetime(_) => true,
        toml::Value::Array(values) => values.iter().any(has_date),
        toml::Value::Table(table) => table.values().any(has_date),
        _ => false,
    }
}

fn header(name: &str, refuse: &mut dyn FnMut(String)) -> Option<HeaderName> {
    let valid = HeaderName::from_bytes(name.as_bytes()).ok().filter(may_be_set);
    if valid.is_none() {
        refuse(format!("`{name}` is no header that an identity may set or remove"));
    }
    valid
}

fn resolved(
    source: &Source,
    key: &str,
    environment: Environment<'_>,
    refuse: &mut dyn FnMut(String),
) -> Option<Secret> {
    source.resolve(environment).map_err(|cause| refuse(format!("{key}: {cause}"))).ok()
}
