//! An answer as it goes back to the caller, its faults included.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;

use crate::engine::Answer;

/// Between the part of an answer that is sent and its breaking off.
const CUT: Duration = Duration::from_millis(20);

pub(super) type Answered = BoxBody<Bytes, io::Error>;

pub(super) fn whole(body: Bytes) -> Answered {
    Full::new(body).map_err(|never| match never {}).boxed()
}

/// The stub's own word, where no call was understood.
pub(super) fn told(status: StatusCode, why: &'static str) -> Response<Answered> {
    let mut response = Response::new(whole(Bytes::from_static(why.as_bytes())));
    *response.status_mut() = status;
    response
}

pub(super) fn plain(answer: Answer) -> Response<Answered> {
    let mut response = Response::new(whole(answer.body));
    *response.status_mut() = answer.status;
    for (name, value) in answer.headers {
        response.headers_mut().append(name, value);
    }
    response
}

/// Promises the whole body and breaks off in its middle.
pub(super) fn truncated(answer: Answer) -> Response<Answered> {
    let whole = answer.body.clone();
    let mut response = plain(answer);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len().max(1)));
    let half = async move { Ok(Frame::data(whole.slice(..whole.len() / 2))) };
    let broken = async {
        // What was said so far leaves while this waits.
        tokio::time::sleep(CUT).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    };
    *response.body_mut() = BodyExt::boxed(StreamBody::new(stream::once(half).chain(stream::once(broken))));
    response
}
