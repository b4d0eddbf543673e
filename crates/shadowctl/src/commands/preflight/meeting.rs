//! Whether a store of the shadow may be one of production's. Pure, but for what hosts resolve to, which is handed in.
//!
//! Guarantee: only what is shown or declared to be another place counts as one. The word for the kind shows nothing, as one server
//! goes by many (`postgres`, `aurora`), and a port alone does not either: a pooler before the same server has its own.

use std::net::IpAddr;

use super::topology::Store;

/// How a store of the shadow lies to one of production's, from harmless to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Meeting {
    /// Another place.
    Apart,
    /// The same host, and there another database, or a server that is declared to be separate.
    Neighbours,
    /// A host does not resolve, so that nothing shows whether it is the other one.
    Unknown,
    /// Another port of the same host.
    OtherPort,
    /// The same place.
    Same,
}

/// Compares `ours`, of the shadow, with `theirs`, of production. `same_host` tells of two different names whether they are one host,
/// or `None` when one does not resolve.
pub(crate) fn meeting(ours: &Store, theirs: &Store, same_host: impl Fn(&str, &str) -> Option<bool>) -> Meeting {
    let other_database = match (named(&ours.name), named(&theirs.name)) {
        (Some(a), Some(b)) => !a.eq_ignore_ascii_case(b),
        // Whoever has the whole server has every database on it.
        _ => false,
    };
    let separate = named(&ours.separate).is_some();
    let (here, there) = (places(ours), places(theirs));
    let pairs = here.iter().flat_map(|here| there.iter().map(move |there| (here, there)));
    let meetings = pairs.map(|((host, port), (other, other_port))| {
        let same = if host == other { Some(true) } else { same_host(host, other) };
        let other_port = port.is_some() && other_port.is_some() && port != other_port;
        match same {
            Some(false) => Meeting::Apart,
            Some(true) if other_database || (other_port && separate) => Meeting::Neighbours,
            Some(true) if other_port => Meeting::OtherPort,
            Some(true) => Meeting::Same,
            None if other_database || separate => Meeting::Apart,
            None => Meeting::Unknown,
        }
    });
    meetings.max().unwrap_or(Meeting::Unknown)
}

/// What is blank is not said.
fn named(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

/// Every place of a store: its hosts in lower case, each with its port where it is known. Clusters name several.
pub(crate) fn places(store: &Store) -> Vec<(String, Option<u16>)> {
    store.host.split(',').map(|host| place(host, usual_port(&store.kind))).collect()
}

fn place(host: &str, usual: Option<u16>) -> (String, Option<u16>) {
    let text = host.trim().trim_end_matches('.').to_ascii_lowercase();
    let bare = |host: &str| {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        // One address may be written in several ways.
        host.parse::<IpAddr>().map_or_else(|_| host.to_owned(), |ip| ip.to_canonical().to_string())
    };
    if text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok() {
        return (bare(&text), usual);
    }
    match text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?))) {
        Some((host, port)) => (bare(host), Some(port)),
        None => (bare(&text), usual),
    }
}

fn usual_port(kind: &str) -> Option<u16> {
    Some(match kind.to_ascii_lowercase().as_str() {
        "postgres" | "postgresql" => 5432,
        "mysql" | "mariadb" => 3306,
        "redis" | "valkey" => 6379,
        "mongodb" | "mongo" => 27017,
        "kafka" => 9092,
        "elasticsearch" | "opensearch" => 9200,
        "rabbitmq" | "amqp" => 5672,
        "memcached" => 11211,
        "cassandra" | "scylla" => 9042,
        "mssql" | "sqlserver" => 1433,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(text: &str) -> Store {
        toml::from_str(&format!("mode = \"own\"\n{text}")).unwrap()
    }

    fn with(production: &str, shadow: &str) -> Meeting {
        let resolved = |a: &str, b: &str| match (a.contains("invalid"), b.contains("invalid")) {
            (false, false) => Some([a, b].contains(&"alias") && [a, b].contains(&"db")),
            _ => None,
        };
        meeting(&store(shadow), &store(production), resolved)
    }

    #[test]
    fn neither_another_word_nor_another_port_makes_another_place() {
        let shop = "kind = \"postgres\"\nhost = \"db\"\nname = \"shop\"";
        for (shadow, expected) in [
            ("kind = \"aurora\"\nhost = \"db\"\nname = \"SHOP\"", Meeting::Same),
            ("kind = \"postgres\"\nhost = \"alias\"\nname = \"shop\"", Meeting::Same),
            ("kind = \"postgres\"\nhost = \"other, db:5432\"\nname = \"shop\"", Meeting::Same),
            ("kind = \"postgres\"\nhost = \"db\"\nname = \" \"", Meeting::Same),
            ("kind = \"postgres\"\nhost = \"db\"\nname = \"shop\"\nseparate = \"another server\"", Meeting::Same),
            ("kind = \"postgres\"\nhost = \"db:6432\"\nname = \"shop\"", Meeting::OtherPort),
            ("kind = \"redis\"\nhost = \"db\"", Meeting::OtherPort),
            ("kind = \"redis\"\nhost = \"db\"\nseparate = \" \"", Meeting::OtherPort),
            ("kind = \"redis\"\nhost = \"db\"\nseparate = \"another server\"", Meeting::Neighbours),
            ("kind = \"postgres\"\nhost = \"db\"\nname = \"copy\"", Meeting::Neighbours),
            ("kind = \"postgres\"\nhost = \"other\"\nname = \"shop\"", Meeting::Apart),
        ] {
            assert_eq!(with(shop, shadow), expected, "{shadow}");
        }
    }

    #[test]
    fn a_host_that_does_not_resolve_is_not_another_host() {
        let (shown, unknown) = ("kind = \"x\"\nhost = \"db\"", "kind = \"x\"\nhost = \"db.invalid\"");
        assert_eq!(with(shown, unknown), Meeting::Unknown);
        assert_eq!(with(unknown, shown), Meeting::Unknown);
        assert_eq!(with(unknown, unknown), Meeting::Same);
        assert_eq!(with(shown, &format!("{unknown}\nseparate = \"in another account\"")), Meeting::Apart);
    }

    #[test]
    fn addresses_are_compared_as_what_they_are() {
        for host in ["10.0.0.1", "10.0.0.1:5432", "[::ffff:10.0.0.1]:5432", "::ffff:10.0.0.1"] {
            let shadow = format!("kind = \"postgres\"\nhost = \"{host}\"");
            assert_eq!(with("kind = \"postgres\"\nhost = \"10.0.0.1\"", &shadow), Meeting::Same, "{host}");
        }
    }
}
