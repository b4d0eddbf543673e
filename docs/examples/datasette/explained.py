"""Checks that the page explains every signature of a report, and no others.

    explained.py REPORT.json PAGE.md

A signature is explained by a row of a table whose first four cells are its route, place, kind and transition. Fails when a
signature has no row; a row without a signature is only told, since a short run meets fewer of them.
"""

import json
import sys


def rows(page):
    for line in page.splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if line.startswith("| `") and len(cells) >= 5:
            yield tuple(cells[:4])


def main(report, page):
    with open(report, encoding="utf-8") as file:
        found = {tuple(s[key] for key in ("route", "place", "kind", "transition")) for s in json.load(file)["signatures"]}
    with open(page, encoding="utf-8") as file:
        explained = set(rows(file.read()))
    for signature in sorted(explained - found):
        print("explained but not met:", *signature)
    for signature in sorted(found - explained):
        print("met but not explained:", *signature)
    if found - explained:
        sys.exit(1)
    print(f"all {len(found)} signatures are explained in docs/examples/datasette.md")


main(sys.argv[1], sys.argv[2])
