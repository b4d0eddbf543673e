//! What becomes of a request that may change something: the method, the launch's write policy and its isolation boundary.
//!
//! Pure, and asked twice: when a record is read, and again at the moment it is to be sent, as the launch may have changed meanwhile.

use shadow_record::SkipReason;

use super::{WritePolicy, WriteRule};
use crate::Launch;

/// Methods without side effects by definition (RFC 9110, section 9.2.1).
const SAFE_METHODS: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];

/// How a request that may be sent is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending<'l> {
    /// As it was captured.
    Captured,
    /// With what this rule adds, so that the service changes nothing.
    DryRun(&'l WriteRule),
}

impl Launch {
    /// Whether, and how, a request of this method and route may be sent. Without a rule: safe methods always, others only behind a
    /// declared isolation boundary.
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_send(&self, method: &str, route: &str) -> Result<Sending<'_>, SkipReason> {
        let is_safe = SAFE_METHODS.contains(&method);
        // Blank words declare nothing.
        let isolated = self.isolation.as_ref().is_some_and(|words| !words.trim().is_empty());
        let holds = |rule: &&WriteRule| rule.route == route || rule.route == "*" && !is_safe;
        let Some(rule) = self.replay.writes.iter().find(holds) else {
            return if is_safe || isolated { Ok(Sending::Captured) } else { Err(SkipReason::UnsafeMethod) };
        };
        match rule.policy {
            WritePolicy::Skip => Err(SkipReason::WritePolicy),
            WritePolicy::RecordOnly => Err(SkipReason::RecordOnly),
            WritePolicy::DryRun => Ok(Sending::DryRun(rule)),
            WritePolicy::Isolated if isolated => Ok(Sending::Captured),
            // Who names the route of a safe method says that it changes something all the same.
            WritePolicy::Isolated if is_safe => Err(SkipReason::WritePolicy),
            WritePolicy::Isolated => Err(SkipReason::UnsafeMethod),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Change;

    #[test]
    fn method_policy_and_isolation_decide_together() {
        let (name, candidate) = ("a".parse().unwrap(), "http://127.0.0.1:1".parse().unwrap());
        let mut launch = Launch::of(name, "shop".parse().unwrap(), candidate, Change::by("test", "test"));
        let rule = |route: &str, policy, header: Option<&str>| WriteRule {
            route: route.to_owned(),
            policy,
            header: header.map(str::to_owned),
            query: None,
        };
        let rules = vec![
            rule("POST /orders", WritePolicy::DryRun, Some("x-dry-run: 1")),
            rule("DELETE /orders/{id}", WritePolicy::Skip, None),
            rule("GET /logout", WritePolicy::Isolated, None),
            rule("PUT /orders/{id}", WritePolicy::Isolated, None),
            rule("*", WritePolicy::RecordOnly, None),
        ];
        let (sent, dry) = (Ok(Sending::Captured), Ok(Sending::DryRun(&rules[0])));
        let (unsafe_method, write_policy) = (Err(SkipReason::UnsafeMethod), Err(SkipReason::WritePolicy));
        let record_only = Err(SkipReason::RecordOnly);
        type Decision<'a> = Result<Sending<'a>, SkipReason>;
        // Without rules: not isolated, isolated. With them: the same.
        type Case<'a> = (&'a str, &'a str, [Decision<'a>; 4]);
        let table: [Case<'_>; 8] = [
            ("GET", "GET /orders/{id}", [sent, sent, sent, sent]),
            ("GET", "GET /logout", [sent, sent, write_policy, sent]),
            ("HEAD", "HEAD /{unmatched..}", [sent, sent, sent, sent]),
            ("get", "get /orders", [unsafe_method, sent, record_only, record_only]),
            ("POST", "POST /orders", [unsafe_method, sent, dry, dry]),
            ("DELETE", "DELETE /orders/{id}", [unsafe_method, sent, write_policy, write_policy]),
            ("PUT", "PUT /orders/{id}", [unsafe_method, sent, unsafe_method, sent]),
            ("PATCH", "PATCH /orders/{id}", [unsafe_method, sent, record_only, record_only]),
        ];
        for (method, route, expected) in table {
            let cases = [(false, false), (false, true), (true, false), (true, true)];
            for ((ruled, isolated), expected) in cases.into_iter().zip(expected) {
                launch.replay.writes = if ruled { rules.clone() } else { Vec::new() };
                launch.isolation = isolated.then(|| "own database, stubbed egress".to_owned());
                assert_eq!(launch.may_send(method, route), expected, "{route}, rules {ruled}, isolated {isolated}");
            }
        }
    }

    #[test]
    fn blank_words_are_no_isolation() {
        let (name, candidate) = ("a".parse().unwrap(), "http://127.0.0.1:1".parse().unwrap());
        let mut launch = Launch::of(name, "shop".parse().unwrap(), candidate, Change::by("test", "test"));
        launch.isolation = Some(" \n".to_owned());
        assert_eq!(launch.may_send("POST", "POST /orders"), Err(SkipReason::UnsafeMethod));
    }
}
