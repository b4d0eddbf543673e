//! The masker: one key, one ruleset, the declared routes; masks whole messages.

use std::fmt;

use bytes::Bytes;
use hmac::Mac as _;
use shadow_record::{Request, Response, Route, RouteTable};

use crate::digest::Digester;
use crate::key::{HmacSha256, MaskKey, Purpose};
use crate::raw::{RawRequest, RawResponse};
use crate::rules::{Place, Ruleset, Side};
use crate::scope::{Scope, decide};
use crate::token::Tokenizer;

/// Masks exchanges. Cheap to share behind an `Arc`; takes no locks and does no I/O.
pub struct Masker {
    pub(crate) tokenizer: Tokenizer,
    digest: HmacSha256,
    record_key: HmacSha256,
    mark_tag: HmacSha256,
    key_id: String,
    ruleset: Ruleset,
    routes: RouteTable,
}

impl Masker {
    /// A masker under `key`. Literal segments of `routes`, and of routes that rules name, are public by declaration.
    pub fn new(key: MaskKey, mut ruleset: Ruleset, routes: RouteTable) -> Self {
        let tokenizer = Tokenizer::new(&key);
        ruleset.rules.iter_mut().flat_map(|rule| rule.names_mut()).for_each(|name| name.bind(&tokenizer));
        Self {
            tokenizer,
            digest: key.derive(Purpose::Digest),
            record_key: key.derive(Purpose::RecordKey),
            mark_tag: key.derive(Purpose::MarkTag),
            key_id: key.key_id().to_owned(),
            ruleset,
            routes,
        }
    }

    /// The key's ID, for records.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The rules, for their version.
    pub fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// Masks a request. Hop-by-hop and credential headers are gone, `host` is in `authority`.
    pub fn request(&self, raw: RawRequest) -> Request {
        let scope = self.scope(Side::Request, &raw.method, &raw.path);
        Request {
            authority: scope.authority(&raw.authority),
            path: scope.path(&raw.method, &raw.path),
            query: raw.query.as_deref().map(|query| scope.query(query)),
            headers: scope.headers(&raw.headers),
            body: scope.body(&raw.headers, raw.body),
            method: raw.method,
            scheme: raw.scheme,
        }
    }

    /// Masks the response to a request of this method and path. The path may be raw or already masked.
    pub fn response(&self, method: &str, path: &str, raw: RawResponse) -> Response {
        let scope = self.scope(Side::Response, method, path);
        let headers = scope.headers(&raw.headers);
        Response { status: raw.status, headers, body: scope.body(&raw.headers, raw.body) }
    }

    /// Under which route a request is recorded.
    pub fn route(&self, method: &str, path: &str) -> String {
        self.routes.name(method, path)
    }

    /// Masks one value that stands by itself, such as a correlation ID.
    pub fn value(&self, value: &str) -> String {
        let action = decide(&self.tokenizer, None, value.as_bytes());
        String::from_utf8_lossy(action.written(value.as_bytes())).into_owned()
    }

    /// The key of a Kafka record for a session key or request ID. 128 bits: equal only for equal values.
    pub fn record_key(&self, value: &[u8]) -> [u8; 16] {
        short_mac(&self.record_key, value)
    }

    /// Signs the mark of a replayed request: only holders of the key can write a mark that another instance believes.
    /// Separate from [`Self::record_key`], whose outputs are published. Compare tags in constant time.
    pub fn mark_tag(&self, mark: &[u8]) -> [u8; 16] {
        short_mac(&self.mark_tag, mark)
    }

    /// Begins the keyed digest of a body.
    pub fn digester(&self) -> Digester {
        Digester::new(&self.digest)
    }

    pub(crate) fn digest(&self, body: &[u8]) -> Bytes {
        let mut digester = self.digester();
        digester.update(body);
        digester.finish()
    }

    /// The declared route first, then those that rules name, whether or not their rules are in scope on this side: a path
    /// must be masked the same way for both sides, or the answer to the masked request would meet other rules.
    pub(crate) fn routes<'a>(&'a self, method: &'a str, path: &'a str) -> impl Iterator<Item = &'a Route> {
        let named = self.ruleset.rules.iter().filter_map(|rule| rule.route.as_ref());
        std::iter::once(&self.routes).chain(named).filter_map(move |table| table.find(method, path))
    }

    fn scope(&self, side: Side, method: &str, path: &str) -> Scope<'_> {
        let rules = self.ruleset.rules.iter().filter(|rule| {
            rule.side.is_none_or(|only| only == side)
                && rule.route.as_ref().is_none_or(|route| route.find(method, path).is_some())
        });
        Scope { masker: self, rules: rules.collect() }
    }
}

/// 128 bits of the keyed function over `value`.
fn short_mac(keyed: &HmacSha256, value: &[u8]) -> [u8; 16] {
    let mut mac = keyed.clone();
    mac.update(value);
    mac.finalize().into_bytes()[..16].try_into().expect("a slice of that length")
}

impl Scope<'_> {
    /// The host asked for: kept when it is a host, without user information. The rule name is `host`.
    fn authority(&self, authority: &str) -> String {
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let strategy = self.strategy_by_name(Place::Header, b"host");
        if strategy.is_none() && crate::headers::is_host(host) {
            return host.to_owned();
        }
        String::from_utf8_lossy(self.decide(strategy, host.as_bytes()).written(host.as_bytes())).into_owned()
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Masker");
        shown.field("key_id", &self.key_id).field("ruleset", &self.ruleset.version()).finish_non_exhaustive()
    }
}
