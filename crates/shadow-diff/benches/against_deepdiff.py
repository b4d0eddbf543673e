"""Times DeepDiff on the pairs of the bench `speed`, right after it, and prints how many times faster the comparison is.

    python3 -m venv /tmp/deepdiff && /tmp/deepdiff/bin/pip install deepdiff
    /tmp/deepdiff/bin/python crates/shadow-diff/benches/against_deepdiff.py

DeepDiff is given parsed values, so the time it takes does not include parsing; that of the comparison does. Under the four rules
of the bench it gets the options that come nearest. The fastest of several batches counts on both sides.
"""

import json
import os
import re
import subprocess
import tempfile
import time

import deepdiff
from deepdiff import DeepDiff

FOUR = {
    "exclude_regex_paths": [re.compile(r"^root\['generated_at'\]$"), re.compile(r"\['trace'\]$")],
    "ignore_order": True,
    "significant_digits": 2,
}
BATCHES, BATCH = 15, 3


def fastest(run):
    best = float("inf")
    for _ in range(BATCHES):
        start = time.perf_counter()
        for _ in range(BATCH):
            run()
        best = min(best, (time.perf_counter() - start) / BATCH)
    return best


def main():
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "pairs.json")
        subprocess.run(["cargo", "bench", "-q", "-p", "shadow-diff", "--bench", "speed"], check=True,
                       env={**os.environ, "SHADOW_DIFF_PAIRS": file})
        with open(file) as text:
            pairs = json.load(text)
    print(f"\nDeepDiff {deepdiff.__version__}")
    print(f"{'pair':>24} {'rules':>6} {'compare/s':>12} {'DeepDiff/s':>12} {'times':>8}")
    least = float("inf")
    for pair in pairs:
        primary, candidate = json.loads(pair["primary"]), json.loads(pair["candidate"])
        options = FOUR if pair["rules"] == "four" else {}
        seconds = fastest(lambda: DeepDiff(primary, candidate, **options))
        times = seconds / pair["seconds"]
        least = min(least, times)
        print(f"{pair['name']:>24} {pair['rules']:>6} {1 / pair['seconds']:>12,.0f} {1 / seconds:>12,.0f} {times:>8,.0f}")
    print(f"at least {least:,.0f} times")


main()
