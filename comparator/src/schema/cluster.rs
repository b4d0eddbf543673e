//! The tables as a cluster has them: on each node the node's shard, replicated, and over all shards one table of the known name. Pure.
//!
//! `CREATE TABLE x ... ENGINE = ReplacingMergeTree(v)` becomes `x_local`, replicated, and `x`, distributed over the cluster by the columns that rows
//! are replaced by. So all rows of one identity meet on one shard, where `FINAL` replaces them, and every view reads `x` as ever.

/// Suffix of a node's own part of a table.
const LOCAL: &str = "_local";
const CREATE: &str = "CREATE TABLE IF NOT EXISTS ";
const ALTER: &str = "ALTER TABLE ";

/// What `statement` becomes on each node of `cluster`.
pub(super) fn on_cluster(statement: &str, cluster: &str, database: &str) -> Vec<String> {
    let begin = statement.find(CREATE).or_else(|| statement.find(ALTER));
    match begin.map(|at| &statement[at..]) {
        Some(create) if create.starts_with(CREATE) => created(create, cluster, database),
        Some(alter) => altered(alter),
        None => vec![statement.to_owned()],
    }
}

fn created(create: &str, cluster: &str, database: &str) -> Vec<String> {
    let name = word(&create[CREATE.len()..]);
    let local = format!("{name}{LOCAL}");
    let quoted = |text: &str| text.replace('\'', "\\'");
    // The macros are each node's own: which shard it has, and which replica of it it is.
    let path = format!("'/clickhouse/tables/{{shard}}/{}/{name}', '{{replica}}'", quoted(database));
    let replicated = match create.split_once("ReplacingMergeTree(") {
        Some((before, version)) => format!("{before}ReplicatedReplacingMergeTree({path}, {version}"),
        None => create.replacen("ReplacingMergeTree", &format!("ReplicatedReplacingMergeTree({path})"), 1),
    };
    let shard = format!("{CREATE}{local}{}", &replicated[CREATE.len() + name.len()..]);
    let (cluster, database) = (quoted(cluster), quoted(database));
    let whole = format!(
        "{CREATE}{name} AS {local} ENGINE = Distributed('{cluster}', '{database}', '{local}', cityHash64({}))",
        identity(create)
    );
    vec![shard, whole]
}

/// A distributed table has columns of its own.
fn altered(alter: &str) -> Vec<String> {
    let name = word(&alter[ALTER.len()..]);
    vec![format!("{ALTER}{name}{LOCAL}{}", &alter[ALTER.len() + name.len()..]), alter.to_owned()]
}

/// The columns that rows are replaced by.
fn identity(create: &str) -> &str {
    let order = create.rsplit_once("ORDER BY ").map_or("", |(_, order)| order);
    let columns = order.strip_prefix('(').and_then(|columns| columns.split_once(')'));
    columns.map_or_else(|| word(order), |(columns, _)| columns)
}

fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_a_replicated_shard_and_a_distributed_whole() {
        let text = "-- Why.\nCREATE TABLE IF NOT EXISTS t\n(\n a Int64\n)\nENGINE = ReplacingMergeTree(v)\nORDER BY (a, b)\nCOMMENT 'x'";
        let made = on_cluster(text, "c", "shadow");
        assert_eq!(
            made,
            [
                "CREATE TABLE IF NOT EXISTS t_local\n(\n a Int64\n)\nENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/shadow/t', '{replica}', v)\nORDER BY (a, b)\nCOMMENT 'x'",
                "CREATE TABLE IF NOT EXISTS t AS t_local ENGINE = Distributed('c', 'shadow', 't_local', cityHash64(a, b))",
            ]
        );
        let plain =
            on_cluster("CREATE TABLE IF NOT EXISTS t (a Int64)\nENGINE = ReplacingMergeTree\nORDER BY a", "c", "d");
        assert!(
            plain[0]
                .ends_with("ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/d/t', '{replica}')\nORDER BY a")
        );
        assert!(plain[1].ends_with("cityHash64(a))"));
    }

    #[test]
    fn a_change_is_made_to_both_and_a_view_is_left() {
        let changed = on_cluster("ALTER TABLE t ADD COLUMN IF NOT EXISTS b Int64", "c", "d");
        assert_eq!(changed[0], "ALTER TABLE t_local ADD COLUMN IF NOT EXISTS b Int64");
        assert_eq!(changed[1], "ALTER TABLE t ADD COLUMN IF NOT EXISTS b Int64");
        let view = "CREATE OR REPLACE VIEW v AS SELECT 1";
        assert_eq!(on_cluster(view, "c", "d"), [view]);
    }
}
