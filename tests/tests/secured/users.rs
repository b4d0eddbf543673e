//! ClickHouse's users, read from the file that users run, and what each may do there.

use shadow_devstack::DevstackBuilder;

const SQL: &str = include_str!("../../../docs/examples/security/clickhouse-users.sql");
/// The same users as a file of the server's configuration.
const XML: &str = include_str!("../../../docs/examples/security/clickhouse-users.xml");

pub(crate) const SCHEMA: &str = "shadow_schema";
pub(crate) const COMPARATOR: &str = "shadow_comparator";
pub(crate) const ANALYST: &str = "shadow_analyst";
pub(crate) const OPERATOR: &str = "shadow_operator";

/// A statement that changes nothing where it is allowed, and who may run it.
pub(crate) const RIGHTS: &[(&str, &[&str])] = &[
    ("SELECT count() FROM shadow.judged", &[SCHEMA, ANALYST, OPERATOR]),
    ("SELECT count() FROM shadow.exchanges", &[SCHEMA, ANALYST, OPERATOR]),
    ("INSERT INTO shadow.exchanges (launch) SELECT '' WHERE 0", &[SCHEMA, COMPARATOR]),
    ("INSERT INTO shadow.dead_letters (topic) SELECT '' WHERE 0", &[SCHEMA, COMPARATOR]),
    ("INSERT INTO shadow.drills (drill) SELECT 0 WHERE 0", &[SCHEMA, COMPARATOR, OPERATOR]),
    ("INSERT INTO shadow.noise_profiles (service) SELECT '' WHERE 0", &[SCHEMA, COMPARATOR, OPERATOR]),
    ("CREATE TABLE IF NOT EXISTS shadow.made (n Int8) ENGINE = ReplacingMergeTree ORDER BY n", &[SCHEMA]),
    ("ALTER TABLE shadow.made ADD COLUMN IF NOT EXISTS more Int8", &[SCHEMA]),
    ("CREATE OR REPLACE VIEW shadow.seen AS SELECT * FROM shadow.made", &[SCHEMA]),
    ("CREATE TABLE shadow.away (n Int8) ENGINE = Memory", &[]),
    ("CREATE DATABASE other", &[]),
    ("DROP TABLE shadow.exchanges", &[]),
    ("TRUNCATE TABLE shadow.exchanges", &[]),
    ("DELETE FROM shadow.exchanges WHERE 1", &[]),
    ("ALTER TABLE shadow.exchanges UPDATE result = 'matched' WHERE 1", &[]),
    ("ALTER TABLE shadow.exchanges DROP COLUMN session", &[]),
    ("RENAME TABLE shadow.exchanges TO shadow.hidden", &[]),
    ("DROP DATABASE shadow", &[]),
    ("SELECT count() FROM system.users", &[]),
    ("SELECT * FROM file('/etc/passwd', LineAsString)", &[]),
    ("SELECT * FROM url('http://127.0.0.1:1/', LineAsString)", &[]),
];

/// A user as the file makes it.
pub(crate) struct User {
    pub(crate) name: &'static str,
    password: &'static str,
    grants: Vec<&'static str>,
}

/// The users of the file that is run as SQL.
pub(crate) fn documented() -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    for line in SQL.lines().filter(|line| !line.is_empty() && !line.starts_with("--")) {
        let statement = line.strip_suffix(';').unwrap();
        if let Some(user) = statement.strip_prefix("CREATE USER IF NOT EXISTS ") {
            let (name, password) = user.split_once(" IDENTIFIED BY ").unwrap();
            users.push(User { name, password: password.trim_matches('\''), grants: Vec::new() });
        } else {
            let (grant, name) = statement.strip_prefix("GRANT ").unwrap().rsplit_once(" TO ").unwrap();
            users.iter_mut().find(|user| user.name == name).unwrap().grants.push(grant);
        }
    }
    users
}

/// The password that the test gives a user in place of the file's.
pub(crate) fn password(user: &str) -> String {
    format!("the-tests-own-of-{user}")
}

/// Adds every user of the file.
pub(crate) fn added_to(builder: DevstackBuilder) -> DevstackBuilder {
    documented()
        .iter()
        .fold(builder, |builder, user| builder.clickhouse_user(user.name, &password(user.name), &user.grants))
}

/// The rights of `name` in the configuration's file.
fn configured(name: &str) -> Vec<&'static str> {
    let user = XML.split_once(&format!("<{name}>\n      <password")).unwrap().1;
    let user = user.split_once(&format!("</{name}>")).unwrap().0;
    user.split("<query>GRANT ").skip(1).map(|grant| grant.split_once("</query>").unwrap().0).collect()
}

#[test]
fn both_files_make_the_same_users_with_passwords_of_their_own() {
    let users = documented();
    let names: Vec<&str> = users.iter().map(|user| user.name).collect();
    assert_eq!(names, [SCHEMA, COMPARATOR, ANALYST, OPERATOR]);
    let passwords: std::collections::BTreeSet<&str> = users.iter().map(|user| user.password).collect();
    assert!(passwords.len() == users.len() && passwords.iter().all(|password| password.starts_with("replace-me-")));
    for user in &users {
        assert_eq!(user.grants, configured(user.name), "{}", user.name);
    }
}
