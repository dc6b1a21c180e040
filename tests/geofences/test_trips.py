"""Trips: how far along an order's shopper is, and when they will be here."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_service.geofences.trips import ORDER, Trips
from geo_service.pings.batch import PingBatch

NOON = 1_780_000_000_000
METRE = 1 / 111_320
GOAL = (0.0, 10.0, 30.0)


def at(seconds, metres, device="d1"):
    """A ping so many metres before the middle of the goal."""
    return (device, NOON + round(seconds * 1000), 0.0, 10 - metres * METRE, 8.0, math.nan, math.nan, 0)


def expected(order="o1", device="d1", fence="kerb"):
    trips = Trips()
    trips.begin(order, device, fence, GOAL, NOON)
    return trips


def states(changes):
    return [change.state for change in changes]


def drive(trips, begin_m=4000, mps=10, every_s=10, until_m=30):
    changes, seconds = [], 0
    while begin_m - mps * seconds > until_m:
        changes += trips.advance(PingBatch.from_rows([at(seconds, begin_m - mps * seconds)]))
        seconds += every_s
    return changes, seconds


def test_a_trip_goes_forward_from_created_to_completed():
    trips = expected()
    changes, seconds = drive(trips)
    changes += trips.crossed("d1", "kerb", NOON + seconds * 1000)
    assert trips.tick(NOON + seconds * 1000 + 59_999) == []
    changes += trips.tick(NOON + seconds * 1000 + 60_000)
    changes += trips.complete("o1", NOON + seconds * 1000 + 300_000)
    assert states(changes) == ["en_route", "nearby", "arrived", "waiting", "completed"]
    assert trips.by_order == {}


def test_the_shopper_may_say_so():
    trips = expected()
    assert states(trips.on_my_way("o1", NOON)) == ["en_route"]
    assert states(trips.here("o1", NOON + 1000)) == ["arrived"]
    assert trips.on_my_way("o1", NOON + 2000) == []


def test_who_stays_where_they_are_is_not_on_the_way():
    trips = expected()
    rows = [at(30 * turn, 5000 + 40 * (turn % 2)) for turn in range(20)]
    assert trips.advance(PingBatch.from_rows(rows)) == []
    assert trips.by_order["o1"].state == "created"


@pytest.mark.parametrize(("mps", "begin_m"), [(1.4, 800), (10, 6000)])
def test_at_a_steady_pace_the_time_of_arrival_is_right_once_the_ratio_has_learnt(mps, begin_m):
    trips = Trips()
    for number in range(80):
        trips.begin(f"o{number}", "d1", "kerb", GOAL, NOON)
        _, seconds = drive(trips, begin_m, mps)
        trips.here(f"o{number}", NOON + seconds * 1000)
        trips.complete(f"o{number}", NOON + seconds * 1000)
    trips.begin("last", "d1", "kerb", GOAL, NOON)
    half_m = begin_m / 2
    drive(trips, begin_m, mps, until_m=half_m)
    arrives_s = (begin_m - GOAL[2]) / mps
    assert (trips.by_order["last"].eta_ms - NOON) / 1000 == pytest.approx(arrives_s, rel=0.1)


def test_the_ratio_learns_from_trips_that_take_longer_than_they_look():
    trips = Trips()
    before = dict(trips.ratio)
    for number in range(30):
        trips.begin(f"o{number}", "d1", "kerb", GOAL, NOON)
        _, seconds = drive(trips)
        trips.here(f"o{number}", NOON + 2 * seconds * 1000)
        trips.complete(f"o{number}", NOON + 2 * seconds * 1000)
    assert trips.ratio["drive"] > before["drive"] + 0.2
    assert trips.ratio["walk"] == before["walk"]


def test_staff_see_who_waits_longest_then_who_comes_soonest():
    trips = Trips()
    for order, device in (("far", "a"), ("near", "b"), ("here", "c"), ("longer", "d"), ("unseen", "e")):
        trips.begin(order, device, "kerb", GOAL, NOON)
    trips.begin("elsewhere", "f", "other", GOAL, NOON)
    trips.advance(PingBatch.from_rows([at(0, 9000, "a"), at(0, 900, "b")]))
    trips.here("longer", NOON + 1000)
    trips.here("here", NOON + 2000)
    assert [trip.order for trip in trips.queue(["kerb"])] == ["longer", "here", "near", "far", "unseen"]


def test_nothing_of_the_way_is_kept_when_it_ends():
    trips = expected()
    drive(trips)
    assert trips.dump()["trips"][0]["track"]["fixes"]
    trips.here("o1", NOON + 10**6)
    [kept] = trips.dump()["trips"]
    assert (kept["at"], kept["track"]["fixes"], kept["track"]["predictions"]) == (None, [], [])
    trips.complete("o1", NOON + 10**6)
    assert trips.dump()["trips"] == []


def test_a_late_ping_moves_nothing():
    trips = expected()
    trips.advance(PingBatch.from_rows([at(0, 4000), at(60, 3400)]))
    eta_ms = trips.by_order["o1"].eta_ms
    trips.advance(PingBatch.from_rows([at(30, 100)]))
    assert trips.by_order["o1"].eta_ms == eta_ms


acts = st.lists(
    st.one_of(
        st.tuples(st.just("ping"), st.integers(1, 90), st.integers(0, 5000)),
        st.tuples(st.sampled_from(["way", "here", "cross", "tick", "load"]), st.integers(1, 90), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(acts)
def test_a_trip_never_goes_back_whatever_happens_and_a_dump_changes_nothing(done):
    trips, seconds, reached = expected(), 0, [0]
    for act, wait, metres in done:
        seconds += wait
        now = NOON + seconds * 1000
        if act == "load":
            again = Trips.load(trips.dump())
            assert again.dump() == trips.dump()
            trips = again
        if act == "ping":
            changes = trips.advance(PingBatch.from_rows([at(seconds, metres)]))
        elif act == "way":
            changes = trips.on_my_way("o1", now)
        elif act == "here":
            changes = trips.here("o1", now)
        elif act == "cross":
            changes = trips.crossed("d1", "kerb", now)
        else:
            changes = trips.tick(now)
        reached += [ORDER.index(change.state) for change in changes]
    assert reached == sorted(set(reached))
