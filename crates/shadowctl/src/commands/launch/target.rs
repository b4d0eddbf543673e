//! Whether a candidate may be a target at all. The replayer refuses the same again before every launch it takes up, with the
//! addresses known then; here the operator learns of it before anything is written.

use replayer::target::{self, Entry, Lists, Refusal};
use shadow_control::ControlState;
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

/// Refuses a target that the launch's lists do not let through, or that is a known upstream of production, by name or by any
/// address it resolves to: the replayer's own judgement, with what this machine's resolver says.
///
/// # Errors
/// With what refuses it.
pub(crate) async fn prove(state: &ControlState, lists: &Lists, url: &Url) -> Result<(), Failure> {
    match target::prove_one(url, lists, state).await {
        Ok(()) => Ok(()),
        Err(Refusal::Unresolved { host, cause }) => {
            // What its name alone says is judged all the same.
            target::judge(url, &names_only(lists), &[], state.upstreams.values())
                .map_err(|refusal| refused(url, refusal))?;
            note(&format!("note: {host} does not resolve here ({cause}); the replayer checks it again"));
            Ok(())
        }
        Err(refusal) => Err(refused(url, refusal)),
    }
}

/// Without an allow-list that only addresses can satisfy.
fn names_only(lists: &Lists) -> Lists {
    let by_address = lists.allow.iter().any(|entry| matches!(entry, Entry::Net { .. }));
    let allow = if by_address { Vec::new() } else { lists.allow.clone() };
    Lists { allow, ..lists.clone() }
}

fn refused(url: &Url, refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Upstream { address, service, instance, .. } => Failure::negative(
            format!(
                "{url} is production: agent {instance} captures service {service} at {address} (a target equal to the primary)"
            ),
            "name the candidate's own address; a launch must never send to what it captures from",
        ),
        Refusal::NotAllowed { target, allowed } => Failure::usage(
            format!("{url} is not among the allowed targets ({allowed})"),
            format!("add --allow {target} or its network, or leave --allow out"),
        ),
        Refusal::Denied { entry, .. } => Failure::usage(
            format!("{url} is denied: {entry} is on the launch's deny-list"),
            "name another target, or take the entry off --deny and off the file of --replay",
        ),
        other => Failure::usage(other.to_string(), ENTRY_REMEDY),
    }
}

/// What to do about an entry of a list that cannot be read.
const ENTRY_REMEDY: &str = "write a host (shadow.internal), host:port, or a network (10.1.0.0/16)";

/// Reads an entry of `--allow` and `--deny`.
pub(crate) fn entry(text: &str) -> Result<String, String> {
    match text.parse::<Entry>() {
        Ok(_) => Ok(text.trim().to_owned()),
        Err(_) => Err(ENTRY_REMEDY.to_owned()),
    }
}

/// The lists of a launch that is to be created.
///
/// # Errors
/// With the entry that cannot be read; those of the file of `--replay` come here unread.
pub(crate) fn lists(allow: &[String], deny: &[String]) -> Result<Lists, Failure> {
    Lists::parse(allow, deny).map_err(|error| Failure::usage(error.to_string(), ENTRY_REMEDY))
}

#[cfg(test)]
mod tests {
    use shadow_control::{Change, Upstream};

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

    async fn proved(url: &str, allow: &[&str], deny: &[&str]) -> Result<(), Failure> {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        prove(&state(), &lists(&texts(allow), &texts(deny))?, &parse(url).unwrap()).await
    }

    #[tokio::test]
    async fn a_target_equal_to_the_primary_is_refused_by_name_and_by_address() {
        for url in ["http://127.0.0.1:4711/v2", "http://localhost:4711", "http://shop.INTERNAL:8080"] {
            let failure = proved(url, &[], &[]).await.unwrap_err();
            assert!(failure.cause.contains("a target equal to the primary"), "{url}: {failure}");
        }
        proved("http://127.0.0.1:4712", &[], &[]).await.unwrap();
    }

    #[tokio::test]
    async fn lists_hold_by_name_and_by_network_as_in_the_replayer() {
        let local = "http://127.0.0.1:4712";
        proved(local, &["127.0.0.0/8"], &["10.0.0.0/8"]).await.unwrap();
        proved("http://nowhere.invalid", &["10.0.0.0/8"], &[]).await.unwrap();
        for (url, allow, deny, cause) in [
            (local, &["10.0.0.0/8"][..], &[][..], "not among the allowed targets (10.0.0.0/8)"),
            ("http://nowhere.invalid", &["elsewhere"], &[], "not among the allowed targets"),
            ("http://nowhere.invalid", &[], &["nowhere.invalid"], "nowhere.invalid is on the launch's deny-list"),
            ("http://localhost:4712", &["localhost"], &["127.0.0.0/8", "::1"], "is denied: "),
            ("http://[::ffff:127.0.0.1]:4712", &[], &["127.0.0.0/8"], "is denied: 127.0.0.0/8"),
            (local, &[], &["10.0.0.0/99"], "`10.0.0.0/99` is neither a host"),
        ] {
            let failure = proved(url, allow, deny).await.unwrap_err();
            assert!(failure.cause.contains(cause), "{url}: {failure}");
            assert!(!failure.remedy.is_empty());
        }
    }

    #[test]
    fn urls_that_cannot_be_a_base_are_refused() {
        for bad in ["localhost:80", "ftp://a", "http://u:p@a", "http://a/?q=1", "nonsense"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
