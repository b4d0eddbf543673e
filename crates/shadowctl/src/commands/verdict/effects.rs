//! What is known of a launch's outbound calls: of how many exchanges they were compared, and why not of the others. Report and verdict
//! both say it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shadow_record::LaunchName;
use shadow_verdict::EffectEvidence;

use crate::failure::Failure;
use crate::sql::Sql;
use crate::words::count;

/// Counts of exchanges and of calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Effects {
    /// Exchanges of which both sides' calls were compared.
    pub(crate) compared: u64,
    /// Exchanges in which a call differs in something that is neither noise nor expected.
    pub(crate) differing: u64,
    /// Exchanges of which calls could not be compared, by reason.
    pub(crate) incomparable: BTreeMap<String, u64>,
    /// Calls of each side that belong to exchanges.
    pub(crate) primary_calls: u64,
    pub(crate) candidate_calls: u64,
    pub(crate) control_calls: u64,
    /// Calls of the candidate that were recorded; those of resends and without a request too.
    pub(crate) recorded: u64,
    /// Of those, the ones that cannot be said to belong to any request.
    pub(crate) uncorrelated: u64,
    /// Calls that no rule of the stub matched.
    pub(crate) unmatched: u64,
}

const EXCHANGES: &str = "SELECT countIf(effects_result IN ('matched', 'differing', 'expected')) AS compared, \
     (SELECT uniqExact(partition, captured_offset) FROM differences WHERE launch = {launch:String} AND startsWith(place, 'effects ')) AS differing, \
     sumMapIf(map(toString(effects_reason), 1::UInt64), effects_result = 'incomparable') AS incomparable, \
     sum(primary_effects) AS primary_calls, sum(candidate_effects) AS candidate_calls, sum(control_effects) AS control_calls \
     FROM exchanges FINAL WHERE launch = {launch:String}";

/// Calls that do not tell of a launch count while this one was sending.
const CALLS: &str = "WITH asked AS (SELECT any(service) AS service, min(sent_at) AS first, max(sent_at) + INTERVAL 1 MINUTE AS last \
         FROM exchanges FINAL WHERE launch = {launch:String}) \
     SELECT countIf(side = 'candidate') AS recorded, countIf(decision = 'unmatched') AS unmatched, \
         countIf(side = 'candidate' AND request_id IS NULL AND (instance, epoch, sequence) NOT IN \
             (SELECT instance, epoch, sequence FROM scheduled_effects WHERE launch = {launch:String})) AS uncorrelated \
     FROM effects FINAL \
     WHERE service = (SELECT service FROM asked) AND side IN ('candidate', 'control') AND (launch = {launch:String} \
         OR (launch = '' AND at >= (SELECT first FROM asked) AND at <= (SELECT last FROM asked)))";

#[derive(Deserialize)]
struct Calls {
    recorded: u64,
    unmatched: u64,
    uncorrelated: u64,
}

#[derive(Deserialize)]
struct Exchanges {
    compared: u64,
    differing: u64,
    incomparable: BTreeMap<String, u64>,
    primary_calls: u64,
    candidate_calls: u64,
    control_calls: u64,
}

/// Everything that is known of the calls of one launch.
///
/// # Errors
/// When ClickHouse does not answer or refuses.
pub(crate) async fn gather(sql: &Sql, launch: &LaunchName) -> Result<Effects, Failure> {
    let of = &[("launch", launch.as_str())][..];
    let (exchanges, calls) = tokio::try_join!(sql.rows::<Exchanges>(EXCHANGES, of), sql.rows::<Calls>(CALLS, of))?;
    let mut effects = Effects::default();
    if let Some(exchanges) = exchanges.into_iter().next() {
        let Exchanges { compared, differing, incomparable, primary_calls, candidate_calls, control_calls } = exchanges;
        effects =
            Effects { compared, differing, incomparable, primary_calls, candidate_calls, control_calls, ..effects };
    }
    if let Some(Calls { recorded, unmatched, uncorrelated }) = calls.into_iter().next() {
        effects = Effects { recorded, unmatched, uncorrelated, ..effects };
    }
    Ok(effects)
}

impl Effects {
    /// Whether neither side called anybody, as far as is known.
    pub(crate) fn is_absent(&self) -> bool {
        *self == Self::default()
    }

    /// Exchanges of which calls could not be compared.
    pub(crate) fn not_compared(&self) -> u64 {
        self.incomparable.values().sum()
    }

    /// What the verdict says about it.
    pub(super) fn evidence(&self) -> EffectEvidence {
        let mut incomparable: Vec<(String, u64)> =
            self.incomparable.iter().map(|(reason, exchanges)| (reason.clone(), *exchanges)).collect();
        incomparable.sort_by_key(|(_, exchanges)| std::cmp::Reverse(*exchanges));
        let Self { compared, recorded, uncorrelated, .. } = *self;
        EffectEvidence { compared, incomparable, recorded, uncorrelated }
    }

    /// As lines of a report; nothing where there is nothing.
    pub(crate) fn render(&self) -> String {
        if self.is_absent() {
            return String::new();
        }
        let head = match (self.compared, self.not_compared()) {
            (0, 0) => "outbound calls: NOT COMPARED".to_owned(),
            (0, not) => format!("outbound calls: NOT COMPARED, of {} exchanges they could not be", count(not)),
            (compared, 0) => {
                format!("outbound calls: compared for {} exchanges, {} differ", count(compared), count(self.differing))
            }
            (compared, not) => format!(
                "outbound calls: compared for {} exchanges, {} differ; NOT COMPARED for {}",
                count(compared),
                count(self.differing),
                count(not)
            ),
        };
        let mut text = format!(
            "{head}\n  of exchanges: primary {}, candidate {}, control {}\n",
            count(self.primary_calls),
            count(self.candidate_calls),
            count(self.control_calls)
        );
        for (reason, exchanges) in &self.incomparable {
            text.push_str(&format!("  not compared, {reason}: {} exchanges\n", count(*exchanges)));
        }
        if self.uncorrelated > 0 {
            text.push_str(&format!(
                "  without a request, compared with nothing: {} calls of the candidate\n",
                count(self.uncorrelated)
            ));
        }
        if self.unmatched > 0 {
            text.push_str(&format!("  no rule of the stub matched: {} calls\n", count(self.unmatched)));
        }
        text
    }
}

/// A difference's kind in words: what differs in calls as such is not an added or a missing value.
pub(crate) fn kind<'a>(place: &str, kind: &'a str) -> &'a str {
    let of_call = place.strip_prefix("effects ").is_some_and(|call| call.split(' ').count() == 2);
    match kind {
        "missing" if of_call => "missing call",
        "added" if of_call => "additional call",
        "order" if of_call => "calls reordered",
        kind => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_compared_is_said_with_its_reason() {
        let effects = Effects {
            compared: 1_900,
            differing: 15,
            incomparable: [("uncorrelated".to_owned(), 20), ("not_recorded".to_owned(), 11)].into(),
            primary_calls: 1_950,
            candidate_calls: 1_965,
            recorded: 2_030,
            uncorrelated: 57,
            unmatched: 4,
            ..Effects::default()
        };
        insta::assert_snapshot!(effects.render(), @r"
        outbound calls: compared for 1,900 exchanges, 15 differ; NOT COMPARED for 31
          of exchanges: primary 1,950, candidate 1,965, control 0
          not compared, not_recorded: 11 exchanges
          not compared, uncorrelated: 20 exchanges
          without a request, compared with nothing: 57 calls of the candidate
          no rule of the stub matched: 4 calls
        ");
        assert_eq!(effects.evidence().incomparable[0], ("uncorrelated".to_owned(), 20));
        let ignored = Effects { recorded: 3, ..Effects::default() };
        assert!(ignored.render().starts_with("outbound calls: NOT COMPARED\n"));
        assert_eq!(Effects::default().render(), "");
    }

    #[test]
    fn a_call_is_told_from_a_value_in_it() {
        let call = "effects POST api.stripe.com/v1/charges";
        assert_eq!(
            [kind(call, "added"), kind(call, "missing"), kind(call, "order")],
            ["additional call", "missing call", "calls reordered"]
        );
        assert_eq!(kind("effects POST api.stripe.com/v1/charges $.amount", "missing"), "missing");
        assert_eq!(kind("$.amount", "added"), "added");
    }
}
