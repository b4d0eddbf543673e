//! Which requests are captured: filters first, then a deterministic sample by session or by request.
//!
//! Guarantee: pure and cheap. Every agent with the same configuration decides alike for the same session, so a captured
//! session is captured whole.

use http::header::{COOKIE, HeaderName};
use serde::{Deserialize, Serialize};
use shadow_record::{InvalidRoute, RequestId, RouteTable};

use crate::head::RequestHead;
use crate::ledger::Exclusion;

/// The `[sampling]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingConfig {
    /// Share of the traffic to capture, 0 to 1.
    pub rate: f64,
    /// Cookie that names the session. Requests of one session are sampled together and keep their order in Kafka.
    pub session_cookie: Option<String>,
    /// Header that names the session, when no cookie does.
    pub session_header: Option<String>,
    /// Methods to capture; empty for all.
    pub methods: Vec<String>,
    /// Route templates to capture, such as `GET /orders/{id}` or `* /files/{rest..}`; empty for all.
    pub include: Vec<String>,
    /// Route templates never to capture.
    pub exclude: Vec<String>,
    /// Headers of which one must be present, as `name` or `name: value`; empty for no condition.
    pub include_headers: Vec<String>,
    /// Headers whose presence leaves a request out, as `name` or `name: value`.
    pub exclude_headers: Vec<String>,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            rate: 1.0,
            session_cookie: None,
            session_header: None,
            methods: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            include_headers: Vec::new(),
            exclude_headers: Vec::new(),
        }
    }
}

/// A sampling section that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SamplingError {
    /// The rate is not a share.
    #[error("sampling.rate is {0}, expected 0 to 1")]
    Rate(f64),
    /// A header filter, or the session header, is not a header name.
    #[error("`{0}` is not a header: write `name` or `name: value`")]
    Header(String),
    /// A template of `include` or `exclude`.
    #[error(transparent)]
    Route(#[from] InvalidRoute),
}

/// What to do with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Capture it; with its session, if it names one.
    Capture(Option<Vec<u8>>),
    /// The filters leave it out.
    Exclude(Exclusion),
    /// It is not in the sample.
    SampleOut,
}

/// The compiled section.
#[derive(Debug)]
pub struct Sampler {
    rate: f64,
    session_cookie: Option<String>,
    session_header: Option<HeaderName>,
    methods: Vec<String>,
    include: Option<RouteTable>,
    exclude: Option<RouteTable>,
    include_headers: Vec<HeaderFilter>,
    exclude_headers: Vec<HeaderFilter>,
}

impl Sampler {
    /// Compiles the section.
    ///
    /// # Errors
    /// [`SamplingError`] for the first entry that cannot be used.
    pub fn new(config: &SamplingConfig) -> Result<Self, SamplingError> {
        if !(0.0..=1.0).contains(&config.rate) {
            return Err(SamplingError::Rate(config.rate));
        }
        let session_header = config.session_header.as_deref().map(header_name).transpose()?;
        let table = |routes: &[String]| (!routes.is_empty()).then(|| RouteTable::parse(routes)).transpose();
        Ok(Self {
            rate: config.rate,
            session_cookie: config.session_cookie.clone(),
            session_header,
            methods: config.methods.iter().map(|m| m.to_ascii_uppercase()).collect(),
            include: table(&config.include)?,
            exclude: table(&config.exclude)?,
            include_headers: HeaderFilter::parse_all(&config.include_headers)?,
            exclude_headers: HeaderFilter::parse_all(&config.exclude_headers)?,
        })
    }

    /// The share of the traffic that is captured.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Decides on one request.
    pub fn decide(&self, head: &impl RequestHead, id: RequestId) -> Decision {
        if !self.selects(head) {
            return Decision::Exclude(Exclusion::Filtered);
        }
        let session = self.session(head);
        let hash = match session {
            Some(session) => hash(session),
            None => hash(id.0.as_bytes()),
        };
        if in_share(hash, self.rate) { Decision::Capture(session.map(<[u8]>::to_vec)) } else { Decision::SampleOut }
    }

    fn selects(&self, head: &impl RequestHead) -> bool {
        let (method, path) = (head.method(), head.path());
        (self.methods.is_empty() || self.methods.iter().any(|m| m == method))
            && self.include.as_ref().is_none_or(|table| table.find(method, path).is_some())
            && self.exclude.as_ref().is_none_or(|table| table.find(method, path).is_none())
            && (self.include_headers.is_empty() || self.include_headers.iter().any(|f| f.matches(head)))
            && !self.exclude_headers.iter().any(|f| f.matches(head))
    }

    /// The value that names the session of a request.
    pub(crate) fn session<'a>(&'a self, head: &'a impl RequestHead) -> Option<&'a [u8]> {
        let by_cookie = self.session_cookie.as_deref().and_then(|name| cookie(head, name));
        let by_header = || self.session_header.as_ref().and_then(|name| head.values(name).next());
        by_cookie.or_else(by_header).filter(|value| !value.is_empty())
    }
}

#[derive(Debug)]
struct HeaderFilter {
    name: HeaderName,
    value: Option<String>,
}

impl HeaderFilter {
    fn parse_all(filters: &[String]) -> Result<Vec<Self>, SamplingError> {
        filters.iter().map(|filter| Self::parse(filter)).collect()
    }

    fn parse(filter: &str) -> Result<Self, SamplingError> {
        match filter.split_once(':') {
            None => Ok(Self { name: header_name(filter)?, value: None }),
            Some((name, value)) => Ok(Self { name: header_name(name)?, value: Some(value.trim().to_owned()) }),
        }
    }

    fn matches(&self, head: &impl RequestHead) -> bool {
        head.values(&self.name).any(|value| self.value.as_ref().is_none_or(|want| value == want.as_bytes()))
    }
}

fn header_name(name: &str) -> Result<HeaderName, SamplingError> {
    name.trim().parse().map_err(|_| SamplingError::Header(name.to_owned()))
}

fn cookie<'a>(head: &'a impl RequestHead, name: &str) -> Option<&'a [u8]> {
    let pairs = head.values(&COOKIE).flat_map(|line| line.split(|&b| b == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

fn in_share(hash: u64, rate: f64) -> bool {
    // 2^53 steps: the finest that f64 tells apart in 0..1.
    const STEPS: f64 = (1u64 << 53) as f64;
    ((hash >> 11) as f64) < rate * STEPS
}

/// FNV-1a with a finalizer: stable across versions and machines, which the sample must be. It need not resist an attacker:
/// who chooses their session only chooses whether they are sampled.
fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, path: &str, lines: &[(&str, &str)]) -> http::request::Parts {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn sampler(edit: impl FnOnce(&mut SamplingConfig)) -> Sampler {
        let mut config = SamplingConfig::default();
        edit(&mut config);
        Sampler::new(&config).unwrap()
    }

    #[test]
    fn a_session_is_captured_whole_or_not_at_all() {
        let sampler = sampler(|c| {
            c.rate = 0.5;
            c.session_cookie = Some("sid".into());
        });
        let mut captured = 0;
        for session in 0..400 {
            let lines = [("cookie", "theme=dark"), ("cookie", &format!("a=1; sid=s{session} ; b=2"))];
            let head = head("GET", "/", &lines);
            let decide = || sampler.decide(&head, RequestId::generate());
            let first = decide();
            assert!((0..5).all(|_| decide() == first));
            if let Decision::Capture(session_key) = first {
                assert_eq!(session_key.unwrap(), format!("s{session}").into_bytes());
                captured += 1;
            }
        }
        assert!((150..250).contains(&captured), "{captured} of 400 at one half");
    }

    #[test]
    fn without_a_session_requests_are_sampled_one_by_one() {
        let sampler = sampler(|c| {
            c.rate = 0.25;
            c.session_cookie = Some("sid".into());
        });
        let head = head("GET", "/", &[("cookie", "sid=")]);
        let taken =
            (0..4000).filter(|_| sampler.decide(&head, RequestId::generate()) == Decision::Capture(None)).count();
        assert!((850..1150).contains(&taken), "{taken} of 4000 at one quarter");
    }

    #[test]
    fn rates_of_nothing_and_everything_are_exact() {
        let (none, all) = (sampler(|c| c.rate = 0.0), sampler(|c| c.rate = 1.0));
        for _ in 0..1000 {
            let id = RequestId::generate();
            assert_eq!(none.decide(&head("GET", "/", &[]), id), Decision::SampleOut);
            assert_eq!(all.decide(&head("GET", "/", &[]), id), Decision::Capture(None));
        }
    }

    #[test]
    fn filters_exclude_by_method_path_and_header() {
        let sampler = sampler(|c| {
            c.methods = vec!["get".into(), "POST".into()];
            c.include = vec!["* /api/{rest..}".into()];
            c.exclude = vec!["GET /api/health".into()];
            c.exclude_headers = vec!["x-synthetic".into(), "user-agent: probe/1".into()];
        });
        let decide = |method: &str, path: &str, lines: &[(&str, &str)]| {
            sampler.decide(&head(method, path, lines), RequestId::generate())
        };
        assert_eq!(decide("GET", "/api/a", &[("user-agent", "probe/2")]), Decision::Capture(None));
        assert_eq!(decide("POST", "/api/health", &[]), Decision::Capture(None));
        for (method, path, lines) in [
            ("DELETE", "/api/a", &[][..]),
            ("GET", "/other", &[]),
            ("GET", "/api/health", &[]),
            ("GET", "/api/a", &[("x-synthetic", "")]),
            ("GET", "/api/a", &[("user-agent", "probe/1")]),
        ] {
            assert_eq!(decide(method, path, lines), Decision::Exclude(Exclusion::Filtered), "{method} {path}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for rate in [-0.1, 1.1, f64::NAN] {
            assert!(Sampler::new(&SamplingConfig { rate, ..Default::default() }).is_err());
        }
        let bad = SamplingConfig { exclude_headers: vec!["no header".into()], ..Default::default() };
        assert!(Sampler::new(&bad).unwrap_err().to_string().contains("no header"));
    }
}
