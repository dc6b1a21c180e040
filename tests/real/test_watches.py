"""Sixteen runs, rides and walks, a fix every second."""

import csv
import gzip
from datetime import datetime

import pytest
from traces import DATA, brute_force, places, told

TRACES = DATA / "gps/fit_watch_activities.csv.gz"

pytestmark = pytest.mark.skipif(not TRACES.exists(), reason="needs the real traces beside the project")


def activities():
    """(device, time, lat, lon) in batches of up to 700, each logged with its last fix."""
    by_file = {}
    with gzip.open(TRACES, "rt", newline="") as file:
        for row in csv.DictReader(file):
            time_ms = round(datetime.fromisoformat(row["t"]).timestamp() * 1000)
            if row["lat"] and row["lon"]:
                by_file.setdefault(row["file"], []).append((row["file"], time_ms, float(row["lat"]), float(row["lon"])))
    files = sorted(by_file.values(), key=lambda rows: rows[0][1])
    batches, logged = [], 0
    for rows in files:
        for begin in range(0, len(rows), 700):
            part = rows[begin : begin + 700]
            logged = max(logged, *(row[1] for row in part))
            batches.append((part, logged))
    return batches


def test_strict_crossings_of_watches_equal_brute_force_event_for_event():
    batches = activities()
    fences = places([row for rows, _ in batches for row in rows])
    expected = brute_force(batches, fences)
    assert told(batches, fences) == expected
    assert len(expected[0]) > 400
