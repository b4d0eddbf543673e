//! The control's side of a row: how a second copy of the live build answered the same request at the same moment, and where that
//! differs from the primary. What it differs in is what the view `noise` knows noise by.

use shadow_diff::{Comparison, Difference};
use shadow_record::{ControlAnswer, Timestamp};

use crate::store::ExchangeRow;

/// `control_result` where the control gave no answer.
const FAILED: &str = "failed";

/// Fills in what the replayed record says of the control.
pub(super) fn fill(row: &mut ExchangeRow, control: &ControlAnswer) {
    row.control_sent_at = Some(Timestamp::micros(control.sent_at));
    row.control_first_byte_us = control.first_byte_us;
    row.control_us = control.total_us;
    match &control.answer {
        Ok(response) => row.control_status = Some(response.status),
        Err(class) => (row.control_error, row.control_result) = (class.as_str(), FAILED),
    }
}

/// Fills in what the comparison with the primary found. Whether a difference was expected of the candidate says nothing here; a rule
/// that decided something in either comparison was of use.
pub(super) fn fill_comparison(row: &mut ExchangeRow, comparison: Comparison) {
    row.control_result = comparison.result.as_str();
    row.control_differences_omitted = comparison.omitted;
    row.rules_used.extend(comparison.rules_used);
    row.rules_used.sort_unstable();
    row.rules_used.dedup();
    comparison.differences.into_iter().for_each(|difference| push_difference(row, difference));
}

/// Lists one more difference of the control.
pub(crate) fn push_difference(row: &mut ExchangeRow, difference: Difference) {
    row.control_signature.push(difference.signature.to_string());
    row.control_place.push(difference.place);
    row.control_kind.push(difference.kind.as_str());
    row.control_transition.push(difference.transition);
}
