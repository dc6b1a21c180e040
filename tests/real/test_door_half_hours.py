"""A real door, half-hour by half-hour over 63 days: one of eight, so its ins and outs do not balance."""

import csv
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from occupancy.place import Place
from sensors.instants import millis

DOOR = Path(__file__).resolve().parents[2] / "../shared/data/footfall/calit2_door_in_out_30min_first63days.csv"
pytestmark = pytest.mark.skipif(not DOOR.exists(), reason="the door's counts are not here")
ZONE = ZoneInfo("America/Los_Angeles")


def test_a_door_that_does_not_balance_never_makes_a_negative_number():
    place = Place(200, 300, timezone=ZONE.key)
    with DOOR.open() as file:
        rows = list(csv.DictReader(file))
    counted = [0, 0]
    for row in rows:
        at_ms = millis(when(row))
        place.count(at_ms, int(row["in_count"]), int(row["out_count"]), "front", whole_gap=True)
        counted[0] += int(row["in_count"])
        counted[1] += int(row["out_count"])
        estimate = place.estimate(at_ms)
        assert 0 <= estimate.low <= estimate.mean <= estimate.high
        assert estimate.high < 3_000
    assert len(rows) == 3024
    assert min(counted) > 10_000


def when(row: dict[str, str]) -> datetime:
    return datetime.fromisoformat(row["slot_start_local"]).replace(tzinfo=ZONE)
