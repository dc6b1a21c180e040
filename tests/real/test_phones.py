"""Nine phones over years, as they arrived: late, twice, and one from 1970."""

import csv
import gzip
import math

import pytest
from traces import DATA, brute_force, places, told

from geo_service.geofences.presence import Presence
from geo_service.pings.batch import PingBatch

TRACES = DATA / "gps/emission_phone_locations.csv.gz"

pytestmark = pytest.mark.skipif(not TRACES.exists(), reason="needs the real traces beside the project")


def arrivals():
    """(device, time, lat, lon) in batches of up to 200 that reached the server within an hour, each with that time."""
    with gzip.open(TRACES, "rt", newline="") as file:
        rows = [
            (float(row["write_ts"]), f"{row['device']}.{row['stream']}", float(row["ts"]), row["lat"], row["lon"])
            for row in csv.DictReader(file)
        ]
    rows.sort(key=lambda row: row[0])
    batches, current = [], []
    for row in rows:
        if current and (row[0] - current[0][0] > 3600 or len(current) == 200):
            batches.append(current)
            current = []
        current.append(row)
    batches.append(current)
    return [
        (
            [(device, round(ts * 1000), float(lat), float(lon)) for _, device, ts, lat, lon in batch],
            round(batch[-1][0] * 1000),
        )
        for batch in batches
    ]


def test_strict_crossings_of_nine_phones_equal_brute_force_event_for_event():
    batches = arrivals()
    fences = places([row for rows, _ in batches for row in rows if row[2] or row[3]])
    expected = brute_force(batches, fences)
    assert told(batches, fences) == expected
    assert len(expected[0]) > 1000
    assert expected[1] > 100


def test_steady_makes_far_fewer_crossings_of_the_same_phones():
    batches = arrivals()
    fences = places([row for rows, _ in batches for row in rows if row[2] or row[3]])
    strict, _ = told(batches, fences)
    presence, steady = Presence("steady"), 0
    for fence in fences:
        presence.put_fence(fence, batches[0][1])
    for rows, logged in batches:
        unsaid = math.nan
        pings = [(device, time, lat, lon, unsaid, unsaid, unsaid, 0) for device, time, lat, lon in rows]
        steady += len(presence.advance(PingBatch.from_rows(pings), logged).events)
    assert 0 < steady < 0.8 * len(strict)
