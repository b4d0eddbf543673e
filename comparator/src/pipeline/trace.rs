//! The comparator's steps in the traces of single requests; does nothing while traces are off.

use shadow_record::{RequestId, Timestamp};
use shadow_runtime::telemetry::traces;

use crate::store::ExchangeRow;

/// A row was made of what was sent, or its effects were settled; that `began` then.
pub(super) fn compared(row: &ExchangeRow, began: Option<Timestamp>) {
    if let (Some(began), Some(request), Some(_)) = (began, row.request_id, row.sent_at) {
        let result = if row.result.is_empty() { row.outcome } else { row.result };
        traces::compared(RequestId(request), &row.launch, row.send, (began, Timestamp::now()), result);
    }
}

/// Rows were stored; that `began` then.
pub(super) fn stored(rows: &[ExchangeRow], began: Option<Timestamp>) {
    let Some(began) = began else { return };
    let time = (began, Timestamp::now());
    for row in rows.iter().filter(|row| row.sent_at.is_some()) {
        if let Some(request) = row.request_id {
            traces::stored(RequestId(request), &row.launch, row.send, time);
        }
    }
}
