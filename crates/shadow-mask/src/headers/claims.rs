//! Claims of a bearer token that rules keep, for replayers that mint a token of the shadow's own.
//!
//! The token itself goes as every credential does. What stays is an object of the named claims, masked like a JSON body under the same
//! rules, in a header of our own. Guarantees: a client's header of that name is dropped, so that only a masker can have written it; nothing of a
//! token leaves that no rule names. The signature is not verified: whether a token was good the primary's answer says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::{Map, Value};
use shadow_record::Header;

use crate::scope::Scope;

/// The header that holds the kept claims of a captured request, as a JSON object.
pub const CLAIMS_HEADER: &str = "shadowline-claims";

/// Longest token that is looked into, and longest kept claims.
const LONGEST_TOKEN: usize = 16 * 1024;
const LONGEST_CLAIMS: usize = 4 * 1024;

impl Scope<'_> {
    /// The kept claims of a request's one bearer token; `None` when it has none.
    pub(crate) fn claims(&self, headers: &HeaderMap) -> Option<Header> {
        let kept = &self.masker.ruleset().claims;
        if kept.is_empty() {
            return None;
        }
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (scheme, token) = values.next()?.to_str().ok().filter(|_| values.next().is_none())?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.len() > LONGEST_TOKEN {
            return None;
        }
        let mut parts = token.trim().split('.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok().filter(|_| parts.next().is_none())?;
        let claims: Map<String, Value> = serde_json::from_slice(&payload).ok()?;
        let claims: Map<_, _> = claims.into_iter().filter(|(name, _)| kept.contains(name)).collect();
        if claims.is_empty() {
            return None;
        }
        let masked = self.json(&serde_json::to_vec(&claims).ok()?).ok().filter(|text| text.len() <= LONGEST_CLAIMS)?;
        Some(Header::of(CLAIMS_HEADER, String::from_utf8(masked).ok()?))
    }
}
