//! The primary's side of a row.

use shadow_record::{CaptureError, CapturedExchange, Source};

use crate::store::ExchangeRow;

/// Fills in what the captured record says.
pub(super) fn fill(row: &mut ExchangeRow, exchange: &CapturedExchange) {
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
