"""What `check` says of campaigns that want something done when a store is full."""

import msgspec
import pytest

from geo_service.catalogue.check import check_site
from geo_service.catalogue.documents import Campaign, Fence, Store, Trigger, WhenFull
from geo_service.catalogue.site import Site
from geo_service.decoding import convert
from geo_service.errors import InvalidInputError

STORES = {"s1": 45.0, "s2": 45.01, "s3": 45.1}
"""Latitudes: 1.1 km, and 10 km."""


def problems(when_full, *, stores=("s1", "s2", "s3"), trigger=None, detect=("enter", "exit", "dwell")):
    site = Site()
    for name in stores:
        site.store[name] = Store(id=name, name=name, lat=STORES[name], lon=-6.0, timezone="Atlantic/Azores")
        at = {"geometry": {"type": "Point", "coordinates": [-6.0, STORES[name]]}, "radius_m": 300, "store": name}
        site.fence[name] = Fence(id=name, role="near", detect=detect, **at)
    trigger = trigger or Trigger()
    site.campaign["c"] = Campaign(id="c", name="C", trigger=trigger, when_full=when_full)
    return [(problem.severity, problem.reason) for problem in check_site(site) if problem.id == "c"]


def test_nothing_is_said_where_every_store_has_another_in_reach():
    assert problems(WhenFull(redirect_m=1000, wait_s=60), stores=("s1", "s2")) == []


@pytest.mark.parametrize(
    ("metres", "stores", "said"),
    [
        (1000, ("s1", "s2", "s3"), "1000 m reach no other store of the campaign from s3"),
        (800, ("s1", "s2"), "800 m reach no other store of the campaign from any of its stores"),
        (800, ("s1",), "'s1' is its only store, so there is none to be sent to"),
    ],
)
def test_a_store_without_another_in_reach_of_its_fence_is_named(metres, stores, said):
    assert problems(WhenFull(redirect_m=metres), stores=stores) == [("warning", f"when_full.redirect_m: {said}")]


def test_who_stands_at_the_edge_of_the_fence_is_nearer():
    assert problems(WhenFull(redirect_m=815), stores=("s1", "s2")) == []


def test_a_fence_that_tells_no_exits_lets_nobody_wait():
    ((severity, reason),) = problems(WhenFull(wait_s=60), detect=("enter",))
    assert (severity, reason.partition(":")[0]) == ("warning", "when_full.wait_s")


@pytest.mark.parametrize(
    ("trigger", "field"),
    [
        (Trigger(type="exit"), "when_full.wait_s"),
        (Trigger(type="cross"), "when_full.wait_s"),
        (Trigger(type="order_ready"), "when_full.redirect_m"),
    ],
)
def test_a_trigger_that_leaves_nobody_is_an_error_with_its_place(trigger, field):
    found = problems(WhenFull(redirect_m=2000, wait_s=60), trigger=trigger)
    assert [reason.partition(":")[0] for severity, reason in found if severity == "error"] == [field]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "when_full"),
        ({"redirect_m": 0}, "when_full.redirect_m"),
        ({"redirect_m": 200_000}, "when_full.redirect_m"),
        ({"wait_s": "soon"}, "when_full.wait_s"),
        ({"wait_s": 0.5}, "when_full.wait_s"),
        ({"wait_s": 60, "redirect": 5}, "when_full"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(document, field):
    with pytest.raises(InvalidInputError) as refused:
        convert({"id": "c", "name": "C", "when_full": document}, Campaign)
    assert refused.value.field == field


def test_a_campaign_survives_being_written_and_read():
    campaign = Campaign(id="c", name="C", when_full=WhenFull(redirect_m=2000))
    assert msgspec.json.decode(msgspec.json.encode(campaign), type=Campaign) == campaign
