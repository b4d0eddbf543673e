//! Which captured exchanges a launch replays, and why not the others.
//!
//! Stands between consuming and pacing. Pure, so every replayer decides alike and a redelivered record gets the same answer.

use shadow_control::Launch;
use shadow_record::{CapturedExchange, SkipReason};

/// How a skipped record is accounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// With its neighbours, in one range: nothing more is to be known of it.
    Range,
    /// With an outcome of its own, so that it shows under its route.
    Outcome,
}

/// Whether the launch replays the exchange, whose record has `key`.
///
/// # Errors
/// The reason it does not, the first that applies in the order: sample, filters, method and write policy, body.
pub fn admit(launch: &Launch, exchange: &CapturedExchange, key: &[u8]) -> Result<(), SkipReason> {
    let request = &exchange.request;
    if !launch.in_sample(&exchange.request_id, key) {
        return Err(SkipReason::SampledOut);
    }
    if !launch.selects(request, &exchange.route) {
        return Err(SkipReason::Filtered);
    }
    launch.may_send(&request.method, &exchange.route)?;
    if request.body.content.is_none() {
        return Err(SkipReason::UnreplayableBody);
    }
    Ok(())
}

/// How records skipped for `reason` are accounted for.
pub fn account(reason: SkipReason) -> Account {
    match reason {
        SkipReason::SampledOut
        | SkipReason::Filtered
        | SkipReason::WritePolicy
        | SkipReason::TooOld
        | SkipReason::Expired
        | SkipReason::NoRecord => Account::Range,
        _ => Account::Outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use shadow_control::{Filters, WritePolicy, WriteRule};
    use shadow_record::Withheld;

    #[test]
    fn the_first_reason_that_applies_is_given() {
        let isolated = Some("own database".to_owned());
        let only_post = Filters { methods: vec!["POST".to_owned()], routes: vec![], ..Filters::default() };
        let only_orders =
            Filters { methods: vec![], routes: vec!["GET /orders/{id}".to_owned()], ..Filters::default() };
        let none = Filters::default();
        type Case<'a> = (&'a str, f64, &'a Filters, &'a Option<String>, Option<Withheld>, Result<(), SkipReason>);
        let table: [Case<'_>; 9] = [
            ("GET", 1.0, &none, &None, None, Ok(())),
            ("GET", 0.0, &only_post, &None, None, Err(SkipReason::SampledOut)),
            ("GET", 1.0, &only_post, &None, None, Err(SkipReason::Filtered)),
            ("GET", 1.0, &only_orders, &None, None, Err(SkipReason::Filtered)),
            ("POST", 1.0, &only_post, &None, Some(Withheld::Truncated), Err(SkipReason::UnsafeMethod)),
            ("POST", 1.0, &only_post, &isolated, Some(Withheld::Truncated), Err(SkipReason::UnreplayableBody)),
            ("POST", 1.0, &only_post, &isolated, None, Ok(())),
            ("GET", 1.0, &none, &None, Some(Withheld::Unparseable), Err(SkipReason::UnreplayableBody)),
            ("get", 1.0, &none, &None, None, Err(SkipReason::UnsafeMethod)),
        ];
        for (method, sample, filters, isolation, withheld, expected) in table {
            let mut launch = samples::launch("http://127.0.0.1:1");
            launch.sample = sample;
            launch.filters = filters.clone();
            launch.isolation = isolation.clone();
            let mut exchange = samples::captured(method, "/cart");
            if withheld.is_some() {
                exchange.request.body.content = None;
                exchange.request.body.withheld = withheld;
            }
            assert_eq!(
                admit(&launch, &exchange, &[]),
                expected,
                "{method} {sample} {filters:?} {isolation:?} {withheld:?}"
            );
        }
    }

    #[test]
    fn the_write_policy_leaves_out_records_or_lets_through() {
        let rule = |route: &str, policy| WriteRule { route: route.to_owned(), policy, header: None, query: None };
        let mut launch = samples::launch("http://127.0.0.1:1");
        launch.replay.writes = vec![
            rule("POST /cart", WritePolicy::Skip),
            rule("PUT /cart", WritePolicy::RecordOnly),
            rule("*", WritePolicy::DryRun),
        ];
        let (skip, record_only) = (SkipReason::WritePolicy, SkipReason::RecordOnly);
        let table = [
            ("GET", Ok(())),
            ("POST", Err((skip, Account::Range))),
            ("PUT", Err((record_only, Account::Outcome))),
            ("DELETE", Ok(())),
        ];
        for (method, expected) in table {
            let admitted = admit(&launch, &samples::captured(method, "/cart"), &[]);
            assert_eq!(admitted.map_err(|reason| (reason, account(reason))), expected, "{method}");
        }
    }
}
