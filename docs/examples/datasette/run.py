#!/usr/bin/env python3
"""Rehearses Datasette 1.0 on the traffic of Datasette 0.64: see ../datasette.md.

Both releases serve one SQLite file. Requests go through the capture agent to 0.64, the replayer sends them to 1.0, the comparator
writes one row for each, and the report of the launch is printed. Kafka and ClickHouse are those of SHADOW_KAFKA_BROKERS and
SHADOW_CLICKHOUSE_URL, or a devstack of its own. Whatever was started is stopped again, on Ctrl-C and on failure too. Nothing
listens on a fixed port.
"""

import argparse
import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time

import explained
from processes import Failed, Processes

PRIMARY = ["datasette==0.64.8"]
CANDIDATE = ["datasette==1.0a41"]
# Only its data files are wanted, not the pandas that it depends on.
DATA = ["--no-deps", "vega_datasets==0.9.0"]

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BUILT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "shadowline" / "datasette-example"

# How long the ledger may stand still before the script gives up.
PATIENCE_SECONDS = 60


def say(text):
    print(text, file=sys.stderr, flush=True)


def build(processes):
    if shutil.which("cargo") is None:
        raise Failed("cargo is not on the PATH; https://rustup.rs tells how to get it")
    say("building Shadowline")
    packages = [part for name in ("capture-agent", "replayer", "comparator", "shadowctl") for part in ("-p", name)]
    processes.run(["cargo", "build", "--quiet", "--release", "--locked", *packages], cwd=ROOT)


def install(processes, name, packages):
    """A virtual environment in the cache, made anew unless it holds exactly these packages."""
    venv = CACHE / name
    holds = venv / "holds.txt"
    wanted = " ".join(packages)
    if not holds.is_file() or holds.read_text() != wanted:
        say(f"installing {packages[-1]}")
        shutil.rmtree(venv, ignore_errors=True)
        processes.run([sys.executable, "-m", "venv", venv])
        processes.run([venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *packages])
        holds.write_text(wanted)
    return venv / "bin"


def devstack(processes, environment):
    """Kafka and ClickHouse: those of the environment, or our own."""
    given = [name for name in ("SHADOW_KAFKA_BROKERS", "SHADOW_CLICKHOUSE_URL") if environment.get(name)]
    if len(given) == 1:
        raise Failed(f"only {given[0]} is set; set both SHADOW_KAFKA_BROKERS and SHADOW_CLICKHOUSE_URL, or neither")
    if not given:
        say("starting Kafka and ClickHouse (fetched on the first run, which takes a while)")
        stack = processes.start("devstack", [BUILT / "shadowctl", "devstack", "up"])
        for name in ("SHADOW_KAFKA_BROKERS", "SHADOW_CLICKHOUSE_URL"):
            environment[name] = processes.await_line(stack, re.compile(rf"^export {name}=(\S+)$", re.MULTILINE))[1]
    return bool(given)


def serve(processes, name, binaries, folder):
    """One release of Datasette on a free port."""
    # Immutable, as public data mostly is served: rows are counted once, at the start. The limits are such that a busy machine does
    # not reach them. An answer cut short by the clock would be a difference of its own.
    limits = ["--setting", "sql_time_limit_ms", "20000", "--setting", "facet_time_limit_ms", "20000"]
    command = [binaries / "datasette", "serve", "--immutable", "open.db", "--host", "127.0.0.1", "--port", "0", *limits]
    return processes.start(name, command, cwd=folder)


def url(processes, server):
    return processes.await_line(server, re.compile(r"running on (http://[0-9.:]+)"))[1]


def service(processes, name, environment, ready):
    """One service of Shadowline, once its log has the lines that say it is ready; the last match is returned."""
    started = processes.start(name, [BUILT / name, "--config", f"{name}.toml"], cwd=HERE, env=environment)
    return [processes.await_line(started, re.compile(line)) for line in ready][-1]


def account(environment, launch):
    """The launch's ledger; zeros while there is none yet."""
    command = [BUILT / "shadowctl", "ledger", launch, "--json"]
    asked = subprocess.run(command, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    try:
        return json.loads(asked.stdout)["launches"][0]
    except (ValueError, LookupError):
        return {"captured": 0, "pending": 0, "balanced": 0}


def settle(processes, environment, launch, requests):
    """Waits until every captured request has its row."""
    say("waiting until every captured request has its row")
    before, since = None, time.monotonic()
    while True:
        processes.check()
        now = account(environment, launch)
        if now["captured"] >= requests and now["pending"] == 0 and now["balanced"]:
            return
        if now != before:
            before, since = now, time.monotonic()
        if time.monotonic() - since > PATIENCE_SECONDS:
            raise Failed(f"no progress: {now['captured']} of {requests} captured, {now['pending']} of them pending")
        time.sleep(0.5)


def rehearse(processes, work, requests, json_file):
    build(processes)
    binaries = {name: install(processes, name, packages) for name, packages in
                {"primary": PRIMARY, "candidate": CANDIDATE, "data": DATA}.items()}
    processes.run([binaries["data"] / "python", HERE / "build_db.py", work / "open.db"])

    key = work / "masking.key"
    key.touch(mode=0o600)
    key.write_text(secrets.token_hex(32))
    environment = dict(os.environ, SHADOW_MASKING_KEY_FILE=str(key), SHADOW_CLICKHOUSE_DATABASE="shadowline_datasette")
    # The figures are of every request, however busy this machine is.
    environment.update(SHADOW_CAPTURE_LATENCY_BUDGET="off", SHADOW_CAPTURE_LAG_BUDGET="off")
    lives_on = devstack(processes, environment)
    primary = serve(processes, "primary", binaries["primary"], work)
    candidate = serve(processes, "candidate", binaries["candidate"], work)
    environment["SHADOW_PRIMARY_URL"] = url(processes, primary)

    def shadowctl(*words, **options):
        return processes.run([BUILT / "shadowctl", *words], cwd=HERE, env=environment, **options)

    shadowctl("schema", "apply")
    # The agent creates the captured topic, without which there can be no launch of it.
    serving = r'"message":"serving".*?"address":"([^"]+)"'
    entrance = "http://" + service(processes, "capture-agent", environment, ['"message":"publishing"', serving])[1]
    service(processes, "replayer", environment, ['"message":"control topic read; replaying"'])
    service(processes, "comparator", environment, ['"message":"starting"'])
    # An earlier run may have left its launch on a Kafka that lives on.
    launch = f"datasette-1x-{int(time.time())}" if lives_on else "datasette-1x"
    shadowctl("launch", "create", launch, "--service", "datasette", "--candidate", url(processes, candidate),
              "--rules", "comparison.toml", "--max-in-flight", "8")
    try:
        say(f"sending {requests} requests to {entrance}")
        processes.run([sys.executable, HERE / "load.py", entrance, str(requests)])
        settle(processes, environment, launch, requests)
    finally:
        if lives_on:
            # Or the next replayer there takes it up again.
            shadowctl("launch", "pause", launch)

    shadowctl("report", launch, "--top", "500", stdout=None)
    report = shadowctl("report", launch, "--top", "500", "--json", stdout=subprocess.PIPE)
    if json_file:
        json_file.write_bytes(report)
    return explained.check(json.loads(report), HERE.parent / "datasette.md")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2400, metavar="N", help="how many requests to send (2400)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write the report here")
    arguments = parser.parse_args()
    if arguments.requests < 1:
        parser.error("--requests needs a number above 0")
    CACHE.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="shadowline-datasette-"))
    try:
        with Processes(work) as processes:
            complete = rehearse(processes, work, arguments.requests, arguments.json)
    except Failed as failure:
        sys.exit(f"run.py: {failure}\nthe logs are in {work}")
    except SystemExit:
        shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(work, ignore_errors=True)
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    main()
