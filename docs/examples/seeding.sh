#!/bin/sh
# Seeds a shadow database with masked data, and shows that a look-up by a masked value finds the masked row.
#
#     docs/examples/seeding.sh [path of shadowctl]
#
# Starts a PostgreSQL of its own below a temporary directory, on a socket there, and removes all of it. Needs PostgreSQL's server programs
# (Debian: `apt-get install postgresql`); as root it runs them as the user postgres.
set -eu

shadowctl=$(readlink -f "${1:-target/debug/shadowctl}")
bin=${PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)}
dir=$(mktemp -d)
chmod 755 "$dir"
if [ "$(id -u)" = 0 ]; then
    chown postgres "$dir"
    as_owner() { (cd / && runuser -u postgres -- "$@"); }
else
    as_owner() { "$@"; }
fi
trap 'as_owner "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT

as_owner "$bin/initdb" -D "$dir/data" -A trust -U postgres >"$dir/log" 2>&1
as_owner "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/data/log" -o "-k $dir -c listen_addresses=''" start >>"$dir/log" 2>&1
psql() { as_owner "$bin/psql" -h "$dir" -U postgres -X -q -v ON_ERROR_STOP=1 "$@"; }

for database in production shadow; do
    psql -c "CREATE DATABASE $database"
    psql -d "$database" -c "
        CREATE TABLE customers (
            id bigint PRIMARY KEY,
            reference uuid NOT NULL UNIQUE,
            mail varchar(47) NOT NULL UNIQUE,
            name text,
            phone text,
            status text NOT NULL,
            note text,
            created_at timestamptz NOT NULL
        )"
done
psql -d production -c "
    INSERT INTO customers
    SELECT 10000000 + n, md5(n::text)::uuid, 'customer.' || n || '@example.org', 'Alice \"Al\" Example, ' || n, '+4930' || 1000000 + n,
           CASE WHEN n % 3 = 0 THEN 'closed' ELSE 'active' END, CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE E'two\nlines' END,
           '2024-05-01T08:30:00Z'
    FROM generate_series(1, 10000) AS n"

SHADOW_MASKING_KEY=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
export SHADOW_MASKING_KEY
cat >"$dir/masking.toml" <<RULES
[[rule]]
strategy = "keep"
json = ["$.status"]
RULES

# The walk-through itself: export, mask, import.
psql -d production -c '\copy customers to stdout with (format csv, header)' |
    "$shadowctl" mask --csv --rules "$dir/masking.toml" 2>>"$dir/log" |
    psql -d shadow -c '\copy customers from stdin with (format csv, header)'

# What the shadow is asked for: the token of a value, as the agent writes it.
token() { printf '{"v":"%s"}' "$1" | "$shadowctl" mask 2>/dev/null | sed 's/^{"v":"\(.*\)"}$/\1/'; }
ask() { psql -d shadow -At -c "$1"; }
expect() {
    if [ "$2" != "$3" ]; then
        echo "$1: expected $3, found $2" >&2
        exit 1
    fi
    echo "$1: $2"
}

expect "rows" "$(ask 'SELECT count(*) FROM customers')" 10000
expect "found by the token of a mail address" \
    "$(ask "SELECT count(*) FROM customers WHERE mail = '$(token customer.17@example.org)'")" 1
expect "found by the token of a telephone number" "$(ask "SELECT count(*) >= 1 FROM customers WHERE phone = '$(token +49301000017)'")" t
expect "found by the token of an ID" "$(ask "SELECT count(*) FROM customers WHERE id = $(token 10000017)")" 1
expect "the same row" \
    "$(ask "SELECT mail = '$(token customer.17@example.org)' FROM customers WHERE id = $(token 10000017)")" t
expect "kept by the rule" "$(ask "SELECT count(*) FROM customers WHERE status = 'closed'")" 3333
expect "empty stays empty and NULL stays NULL" "$(ask "SELECT count(*) FILTER (WHERE note = '') || ' ' || count(*) FILTER (WHERE note IS NULL) FROM customers")" "3334 3333"
expect "values of production in the shadow" \
    "$(ask "SELECT count(*) FROM customers WHERE mail LIKE 'customer.%' OR name LIKE '%Alice%' OR phone LIKE '+4930%' OR note LIKE '%lines%'")" 0
