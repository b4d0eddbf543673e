//! The handshake: before a launch sends anything, and every few seconds while it does, each of its targets must answer a question
//! that only the shadow answers as expected.
//!
//! Stands beside the pipeline and holds [`Cause::Target`] until the answer is right. A target that does not answer at all holds
//! [`Cause::Silent`]: it gets nothing more, but what it has is not cancelled, or one that hangs would never be seen to time out.
//!
//! Guarantees: nothing is asked while anything else holds the gate shut, so that paused means silent; after a pause the
//! question comes before the first request; redirects are not followed, proxies not used, bodies not read, every
//! question is over in [`PATIENCE`]; it carries the signed mark, so an agent that meets it knows that the launch points
//! at production; addresses are proved as for every request.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use shadow_control::{Cause, Gate, Handshake, Leg, MARK_HEADER, Mark};
use shadow_mask::Masker;
use shadow_record::{LaunchName, RequestId};
use url::Url;

use crate::alone::Traffic;
use crate::metrics::{Ledger, Trouble};
use crate::target::ProvingResolver;

/// Longest wait for an answer's head.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between questions while the answers are right.
const AGAIN: Duration = Duration::from_secs(3);
/// Between questions while they are not.
const RETRY: Duration = Duration::from_secs(1);

/// Why a target has not shown that it is the shadow.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unproved {
    /// Path, header or value are none.
    #[error("the handshake of the launch cannot be used: {0}")]
    Unusable(String),
    /// No answer came, or none that is HTTP.
    #[error("{url} did not answer: {cause}")]
    NoAnswer {
        /// What was asked.
        url: Url,
        /// What went wrong.
        cause: String,
    },
    /// The answer is none of success.
    #[error("{url} answered with status {status}, not with success")]
    Status {
        /// What was asked.
        url: Url,
        /// The answer's status.
        status: u16,
    },
    /// The answer is not the shadow's.
    #[error("{url} answered without the expected value of header {header}; is it the shadow?")]
    Value {
        /// What was asked.
        url: Url,
        /// The launch's header.
        header: HeaderName,
    },
}

impl Unproved {
    /// Why nothing is sent.
    fn cause(&self) -> Cause {
        match self {
            Self::NoAnswer { .. } => Cause::Silent,
            Self::Unusable(_) | Self::Status { .. } | Self::Value { .. } => Cause::Target,
        }
    }
}

/// Whether a handshake can be asked at all; its header and value if so.
///
/// # Errors
/// [`Unproved::Unusable`].
fn check(handshake: &Handshake) -> Result<(HeaderName, HeaderValue), Unproved> {
    let unusable = |cause: String| Unproved::Unusable(cause);
    if !handshake.path.starts_with('/') {
        return Err(unusable(format!("its path `{}` does not begin with /", handshake.path)));
    }
    let header = handshake.header.parse().map_err(|_| unusable(format!("`{}` names no header", handshake.header)))?;
    let value = handshake.value.parse().map_err(|_| unusable("its value is none that a header can have".to_owned()))?;
    Ok((header, value))
}

/// One target and the question to it.
pub(crate) struct Question {
    client: reqwest::Client,
    url: Url,
    header: HeaderName,
    value: HeaderValue,
    launch: LaunchName,
    leg: Leg,
    masker: Arc<Masker>,
    traffic: Arc<Traffic>,
}

impl Question {
    /// The launch's question to `target`, which is reached through `resolver`; it counts as under way like what is replayed.
    ///
    /// # Errors
    /// When path, header or value are none, or TLS cannot be set up.
    pub(crate) fn new(
        handshake: &Handshake,
        (target, leg): (&Url, Leg),
        launch: &LaunchName,
        masker: &Arc<Masker>,
        traffic: &Arc<Traffic>,
        resolver: ProvingResolver,
    ) -> Result<Self, Unproved> {
        let (header, value) = check(handshake)?;
        let (path, query) = match handshake.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (handshake.path.as_str(), None),
        };
        let mut url = target.clone();
        url.set_path(&format!("{}{path}", target.path().trim_end_matches('/')));
        url.set_query(query);
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .timeout(PATIENCE)
            // Each question on a connection of its own: it asks whom the name means now.
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(resolver))
            .build()
            .map_err(|error| Unproved::Unusable(error.to_string()))?;
        Ok(Self {
            client,
            url,
            header,
            value,
            launch: launch.clone(),
            leg,
            masker: masker.clone(),
            traffic: traffic.clone(),
        })
    }

    /// Asks once.
    pub(crate) async fn ask(&self) -> Result<(), Unproved> {
        let mark =
            Mark { launch: self.launch.clone(), request_id: RequestId::generate(), attempt: 0, leg: self.leg, send: 0 };
        let mark = mark.sign(|body| self.masker.mark_tag(body));
        let under_way = self.traffic.sets_out();
        // The body is not read; its connection ends with the answer.
        let answer = self.client.get(self.url.clone()).header(MARK_HEADER, mark).send().await;
        let answer = answer.map_err(|error| Unproved::NoAnswer { url: self.url.clone(), cause: innermost(&error) })?;
        under_way.answered();
        if !answer.status().is_success() {
            return Err(Unproved::Status { url: self.url.clone(), status: answer.status().as_u16() });
        }
        if answer.headers().get_all(&self.header).iter().any(|value| value == self.value) {
            return Ok(());
        }
        Err(Unproved::Value { url: self.url.clone(), header: self.header.clone() })
    }
}

/// The root of a chain of errors, which names the cause and not the client's layers.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(beneath) = error.source() {
        error = beneath;
    }
    error.to_string()
}

/// Lets the gate open only while every question is answered as expected; says each change once. Never ends. `changed` is called
/// after each, so that whoever waits for it hears of it.
pub(crate) async fn keep(
    questions: &[Question],
    gate: &Gate,
    ledger: &Ledger,
    launch: &LaunchName,
    changed: impl Fn(),
) {
    let mut said = None;
    loop {
        gate.free_but_for_target().await;
        let answered = ask_all(questions).await;
        match answered {
            Ok(()) => {
                gate.release(Cause::Target);
                gate.release(Cause::Silent);
                if said.take() != Some(String::new()) {
                    tracing::info!(%launch, "the handshake holds");
                    changed();
                }
                said = Some(String::new());
                // Whatever else shuts the gate, the next question comes before it opens again.
                if tokio::time::timeout(AGAIN, gate.shutting()).await.is_ok() {
                    gate.shut(Cause::Target);
                    said = None;
                }
            }
            Err(unproved) => {
                gate.shut(unproved.cause());
                ledger.trouble(Trouble::HandshakeFailed);
                let cause = unproved.to_string();
                if said.as_ref() != Some(&cause) {
                    tracing::error!(%launch, cause, "the handshake failed; nothing is sent until it holds");
                    said = Some(cause);
                    changed();
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn ask_all(questions: &[Question]) -> Result<(), Unproved> {
    futures::future::try_join_all(questions.iter().map(Question::ask)).await.map(drop)
}

#[cfg(test)]
mod tests;
