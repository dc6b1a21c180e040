"""Visits, from the exits that close them."""

import msgspec
import pytest

from geo_service.geofences.events import Event
from geo_service.geofences.visits import Visit, Visits

MINUTE = 60_000
LEFT = 1_780_000_000_000


def left(duration_ms=10 * MINUTE, **other):
    event = Event(
        "exit", "d1", "shop", "s1", "store", LEFT, 60.0, 24.0, 8.0, 0.9, duration_ms, "observed", False,
    )  # fmt: skip
    return msgspec.structs.replace(event, **other)


def test_leaving_a_store_closes_a_visit():
    assert Visits().take(left()) == Visit("d1", "s1", "shop", LEFT - 10 * MINUTE, LEFT, 10 * MINUTE, True)


@pytest.mark.parametrize(
    ("duration_ms", "confirmed"), [(2 * MINUTE - 1, False), (2 * MINUTE, True), (12 * 60 * MINUTE, True)]
)
def test_a_visit_is_confirmed_at_two_minutes(duration_ms, confirmed):
    assert Visits().take(left(duration_ms)).confirmed is confirmed


def test_how_long_confirms_can_be_said():
    assert Visits(confirmed_after_ms=5 * MINUTE).take(left(4 * MINUTE)).confirmed is False


def test_a_stay_of_over_twelve_hours_is_no_visit():
    assert Visits().take(left(12 * 60 * MINUTE + 1)) is None


@pytest.mark.parametrize("other", [{"role": "near"}, {"role": "curbside"}, {"role": "zone"}, {"store": None}])
def test_only_a_fence_of_a_store_makes_visits(other):
    assert Visits().take(left(**other)) is None


@pytest.mark.parametrize("kind", ["enter", "dwell", "cross"])
def test_only_an_exit_closes_a_visit(kind):
    assert Visits().take(left(type=kind)) is None


def test_staff_make_no_visits():
    assert Visits(is_staff={"d1"}.__contains__).take(left()) is None
    assert Visits(is_staff={"d2"}.__contains__).take(left()) is not None


def test_a_device_that_is_forgotten_leaves_no_visit_behind():
    assert Visits().take(left(reason="forgotten")) is None


@pytest.mark.parametrize("reason", ["silence", "fence_changed", "fence_removed"])
def test_a_visit_counts_up_to_where_it_was_seen(reason):
    assert Visits().take(left(reason=reason)).left_ms == LEFT
