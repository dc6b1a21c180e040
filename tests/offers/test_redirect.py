"""Where a shopper may go instead."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.catalogue.documents import Campaign, Store, Trigger, WhenFull
from geo_service.errors import InvalidInputError
from geo_service.offers.audience import metres_between
from geo_service.offers.redirect import MOST_STORES, Reach, as_there, moment_of, read_when_full
from geo_service.outputs import Crossing

NOW = datetime(2026, 6, 6, 10, tzinfo=UTC)
places = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
near_a_place = st.tuples(st.floats(44.99, 45.01), st.floats(179.99, 180) | st.floats(-180, -179.99))
near_a_pole = st.tuples(st.floats(89.98, 90), st.floats(-180, 180))


def stores_at(points):
    return [Store(id=f"s{number}", name="S", lat=lat, lon=lon) for number, (lat, lon) in enumerate(points)]


def crossing(lat=45.0, lon=-6.0, **changes):
    known = {"id": "0-1-0-3", "type": "enter", "device": "d", "fence": "f", "store": "s0", "role": "store"}
    fix = {"lat": lat, "lon": lon, "accuracy_m": 5.0, "confidence": 1.0, "duration_s": None, "reason": "observed"}
    return Crossing(**(known | {"time": NOW, "logged": NOW} | fix | changes))


@pytest.mark.parametrize("some", [places, near_a_place, near_a_pole])
@given(data=st.data(), within_m=st.floats(1, 100_000))
def test_what_is_around_is_what_looking_at_every_store_finds(some, data, within_m):
    stores = stores_at(data.draw(st.lists(some, max_size=12)))
    lat, lon = data.draw(some)
    found = Reach(stores).around(lat, lon, within_m)
    wanted = {store.id for store in stores if metres_between(lat, lon, store.lat, store.lon) <= within_m}
    assert {store.id for _, store in found} == wanted
    assert [metres for metres, _ in found] == sorted(metres for metres, _ in found)


def test_the_nearest_come_first_never_the_one_that_is_full_and_only_a_few():
    reach = Reach(stores_at([(45.0 + step / 1000, -6.0) for step in (0, 4, 1, 3, 2, 5)]))
    assert reach.instead(crossing(), 10_000) == ["s2", "s4", "s3"]
    assert len(reach.instead(crossing(), 10_000)) == MOST_STORES
    assert reach.instead(crossing(), 150) == ["s2"]


def test_where_nobody_knows_where_she_is_there_is_nowhere_to_send_her():
    assert Reach(stores_at([(45, -6), (45, -6)])).instead(crossing(lat=None), 10_000) == []


def test_another_store_sees_somebody_outside_and_decides_under_another_id():
    there = as_there(crossing(), "s1", 2)
    assert (there.store, there.role, there.id) == ("s1", "near", "0-1-0-3~2")
    assert {moment_of(f"{each}.0") for each in (there.id, "0-1-0-3", "0-1-0-3~w7")} == {"0-1-0-3"}


@pytest.mark.parametrize(
    ("trigger", "when_full", "field"),
    [
        ("exit", WhenFull(wait_s=60), "when_full.wait_s"),
        ("cross", WhenFull(wait_s=60), "when_full.wait_s"),
        ("order_ready", WhenFull(redirect_m=60), "when_full.redirect_m"),
        ("exit", WhenFull(redirect_m=60), None),
        ("order_ready", WhenFull(wait_s=60), None),
        ("dwell", WhenFull(redirect_m=60, wait_s=60), None),
        ("enter", None, None),
    ],
)
def test_a_trigger_must_leave_somebody_to_be_sent_on_or_to_wait(trigger, when_full, field):
    campaign = Campaign(id="c", name="C", trigger=Trigger(type=trigger), when_full=when_full)
    if field is None:
        assert read_when_full(campaign) == when_full
    else:
        with pytest.raises(InvalidInputError) as refused:
            read_when_full(campaign)
        assert refused.value.field == field
