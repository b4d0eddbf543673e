-- Three users for ClickHouse, by somebody who may manage access. Replace the passwords; the database is `shadow`.
-- Once, for `shadowctl schema apply` and nothing that runs for long:
CREATE USER IF NOT EXISTS shadow_schema IDENTIFIED BY 'replace-me-1';
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW, ALTER TABLE, SELECT, INSERT ON shadow.* TO shadow_schema;

-- For the comparators.
CREATE USER IF NOT EXISTS shadow_comparator IDENTIFIED BY 'replace-me-2';
GRANT INSERT ON shadow.* TO shadow_comparator;

-- For reports, dashboards and people.
CREATE USER IF NOT EXISTS shadow_analyst IDENTIFIED BY 'replace-me-3' SETTINGS readonly = 2;
GRANT SELECT ON shadow.* TO shadow_analyst;
