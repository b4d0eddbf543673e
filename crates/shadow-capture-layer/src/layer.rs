//! Sees each request on its way into the service, and the answer on its way out.
//!
//! Guarantee: what the service gets and what it answers are unchanged but for the type of the bodies. Whatever becomes of a request,
//! answered, failed, abandoned by its client, never polled or panicked over, it is settled when the last part of it is dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use shadow_capture::tee::Tee;
use shadow_capture::{Observation, Observer, RequestSide, ResponseSide};
use shadow_record::CaptureError;
use tower_layer::Layer;
use tower_service::Service;

/// A request's body on its way into the service.
pub type RequestBody<B> = Tee<B, RequestSide>;

/// An answer's body on its way out.
pub type ResponseBody<B> = Tee<B, ResponseSide>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Wraps a service so that its exchanges are captured. Cheap to clone.
#[derive(Clone)]
pub struct CaptureLayer {
    observer: Arc<Observer>,
}

impl CaptureLayer {
    pub(crate) fn new(observer: Arc<Observer>) -> Self {
        Self { observer }
    }
}

impl<S> Layer<S> for CaptureLayer {
    type Service = Captured<S>;

    fn layer(&self, inner: S) -> Captured<S> {
        Captured { inner, observer: self.observer.clone() }
    }
}

/// A service whose exchanges are captured.
#[derive(Clone)]
pub struct Captured<S> {
    inner: S,
    observer: Arc<Observer>,
}

impl<S, B, A> Service<Request<B>> for Captured<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<A>>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    A: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Response = Response<ResponseBody<A>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let mut watch = Watch {
            observation: self.observer.see(&parts),
            observer: self.observer.clone(),
            method: Kind::of(&parts.method),
            added: Duration::ZERO,
        };
        // What comes in a tunnel is no body.
        let teed = watch.method != Kind::Connect && !body.is_end_stream();
        let side = watch.observation.as_ref().filter(|_| teed).map(|observation| RequestSide(observation.clone()));
        let request = Request::from_parts(parts, Tee::new(body, &self.observer.limits, side));
        watch.added = began.elapsed();
        let inner = unwinding(&watch.observation, || self.inner.call(request));
        ResponseFuture { inner, watch: Some(watch) }
    }
}

/// What a method says about the bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The answer's head is that of a body which does not follow.
    Head,
    /// A tunnel is asked for.
    Connect,
    /// Nothing.
    Other,
}

impl Kind {
    fn of(method: &Method) -> Self {
        match *method {
            Method::HEAD => Self::Head,
            Method::CONNECT => Self::Connect,
            _ => Self::Other,
        }
    }

    /// Whether the answer turns the connection into a tunnel.
    fn tunnels(self, status: StatusCode) -> bool {
        status == StatusCode::SWITCHING_PROTOCOLS || (self == Self::Connect && status.is_success())
    }

    /// Whether the server sends no body, whatever the service gave it; nor will it read that.
    fn bodiless(self, status: StatusCode) -> bool {
        self == Self::Head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }
}

pin_project! {
    /// Resolves to the service's answer.
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        // Taken when it resolves.
        watch: Option<Watch>,
    }
}

impl<F, A, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<A>, E>>,
    A: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Output = Result<Response<ResponseBody<A>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let observation = this.watch.as_ref().and_then(|watch| watch.observation.clone());
        let outcome = ready!(unwinding(&observation, || this.inner.poll(cx)));
        let watch = this.watch.take().expect("a future is not polled after it has resolved");
        Poll::Ready(match outcome {
            Ok(response) => Ok(watch.answered(response)),
            Err(error) => {
                watch.failed();
                Err(error)
            }
        })
    }
}

/// One request while the service has it.
struct Watch {
    observation: Option<Arc<Observation>>,
    observer: Arc<Observer>,
    method: Kind,
    added: Duration,
}

impl Watch {
    fn answered<A>(self, response: Response<A>) -> Response<ResponseBody<A>>
    where
        A: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let began = Instant::now();
        let (parts, body) = response.into_parts();
        let side = self.observation.and_then(|observation| {
            if self.method.tunnels(parts.status) {
                observation.tunnelled();
                return None;
            }
            observation.answered(&parts);
            (!self.method.bodiless(parts.status)).then_some(ResponseSide(observation))
        });
        let response = Response::from_parts(parts, Tee::new(body, &self.observer.limits, side));
        self.observer.added(self.added + began.elapsed());
        response
    }

    /// What went wrong is the service's own matter; it gave no answer.
    fn failed(self) {
        if let Some(observation) = &self.observation {
            observation.failed(CaptureError::Other);
        }
        self.observer.added(self.added);
    }
}

/// Runs the service's own code. If it panics, that is what is recorded of the exchange, and the panic goes on.
fn unwinding<T>(observation: &Option<Arc<Observation>>, service: impl FnOnce() -> T) -> T {
    struct Witness<'a>(&'a Option<Arc<Observation>>);
    impl Drop for Witness<'_> {
        fn drop(&mut self) {
            if let Some(observation) = self.0.as_ref().filter(|_| thread::panicking()) {
                observation.failed(CaptureError::Other);
            }
        }
    }
    let _witness = Witness(observation);
    service()
}

#[cfg(test)]
mod tests;
