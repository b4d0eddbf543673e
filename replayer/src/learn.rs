//! What the shadow issues in place of the primary, put into later requests of the session: identifiers, tokens, session cookies.
//!
//! Stands on both sides of sending: [`Learned::learn`] pairs what the primary's masked answer has at a rule's place with what the target's own
//! answer has there, [`Learned::substitute`] puts the one in place of the other before the request is rewritten. Each target has a memory of
//! its own, as each issues its own values. Guarantees: what is learnt stays in memory, goes to the target that issued it and nowhere else;
//! memory is bounded by sessions, values and bytes, the longest unused session going first; only whole values are replaced. Learning
//! an answer again, or the answer to a resend, leaves the latest value. Nothing survives a restart.

mod answer;
mod body;
mod request;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use lru::LruCache;
use shadow_control::{JsonPlace, LearnRule, Leg, RequestPart};
use shadow_mask::{REDACTED, RawBody, RawResponse};
use shadow_record::{Request, Response};

/// Sessions remembered for each target.
const SESSIONS: usize = 10_000;
/// Values of one session.
const VALUES: usize = 128;
/// Longest value, on either side.
const LONGEST: usize = 4 * 1024;
/// Bytes of all values of one target.
const BYTES: usize = 16 << 20;

/// The memory of one launch.
pub struct Learned {
    rules: Vec<Rule>,
    candidate: Mutex<Memory>,
    control: Mutex<Memory>,
}

/// What learning from one answer came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    /// Values that the target issued in place of the primary's.
    pub values: usize,
    /// Places that the primary's answer has and the target's has not.
    pub missed: usize,
}

/// A compiled rule.
struct Rule {
    name: String,
    route: Option<String>,
    place: Place,
    into: Vec<RequestPart>,
}

/// Where it stands in an answer. Of names the second is what the primary's masked answer has.
enum Place {
    Header(String, String),
    Cookie(String, String),
    Json(JsonPlace),
}

/// One value in place of another.
struct Pair {
    rule: usize,
    /// In masked records.
    primary: String,
    issued: Issued,
}

/// A value as the target issued it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Issued {
    text: String,
    is_number: bool,
}

impl Learned {
    /// A memory without anything in it. `masked` tells how the agents mask a name.
    pub fn new(rules: &[LearnRule], masked: impl Fn(&str) -> String) -> Self {
        let rules = rules.iter().filter_map(|rule| {
            let place = if let Some(name) = &rule.header {
                let name = name.to_ascii_lowercase();
                Place::Header(masked(&name), name)
            } else if let Some(name) = &rule.cookie {
                Place::Cookie(masked(name), name.clone())
            } else {
                // A launch with other problems does not run.
                Place::Json(JsonPlace::parse(rule.json.as_deref()?).ok()?)
            };
            Some(Rule { name: rule.name.clone(), route: rule.route.clone(), place, into: rule.into.clone() })
        });
        Self { rules: rules.collect(), candidate: Mutex::default(), control: Mutex::default() }
    }

    /// Whether there is nothing to learn at all.
    pub fn is_idle(&self) -> bool {
        self.rules.is_empty()
    }

    /// Learns from the answers to one request of a session: the primary's as it was captured, and what the target answered. `masked` tells how
    /// the agents mask a name.
    pub fn learn(
        &self,
        leg: Leg,
        session: &Bytes,
        route: &str,
        primary: &Response,
        answer: &RawResponse,
        masked: &dyn Fn(&str) -> String,
    ) -> Learnt {
        let rules = self.rules.iter().enumerate();
        let rules = rules.filter(|(_, rule)| rule.route.as_deref().is_none_or(|only| only == route));
        let (pairs, missed) = answer::pairs(rules, primary, answer, masked);
        let pairs: Vec<_> = pairs.into_iter().filter(Pair::is_of_use).collect();
        let learnt = Learnt { values: pairs.len(), missed };
        if !pairs.is_empty() {
            let mut memory = self.of(leg).lock().unwrap_or_else(PoisonError::into_inner);
            memory.change(session, |session| pairs.into_iter().for_each(|pair| session.remember(pair)));
        }
        learnt
    }

    /// The request with what the target issued in place of the primary's values, and the names of the rules that did it; `None` when
    /// nothing of it is known.
    pub fn substitute(&self, leg: Leg, session: &Bytes, captured: &Request) -> Option<(Request, Vec<&str>)> {
        if self.is_idle() {
            return None;
        }
        let known = self.of(leg).lock().unwrap_or_else(PoisonError::into_inner).session(session)?;
        let mut used = Vec::new();
        let lookup = |value: &str, part: RequestPart| {
            let (rule, issued) = known.values.get(value)?;
            let rule = &self.rules[*rule];
            if !rule.into.is_empty() && !rule.into.contains(&part) {
                return None;
            }
            if !used.contains(&rule.name.as_str()) {
                used.push(&rule.name);
            }
            Some(issued.clone())
        };
        let request = request::substituted(captured, lookup);
        (!used.is_empty()).then_some((request, used))
    }

    /// Whether there is something to learn from the target's answer, since the primary's has it.
    pub fn is_taught_by(&self, route: &str, primary: &Response, masked: &dyn Fn(&str) -> String) -> bool {
        let none = RawResponse { status: 0, headers: HeaderMap::new(), body: RawBody::Whole(Bytes::new()) };
        let rules = self.rules.iter().enumerate();
        let rules = rules.filter(|(_, rule)| rule.route.as_deref().is_none_or(|only| only == route));
        answer::pairs(rules, primary, &none, masked).1 > 0
    }

    /// An answer that later requests of the session need is not there: asked on, the target would fail for want of it. That would count
    /// against a candidate, and be learnt as noise from a control.
    pub fn give_up(&self, leg: Leg, session: &Bytes) {
        self.of(leg).lock().unwrap_or_else(PoisonError::into_inner).change(session, |session| session.given_up = true);
    }

    /// Whether the target is asked nothing more in this session.
    pub fn has_given_up(&self, leg: Leg, session: &Bytes) -> bool {
        if self.is_idle() {
            return false;
        }
        let known = self.of(leg).lock().unwrap_or_else(PoisonError::into_inner).session(session);
        known.is_some_and(|session| session.given_up)
    }

    fn of(&self, leg: Leg) -> &Mutex<Memory> {
        match leg {
            Leg::Candidate => &self.candidate,
            Leg::Control => &self.control,
        }
    }
}

impl Pair {
    /// What is empty or redacted names nothing.
    fn is_of_use(&self) -> bool {
        let Self { primary, issued, .. } = self;
        let fits = |text: &str| (1..=LONGEST).contains(&text.len());
        fits(primary) && fits(&issued.text) && primary != REDACTED
    }

    fn bytes(&self) -> usize {
        // The primary's value is also in the order of its session.
        2 * self.primary.len() + self.issued.text.len()
    }
}

/// What one target issued.
struct Memory {
    sessions: LruCache<Bytes, Arc<Session>>,
    bytes: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { sessions: LruCache::unbounded(), bytes: 0 }
    }
}

/// What one target issued in one session, oldest first.
#[derive(Clone, Default)]
struct Session {
    values: HashMap<String, (usize, Issued)>,
    order: VecDeque<String>,
    bytes: usize,
    /// Something is missing that the target issued.
    given_up: bool,
}

impl Memory {
    fn session(&mut self, session: &Bytes) -> Option<Arc<Session>> {
        self.sessions.get(session).cloned()
    }

    fn change(&mut self, key: &Bytes, change: impl FnOnce(&mut Session)) {
        let session = Arc::make_mut(self.sessions.get_or_insert_mut(key.clone(), Arc::default));
        let before = session.bytes;
        change(session);
        self.bytes = self.bytes - before + session.bytes;
        while self.sessions.len() > SESSIONS || self.bytes > BYTES {
            let Some((_, forgotten)) = self.sessions.pop_lru() else { break };
            self.bytes -= forgotten.bytes;
        }
    }
}

impl Session {
    fn remember(&mut self, pair: Pair) {
        self.forget(&pair.primary);
        // What both call the same needs no rule, and must not leave an older one standing.
        if pair.primary == pair.issued.text {
            return;
        }
        if self.order.len() == VALUES
            && let Some(oldest) = self.order.front().cloned()
        {
            self.forget(&oldest);
        }
        self.bytes += pair.bytes();
        self.order.push_back(pair.primary.clone());
        self.values.insert(pair.primary, (pair.rule, pair.issued));
    }

    fn forget(&mut self, primary: &str) {
        if let Some((rule, issued)) = self.values.remove(primary) {
            self.order.retain(|value| value != primary);
            self.bytes -= Pair { rule, primary: primary.to_owned(), issued }.bytes();
        }
    }
}

#[cfg(test)]
mod tests;
