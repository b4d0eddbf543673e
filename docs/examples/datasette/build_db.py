"""Writes eight tables of the package vega_datasets (public data sets) into one SQLite file.

The same tables in the same order every time: what the two versions of Datasette answer differs by nothing but the version.
"""

import csv
import importlib.util
import json
import pathlib
import sqlite3
import sys

FILES = [
    "airports.csv",
    "barley.json",
    "cars.json",
    "iowa-electricity.csv",
    "iris.json",
    "seattle-weather.csv",
    "stocks.csv",
    "us-employment.csv",
]


def rows_of(path):
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main(target):
    # Found, not imported: importing it needs pandas.
    data = pathlib.Path(importlib.util.find_spec("vega_datasets").origin).parent / "_data"
    database = sqlite3.connect(target)
    total = 0
    for name in FILES:
        rows = rows_of(data / name)
        table = pathlib.Path(name).stem.replace("-", "_")
        columns = list(rows[0])
        declared = ", ".join(f'"{column}"' for column in columns)
        places = ", ".join("?" for _ in columns)
        database.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {declared})")
        values = ([row.get(column) for column in columns] for row in rows)
        database.executemany(f"INSERT INTO {table} VALUES (NULL, {places})", values)
        total += len(rows)
    database.commit()
    database.close()
    print(f"{len(FILES)} tables, {total} rows")


main(sys.argv[1])
