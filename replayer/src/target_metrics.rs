//! Passes on what the versions tell about themselves: `GET /targets/{name}/metrics` of the admin endpoint fetches the URL that
//! `replay.metrics_of` has under this name.
//!
//! Stands beside the flow. Whoever watches the candidate would have to join its network, where only what belongs to the candidate should
//! be; the replayer is there already.
//!
//! Guarantees: nothing but the configured URLs is asked, with nothing of the caller's request, and none at an address that an agent named
//! as production or before it is known which those are. The candidate may answer what it likes: redirects are not followed, proxies not
//! used; an answer costs at most [`LONGEST`] and [`PATIENCE`], and [`AT_ONCE`] are under way; only metrics as text are passed on, and
//! nothing of them is logged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, StatusCode};
use shadow_control::ControlState;
use shadow_runtime::metrics::OPENMETRICS;
use tokio::sync::{Semaphore, watch};
use url::Url;

use crate::handshake::innermost;
use crate::target::{Lists, ProvingResolver, Refusal, prove_one};

#[cfg(test)]
mod tests;
mod text;

/// Longest wait for an answer, from looking up its host to its last byte: less than the 10 s after which Prometheus gives up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer, in bytes. Large services show about a tenth of it.
const LONGEST: usize = 4 << 20;
/// How many are under way at a time, which bounds memory.
const AT_ONCE: usize = 4;
/// What is asked for.
const FORMATS: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
/// The older of the two formats, as its `Content-Type` says.
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why an entry of `replay.metrics_of` cannot be used, if so.
pub(crate) fn problem(name: &str, url: &Url) -> Option<String> {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(part_of_name) {
        return Some(format!("names `{name}`, which is more than letters, digits, `.`, `_` and `-`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some(format!("has a user or password in the URL of `{name}`"));
    }
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none();
    (!usable).then(|| format!("has `{url}` for `{name}`, which is no URL of a metrics endpoint"))
}

/// The endpoints that may be asked.
pub(crate) struct TargetMetrics {
    targets: BTreeMap<String, Target>,
    control: watch::Receiver<Arc<ControlState>>,
    places: Semaphore,
}

/// One endpoint.
struct Target {
    url: Url,
    client: reqwest::Client,
}

/// Why there is nothing to pass on.
#[derive(Debug, thiserror::Error)]
enum NotShown {
    #[error("no target has this name; replay.metrics_of names: {0}")]
    Unknown(String),
    #[error("{AT_ONCE} answers are waited for already; ask again")]
    Busy,
    #[error("where production is has not been read from the control topic yet; ask again, and see that Kafka is there")]
    TooEarly,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{url} did not answer: {cause}")]
    NoAnswer { url: Url, cause: String },
    #[error("{0} did not answer within {limit} s", limit = PATIENCE.as_secs())]
    Slow(Url),
    #[error("{url} answered with status {status}, not with 200")]
    Status { url: Url, status: u16 },
    #[error("{0} answered with what is not text/plain or application/openmetrics-text, uncompressed")]
    Format(Url),
    #[error("{0} answered with more than {limit} MiB", limit = LONGEST >> 20)]
    TooLong(Url),
    #[error("{url} answered with what is not metrics, in line {line}")]
    NotMetrics { url: Url, line: usize },
}

/// Metrics, and their `Content-Type`.
type Exposition = (&'static str, String);

impl TargetMetrics {
    /// Those of `replay.metrics_of`; `control` tells where production is.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(
        of: &BTreeMap<String, Url>,
        control: watch::Receiver<Arc<ControlState>>,
    ) -> reqwest::Result<Self> {
        let targets = of.iter().map(|(name, url)| Ok((name.clone(), Target::new(url, control.clone())?)));
        Ok(Self { targets: targets.collect::<reqwest::Result<_>>()?, control, places: Semaphore::new(AT_ONCE) })
    }

    /// What the admin endpoint answers for them.
    pub(crate) fn routes(self) -> Router {
        Router::new().route("/targets/{name}/metrics", get(pass_on)).with_state(Arc::new(self))
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.targets.keys().map(String::as_str).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    }

    /// What the target of this name shows now.
    async fn shown(&self, name: &str) -> Result<Exposition, NotShown> {
        let target = self.targets.get(name).ok_or_else(|| NotShown::Unknown(self.names()))?;
        let _place = self.places.try_acquire().map_err(|_| NotShown::Busy)?;
        let control = self.control.borrow().clone();
        if !control.caught_up {
            return Err(NotShown::TooEarly);
        }
        let asked = async {
            // Names are proved once more by the resolver, addresses in the URL only here.
            prove_one(&target.url, &Lists::default(), &control).await?;
            target.fetch().await
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(NotShown::Slow(target.url.clone())))
    }
}

async fn pass_on(State(targets): State<Arc<TargetMetrics>>, Path(name): Path<String>) -> Response {
    let (status, format, text) = match targets.shown(&name).await {
        Ok((format, text)) => (StatusCode::OK, format, text),
        Err(not_shown) => (not_shown.status(), "text/plain; charset=utf-8", format!("{not_shown}\n")),
    };
    // A browser must not take it for anything else.
    (status, [(CONTENT_TYPE, format), (X_CONTENT_TYPE_OPTIONS, "nosniff")], text).into_response()
}

impl NotShown {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Busy | Self::TooEarly => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

impl Target {
    fn new(url: &Url, control: watch::Receiver<Arc<ControlState>>) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            // Each on a connection of its own: it asks whom the name means now.
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(ProvingResolver { target: url.clone(), lists: Lists::default(), control }))
            .build()?;
        Ok(Self { url: url.clone(), client })
    }

    async fn fetch(&self) -> Result<Exposition, NotShown> {
        let url = || self.url.clone();
        let broken = |error: reqwest::Error| NotShown::NoAnswer { url: url(), cause: innermost(&error) };
        let mut answer = self.client.get(url()).header(ACCEPT, FORMATS).send().await.map_err(broken)?;
        if answer.status() != StatusCode::OK {
            return Err(NotShown::Status { url: url(), status: answer.status().as_u16() });
        }
        let format = format(answer.headers()).ok_or_else(|| NotShown::Format(url()))?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > LONGEST {
                return Err(NotShown::TooLong(url()));
            }
            body.extend_from_slice(&chunk);
        }
        // A few milliseconds for the longest, which are not taken from the threads that send.
        let read = tokio::task::spawn_blocking(move || text::read(body)).await.expect("reading it does not panic");
        read.map(|text| (format, text)).map_err(|line| NotShown::NotMetrics { url: url(), line })
    }
}

/// Which of the formats it is, in our own words: none of the target's are passed on.
fn format(headers: &HeaderMap) -> Option<&'static str> {
    let plain = |encoding: &http::HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(plain) {
        return None;
    }
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/openmetrics-text" => Some(OPENMETRICS),
        "text/plain" => Some(PLAIN),
        _ => None,
    }
}
