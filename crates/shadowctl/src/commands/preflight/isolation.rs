//! Whether writes of the shadow could reach production's stores: by a store that both have, by outbound calls, by a target that
//! is production. Pure, but for what hosts resolve to, which is handed in.
//!
//! What is not declared counts as the worst that it could be.

use super::finding::{Findings, Level};
use super::meeting::{Meeting, meeting};
use super::topology::{Egress, Mode, Side, Store, Topology};

/// Judges stores and egress of every side of the shadow. `same_host` tells whether two different names are one host,
/// or `None` when one does not resolve.
pub(crate) fn judge(topology: &Topology, same_host: impl Fn(&str, &str) -> Option<bool>, findings: &mut Findings<'_>) {
    if topology.primary.stores.is_none() {
        findings.unsafe_(
            "production's stores are not declared, so nothing shows that the shadow has others",
            "list them under [primary] as stores = [{ kind, host, name, mode }], or write stores = [] if it has none",
        );
    }
    let before = findings.list.len();
    for (name, side) in topology.shadows() {
        match &side.stores {
            None => findings.unsafe_(
                format!("the stores of the {name} are not declared"),
                format!("list them under [{name}], or write stores = [] if it has none"),
            ),
            Some(stores) => {
                for store in stores {
                    judge_store(name, store, topology, &same_host, findings);
                }
            }
        }
        judge_egress(name, side, topology.writes(), findings);
    }
    if findings.list[before..].is_empty() {
        findings.ok("no store of the shadow that it may write is production's; outbound calls end in the shadow");
    }
    match (&topology.isolation, topology.writes()) {
        (Some(words), _) if words.trim().is_empty() => findings.problem(
            "isolation is empty",
            "say how the shadow is kept from production's stores, or leave it out: then only safe methods are replayed",
        ),
        (None, true) => findings.warn(
            "routes with the policy dry_run are sent without a declared isolation: only the service's own dry run protects its stores",
            "declare isolation, or use the policy skip",
        ),
        _ => {}
    }
}

fn judge_store(
    side: &str,
    store: &Store,
    topology: &Topology,
    same_host: &impl Fn(&str, &str) -> Option<bool>,
    findings: &mut Findings<'_>,
) {
    let remedy = format!(
        "give the {side} a store of its own (a restored copy, a fresh database), or credentials that cannot write"
    );
    let shown = store.shown();
    if store.mode == Mode::Shared {
        return findings.unsafe_(format!("the {side} writes to {shown}, which it shares"), remedy);
    }
    let production = topology.primary.stores.iter().flatten();
    let meetings = production.map(|theirs| (meeting(store, theirs, same_host), theirs.mode != Mode::Replica, theirs));
    let Some((meeting, written, theirs)) = meetings.max_by_key(|(meeting, written, _)| (*meeting, *written)) else {
        return;
    };
    // A read replica that both read is nobody's to write.
    let writes = store.mode == Mode::Own || (store.mode == Mode::Replica && written);
    let theirs = theirs.shown();
    match meeting {
        Meeting::Apart => {}
        Meeting::Same if store.mode == Mode::Own => findings.unsafe_(
            format!("{shown} is declared as the {side}'s own, but it is production's {theirs}"),
            remedy,
        ),
        Meeting::Same if writes => findings.unsafe_(
            format!("{shown} is declared as a replica, but production writes to that very place ({theirs})"),
            "name the replica's own address, or give the shadow credentials that cannot write and declare read-only",
        ),
        Meeting::OtherPort if writes => findings.unsafe_(
            format!("{shown} of the {side} is on the host of production's {theirs}; another port may lead to the same server"),
            "use another host; or, if it is another server, say why: separate = \"...\" beside the store's host",
        ),
        Meeting::Unknown if writes => findings.add(
            unshown(topology),
            format!("nothing shows that {shown} of the {side} is not production's {theirs}: a host does not resolve here"),
            "run preflight where the names resolve, without --offline, or name addresses; or say why they are not one: \
             separate = \"...\" beside the store's host",
        ),
        Meeting::Same | Meeting::OtherPort => findings.warn(
            format!("the {side} reads from production's {theirs}: it cannot change it, but its load is felt there"),
            "keep the rate low, or let it read from a copy",
        ),
        Meeting::Neighbours if store.mode == Mode::Own => findings.warn(
            format!("{shown} of the {side} is on the server of production's {theirs}"),
            "make sure that its credentials open that database only; better use another server",
        ),
        Meeting::Unknown | Meeting::Neighbours => {}
    }
}

/// What it means that two hosts could not be shown to be two.
pub(super) fn unshown(topology: &Topology) -> Level {
    if topology.writes() { Level::Unsafe } else { Level::Problem }
}

fn judge_egress(name: &str, side: &Side, writes: bool, findings: &mut Findings<'_>) {
    let remedy = format!("let its outbound calls end at stubs and declare egress = \"stub\" under [{name}]");
    match (side.egress, writes) {
        (Egress::Stub | Egress::None, _) => {}
        (Egress::Open, true) => findings.unsafe_(
            format!("writes are replayed to the {name}, and its outbound calls go wherever its code sends them"),
            remedy,
        ),
        (Egress::Open, false) => findings.warn(
            format!("the outbound calls of the {name} go wherever its code sends them; only safe methods are replayed"),
            remedy,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Finding;
    use super::*;

    const BASE: &str = r#"
service = "shop"
isolation = "own database"
[primary]
url = "http://10.0.0.1"
stores = [{ kind = "postgres", host = "db.prod:5432", name = "shop", mode = "own" },
          { kind = "redis", host = "cache.prod", mode = "own" }]
[candidate]
url = "http://10.0.0.2"
"#;

    fn judged(candidate: &str) -> (Level, Vec<Finding>) {
        let topology: Topology = toml::from_str(&format!("{BASE}{candidate}")).unwrap();
        let mut list = Vec::new();
        let alias = |a: &str, b: &str| {
            let known = !a.ends_with(".invalid") && !b.ends_with(".invalid");
            known.then(|| [a, b].contains(&"alias") && [a, b].contains(&"db.prod"))
        };
        judge(&topology, alias, &mut Findings::of("isolation", &mut list));
        (list.iter().map(|finding| finding.level).max().unwrap(), list)
    }

    #[test]
    fn a_store_that_the_shadow_may_write_must_not_be_productions() {
        let stub = "egress = \"stub\"";
        for (store, level) in [
            (r#"kind = "postgres", host = "db.shadow", name = "shop", mode = "own""#, Level::Ok),
            (r#"kind = "postgres", host = "DB.prod.", name = "shop", mode = "own""#, Level::Unsafe),
            (r#"kind = "postgresql", host = "db.prod", name = "shop", mode = "own""#, Level::Unsafe),
            (r#"kind = "postgres", host = "alias", name = "shop", mode = "own""#, Level::Unsafe),
            (r#"kind = "postgres", host = "db.prod", mode = "own""#, Level::Unsafe),
            (r#"kind = "redis", host = "cache.prod:6379", name = "1", mode = "own""#, Level::Unsafe),
            (r#"kind = "aurora", host = "db.prod", name = "shop", mode = "own""#, Level::Unsafe),
            (r#"kind = "postgres", host = "db.prod:5433", name = "shop", mode = "own""#, Level::Unsafe),
            (
                r#"kind = "postgres", host = "db.prod:5433", name = "shop", mode = "own", separate = "its own server""#,
                Level::Warning,
            ),
            (r#"kind = "postgres", host = "db.prod:5433", name = "shop", mode = "replica""#, Level::Unsafe),
            (r#"kind = "postgres", host = "db.prod:5433", name = "shop", mode = "read-only""#, Level::Warning),
            (r#"kind = "postgres", host = "db.invalid", name = "shop", mode = "own""#, Level::Unsafe),
            (r#"kind = "postgres", host = "db.invalid", name = "shop", mode = "replica""#, Level::Unsafe),
            (r#"kind = "postgres", host = "b1.shadow,b2.invalid", name = "shop", mode = "own""#, Level::Unsafe),
            (
                r#"kind = "postgres", host = "db.invalid", name = "shop", mode = "own", separate = "in another account""#,
                Level::Ok,
            ),
            (r#"kind = "postgres", host = "db.prod", name = "rehearsal", mode = "own""#, Level::Warning),
            (r#"kind = "postgres", host = "db.shadow", name = "shop", mode = "shared""#, Level::Unsafe),
            (r#"kind = "postgres", host = "db.prod", name = "shop", mode = "read-only""#, Level::Warning),
            (r#"kind = "postgres", host = "replica.prod", name = "shop", mode = "replica""#, Level::Ok),
            (r#"kind = "postgres", host = "db.prod", name = "shop", mode = "replica""#, Level::Unsafe),
        ] {
            let (worst, findings) = judged(&format!("{stub}\nstores = [{{ {store} }}]"));
            assert_eq!(worst, level, "{store}: {findings:?}");
            assert!(findings.iter().all(|finding| finding.level == Level::Ok || !finding.remedy.is_empty()));
        }
    }

    #[test]
    fn what_is_not_declared_is_taken_for_the_worst() {
        assert_eq!(judged("egress = \"stub\"").0, Level::Unsafe, "no stores");
        assert_eq!(judged("stores = []").0, Level::Unsafe, "open egress, and writes are sent");
        assert_eq!(judged("stores = []\negress = \"none\"").0, Level::Ok);
        let safe_only = "stores = []\n[[writes]]\nroute = \"*\"\npolicy = \"skip\"";
        assert_eq!(judged(safe_only).0, Level::Warning, "nothing that writes is sent");
        let unresolved = r#"stores = [{ kind = "redis", host = "cache.invalid", mode = "own" }]"#;
        assert_eq!(judged(&safe_only.replace("stores = []", unresolved)).0, Level::Problem, "nor shown to be apart");
        let control = "stores = []\negress = \"none\"\n[control]\nurl = \"http://10.0.0.3\"";
        assert_eq!(judged(control).0, Level::Unsafe, "the control is a shadow too");
    }
}
