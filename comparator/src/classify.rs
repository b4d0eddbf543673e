//! Step 3: classify. A settled offset becomes the row that is stored about it. Pure.

use std::sync::Arc;

use shadow_control::{Comparison, Launch};
use shadow_diff::{CompareResult, Masking, Rules, compare_masked};
use shadow_record::{
    CapturedExchange, LaunchName, Outcome, ReplayedExchange, Response, ServiceName, SkipReason, Timestamp,
};

use crate::effects::Served;
use crate::pair::Settled;
use crate::store::{ExchangeRow, RangeRow};

mod attributes;
mod candidate;
mod control;
mod primary;
mod served;

pub use attributes::Attributes;
pub(crate) use candidate::{excerpt, push_difference};
pub(crate) use control::push_difference as push_control_difference;

/// A record of the captured topic; `exchange` is `None` when it could not be read.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Captured {
    pub appended_at: Timestamp,
    pub exchange: Option<Box<CapturedExchange>>,
    pub attributes: Attributes,
}

impl Captured {
    /// What the join keeps of a captured record: everything but the request's headers and body, and of these the attributes.
    pub fn of(appended_at: Timestamp, mut exchange: CapturedExchange) -> Self {
        let attributes = attributes::of(&exchange.route, &exchange.request);
        exchange.request.headers = Vec::new();
        exchange.request.body.content = None;
        Self { appended_at, exchange: Some(Box::new(exchange)), attributes }
    }

    /// A captured record that could not be read.
    pub fn unreadable(appended_at: Timestamp) -> Self {
        Self { appended_at, exchange: None, attributes: Attributes::new() }
    }
}

/// A record of the replayed topic.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Replay {
    pub appended_at: Timestamp,
    pub exchange: ReplayedExchange,
}

/// What a skipped range says besides its offsets.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct RangeInfo {
    pub reason: SkipReason,
    pub replayer: String,
    pub at: Timestamp,
}

/// What [`Classifier::classify`] makes of a settled offset or range.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Classified {
    /// With what settling its effects needs, where there is something to settle.
    Exchange(Box<ExchangeRow>, Option<Box<Served>>),
    Range(RangeRow),
}

/// Turns what was settled in one launch into rows.
#[derive(Clone, Debug)]
pub struct Classifier {
    launch: LaunchName,
    service: ServiceName,
    comparison: Comparison,
    rules: Arc<Rules>,
    body_bytes: usize,
}

/// Reason of offsets whose outcome the replayed topic promised and did not hold.
const OUTCOME_LOST: &str = "outcome_lost";
/// Reason of completed offsets whose captured record is gone, so that there is nothing to compare with.
const CAPTURED_LOST: &str = "captured_lost";
const UNDECODABLE: &str = "undecodable";
const INCOMPARABLE: &str = CompareResult::Incomparable.as_str();
const DEAD_LETTERED: &str = "dead_lettered";

impl Classifier {
    /// A classifier under the launch's rules. Rules that cannot be used are reported, and the default ones take their place.
    pub fn new(launch: &Launch, body_bytes: usize) -> Self {
        let rules = match launch.rules.as_deref().map(Rules::parse) {
            None => Rules::default(),
            Some(Ok(rules)) => rules,
            Some(Err(error)) => {
                tracing::error!(launch = %launch.name, %error, "comparing under the default rules; mend the launch's rules");
                Rules::default()
            }
        };
        let (name, service) = (launch.name.clone(), launch.service.clone());
        Self { launch: name, service, comparison: launch.comparison, rules: Arc::new(rules), body_bytes }
    }

    /// The rules in use.
    pub(crate) fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The row about one settled offset or range.
    pub fn classify(&self, partition: i32, settled: Settled<Captured, Replay, RangeInfo>) -> Classified {
        match settled {
            Settled::Pair { offset, captured, outcome, replayed_at } => {
                let served = match (&captured, &outcome) {
                    (Some(captured), Some(replay)) if self.comparison != Comparison::Off => {
                        served::of(captured, replay)
                    }
                    _ => None,
                };
                let replayed = outcome.map(|replay| replay.exchange);
                let row = self.exchange(partition, offset, captured, replayed, replayed_at);
                Classified::Exchange(Box::new(row), served.map(Box::new))
            }
            Settled::Skipped { first, last, range, replayed_at } => {
                let RangeInfo { reason, replayer, at } = range;
                Classified::Range(self.range(partition, (first, last), replayed_at, reason.as_str(), replayer, at))
            }
            Settled::Lost { first, last, replayed_at } => {
                let (nobody, now) = (String::new(), Timestamp::now());
                Classified::Range(self.range(partition, (first, last), replayed_at, OUTCOME_LOST, nobody, now))
            }
        }
    }

    fn range(
        &self,
        partition: i32,
        (first_offset, last_offset): (i64, i64),
        replayed_offset: i64,
        reason: &'static str,
        replayer: String,
        at: Timestamp,
    ) -> RangeRow {
        let (launch, service) = (self.launch.to_string(), self.service.to_string());
        let (version, at) = (version(replayed_offset, 0), at.micros());
        RangeRow {
            launch,
            service,
            partition,
            first_offset,
            last_offset,
            replayed_offset,
            version,
            reason,
            replayer,
            at,
        }
    }

    fn exchange(
        &self,
        partition: i32,
        captured_offset: i64,
        captured: Option<Captured>,
        replayed: Option<ReplayedExchange>,
        replayed_offset: i64,
    ) -> ExchangeRow {
        let (launch, service) = (self.launch.to_string(), self.service.to_string());
        let mut row =
            ExchangeRow { launch, service, partition, captured_offset, replayed_offset, ..ExchangeRow::EMPTY };
        let was_read = captured.is_some();
        if let Some(captured) = &captured {
            row.appended_at = captured.appended_at.micros();
            row.captured_at = row.appended_at;
        }
        if let Some(replayed) = &replayed {
            candidate::fill(&mut row, replayed);
            if let Some(control) = &replayed.control {
                control::fill(&mut row, control);
            }
        }
        let (exchange, attributes) =
            captured.map_or((None, Attributes::new()), |captured| (captured.exchange, captured.attributes));
        row.attributes = attributes;
        if let Some(exchange) = &exchange {
            primary::fill(&mut row, exchange);
        }
        row.version = version(replayed_offset, u64::from(exchange.is_none()));
        (row.outcome, row.reason) = match (&replayed, &exchange) {
            (None, _) => (DEAD_LETTERED, OUTCOME_LOST),
            (Some(replayed), exchange) => match (&replayed.outcome, exchange) {
                (Outcome::Completed(_), Some(_)) => ("completed", ""),
                (Outcome::Completed(_), None) => (DEAD_LETTERED, if was_read { UNDECODABLE } else { CAPTURED_LOST }),
                (Outcome::Failed(class), _) => ("failed", class.as_str()),
                (Outcome::Skipped(reason), _) => ("skipped", reason.as_str()),
                (Outcome::DeadLettered, _) => (DEAD_LETTERED, UNDECODABLE),
            },
        };
        if let (Some(exchange), Some(replayed)) = (&exchange, &replayed) {
            row.staleness_us = replayed.sent_at.map(|sent| sent.micros() - exchange.captured_at.micros());
            if let Outcome::Completed(response) = &replayed.outcome {
                self.compare(&mut row, exchange, replayed, response);
            }
        }
        row
    }

    fn compare(
        &self,
        row: &mut ExchangeRow,
        exchange: &CapturedExchange,
        replayed: &ReplayedExchange,
        candidate: &Response,
    ) {
        if replayed.request_id != Some(exchange.request_id) {
            row.result = "conflict";
            return;
        }
        if self.comparison == Comparison::Off {
            return;
        }
        self.rules.version().clone_into(&mut row.rules_version);
        let control = replayed.control.as_ref().and_then(|control| control.answer.as_ref().ok());
        let Some(primary) = &exchange.response else {
            row.result = INCOMPARABLE;
            row.control_result = if control.is_some() { INCOMPARABLE } else { row.control_result };
            return;
        };
        let ours = Masking { key_id: &exchange.key_id, ruleset: &exchange.ruleset };
        let theirs = Masking { key_id: &replayed.key_id, ruleset: &replayed.ruleset };
        // Recorded, so that a record that is read again is judged as before.
        let at = replayed.sent_at.unwrap_or(replayed.appended_at);
        let with = |answer| compare_masked(&exchange.route, (primary, ours), (answer, theirs), &self.rules, at);
        candidate::fill_comparison(row, with(candidate), (primary, candidate), self.body_bytes);
        if let Some(answer) = control {
            control::fill_comparison(row, with(answer));
        }
    }
}

/// The first outcome wins; of the same outcome, the row with both sides does.
fn version(replayed_offset: i64, lacking: u64) -> u64 {
    u64::MAX - 2 * replayed_offset.max(0) as u64 - lacking
}
