"""Pings that come late, twice, by a wrong clock, or from too far away."""

import math

import pytest

from geo_service.catalogue.documents import Fence

from .presence_walks import DAY_S, NOON, at, brief, circle, send, started, step

# --- time and order --------------------------------------------------------------------------------------------------


def test_a_late_ping_moves_nothing(mode):
    presence = started(mode, circle())
    send(presence, at(0, 500), at(60, 500))
    made = step(presence, at(30, 0), logged_s=61)
    assert (made.events, made.late.tolist()) == ([], [0])


def test_the_same_device_and_time_again_is_a_duplicate(mode):
    presence = started(mode, circle())
    made = step(presence, at(0, 0), at(0, 500), at(0, 0, "d2"), logged_s=1)
    assert ([event.device for event in made.events], made.duplicate.tolist()) == (["d1", "d2"], [1])


def test_a_clock_two_minutes_ahead_is_believed_and_one_further_ahead_is_not(mode):
    presence = started(mode, circle())
    made = step(presence, at(120, 0), at(121, 0, "d2"), logged_s=0)
    assert brief(made.events) == [("enter", "shop", 120, "observed"), ("enter", "shop", 0, "observed")]
    assert made.skewed.tolist() == [1]


def test_a_clock_that_is_not_believed_still_goes_forward(mode):
    presence = started(mode, circle())
    made = [
        step(presence, at(5000 + second, metres), logged_s=second) for second, metres in ((0, 0), (30, 500), (60, 500))
    ]
    told = [event for part in made for event in brief(part.events)]
    assert told == [("enter", "shop", 0, "observed"), ("exit", "shop", 30, "observed")]
    assert [part.skewed.tolist() for part in made] == [[0], [0], [0]]


def test_a_ping_older_than_a_day_is_refused(mode):
    presence = started(mode, circle())
    made = step(presence, at(-DAY_S, 0), at(-DAY_S - 1, 0, "d2"), logged_s=0)
    assert ([event.device for event in made.events], made.too_old.tolist()) == (["d1"], [1])


def test_a_backlog_replays_as_history(mode):
    presence = started(mode, circle(dwell_s=300))
    pings = [at(-7200 + 60 * minute, 0 if 5 <= minute < 15 else 400) for minute in range(30)]
    assert send(presence, *pings, logged_s=0) == [
        ("enter", "shop", -6900, "observed"),
        ("dwell", "shop", -6600, "observed"),
        ("exit", "shop", -6300, "observed"),
    ]


def test_a_mock_location_is_flagged(mode):
    presence = started(mode, circle())
    made = step(presence, at(0, 0, mock=1), at(0, 0, "d2"))
    assert [event.mock for event in made.events] == [True, False]


# --- leaps -----------------------------------------------------------------------------------------------------------


def test_a_leap_is_held_until_a_second_ping_agrees():
    presence = started("steady", circle(), circle("far", east_m=50_000))
    send(presence, at(0, 0))
    assert step(presence, at(30, 50_000), logged_s=30).held.tolist() == [0]
    assert send(presence, at(60, 10)) == []
    assert step(presence, at(90, 50_000), logged_s=90).held.tolist() == [0]
    again = step(presence, at(120, 50_010), logged_s=120)
    assert (again.held.tolist(), brief(again.events)[-1]) == ([], ("enter", "far", 120, "observed"))


@pytest.mark.parametrize("cut", [1, 2])
def test_a_ping_that_is_held_is_the_newest_one_all_the_same(cut):
    presence = started("steady", circle())
    pings = [at(0, 0), at(20, 50_000)]
    for part in (pings[i : i + cut] for i in range(0, 2, cut)):
        step(presence, *part, logged_s=20)
    assert step(presence, at(10, 500), logged_s=21).late.tolist() == [0]


def test_zero_zero_is_held_until_a_second_ping_agrees():
    gulf = Fence(id="gulf", geometry={"type": "Point", "coordinates": [0, 0]}, radius_m=1000)
    presence = started("steady", circle(), gulf)
    zero = ("d1", NOON, 0.0, 0.0, 5.0, math.nan, math.nan, 0)
    assert step(presence, zero).held.tolist() == [0]
    later = ("d1", NOON + 30_000, *zero[2:])
    assert brief(step(presence, later, logged_s=30).events) == [("enter", "gulf", 30, "observed")]


def test_a_leap_that_bad_accuracy_explains_is_not_held():
    presence = started("steady", circle())
    send(presence, at(0, 0))
    assert step(presence, at(10, 3000, accuracy_m=2500), logged_s=10).held.tolist() == []


def test_strict_takes_every_ping_as_it_is():
    presence = started("strict", circle(), circle("far", east_m=50_000))
    assert send(presence, at(0, 0), at(1, 50_000)) == [
        ("enter", "shop", 0, "observed"),
        ("exit", "shop", 1, "observed"),
        ("enter", "far", 1, "observed"),
    ]


def test_a_walk_over_the_antimeridian_is_no_leap():
    quay = Fence(id="quay", geometry={"type": "Point", "coordinates": [-179.9995, 0]}, radius_m=50)
    presence = started("steady", quay)
    walk = [
        ("d1", NOON + 30_000 * turn, 0.0, lon, 5.0, math.nan, math.nan, 0)
        for turn, lon in enumerate((179.9997, 180, -179.9997))
    ]
    assert [step(presence, ping, logged_s=60).held.tolist() for ping in walk] == [[], [], []]
    assert presence.fences_of("d1") == ["quay"]
