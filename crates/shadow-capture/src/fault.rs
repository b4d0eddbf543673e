//! Names what went wrong between the agent and the primary.

use std::error::Error;
use std::io;

use shadow_record::CaptureError;

/// The class of a failure, from the whole chain of its causes.
pub fn classify(error: &(dyn Error + 'static)) -> CaptureError {
    let mut cause = Some(error);
    let mut class = CaptureError::Other;
    while let Some(error) = cause {
        if let Some(found) = class_of(error) {
            class = found;
        }
        cause = error.source();
    }
    class
}

fn class_of(error: &(dyn Error + 'static)) -> Option<CaptureError> {
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return of_hyper(error);
    }
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        return error.is_connect().then_some(CaptureError::Connect);
    }
    error.downcast_ref::<io::Error>().and_then(|error| of_io(error.kind()))
}

fn of_hyper(error: &hyper::Error) -> Option<CaptureError> {
    if error.is_timeout() {
        Some(CaptureError::Timeout)
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        Some(CaptureError::Reset)
    } else if error.is_parse() {
        Some(CaptureError::Protocol)
    } else {
        None
    }
}

fn of_io(kind: io::ErrorKind) -> Option<CaptureError> {
    use io::ErrorKind as Kind;
    match kind {
        Kind::TimedOut => Some(CaptureError::Timeout),
        Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable => Some(CaptureError::Connect),
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => {
            Some(CaptureError::Reset)
        }
        _ => None,
    }
}
