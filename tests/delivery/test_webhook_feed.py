"""Who hears what."""

import json

import pytest

from geo_service.delivery.webhook_endpoints import KINDS, EndpointBody, check_body, made
from geo_service.delivery.webhook_feed import Feed
from geo_service.errors import InvalidInputError
from geo_service.flow.entries import EntryId

ENTRY = EntryId(1_772_366_400_000, 3)


def endpoint(name="wh-1", kinds=("crossing",), **more):
    return made(EndpointBody(url="https://a.example/", kinds=list(kinds), **more), name, "whsec_AAAA", 0)


def crossing(store="harbour", **more):
    return json.dumps({"kind": "crossing", "id": "0-17-3", "device": "phone-1", "store": store} | more).encode()


def occupancy(mean, store="harbour", zone=None):
    return json.dumps({"kind": "occupancy", "store": store, "zone": zone, "mean": mean}).encode()


def bodies(queued):
    return [json.loads(each.body) for each in queued]


def test_an_output_is_queued_for_everyone_who_hears_its_kind_and_store():
    feed = Feed()
    feed.use(
        [
            endpoint("all"),
            endpoint("harbour", stores=["harbour"]),
            endpoint("market", stores=["market"]),
            endpoint("visits", kinds=["visit"]),
            endpoint("off", enabled=False),
        ]
    )
    queued = feed.take(2, ENTRY, crossing() + b"\n" + crossing("market"), 0)
    assert [(each.endpoint, each.id) for each in queued] == [
        ("all", f"2-{ENTRY}-0"),
        ("harbour", f"2-{ENTRY}-0"),
        ("all", f"2-{ENTRY}-1"),
        ("market", f"2-{ENTRY}-1"),
    ]


def test_who_may_not_see_device_ids_gets_none():
    feed = Feed()
    feed.use([endpoint("named", identities=True), endpoint("anonymous")])
    line = crossing(code="SECRET", evidence={"crossing": "of phone-1"})
    named, anonymous = feed.take(0, ENTRY, line, 0)
    assert named.body == line
    assert json.loads(anonymous.body) == {"kind": "crossing", "id": "0-17-3", "store": "harbour"}


def test_an_occupancy_comes_at_most_so_often_and_the_newest_is_never_lost():
    feed = Feed()
    feed.use([endpoint(kinds=["occupancy"], occupancy_s=60)])
    sent = [feed.take(0, ENTRY, occupancy(mean), mean * 1000) for mean in range(1, 40)]
    assert [bodies(each) for each in sent if each] == [
        [{"kind": "occupancy", "store": "harbour", "zone": None, "mean": 1}]
    ]
    assert feed.due(60_999) == []
    assert [body["mean"] for body in bodies(feed.due(61_000))] == [39]
    assert feed.due(500_000) == []
    assert len(feed.take(0, ENTRY, occupancy(50), 500_000)) == 1


def test_places_do_not_wait_for_each_other():
    feed = Feed()
    feed.use([endpoint(kinds=["occupancy"])])
    blob = b"\n".join([occupancy(1), occupancy(2, zone="cafe"), occupancy(3, store="market"), occupancy(4)])
    assert [body["mean"] for body in bodies(feed.take(0, ENTRY, blob, 0))] == [1, 2, 3]


def test_who_begins_to_hear_occupancies_begins_with_the_present():
    feed = Feed()
    (new,) = feed.use([endpoint(kinds=["occupancy"], stores=["harbour"]), endpoint("other")])
    current = {"harbour": [occupancy(7), occupancy(2, zone="cafe")], "market": [occupancy(9, "market")]}
    begun = feed.begin(new, current, 1000)
    assert [body["mean"] for body in bodies(begun)] == [7, 2]
    assert len({each.id for each in begun}) == 2
    assert feed.begin(new, current, 1_000_000) == begun  # the same value, the same id
    assert feed.use([new]) == []


def test_a_removed_endpoint_holds_nothing_back():
    feed = Feed()
    feed.use([endpoint(kinds=["occupancy"])])
    feed.take(0, ENTRY, occupancy(1), 0)
    feed.take(0, ENTRY, occupancy(2), 1)
    feed.use([])
    assert feed.due(1_000_000) == []


@pytest.mark.parametrize(
    "body",
    [
        {"kinds": ["weather"]},
        {"kinds": ["crossing"], "stores": ["a b"]},
        {"kinds": ["rejected"]},
        {"kinds": ["rejected"], "identities": True, "stores": ["harbour"]},
    ],
)
def test_what_cannot_be_heard_is_refused(body):
    with pytest.raises(InvalidInputError):
        check_body(EndpointBody(url="https://a.example/", **body))


def test_every_kind_of_output_may_be_heard():
    check_body(EndpointBody(url="https://a.example/", kinds=sorted(KINDS), identities=True))
    assert {"crossing", "occupancy", "visit", "offer", "sensor", "rejected"} <= KINDS


@pytest.mark.parametrize("identities", [True, False])
def test_nobody_but_the_shopper_is_told_a_coupons_code(identities):
    feed = Feed()
    feed.use([endpoint("wh-1", kinds=["offer"], identities=identities)])
    offer = {"kind": "offer", "id": "0-17-3.0", "device": "phone-1", "store": "harbour", "code": "7Q4K-9XWM-02RT-HB5N"}
    (queued,) = feed.take(0, ENTRY, json.dumps(offer).encode(), 0)
    assert b"7Q4K" not in queued.body
    assert json.loads(queued.body).get("code") is None
