//! As whom the replayer speaks to a target: header rules, credentials of the shadow's own, the `Host`.
//!
//! Stands behind rewriting. Identities bind to origins in the replayer's own configuration (`file`): launches come from Kafka, and whoever can
//! write there must not be able to have secrets sent to a place of their choice. Guarantees: no secret is in Debug output, in the log or in a
//! record, and what was sent is named to the masker ([`Applied::hidden`]), so that an answer that echoes it does not carry it further; a
//! header that an identity sets is the only one of its name; a token with claims of the captured one is minted only where that one was good
//! enough for the primary.

mod file;
mod jwt;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use shadow_record::{Request, Timestamp};
use url::{Origin, Url};

use crate::rewrite::Unsendable;
use jwt::Minter;

/// The header in which the agents put the claims that masking rules keep of a captured token. It never leaves the replayer.
pub use shadow_mask::CLAIMS_HEADER;

/// All identities of this replayer.
#[derive(Debug, Default)]
pub struct Identities(Vec<Identity>);

/// One identity.
struct Identity {
    name: String,
    to: Vec<Origin>,
    host: Host,
    remove: Vec<HeaderName>,
    set: Vec<Fixed>,
    jwt: Option<Bearer>,
}

/// A header that is the same in every request.
struct Fixed {
    name: HeaderName,
    value: HeaderValue,
    /// What of it must not be seen in answers.
    hidden: Vec<Arc<str>>,
}

/// Where the value of a header stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// In the environment or a file of its own: no answer may show it.
    Secret,
    /// In the identity file: it is no secret, and may be anything that answers have too.
    Plain,
}

/// A token of its own for every set of claims.
struct Bearer {
    header: HeaderName,
    minter: Minter,
}

/// What the request asks for as its host.
enum Host {
    /// The target's own.
    Target,
    /// The one that the client asked for.
    Captured,
    /// Always this one.
    Value(HeaderValue),
}

/// What an identity did to a request.
#[derive(Default)]
pub struct Applied {
    /// As records name it; `None` when no identity is bound to the target.
    pub name: Option<String>,
    /// Secrets that were sent, for [`shadow_mask::Masker::response_hiding`].
    pub hidden: Vec<Arc<str>>,
}

impl Identities {
    /// Gives the request the identity of its target, if there is one. `captured` is the masked request; `accepted` says that the
    /// primary did not refuse its credentials.
    ///
    /// # Errors
    /// [`Unsendable::Identity`] when what the identity needs cannot be made: nothing leaves without it.
    pub fn apply(
        &self,
        target: &Url,
        captured: &Request,
        accepted: bool,
        request: &mut reqwest::Request,
    ) -> Result<Applied, Unsendable> {
        let origin = target.origin();
        match self.0.iter().find(|identity| identity.to.contains(&origin)) {
            Some(identity) => identity.apply(captured, accepted, request),
            None => Ok(Applied::default()),
        }
    }
}

impl Identity {
    fn apply(&self, captured: &Request, accepted: bool, request: &mut reqwest::Request) -> Result<Applied, Unsendable> {
        let unsendable = || Unsendable::Identity(self.name.clone());
        let mut hidden = Vec::new();
        let headers = request.headers_mut();
        for name in &self.remove {
            headers.remove(name);
        }
        for fixed in &self.set {
            headers.insert(fixed.name.clone(), fixed.value.clone());
            hidden.extend_from_slice(&fixed.hidden);
        }
        if let Some(Bearer { header, minter }) = &self.jwt {
            headers.remove(header);
            let claims = captured.header(CLAIMS_HEADER).filter(|_| accepted);
            let now = Timestamp::now().micros() / 1_000_000;
            if let Some(token) = minter.token(claims, now).map_err(|_| unsendable())? {
                let text = if header == AUTHORIZATION { format!("Bearer {token}") } else { token.to_string() };
                headers.insert(header.clone(), sensitive(&text).ok_or_else(unsendable)?);
                // Without its signature a token is of no use; with it, it is found.
                hidden.push(token.rsplit('.').next().unwrap_or_default().into());
            }
        }
        match &self.host {
            Host::Target => {}
            Host::Captured => {
                let host = HeaderValue::from_str(&captured.authority).map_err(|_| unsendable())?;
                headers.insert(HOST, host);
            }
            Host::Value(host) => drop(headers.insert(HOST, host.clone())),
        }
        Ok(Applied { name: Some(format!("identity:{}", self.name)), hidden })
    }
}

impl Fixed {
    fn of(name: HeaderName, value: &str, kept: Kept) -> Option<Self> {
        let hidden = if kept == Kept::Secret { vec![value.into()] } else { Vec::new() };
        Some(Self { name, value: sensitive(value)?, hidden })
    }

    /// HTTP's basic authentication (RFC 7617).
    fn basic(user: &str, password: &str) -> Option<Self> {
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        let value = sensitive(&format!("Basic {encoded}"))?;
        Some(Self { name: AUTHORIZATION, value, hidden: vec![encoded.into(), password.into()] })
    }
}

fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
