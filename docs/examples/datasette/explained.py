"""Checks that the page explains every signature of a report.

A signature is explained by a row of a table whose first four cells are its route, place, kind and transition.
"""


def explained(page):
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) >= 5:
            yield tuple(cells[:4])


def check(report, page):
    """Whether every signature has its row. A row without a signature is only told: a short run meets fewer of them."""
    found = {tuple(each[key] for key in ("route", "place", "kind", "transition")) for each in report["signatures"]}
    known = set(explained(page))
    for signature in sorted(known - found):
        print("explained but not met:", *signature)
    for signature in sorted(found - known):
        print("met but not explained:", *signature)
    if found <= known:
        print(f"all {len(found)} signatures are explained in docs/examples/datasette.md")
    return found <= known
