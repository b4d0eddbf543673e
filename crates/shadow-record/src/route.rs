//! Routes: method and path template, so that `/orders/1` and `/orders/2` count as one.
//!
//! Templates are `METHOD /literal/{parameter}`; `*` as method stands for any, and a last segment `{rest..}` takes what is
//! left. A literal segment is public by declaration; a parameter is masked like any other value. A path no template matches
//! belongs to `METHOD /{unmatched..}`, which keeps the number of routes bounded and private words out of route names.

/// A template that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route `{template}`: {problem}; write it as `GET /orders/{{id}}`")]
pub struct InvalidRoute {
    template: String,
    problem: &'static str,
}

/// One segment of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Matches itself.
    Literal(String),
    /// Matches one segment.
    Parameter(String),
    /// Matches all that is left.
    Rest,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `None` stands for any method.
    method: Option<String>,
    segments: Vec<Segment>,
    path: String,
}

impl Route {
    /// Parses `GET /orders/{id}`.
    ///
    /// # Errors
    /// [`InvalidRoute`] with the problem.
    pub fn parse(template: &str) -> Result<Self, InvalidRoute> {
        let invalid = |problem| InvalidRoute { template: template.to_owned(), problem };
        let (method, path) = template.trim().split_once(' ').ok_or_else(|| invalid("no method"))?;
        let path = path.trim();
        let rest = path.strip_prefix('/').ok_or_else(|| invalid("the path does not start with /"))?;
        let mut segments = Vec::new();
        for segment in rest.split('/') {
            if segments.last() == Some(&Segment::Rest) {
                return Err(invalid("{rest..} must be last"));
            }
            segments.push(match segment.strip_prefix('{').map(|s| s.strip_suffix('}')) {
                Some(Some(name)) if name.ends_with("..") => Segment::Rest,
                Some(Some("")) | Some(None) => return Err(invalid("a parameter is {name}")),
                Some(Some(name)) => Segment::Parameter(name.to_owned()),
                None => Segment::Literal(segment.to_owned()),
            });
        }
        let method = (method != "*").then(|| method.to_ascii_uppercase());
        Ok(Self { method, segments, path: path.to_owned() })
    }

    /// The segments of the template, without the leading slash.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        if self.method.as_deref().is_some_and(|m| m != method) {
            return false;
        }
        let mut given = path.strip_prefix('/').unwrap_or(path).split('/');
        for segment in &self.segments {
            match (segment, given.next()) {
                (Segment::Rest, Some(_)) => return true,
                (Segment::Literal(literal), Some(part)) if literal == part => {}
                (Segment::Parameter(_), Some(part)) if !part.is_empty() => {}
                _ => return false,
            }
        }
        given.next().is_none()
    }

    /// How records, tables and metrics name the route of one request.
    pub fn name(&self, method: &str) -> String {
        format!("{method} {}", self.path)
    }
}

/// The declared routes of a service, first match wins.
#[derive(Debug, Clone, Default)]
pub struct RouteTable(Vec<Route>);

impl RouteTable {
    /// Parses templates in order of precedence.
    ///
    /// # Errors
    /// [`InvalidRoute`] for the first template that cannot be used.
    pub fn parse<S: AsRef<str>>(templates: &[S]) -> Result<Self, InvalidRoute> {
        templates.iter().map(|t| Route::parse(t.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// The route that a request belongs to, if one was declared. `path` is raw, without its query.
    pub fn find(&self, method: &str, path: &str) -> Option<&Route> {
        self.0.iter().find(|route| route.matches(method, path))
    }

    /// The name under which a request is recorded, whether or not a route was declared for it.
    pub fn name(&self, method: &str, path: &str) -> String {
        match self.find(method, path) {
            Some(route) => route.name(method),
            None if method.len() <= 16 => format!("{method} /{{unmatched..}}"),
            None => "* /{unmatched..}".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_template_names_the_route() {
        let table = RouteTable::parse(&["GET /orders/new", "GET /orders/{id}", "* /files/{rest..}"]).unwrap();
        assert_eq!(table.name("GET", "/orders/new"), "GET /orders/new");
        assert_eq!(table.name("GET", "/orders/17"), "GET /orders/{id}");
        assert_eq!(table.name("PUT", "/files/a/b/c"), "PUT /files/{rest..}");
        assert_eq!(table.name("POST", "/orders/17"), "POST /{unmatched..}");
        assert_eq!(table.name("GET", "/orders/17/"), "GET /{unmatched..}");
        assert_eq!(table.name("GET", "/orders/"), "GET /{unmatched..}");
    }

    #[test]
    fn templates_that_cannot_match_are_refused_with_the_reason() {
        for (bad, problem) in
            [("/orders", "no method"), ("GET orders", "start with /"), ("GET /{a..}/b", "last"), ("GET /{}", "{name}")]
        {
            let error = RouteTable::parse(&[bad]).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
