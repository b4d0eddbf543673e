//! Whether a candidate may be a target at all. The replayer refuses the same again before every launch it takes up, with the
//! addresses known then; here the operator learns of it before anything is written.

use shadow_control::{ControlState, Upstream};
use url::Url;

use crate::failure::Failure;
use crate::output::note;

/// Reads the URL of a candidate.
pub(crate) fn parse(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}; write it as http://host:port"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("a candidate is reached over http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials do not belong on the control topic".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a base URL has neither query nor fragment".to_owned());
    }
    Ok(url)
}

/// `host:port` of a URL, in lower case.
pub(crate) fn host_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    format!("{host}:{}", url.port_or_known_default().unwrap_or(80))
}

/// Whether an allow-list, when there is one, names the target by `host:port` or `host`.
pub(crate) fn is_allowed(url: &Url, allow: &[String]) -> bool {
    let (full, host) = (host_port(url), url.host_str().unwrap_or_default());
    allow.is_empty() || allow.iter().any(|a| a.eq_ignore_ascii_case(&full) || a.eq_ignore_ascii_case(host))
}

/// Refuses a candidate that is a known upstream of production, by name or by any address it resolves to.
///
/// # Errors
/// Naming the upstream.
pub(crate) async fn refuse_upstream(state: &ControlState, candidate: &Url) -> Result<(), Failure> {
    let named = host_port(candidate);
    let mut addresses = vec![named.clone()];
    match tokio::net::lookup_host(&named).await {
        Ok(resolved) => addresses.extend(resolved.map(|address| address.to_string())),
        Err(error) => note(&format!("note: {named} does not resolve here ({error}); the replayer checks it again")),
    }
    match production_at(state, &addresses) {
        None => Ok(()),
        Some((upstream, address)) => Err(Failure::negative(
            format!(
                "{candidate} is production: agent {} captures service {} at {address} (a target equal to the primary)",
                upstream.instance, upstream.service
            ),
            "name the candidate's own address; a launch must never send to what it captures from",
        )),
    }
}

fn production_at<'a>(state: &'a ControlState, addresses: &[String]) -> Option<(&'a Upstream, &'a str)> {
    state.upstreams.values().find_map(|upstream| {
        let hit = upstream.addresses.iter().find(|a| addresses.iter().any(|b| a.eq_ignore_ascii_case(b)))?;
        Some((upstream, hit.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use shadow_control::Change;

    use super::*;

    fn state() -> ControlState {
        let mut state = ControlState::empty();
        let upstream = Upstream {
            service: "shop".parse().unwrap(),
            instance: "agent-1".to_owned(),
            addresses: vec!["Shop.internal:8080".to_owned(), "127.0.0.1:4711".to_owned()],
            change: Change::by("agent-1", ""),
        };
        state.upstreams.insert("upstream/shop/agent-1".to_owned(), upstream);
        state
    }

    #[tokio::test]
    async fn a_target_equal_to_the_primary_is_refused_by_name_and_by_address() {
        for url in ["http://127.0.0.1:4711/v2", "http://localhost:4711", "http://shop.INTERNAL:8080"] {
            let failure = refuse_upstream(&state(), &parse(url).unwrap()).await.unwrap_err();
            assert!(failure.cause.contains("a target equal to the primary"), "{url}: {failure}");
        }
        refuse_upstream(&state(), &parse("http://127.0.0.1:4712").unwrap()).await.unwrap();
    }

    #[test]
    fn urls_that_cannot_be_a_base_are_refused() {
        for bad in ["localhost:80", "ftp://a", "http://u:p@a", "http://a/?q=1", "nonsense"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_allow_list_names_hosts_with_or_without_their_port() {
        let url = parse("http://C.example:81").unwrap();
        for (allow, expected) in
            [(vec![], true), (vec!["c.example"], true), (vec!["c.example:81"], true), (vec!["d"], false)]
        {
            let allow: Vec<String> = allow.into_iter().map(str::to_owned).collect();
            assert_eq!(is_allowed(&url, &allow), expected, "{allow:?}");
        }
    }
}
