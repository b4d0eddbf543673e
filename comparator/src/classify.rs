//! Step 3: classify. A settled offset becomes the row that is stored about it. Pure.

use shadow_control::{Comparison, Launch};
use shadow_diff::{Masking, Rules, compare_masked};
use shadow_record::{
    Body, CaptureError, CapturedExchange, LaunchName, Outcome, ReplayedExchange, Response, ServiceName, SkipReason,
    Source, Timestamp,
};

use crate::pair::Settled;
use crate::store::{ExchangeRow, RangeRow};

/// A record of the captured topic; `exchange` is `None` when it could not be read.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Captured {
    pub appended_at: Timestamp,
    pub exchange: Option<Box<CapturedExchange>>,
}

impl Captured {
    /// What the join keeps of a captured record: everything but the request's headers and body.
    pub fn of(appended_at: Timestamp, mut exchange: CapturedExchange) -> Self {
        exchange.request.headers = Vec::new();
        exchange.request.body.content = None;
        Self { appended_at, exchange: Some(Box::new(exchange)) }
    }
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
    Exchange(Box<ExchangeRow>),
    Range(RangeRow),
}

/// Turns what was settled in one launch into rows.
#[derive(Clone, Debug)]
pub struct Classifier {
    launch: LaunchName,
    service: ServiceName,
    comparison: Comparison,
    rules: Rules,
    body_bytes: usize,
}

/// Reason of offsets whose outcome the replayed topic promised and did not hold.
const OUTCOME_LOST: &str = "outcome_lost";
/// Reason of completed offsets whose captured record is gone, so that there is nothing to compare with.
const CAPTURED_LOST: &str = "captured_lost";
const UNDECODABLE: &str = "undecodable";
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
        Self { launch: name, service, comparison: launch.comparison, rules, body_bytes }
    }

    /// The row about one settled offset or range.
    pub fn classify(&self, partition: i32, settled: Settled<Captured, ReplayedExchange, RangeInfo>) -> Classified {
        match settled {
            Settled::Pair { offset, captured, outcome, replayed_at } => {
                let row = self.exchange(partition, offset, captured, outcome, replayed_at);
                Classified::Exchange(Box::new(row))
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
            fill_candidate(&mut row, replayed);
        }
        let exchange = captured.and_then(|captured| captured.exchange);
        if let Some(exchange) = &exchange {
            fill_primary(&mut row, exchange);
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
        let Some(primary) = &exchange.response else {
            row.result = "incomparable";
            return;
        };
        let ours = Masking { key_id: &exchange.key_id, ruleset: &exchange.ruleset };
        let theirs = Masking { key_id: &replayed.key_id, ruleset: &replayed.ruleset };
        let comparison = compare_masked(&exchange.route, (primary, ours), (candidate, theirs), &self.rules);
        row.result = comparison.result.as_str();
        row.differences_omitted = comparison.omitted;
        if !comparison.differences.is_empty() {
            row.primary_body = excerpt(&primary.body, self.body_bytes);
            row.candidate_body = excerpt(&candidate.body, self.body_bytes);
        }
        for difference in comparison.differences {
            row.differences_signature.push(difference.signature.to_string());
            row.differences_place.push(difference.place);
            row.differences_kind.push(difference.kind.as_str());
            row.differences_transition.push(difference.transition);
            row.differences_example.push(difference.example);
            row.differences_primary.push(difference.primary);
            row.differences_candidate.push(difference.candidate);
            row.differences_count.push(difference.count);
        }
    }
}

/// The first outcome wins; of the same outcome, the row with both sides does.
fn version(replayed_offset: i64, lacking: u64) -> u64 {
    u64::MAX - 2 * replayed_offset.max(0) as u64 - lacking
}

fn fill_primary(row: &mut ExchangeRow, exchange: &CapturedExchange) {
    row.request_id = Some(exchange.request_id.0);
    row.route.clone_from(&exchange.route);
    row.method.clone_from(&exchange.request.method);
    row.path.clone_from(&exchange.request.path);
    row.source = source(exchange.source).to_owned();
    row.agent.clone_from(&exchange.agent);
    row.epoch = exchange.epoch;
    row.sequence = exchange.sequence;
    row.captured_at = exchange.captured_at.micros();
    row.primary_status = exchange.response.as_ref().map(|response| response.status);
    row.primary_error = exchange.error.map_or("", capture_error).to_owned();
    row.primary_first_byte_us = exchange.first_byte_us;
    row.primary_us = Some(exchange.total_us);
    row.primary_body_bytes = exchange.response.as_ref().map(|response| response.body.length);
    row.ruleset.clone_from(&exchange.ruleset);
    row.key_id.clone_from(&exchange.key_id);
}

fn fill_candidate(row: &mut ExchangeRow, replayed: &ReplayedExchange) {
    row.request_id = replayed.request_id.map(|id| id.0);
    row.appended_at = replayed.appended_at.micros();
    row.captured_at = row.appended_at;
    row.intended_at = replayed.intended_at.map(Timestamp::micros);
    row.sent_at = replayed.sent_at.map(Timestamp::micros);
    row.candidate_first_byte_us = replayed.first_byte_us;
    row.candidate_us = replayed.total_us;
    if let Outcome::Completed(response) = &replayed.outcome {
        row.candidate_status = Some(response.status);
        row.candidate_body_bytes = Some(response.body.length);
    }
    row.candidate_ruleset.clone_from(&replayed.ruleset);
    row.candidate_key_id.clone_from(&replayed.key_id);
    row.replayer.clone_from(&replayed.replayer);
    row.attempt = replayed.attempt;
}

/// The masked content as text, cut at `limit` bytes.
fn excerpt(body: &Body, limit: usize) -> String {
    let content = body.content.as_deref().unwrap_or_default();
    let mut text = String::from_utf8_lossy(&content[..content.len().min(limit)]).into_owned();
    if content.len() > limit {
        // The cut may have split a character.
        while text.ends_with(char::REPLACEMENT_CHARACTER) {
            text.pop();
        }
    }
    text
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Other => "other",
        Source::Proxy => "proxy",
        Source::Sniff => "sniff",
        Source::Mirror => "mirror",
        Source::Import => "import",
        Source::Sdk => "sdk",
    }
}

fn capture_error(error: CaptureError) -> &'static str {
    match error {
        CaptureError::Other => "other",
        CaptureError::Connect => "connect",
        CaptureError::Timeout => "timeout",
        CaptureError::Reset => "reset",
        CaptureError::Protocol => "protocol",
        CaptureError::ClientAborted => "client_aborted",
    }
}
