"""Sends requests as Datasette's clients do: dashboards, a map, a spreadsheet, a script that walks through pages.

    load.py http://127.0.0.1:PORT COUNT

The requests are the same in every run (a seeded generator): eighteen routes, forty requests a second, eight connections. Prints
how often each status came back. Fails when a request gets no answer at all.
"""

import collections
import http.client
import random
import sys
import threading
import time
import urllib.parse

CONNECTIONS = 8
# Well below what one Datasette can do on a small machine, so that times are those of answers and not of queues.
PER_SECOND = 40
SYMBOLS = ["AAPL", "AMZN", "GOOG", "IBM", "MSFT"]
ORIGINS = ["USA", "Japan", "Europe"]
WEATHER = ["drizzle", "fog", "rain", "snow", "sun"]
SITES = ["Crookston", "Duluth", "Grand Rapids", "Morris", "University Farm", "Waseca"]
STATES = ["AK", "CA", "CO", "FL", "MT", "NY", "TX", "WA"]
SPECIES = ["setosa", "versicolor", "virginica"]


def query(**parameters):
    return urllib.parse.urlencode(parameters)


def airports(pick):
    """The map: pages of airports, and what the user clicks on; one in thirty has been removed since."""
    if pick.random() < 0.5:
        row = pick.randint(90_000, 99_999) if pick.random() < 1 / 30 else pick.randint(1, 3376)
        return f"/open/airports/{row}.json"
    parameters = {"_size": pick.choice([5, 10, 20]), "state": pick.choice(STATES)}
    if pick.random() < 0.5:
        parameters["_next"] = pick.randint(1, 1500)
    return "/open/airports.json?" + query(**parameters)


def charts(pick):
    """Charts that ask for a bare array, as the documentation of 0.64 advises."""
    if pick.random() < 0.6:
        return "/open/stocks.json?" + query(symbol=pick.choice(SYMBOLS), _shape="array", _size="max")
    return "/open/barley.json?" + query(site=pick.choice(SITES), _shape="object", _sort="yield")


def explorer(pick):
    """Someone who looks around: facets, arrays, and now and then a column that is not there."""
    choice = pick.random()
    if choice < 0.45:
        return "/open/cars.json?" + query(_facet="Origin", Origin=pick.choice(ORIGINS), _size=pick.randint(1, 20))
    if choice < 0.85:
        return "/open/iris.json?" + query(_shape="arrays", species=pick.choice(SPECIES), _size=pick.randint(1, 30))
    if choice < 0.95:
        return "/open/us_employment.json?" + query(_size=pick.randint(1, 5), _col="month")
    return "/open/cars.json?" + query(_sort="horsepower_per_ton")


def spreadsheet(pick):
    """A spreadsheet that reloads its sheet."""
    return "/open/seattle_weather.csv?" + query(weather=pick.choice(WEATHER), _size="max")


def analyst(pick):
    """SQL from scripts, some already written for 1.0."""
    sql = f"select Origin, count(*) as n from cars where Cylinders >= {pick.choice([3, 4, 5, 6, 8])} group by Origin"
    path = pick.choice(["/open.json", "/open.json", "/open.csv", "/open/-/query.json"])
    return f"{path}?{query(sql=sql)}"


def monitoring(pick):
    """What a deployment asks of itself, and pages of people."""
    return pick.choice([
        "/.json",
        "/favicon.ico",
        "/-/versions.json",
        "/-/databases.json",
        "/-/settings.json",
        "/-/plugins.json",
        "/-/actor.json",
        "/-/metadata.json",
        "/open.json",
        "/open/iowa_electricity",
        f"/{pick.choice(['census', 'elections', 'budget'])}.json",
    ])


def requests(count):
    pick = random.Random(64)
    kinds = [airports, charts, explorer, spreadsheet, analyst, monitoring]
    weights = [28, 22, 18, 6, 8, 18]
    return [pick.choices(kinds, weights)[0](pick) for _ in range(count)]


class Load:
    """The requests still to be sent, and what came of the others."""

    def __init__(self, base, targets):
        self.authority = urllib.parse.urlsplit(base).netloc
        self.due = enumerate(targets)
        self.started = time.monotonic()
        self.lock = threading.Lock()
        self.statuses = collections.Counter()
        self.failure = None

    def next(self):
        """The next request, when its time has come; None when there is none, or one has failed."""
        with self.lock:
            index, target = next(self.due, (None, None))
        if target is None or self.failure:
            return None
        time.sleep(max(0, self.started + index / PER_SECOND - time.monotonic()))
        return target

    def send_all(self):
        connection = http.client.HTTPConnection(self.authority, timeout=30)
        while (target := self.next()) is not None:
            try:
                connection.request("GET", target, headers={"Accept": "*/*", "User-Agent": "datasette-example/1"})
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                self.failure = f"GET {target}: {error!r}"
                break
            with self.lock:
                self.statuses[response.status] += 1
        connection.close()


def main(base, count):
    load = Load(base, requests(count))
    workers = [threading.Thread(target=load.send_all) for _ in range(CONNECTIONS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if load.failure:
        sys.exit("no answer: " + load.failure)
    statuses = ", ".join(f"{number} x {status}" for status, number in sorted(load.statuses.items()))
    print(f"{load.statuses.total()} answers: {statuses}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
