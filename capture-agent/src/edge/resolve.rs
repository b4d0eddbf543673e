//! The primary's addresses.
//!
//! A primary's connection is opened for each client's, so a name is looked up once in a while and not each time.
//!
//! Guarantee: a resolver that fails or hangs costs nobody a connection as long as the addresses known last still answer: only
//! where none is known yet does anybody wait for it. It is asked one question at a time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::lookup_host;
use tokio::sync::watch;

#[cfg(test)]
mod tests;

/// How long addresses are used before they are looked up again; as long as resolvers keep them at least.
const FRESH: Duration = Duration::from_secs(5);

/// One answer of a resolver.
type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Where the primary is.
pub(super) struct Host {
    name: String,
    resolver: Box<dyn Fn() -> Answer + Send + Sync>,
    known: watch::Sender<Known>,
}

struct Known {
    /// None before the first answer.
    addresses: Arc<[SocketAddr]>,
    age: Age,
    /// Whether the resolver is being asked.
    asking: bool,
    /// Why it gave no answer, if it ever did not.
    failure: Option<String>,
}

enum Age {
    /// It is no name but an address.
    Fixed,
    Since(Instant),
    /// Never asked, or the addresses are of no use.
    Doubtful,
}

impl Host {
    /// `host` is a name or an address without brackets.
    pub(super) fn new(host: &str, port: u16) -> Self {
        let name = host.to_owned();
        let resolved = Self::resolved_by(host, move || {
            let name = name.clone();
            Box::pin(async move { Ok(lookup_host((name.as_str(), port)).await?.collect()) })
        });
        if let Ok(ip) = host.parse::<IpAddr>() {
            resolved.known.send_modify(|known| {
                known.addresses = [SocketAddr::new(ip, port)].into();
                known.age = Age::Fixed;
            });
        }
        resolved
    }

    /// A name with a resolver of its own.
    pub(super) fn resolved_by(name: &str, resolver: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        let known = Known { addresses: Arc::default(), age: Age::Doubtful, asking: false, failure: None };
        Self { name: name.to_owned(), resolver: Box::new(resolver), known: watch::Sender::new(known) }
    }

    /// Its addresses, at least one: those known last, without waiting, if there are any.
    ///
    /// # Errors
    /// When the name has never been resolved.
    pub(super) async fn addresses(self: &Arc<Self>) -> io::Result<Arc<[SocketAddr]>> {
        if self.known.borrow().is_old() {
            self.ask();
        }
        let mut known = self.known.subscribe();
        let told = known.wait_for(|known| !known.addresses.is_empty() || !known.asking).await;
        let told = told.expect("the sender lives as long as self");
        if told.addresses.is_empty() {
            let cause = told.failure.as_deref().unwrap_or("the name was not looked up");
            return Err(io::Error::other(cause));
        }
        Ok(told.addresses.clone())
    }

    /// The addresses are of no use: the next connection has them looked up again.
    pub(super) fn doubt(&self) {
        self.known.send_if_modified(|known| {
            if matches!(known.age, Age::Since(_)) {
                known.age = Age::Doubtful;
            }
            false
        });
    }

    /// Asks the resolver in the background, unless it still owes an answer.
    fn ask(self: &Arc<Self>) {
        let begins = self.known.send_if_modified(|known| !std::mem::replace(&mut known.asking, true));
        if begins {
            let (asking, answer) = (Asking(Arc::clone(self)), (self.resolver)());
            tokio::spawn(async move { asking.0.learn(answer.await) });
        }
    }

    fn learn(&self, answer: io::Result<Vec<SocketAddr>>) {
        let answer = answer.map_err(|error| error.to_string());
        let answer =
            answer.and_then(|found| if found.is_empty() { Err("it has no address".to_owned()) } else { Ok(found) });
        if let Err(cause) = &answer {
            tracing::warn!(
                host = self.name,
                cause,
                "the primary's name does not resolve; its last addresses stay in use"
            );
        }
        self.known.send_modify(|known| {
            match answer {
                Ok(found) => known.addresses = found.into(),
                Err(cause) => known.failure = Some(cause),
            }
            known.age = if known.addresses.is_empty() { Age::Doubtful } else { Age::Since(Instant::now()) };
        });
    }
}

impl Known {
    fn is_old(&self) -> bool {
        match self.age {
            Age::Fixed => false,
            Age::Since(when) => when.elapsed() >= FRESH,
            Age::Doubtful => true,
        }
    }
}

/// The resolver is being asked; over when dropped, so that a runtime that ends in the meantime leaves nobody waiting.
struct Asking(Arc<Host>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.known.send_modify(|known| known.asking = false);
    }
}
