//! Expected changes: the differences that a release is meant to make.

use std::sync::Arc;

use shadow_record::Timestamp;

use crate::difference::Found;
use crate::path::JsonPath;

/// One entry of the manifest.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) name: Arc<str>,
    pub(crate) place: ExpectedPlace,
    /// Any, when there is none.
    pub(crate) kind: Option<String>,
    /// Any, when there is none.
    pub(crate) transition: Option<String>,
    /// The first moment at which it is not expected any more.
    pub(crate) expires: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExpectedPlace {
    /// Differences in bodies.
    Json(JsonPath),
    /// `status`, `body`, `header:location`; `call` for outbound calls as such.
    Word(String),
}

impl Expected {
    /// Whether it covers what was found in an answer of that time.
    pub(crate) fn covers(&self, found: &Found<'_>, at: Timestamp) -> bool {
        let place = || match &self.place {
            ExpectedPlace::Word(word) => *word == found.place,
            // A place without its middle may be any of several, so none of them is expected.
            ExpectedPlace::Json(path) => {
                !found.shortened && JsonPath::parse(found.place).is_ok_and(|place| path.covers(&place.0))
            }
        };
        let kind = self.kind.as_deref().is_none_or(|kind| kind == found.kind.as_str());
        let transition = self.transition.as_deref().is_none_or(|transition| transition == found.transition);
        kind && transition && at.micros() < self.expires.micros() && place()
    }
}
