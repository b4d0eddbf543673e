//! What settling the effects of an exchange needs, and its row does not say.

use shadow_record::{Outcome, SkipReason};

use super::{Captured, Replay};
use crate::effects::{Sent, Served, Span};

/// How `rewritten` names a dry run.
const DRY_RUN: &str = "dry_run";

/// Of an exchange that both versions answered; of one that was only recorded, too, to count the primary's calls. A primary that did not
/// come to its end may have left calls out.
pub(super) fn of(captured: &Captured, replay: &Replay) -> Option<Served> {
    let Replay { appended_at, exchange: replayed } = replay;
    let exchange = captured.exchange.as_deref()?;
    if replayed.request_id != Some(exchange.request_id) {
        return None;
    }
    let sent = match (&replayed.outcome, replayed.sent_at) {
        (Outcome::Completed(_), Some(sent_at)) if exchange.response.is_some() => {
            let control = replayed.control.as_ref();
            let answered = control.filter(|control| control.answer.is_ok());
            Some(Sent {
                candidate: Span::of(sent_at, replayed.total_us.unwrap_or(0)),
                control: answered.map(|control| Span::of(control.sent_at, control.total_us.unwrap_or(0))),
                to_control: control.is_some(),
                replayed_at: *appended_at,
                send: replayed.send,
                alone: replayed.alone,
                dry_run: replayed.rewritten.iter().any(|how| how == DRY_RUN),
            })
        }
        (Outcome::Skipped(SkipReason::RecordOnly), _) => None,
        _ => return None,
    };
    Some(Served {
        request_id: exchange.request_id,
        route: exchange.route.clone(),
        primary: Span::of(exchange.captured_at, exchange.total_us),
        captured_at: captured.appended_at,
        recorded: exchange.effects_recorded,
        sent,
    })
}
