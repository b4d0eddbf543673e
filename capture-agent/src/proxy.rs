//! The hot path: a reverse proxy that forwards, and lets the tees look on.
//!
//! Guarantee: bodies are streamed both ways as they come; nothing here waits for anything but the client and the primary.
//! What is not transparent is listed in `docs/proxy.md`.

mod headers;
mod listen;
mod tunnel;
mod upload;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode, request};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use shadow_capture::tee::Tee;
use shadow_capture::{Observation, Observer, RequestSide, ResponseSide};

pub(crate) use headers::Target;
use headers::{Content, expects_continue, towards_client, towards_primary, upgrade_of};
pub(crate) use listen::serve;
use upload::{Upload, Upshot};
use upstream::Failure;
pub(crate) use upstream::Upstream;

/// A request's body on its way to the primary.
pub(crate) type RequestBody = Tee<Upload, RequestSide>;

/// The primary's answer passing through, or one of the agent's own.
type Answer = Either<Tee<Incoming, ResponseSide>, Full<Bytes>>;

/// The proxy.
pub(crate) struct Proxy {
    /// Where requests go.
    pub target: Target,
    /// How they get there.
    pub upstream: Upstream,
    /// Who looks on.
    pub observer: Observer,
}

impl Proxy {
    /// Forwards one request. Every way out of here leaves the request accounted for.
    async fn forward(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Response<Answer> {
        if request.method() == Method::CONNECT {
            self.observer.see_tunnel();
            return own(StatusCode::NOT_IMPLEMENTED, "shadowline: CONNECT is not supported\n");
        }
        let switch = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        if let Some(protocol) = upgrade_of(&parts) {
            self.observer.see_tunnel();
            return self.tunnel(parts, body, peer, protocol, switch, (tasks, stop)).await;
        }
        let observation = self.observer.see(&parts);
        if expects_continue(&parts) {
            self.invite(parts, body, peer, observation).await
        } else {
            self.exchange(parts, Upload::of(body), peer, observation).await
        }
    }

    /// The ordinary case.
    async fn exchange(
        &self,
        parts: request::Parts,
        body: Upload,
        peer: SocketAddr,
        observation: Option<Arc<Observation>>,
    ) -> Response<Answer> {
        let request = self.outgoing(parts, body, peer, observation.as_ref());
        self.answer(self.upstream.send(request).await, observation)
    }

    /// The client waits for the primary's word before it sends the body.
    async fn invite(
        &self,
        parts: request::Parts,
        body: Incoming,
        peer: SocketAddr,
        observation: Option<Arc<Observation>>,
    ) -> Response<Answer> {
        let (body, invitation) = Upload::held(body);
        let mut request = self.outgoing(parts, body, peer, observation.as_ref());
        invitation.on_continue(&mut request);
        let outcome = self.upstream.send(request).await;
        let mut response = self.answer(outcome, observation);
        if invitation.withdraw() == Upshot::Refused {
            // The body will not be read, so the next request could not be told from it.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The client asks to switch protocols. The primary decides.
    async fn tunnel(
        &self,
        parts: request::Parts,
        body: Incoming,
        peer: SocketAddr,
        protocol: HeaderValue,
        switch: OnUpgrade,
        (tasks, stop): (&TaskTracker, CancellationToken),
    ) -> Response<Answer> {
        let mut request = self.outgoing(parts, Upload::of(body), peer, None);
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        request.headers_mut().insert(UPGRADE, protocol);
        let mut outcome = self.upstream.send(request).await;
        let Ok(response) = &mut outcome else { return self.answer(outcome, None) };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.answer(outcome, None);
        }
        let agreed = response.headers().get(UPGRADE).cloned();
        tunnel::join(switch, response, tasks, stop);
        let mut response = self.answer(outcome, None);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(agreed) = agreed {
            response.headers_mut().insert(UPGRADE, agreed);
        }
        response
    }

    fn outgoing(
        &self,
        mut parts: request::Parts,
        body: Upload,
        peer: SocketAddr,
        observation: Option<&Arc<Observation>>,
    ) -> Request<RequestBody> {
        let content = if body.is_end_stream() { Content::Absent } else { Content::Present };
        towards_primary(&mut parts, content, &self.target, peer);
        let deposit = observation.filter(|_| content == Content::Present).map(|o| RequestSide(o.clone()));
        Request::from_parts(parts, Tee::new(body, &self.observer.limits, deposit))
    }

    fn answer(
        &self,
        outcome: Result<Response<Incoming>, Failure>,
        observation: Option<Arc<Observation>>,
    ) -> Response<Answer> {
        match outcome {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                if let Some(observation) = &observation {
                    observation.answered(&parts);
                }
                towards_client(&mut parts);
                let body = Tee::new(body, &self.observer.limits, observation.map(ResponseSide));
                Response::from_parts(parts, Either::Left(body))
            }
            Err(failure) => {
                if let Some(observation) = observation {
                    observation.failed(failure.0);
                }
                own(failure.status(), "shadowline: the primary gave no response\n")
            }
        }
    }
}

/// An answer of the agent's own, where the primary gave none.
fn own(status: StatusCode, text: &'static str) -> Response<Answer> {
    let mut response = Response::new(Either::Right(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

#[cfg(test)]
mod tests;
