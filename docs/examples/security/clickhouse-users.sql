-- Four users for ClickHouse, by somebody who may manage access; every user has the rights below and no others. Replace the passwords; the
-- database is `shadow`. Run the file again with each new version of Shadowline, before `shadowctl schema apply`: a right is only ever added.

-- For `shadowctl schema apply` and nothing that runs for long. It may add to tables and replace views. What a replaced view leaves behind has a
-- name of its own, so that no table with rows in it has to be dropped, and none can be.
CREATE USER IF NOT EXISTS shadow_schema IDENTIFIED BY 'replace-me-1';
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW, ALTER ADD COLUMN, SELECT, INSERT ON shadow.* TO shadow_schema;
GRANT DROP TABLE ON shadow._tmp_replace_* TO shadow_schema;
GRANT TABLE ENGINE ON ReplacingMergeTree TO shadow_schema;
-- And where it lays the tables out for a cluster (`--cluster`):
--   GRANT TABLE ENGINE ON ReplicatedReplacingMergeTree TO shadow_schema;
--   GRANT TABLE ENGINE ON Distributed TO shadow_schema;

-- For the comparators.
CREATE USER IF NOT EXISTS shadow_comparator IDENTIFIED BY 'replace-me-2';
GRANT INSERT ON shadow.* TO shadow_comparator;

-- For reports, dashboards and people.
CREATE USER IF NOT EXISTS shadow_analyst IDENTIFIED BY 'replace-me-3';
GRANT SELECT ON shadow.* TO shadow_analyst;

-- For whoever runs launches: reads, and keeps what `shadowctl drill` and `shadowctl noise freeze` and `overrule` find.
CREATE USER IF NOT EXISTS shadow_operator IDENTIFIED BY 'replace-me-4';
GRANT SELECT ON shadow.* TO shadow_operator;
GRANT INSERT ON shadow.drills TO shadow_operator;
GRANT INSERT ON shadow.noise_profiles TO shadow_operator;

-- `shadowctl launch forget` deletes rows, which is nobody's daily work: make a user for it when you need one, and drop it afterwards.
--   GRANT SELECT, ALTER DELETE ON shadow.* TO ...;
--   GRANT INSERT ON shadow.control_changes TO ...;
