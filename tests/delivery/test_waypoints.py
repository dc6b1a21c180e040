"""What an OwnTracks phone is told of the fences near it."""

import json
import threading

import pytest

from geo_service.catalogue.documents import Fence, Store
from geo_service.catalogue.site import encode_document
from geo_service.delivery.waypoints import FIRST_TST, MOST, WAITING, Waypoints
from geo_service.errors import UnreachableError
from geo_service.storage.catalogue import Documents, Stored


class Site:
    """What a catalogue answers."""

    def __init__(self):
        self.changes = []

    def put(self, kind, document, key=None):
        self.changes.append(((kind, key or document.id), document))

    def version(self):
        return len(self.changes)

    def since(self, version):
        changed = {
            name: None if document is None else Stored(1, encode_document(document))
            for name, document in self.changes[version:]
        }
        return Documents(len(self.changes), changed)


class Broker:
    def __init__(self):
        self.got = []
        self.fails = 0
        self.woke = threading.Event()

    def publish(self, messages):
        if self.fails:
            self.fails -= 1
            raise UnreachableError("mqtt://broker", "away")
        self.got += messages
        if messages:
            self.woke.set()


@pytest.fixture
def site():
    site = Site()
    for number in range(15):
        place = {"type": "Point", "coordinates": [25, 60 + number * 0.01]}
        site.put("store", Store(id=f"s{number:02}", name=f"Shop {number}", lat=60 + number * 0.01, lon=25))
        site.put(
            "fence", Fence(id=f"s{number:02}.in", geometry=place, radius_m=40, store=f"s{number:02}", role="store")
        )
        site.put(
            "fence", Fence(id=f"s{number:02}.by", geometry=place, radius_m=400, store=f"s{number:02}", role="near")
        )
    return site


def made(site, broker=None):
    counts = {}
    waypoints = Waypoints(
        site, broker or Broker(), lambda name, number: counts.update({name: counts.get(name, 0) + number})
    )
    waypoints.refresh()
    return waypoints, counts


def test_a_phone_is_given_the_ten_nearest_store_fences_as_owntracks_regions(site):
    waypoints, _ = made(site)
    said = waypoints.answer("owntracks/mia/phone", 60.0, 25.0)
    assert said.topic == "owntracks/mia/phone/cmd"
    assert not said.retain
    command = json.loads(said.payload)
    assert (command["_type"], command["action"]) == ("cmd", "setWaypoints")
    assert command["waypoints"]["_type"] == "waypoints"
    given = command["waypoints"]["waypoints"]
    assert [waypoint["desc"] for waypoint in given] == [f"Shop {number}" for number in range(MOST)]
    assert [waypoint["tst"] for waypoint in given] == list(range(FIRST_TST, FIRST_TST + MOST))
    assert given[0] == {"_type": "waypoint", "desc": "Shop 0", "lat": 60.0, "lon": 25.0, "rad": 100, "tst": FIRST_TST}


def test_it_is_told_again_only_when_others_are_nearest(site):
    waypoints, _ = made(site)
    assert waypoints.answer("owntracks/mia/phone", 60.0, 25.0) is not None
    assert waypoints.answer("owntracks/mia/phone", 60.0001, 25.0) is None
    assert waypoints.answer("owntracks/tom/phone", 60.0001, 25.0) is not None
    assert waypoints.answer("owntracks/mia/phone", 60.14, 25.0) is not None


def test_a_fence_that_is_new_or_gone_is_told_at_the_next_fix(site):
    waypoints, _ = made(site)
    waypoints.answer("owntracks/mia/phone", 60.0, 25.0)
    site.put("fence", None, "s00.in")
    site.put("store", Store(id="s01", name="Renamed", lat=60.01, lon=25))
    waypoints.refresh()
    given = json.loads(waypoints.answer("owntracks/mia/phone", 60.0, 25.0).payload)["waypoints"]["waypoints"]
    assert [waypoint["desc"] for waypoint in given[:2]] == ["Renamed", "Shop 2"]


def test_a_site_without_store_fences_has_nothing_to_tell():
    waypoints, _ = made(Site())
    assert waypoints.answer("owntracks/mia/phone", 60.0, 25.0) is None


def test_the_newest_fix_of_a_phone_counts_and_a_broker_that_was_away_is_told_at_the_next(site):
    broker = Broker()
    broker.fails = 1
    waypoints, counts = made(site, broker)
    stop = threading.Event()
    waypoints.seen("owntracks/mia/phone", 60.0, 25.0)
    waypoints.seen("owntracks/mia/phone/event", 60.14, 25.0)
    runner = threading.Thread(target=waypoints.run, args=(stop,))
    runner.start()
    try:
        while not counts.get("waypoints_skipped"):
            pass
        waypoints.seen("owntracks/mia/phone", 60.14, 25.0)
        assert broker.woke.wait(20)
    finally:
        stop.set()
        runner.join(20)
    (said,) = broker.got
    assert said.topic == "owntracks/mia/phone/cmd"
    assert "Shop 14" in {waypoint["desc"] for waypoint in json.loads(said.payload)["waypoints"]["waypoints"]}


def test_more_than_can_wait_is_counted_and_left_out(site):
    waypoints, counts = made(site)
    for _ in range(WAITING + 3):
        waypoints.seen("owntracks/mia/phone", 60.0, 25.0)
    assert counts == {"waypoints_skipped": 3}
