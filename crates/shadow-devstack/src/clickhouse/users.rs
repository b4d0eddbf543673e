//! ClickHouse's users, and its cluster. `clickhouse local` has no `CREATE USER`, but it reads both from a file as the server does.

use std::fs;
use std::path::{Path, PathBuf};

use crate::DevstackError;

/// A user besides `default`.
#[derive(Clone)]
pub(crate) struct ClickHouseUser {
    pub(crate) name: String,
    pub(crate) password: String,
    /// What follows `GRANT`, as in `INSERT ON shadowline.exchanges`.
    pub(crate) grants: Vec<String>,
}

impl std::fmt::Debug for ClickHouseUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClickHouseUser").field("name", &self.name).field("grants", &self.grants).finish_non_exhaustive()
    }
}

/// A cluster of which the server is a shard.
#[derive(Clone, Debug)]
pub(crate) struct ClickHouseCluster {
    pub(crate) name: String,
    /// Native ports of all shards.
    pub(crate) shards: Vec<u16>,
}

impl ClickHouseCluster {
    fn xml(&self) -> String {
        let shard = |port| format!("<shard><replica><host>127.0.0.1</host><port>{port}</port></replica></shard>");
        let (name, shards) = (escaped(&self.name), self.shards.iter().map(shard).collect::<String>());
        format!("<remote_servers><{name}>{shards}</{name}></remote_servers>")
    }
}

/// What a right is needed for, as in the configuration that a server comes with, or stricter: the library asks for the fewest.
const IMPROVEMENTS: &str = "<access_control_improvements>\
    <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>\
    <select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant>\
    <table_engines_require_grant>true</table_engines_require_grant>\
    </access_control_improvements>";

/// Writes the configuration with its users into `dir` and gives the path to start with.
pub(crate) fn write(
    dir: &Path,
    users: &[ClickHouseUser],
    cluster: Option<&ClickHouseCluster>,
) -> Result<PathBuf, DevstackError> {
    let write = |name: &str, text: String| {
        let path = dir.join(name);
        fs::write(&path, text).map(|()| path.clone()).map_err(|error| DevstackError::io("write", &path, error))
    };
    let users = write("users.xml", users_xml(users))?;
    let users = escaped(&users.display().to_string());
    let cluster = cluster.map(ClickHouseCluster::xml).unwrap_or_default();
    write(
        "config.xml",
        format!("<clickhouse><users_config>{users}</users_config>{IMPROVEMENTS}{cluster}</clickhouse>\n"),
    )
}

fn users_xml(users: &[ClickHouseUser]) -> String {
    let loopback = "<networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>";
    let user = |user: &ClickHouseUser| {
        let grants: String =
            user.grants.iter().map(|grant| format!("<query>GRANT {}</query>", escaped(grant))).collect();
        let (name, password) = (escaped(&user.name), escaped(&user.password));
        format!("<{name}><password>{password}</password>{loopback}<grants>{grants}</grants></{name}>\n")
    };
    let users: String = users.iter().map(user).collect();
    format!(
        "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users>\n\
         <default><password></password>{loopback}</default>\n\
         {users}</users></clickhouse>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
