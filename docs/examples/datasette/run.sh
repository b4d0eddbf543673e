#!/usr/bin/env bash
# Rehearses Datasette 1.0 on the traffic of Datasette 0.64: see ../datasette.md.
#
#   run.sh [--requests N] [--json FILE]
#
# Both releases serve one SQLite file. Requests go through the capture agent to 0.64, the replayer sends them to 1.0, the
# comparator writes one row for each, and the report of the launch is printed. Kafka and ClickHouse are those of
# SHADOW_KAFKA_BROKERS and SHADOW_CLICKHOUSE_URL, or a devstack of its own. Whatever was started is stopped again, however this
# script ends. Nothing listens on a fixed port.
set -euo pipefail
# Every child leads a process group of its own: Ctrl-C reaches this script alone, which then stops them in order.
set -m

primary_version=0.64.8
candidate_version=1.0a41
data_version=0.9.0
requests=2400
json=

usage() {
  sed -n '2,9s/^# \{0,1\}//p' "$0"
  exit "$1"
}
while [ $# -gt 0 ]; do
  case $1 in
    --requests) requests=${2:?--requests needs a number}; shift 2 ;;
    --json) json=${2:?--json needs a file}; shift 2 ;;
    -h | --help) usage 0 ;;
    *) usage 64 >&2 ;;
  esac
done
case $json in
  '' | /*) ;;
  *) json=$PWD/$json ;;
esac
case $requests in
  '' | *[!0-9]* | 0) echo "--requests needs a number above 0" >&2; exit 64 ;;
esac

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
built=${CARGO_TARGET_DIR:-$root/target}/release
cache=${XDG_CACHE_HOME:-$HOME/.cache}/shadowline/datasette-example
mkdir -p "$cache"
work=$(mktemp -d "${TMPDIR:-/tmp}/shadowline-datasette.XXXXXX")

step=        # the step that this script waits for
devstack=    # Kafka and ClickHouse, when they are ours; stopped last
created=     # the launch, once it stands on the control topic
services=()  # everything else

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "run.sh: $1"
  exit 1
}

# Runs one step. `wait` returns on a signal at once, where a foreground command would have to end first.
run() {
  local code=0
  "$@" < /dev/null &
  step=$!
  wait "$step" || code=$?
  step=
  return "$code"
}

# Waits until a process has ended, at most twelve seconds, then ends it and what it started.
bury() {
  local _
  for _ in {1..120}; do
    kill -0 "$1" 2> /dev/null || break
    sleep 0.1
  done
  kill -KILL -- "-$1" 2> /dev/null || true
}

cleanup() {
  local code=$? pid
  trap - EXIT
  trap '' INT TERM HUP
  set +eu
  if [ -n "$step" ]; then
    disown "$step" 2> /dev/null
    kill -TERM -- "-$step" 2> /dev/null
    bury "$step"
  fi
  # On a Kafka that lives on, the launch would be taken up again by the next replayer.
  if [ -n "$created" ] && [ -z "$devstack" ]; then "$shadowctl" launch pause "$created" < /dev/null >&2; fi
  for pid in "${services[@]}"; do kill -TERM "$pid" 2> /dev/null; done
  for pid in "${services[@]}"; do bury "$pid"; done
  if [ -n "$devstack" ]; then
    kill -TERM "$devstack" 2> /dev/null
    bury "$devstack"
  fi
  if [ "$code" = 0 ] || [ "$code" -ge 129 ]; then
    rm -rf "$work"
  else
    say "the logs are in $work"
  fi
  exit "$code"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# start NAME COMMAND...: starts a service whose log is $work/NAME.log.
start() {
  local name=$1
  shift
  "$@" < /dev/null > "$work/$name.out" 2> "$work/$name.log" &
  started=$!
  disown "$started" # or the shell announces its end
}

# await PID NAME EXPRESSION: puts into `found` what the sed expression finds in the output of a process, as soon as it is
# there. Starting may include fetching ClickHouse, so only the end of the process ends the wait.
await() {
  while :; do
    found=$(sed -n "$3" "$work/$2.out" "$work/$2.log" | head -n 1)
    if [ -n "$found" ]; then return; fi
    if ! kill -0 "$1" 2> /dev/null; then
      tail -n 20 "$work/$2.log" >&2
      fail "$2 has ended"
    fi
    sleep 0.2
  done
}

# install NAME PACKAGE...: a virtual environment in the cache, made anew unless it holds exactly these.
install() {
  local venv=$cache/$1
  shift
  if [ "$(cat "$venv/.holds" 2> /dev/null)" != "$*" ]; then
    say "installing $*"
    rm -rf "$venv"
    run python3 -m venv "$venv"
    run "$venv/bin/pip" install --quiet --disable-pip-version-check "$@"
    printf '%s' "$*" > "$venv/.holds"
  fi
}

# serve NAME: starts the Datasette of that environment on a free port.
serve() {
  # Immutable, as public data mostly is served: rows are counted once, at the start. The limits are such that a busy machine
  # does not reach them. An answer cut short by the clock would be a difference of its own.
  start "$1" "$cache/$1/bin/datasette" serve --immutable open.db --host 127.0.0.1 --port 0 \
    --setting sql_time_limit_ms 20000 --setting facet_time_limit_ms 20000
  services+=("$started")
}

for tool in cargo python3; do
  command -v "$tool" > /dev/null || fail "$tool is needed and not on the PATH"
done
if [ "${SHADOW_KAFKA_BROKERS:+set}" != "${SHADOW_CLICKHOUSE_URL:+set}" ]; then
  fail "set both SHADOW_KAFKA_BROKERS and SHADOW_CLICKHOUSE_URL, or neither"
fi

say "building Shadowline"
cd "$root"
run cargo build --quiet --release --locked -p capture-agent -p replayer -p comparator -p shadowctl
shadowctl=$built/shadowctl

install primary "datasette==$primary_version"
install candidate "datasette==$candidate_version"
# Only its data files are wanted, not the pandas that it depends on.
install data --no-deps "vega_datasets==$data_version"
run "$cache/data/bin/python" "$here/build_db.py" "$work/open.db"

cd "$work"
serve primary
primary=$started
serve candidate
candidate=$started
launch=datasette-1x
if [ -z "${SHADOW_KAFKA_BROKERS:-}" ]; then
  say "starting Kafka and ClickHouse (fetched on the first run, which takes a while)"
  start devstack "$shadowctl" devstack up
  devstack=$started
  await "$devstack" devstack 's/^export SHADOW_KAFKA_BROKERS=//p'
  SHADOW_KAFKA_BROKERS=$found
  await "$devstack" devstack 's/^export SHADOW_CLICKHOUSE_URL=//p'
  SHADOW_CLICKHOUSE_URL=$found
else
  launch=$launch-$(date +%s) # an earlier run may have left its launch there
fi
await "$primary" primary 's|.*running on \(http://[0-9.:]*\).*|\1|p'
SHADOW_PRIMARY_URL=$found
await "$candidate" candidate 's|.*running on \(http://[0-9.:]*\).*|\1|p'
candidate_url=$found

SHADOW_MASKING_KEY_FILE=$work/masking.key
(umask 077 && python3 -c 'import secrets; print(secrets.token_hex(32))' > "$SHADOW_MASKING_KEY_FILE")
SHADOW_CLICKHOUSE_DATABASE=shadowline_datasette
export SHADOW_KAFKA_BROKERS SHADOW_CLICKHOUSE_URL SHADOW_CLICKHOUSE_DATABASE SHADOW_PRIMARY_URL SHADOW_MASKING_KEY_FILE

cd "$here"
run "$shadowctl" schema apply >&2
start capture-agent "$built/capture-agent" --config capture-agent.toml
agent=$started
services+=("$agent")
# The agent creates the captured topic, without which there can be no launch of it.
await "$agent" capture-agent '/"message":"publishing"/p'
await "$agent" capture-agent '/"message":"serving"/s/.*"address":"\([^"]*\)".*/\1/p'
entrance=http://$found
start replayer "$built/replayer" --config replayer.toml
services+=("$started")
await "$started" replayer '/"message":"control topic read; replaying"/p'
start comparator "$built/comparator" --config comparator.toml
services+=("$started")
run "$shadowctl" launch create "$launch" --service datasette --candidate "$candidate_url" --rules comparison.toml \
  --max-in-flight 8 >&2
created=$launch

say "sending $requests requests to $entrance"
run python3 load.py "$entrance" "$requests" >&2

say "waiting until every captured request has its row"
waited=0 before=
while :; do
  for pid in "${services[@]}"; do
    kill -0 "$pid" 2> /dev/null || fail "a service has ended; its log says why"
  done
  account=$("$shadowctl" ledger "$launch" --json 2> /dev/null | python3 -c '
import json, sys
account = json.loads(sys.stdin.read() or "{}").get("launches") or [{}]
print(*(int(account[0].get(name, 0)) for name in ("captured", "pending", "balanced")))') || account="0 0 0"
  read -r captured pending balanced <<< "$account"
  if [ "$captured" -ge "$requests" ] && [ "$pending" = 0 ] && [ "$balanced" = 1 ]; then break; fi
  if [ "$account" != "$before" ]; then waited=0 before=$account; fi
  waited=$((waited + 1))
  if [ "$waited" -gt 120 ]; then fail "no progress for a minute: $captured of $requests captured, $pending pending"; fi
  sleep 0.5
done

"$shadowctl" report "$launch" --top 500
report=$work/report.json
"$shadowctl" report "$launch" --top 500 --json > "$report"
if [ -n "$json" ]; then cp "$report" "$json"; fi
python3 explained.py "$report" ../datasette.md
