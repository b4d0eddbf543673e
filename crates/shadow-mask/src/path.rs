//! Paths: literal segments of declared routes stay, every other segment is a value.

use std::borrow::Cow;

use shadow_record::{Route, Segment};

use crate::pairs::percent_decode;
use crate::rules::Place;
use crate::scope::{Action, Scope, Syntax};

impl Scope<'_> {
    /// Masks a percent-encoded path. The masked path meets the same routes as the raw one, since literals stay and no token
    /// equals a literal.
    pub(crate) fn path(&self, method: &str, path: &str) -> String {
        if path == "*" {
            return path.to_owned();
        }
        let routes: Vec<&Route> = self.masker.routes(method, path).collect();
        let (slash, rest) = path.strip_prefix('/').map_or(("", path), |rest| ("/", rest));
        let mut masked = String::with_capacity(path.len() + 32);
        masked.push_str(slash);
        for (i, segment) in rest.split('/').enumerate() {
            if i > 0 {
                masked.push('/');
            }
            let of_routes = || routes.iter().filter_map(|route| route.segments().get(i));
            if of_routes().any(|s| matches!(s, Segment::Literal(_))) {
                masked.push_str(segment);
            } else {
                let parameter = of_routes().find_map(|s| match s {
                    Segment::Parameter(name) => Some(name.as_bytes()),
                    _ => None,
                });
                masked.push_str(&self.segment(parameter.unwrap_or_default(), segment));
            }
        }
        masked
    }

    fn segment<'s>(&self, parameter: &[u8], segment: &'s str) -> Cow<'s, str> {
        let place = || format!("path {}", String::from_utf8_lossy(parameter));
        let value = percent_decode(segment.as_bytes());
        match self.decide(&place, self.treatment(Place::Path, parameter), &value) {
            Action::Keep => Cow::Borrowed(segment),
            action => {
                Cow::Owned(String::from_utf8_lossy(&action.written(segment.as_bytes(), Syntax::Percent)).into_owned())
            }
        }
    }
}
