"""Steady presence: few false crossings, and none late."""

import math

import pytest

from geo_service.catalogue.documents import Fence
from geo_service.geofences.presence import Presence
from geo_service.pings.batch import PingBatch

NOON = 1_780_000_000_000
METRE = 1 / 111_320
"""Degrees at the equator."""
SHOP = Fence(
    id="shop", geometry={"type": "Point", "coordinates": [10, 0]}, radius_m=50, store="s1", role="store", dwell_s=120
)


def at(seconds, metres, accuracy_m=10.0, device="d1"):
    """A ping so many metres east of the shop's middle."""
    return (device, NOON + round(seconds * 1000), 0.0, 10 + metres * METRE, accuracy_m, math.nan, math.nan, 0)


def walk(presence, *pings):
    """Events of pings that come one by one, each logged at its own time: type, seconds since noon, reason."""
    events = []
    for ping in pings:
        events += presence.advance(PingBatch.from_rows([ping]), ping[1]).events
    return [(event.type, (event.time_ms - NOON) // 1000, event.reason) for event in events]


def steady(*fences):
    presence = Presence()
    for fence in fences or (SHOP,):
        presence.put_fence(fence, NOON)
    return presence


def test_a_stay_is_one_enter_and_one_exit():
    presence = steady()
    pings = [at(0, 200), at(30, 10), at(60, -10), at(90, 20), at(120, 200), at(150, 240)]
    assert walk(presence, *pings) == [("enter", 30, "observed"), ("exit", 120, "observed")]


def test_a_single_outlier_ends_no_stay():
    presence = steady()
    assert walk(presence, at(0, 0), at(30, 0), at(60, 150), at(90, 0), at(119, 5)) == [("enter", 0, "observed")]


def test_a_doubt_that_lasts_ends_the_stay_without_another_ping():
    presence = steady()
    assert walk(presence, at(0, 0), at(30, 0), at(60, 300)) == [("enter", 0, "observed")]
    assert presence.tick(NOON + 119_000) == []
    [event] = presence.tick(NOON + 120_000)
    assert (event.type, event.time_ms, event.duration_ms) == ("exit", NOON + 60_000, 60_000)


@pytest.mark.parametrize("accuracy_m", [5.0, 15.0, math.nan, 25.0])
@pytest.mark.parametrize("every_s", [0.2, 1])
def test_who_pings_often_comes_and_goes_where_others_do(every_s, accuracy_m):
    """Of many fixes a second each one says little; all of them together say as much as a few."""

    def stay(every_s):
        way = [max(160 - 1.3 * second, 0) for second in range(200)]
        way += way[::-1]
        seconds = [number * every_s for number in range(int(len(way) / every_s))]
        events = walk(steady(), *(at(round(each, 1), way[int(each)], accuracy_m) for each in seconds))
        [(_, entered, _), (_, left, _)] = [event for event in events if event[0] != "dwell"]
        return entered, left

    assert stay(every_s) == pytest.approx(stay(5), abs=15)


def test_what_is_believed_survives_a_dump():
    presence = steady()
    walk(presence, at(0, 0), at(30, 0), at(60, 150))
    again = Presence.load(presence.dump(), [SHOP])
    rest = [at(90, 150), at(120, 0)]
    assert walk(again, *rest) == walk(presence, *rest)
    assert again.dump() == presence.dump()
