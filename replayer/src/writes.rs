//! A dry run: what a launch's write policy adds to a request, so that the service changes nothing.
//!
//! Stands behind rewriting. Pure. Whether a request is sent at all is [`shadow_control::Launch::may_send`]'s to say, in `guard` and again just
//! before sending. Guarantee: a dry run leaves with everything its rule adds, and with no value of that header or parameter beside it,
//! or it does not leave.

use shadow_control::WriteRule;

use crate::rewrite::Unsendable;

/// As records name it among what was rewritten.
pub(crate) const DRY_RUN: &str = "dry_run";

/// Adds what the rule says.
///
/// # Errors
/// [`Unsendable::DryRun`] when the rule adds nothing that can be sent.
pub fn dry_run(rule: &WriteRule, request: &mut reqwest::Request) -> Result<(), Unsendable> {
    let (header, parameter) = (rule.added_header(), rule.added_parameter());
    let whole = header.is_some() == rule.header.is_some() && parameter.is_some() == rule.query.is_some();
    if !whole || header.is_none() && parameter.is_none() {
        return Err(Unsendable::DryRun);
    }
    if let Some((name, value)) = header {
        request.headers_mut().insert(name, value);
    }
    if let Some(parameter) = parameter {
        let name = parameter.split('=').next().unwrap_or_default();
        let others = request.url().query().unwrap_or_default().split('&');
        let others = others.filter(|pair| !pair.is_empty() && pair.split('=').next() != Some(name));
        let query = others.chain([parameter]).collect::<Vec<_>>().join("&");
        request.url_mut().set_query(Some(&query));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use shadow_control::WritePolicy;

    use super::*;

    fn sent(url: &str, header: Option<&str>, query: Option<&str>) -> Result<String, Unsendable> {
        let mut request = reqwest::Request::new(reqwest::Method::POST, url.parse().unwrap());
        request.headers_mut().insert("x-dry-run", "0".parse().unwrap());
        let rule = WriteRule {
            route: "*".to_owned(),
            policy: WritePolicy::DryRun,
            header: header.map(str::to_owned),
            query: query.map(str::to_owned),
        };
        dry_run(&rule, &mut request)?;
        Ok(format!("{} {}", request.url(), request.headers()["x-dry-run"].to_str().unwrap()))
    }

    #[test]
    fn a_dry_run_carries_what_its_rule_adds_in_place_of_what_the_client_sent() {
        let table = [
            ("http://c/a", Some("X-Dry-Run: 1"), None, "http://c/a 1"),
            ("http://c/a", None, Some("dry=1"), "http://c/a?dry=1 0"),
            ("http://c/a?q=%20+&dry=0&dry", Some("X-Dry-Run: 1"), Some("dry=%31"), "http://c/a?q=%20+&dry=%31 1"),
        ];
        for (url, header, query, expected) in table {
            assert_eq!(sent(url, header, query).unwrap(), expected);
        }
    }

    #[test]
    fn a_dry_run_that_adds_nothing_does_not_leave() {
        for (header, query) in [(None, None), (Some("nothing"), None), (Some("a: b"), Some("nothing"))] {
            assert_eq!(sent("http://c/", header, query), Err(Unsendable::DryRun));
        }
    }
}
