//! The masker: one key, one ruleset, the declared routes; masks whole messages.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hmac::Mac as _;
use http::HeaderMap;
use shadow_record::{Request, Response, Route, RouteTable};

use crate::digest::Digester;
use crate::explain::{Decision, Trace};
use crate::key::{HmacSha256, MaskKey, Purpose};
use crate::raw::{RawRequest, RawResponse};
use crate::refused::{Counts, Refused};
use crate::rules::{Place, Ruleset, Side};
use crate::scope::{Scope, Syntax, Treatment};
use crate::token::Tokenizer;

/// Masks exchanges. Cheap to share behind an `Arc`; takes no locks and does no I/O.
pub struct Masker {
    pub(crate) tokenizer: Tokenizer,
    digest: HmacSha256,
    record_key: HmacSha256,
    mark_tag: HmacSha256,
    previous_mark_tags: Vec<HmacSha256>,
    key_id: String,
    ruleset: Ruleset,
    routes: RouteTable,
    pub(crate) counts: Counts,
}

impl Masker {
    /// A masker under `key`. Literal segments of `routes`, and of routes that rules name, are public by declaration.
    pub fn new(key: MaskKey, ruleset: Ruleset, routes: RouteTable) -> Self {
        Self {
            tokenizer: Tokenizer::new(&key),
            digest: key.derive(Purpose::Digest),
            record_key: key.derive(Purpose::RecordKey),
            mark_tag: key.derive(Purpose::MarkTag),
            previous_mark_tags: Vec::new(),
            key_id: key.key_id().to_owned(),
            ruleset,
            routes,
            counts: Counts::default(),
        }
    }

    /// Leaves tokens of a key used before this one as they are, reveals what it encrypted and believes its marks: for data that was seeded
    /// or recorded under it, and for replayers that still hold it.
    #[must_use]
    pub fn recognising(mut self, previous: &MaskKey) -> Self {
        self.tokenizer.also_recognise(previous);
        self.previous_mark_tags.push(previous.derive(Purpose::MarkTag));
        self
    }

    /// How often bodies could not be masked, by reason, since this masker was made.
    pub fn refused(&self) -> impl Iterator<Item = (Refused, u64)> {
        self.counts.refused()
    }

    /// How many values were dressed as tokens and masked, as their tag did not verify.
    pub fn forged(&self) -> u64 {
        self.counts.forged()
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
        self.trace_request(raw, None)
    }

    /// The same, with every decision in order.
    pub fn explain_request(&self, raw: RawRequest) -> (Request, Vec<Decision>) {
        let trace = Trace::default();
        (self.trace_request(raw, Some(&trace)), trace.into_decisions())
    }

    fn trace_request(&self, raw: RawRequest, trace: Option<&Trace>) -> Request {
        let scope = self.scope(Side::Request, &raw.method, &raw.path, &raw.headers, trace);
        let claims = scope.claims(&raw.headers);
        let (body, decoded) = scope.body(&raw.headers, raw.body);
        Request {
            authority: scope.authority(&raw.authority),
            path: scope.path(&raw.method, &raw.path),
            query: raw.query.as_deref().map(|query| scope.query(query)),
            headers: scope.headers(&raw.headers, decoded).into_iter().chain(claims).collect(),
            body,
            method: scope.method(raw.method),
            scheme: raw.scheme,
        }
    }

    /// Masks the response to a request of this method and path. The path may be raw or already masked.
    pub fn response(&self, method: &str, path: &str, raw: RawResponse) -> Response {
        self.trace_response(method, path, raw, &[], None)
    }

    /// The same, where the request was sent with values that nobody has to see: secrets of the shadow's own. A value of the answer that holds
    /// one of them is redacted whatever rules say, in headers and bodies and however its place escapes it. One shorter than 8 bytes is found only
    /// as a whole value.
    pub fn response_hiding(&self, method: &str, path: &str, raw: RawResponse, hidden: &[Arc<str>]) -> Response {
        self.trace_response(method, path, raw, hidden, None)
    }

    /// The same, with every decision in order.
    pub fn explain_response(&self, method: &str, path: &str, raw: RawResponse) -> (Response, Vec<Decision>) {
        let trace = Trace::default();
        (self.trace_response(method, path, raw, &[], Some(&trace)), trace.into_decisions())
    }

    fn trace_response(
        &self,
        method: &str,
        path: &str,
        raw: RawResponse,
        hidden: &[Arc<str>],
        trace: Option<&Trace>,
    ) -> Response {
        let scope = Scope { hidden, ..self.scope(Side::Response, method, path, &raw.headers, trace) };
        let (body, decoded) = scope.body(&raw.headers, raw.body);
        Response { status: raw.status, headers: scope.headers(&raw.headers, decoded), body }
    }

    /// Under which route a request is recorded.
    pub fn route(&self, method: &str, path: &str) -> String {
        self.routes.name(if is_method(method) { method } else { OTHER_METHOD }, path)
    }

    /// Masks one value that stands by itself, such as a correlation ID.
    pub fn value(&self, value: &str) -> String {
        let action = self.plain_scope().decide(&|| "value".to_owned(), Treatment::PLAIN, value.as_bytes());
        String::from_utf8_lossy(&action.written(value.as_bytes(), Syntax::Plain)).into_owned()
    }

    /// A name that no rule lists, as it stands in what was masked: itself when it is made of known words.
    pub fn name(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.plain_scope().name(name.as_bytes())).into_owned()
    }

    /// A row of a table, as columns and their values: the same as the members of a JSON object.
    pub fn row<'r>(&self, row: impl IntoIterator<Item = (&'r str, &'r str)>) -> Vec<Option<String>> {
        let scope = self.plain_scope();
        row.into_iter().map(|(column, value)| scope.cell(column, value)).collect()
    }

    /// One line of newline-delimited JSON that belongs to no message.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn record(&self, line: &[u8]) -> Result<Vec<u8>, Refused> {
        self.plain_scope().json(line)
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

    /// Who may have signed a mark: holders of this key, and of those before it that are [recognised](Self::recognising).
    pub fn mark_signers(&self) -> impl Iterator<Item = impl Fn(&[u8]) -> [u8; 16]> {
        std::iter::once(&self.mark_tag)
            .chain(&self.previous_mark_tags)
            .map(|keyed| |mark: &[u8]| short_mac(keyed, mark))
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
        self.routes.find(method, path).into_iter().chain(self.ruleset.routes(method, path))
    }

    fn scope<'m>(
        &'m self,
        side: Side,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        trace: Option<&'m Trace>,
    ) -> Scope<'m> {
        let rules = self.ruleset.rules.iter().filter(|rule| {
            rule.side.is_none_or(|only| only == side)
                && rule.route.as_ref().is_none_or(|route| route.find(method, path).is_some())
                && (rule.content_type.is_empty()
                    || crate::body::essence(headers).is_ok_and(|essence| rule.content_type.contains(&essence)))
        });
        Scope { masker: self, rules: rules.collect(), hidden: &[], profile: self.ruleset.profile(method, path), trace }
    }

    /// For what belongs to no message: rules without a route, side or content type.
    fn plain_scope(&self) -> Scope<'_> {
        let everywhere =
            |rule: &&crate::rules::Rule| rule.route.is_none() && rule.side.is_none() && rule.content_type.is_empty();
        let rules = self.ruleset.rules.iter().filter(everywhere).collect();
        Scope { masker: self, rules, hidden: &[], profile: self.ruleset.profile("", ""), trace: None }
    }
}

/// How a method is recorded that no standard knows.
const OTHER_METHOD: &str = "OTHER";

/// Methods of RFC 9110, WebDAV and its kin: anything else was made up by the client.
fn is_method(method: &str) -> bool {
    const METHODS: &str = "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH \
        UNLOCK BIND REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE NOTIFY SUBSCRIBE UNSUBSCRIBE MKCALENDAR LINK UNLINK \
        PURGE QUERY OTHER BASELINE LABEL UPDATE";
    METHODS.split_ascii_whitespace().any(|known| known == method)
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
        let rule = self.rule_by_name(Place::Header, b"host");
        if rule.is_none() && crate::headers::is_host(host) {
            return host.to_owned();
        }
        let action = self.decide(&|| "header host".to_owned(), rule.unwrap_or(Treatment::PLAIN), host.as_bytes());
        String::from_utf8_lossy(&action.written(host.as_bytes(), Syntax::Plain)).into_owned()
    }

    fn method(&self, method: String) -> String {
        if is_method(&method) { method } else { OTHER_METHOD.to_owned() }
    }

    /// One value of a table; `None` when its column is dropped.
    fn cell(&self, column: &str, value: &str) -> Option<String> {
        let treatment = self.column(column.as_bytes());
        let action = self.decide(&|| format!("column {column}"), treatment, value.as_bytes());
        let written = action.written(value.as_bytes(), Syntax::Plain);
        (!treatment.is(crate::rules::Strategy::Drop)).then(|| String::from_utf8_lossy(&written).into_owned())
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Masker");
        shown.field("key_id", &self.key_id).field("ruleset", &self.ruleset.version()).finish_non_exhaustive()
    }
}
