"""Home Assistant finds every store and zone by itself."""

import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from geo_service.catalogue.documents import Store
from geo_service.delivery.home_assistant import announcements, withdrawals

STORE = Store(id="north.1", name="North Street", lat=60.1, lon=24.9)
ids = st.from_regex(r"\A[A-Za-z0-9_.:-]{1,64}\Z")


def entities(zones=()):
    return {one.topic: msgspec.json.decode(one.payload) for one in announcements(STORE, zones, version="0.1.0")}


def test_a_store_has_a_number_of_people_a_level_and_a_full():
    found = entities()
    assert list(found) == [
        "homeassistant/sensor/geo_service/north_2e1_occupancy/config",
        "homeassistant/sensor/geo_service/north_2e1_level/config",
        "homeassistant/binary_sensor/geo_service/north_2e1_full/config",
    ]
    people, level, full = found.values()
    assert people["state_topic"] == "geo/v1/store/north.1/occupancy"
    assert (people["name"], people["unit_of_measurement"]) == ("Occupancy", "people")
    assert (level["device_class"], level["options"]) == ("enum", ["quiet", "normal", "busy", "full"])
    assert (full["payload_on"], full["payload_off"]) == ("ON", "OFF")


def test_a_zone_reads_its_own_topic_and_belongs_to_its_store():
    found = list(entities(["hall"]).values())
    assert len(found) == 6
    assert {entity["state_topic"] for entity in found[3:]} == {"geo/v1/store/north.1/occupancy/hall"}
    assert found[3]["name"] == "Hall occupancy"
    assert all(entity["device"] == found[0]["device"] for entity in found)
    assert found[0]["device"]["name"] == "North Street"


def test_a_blind_place_is_shown_as_unavailable():
    for entity in entities().values():
        assert entity["availability_topic"] == entity["state_topic"]
        assert "'offline' if value_json.status == 'blind'" in entity["availability_template"]


def test_what_is_no_longer_there_is_taken_away():
    before, after = entities(["hall", "cafe"]), entities(["cafe"])
    gone = withdrawals(before, after)
    assert {one.payload for one in gone} == {b""}
    assert {one.topic for one in gone} == set(before) - set(after) != set()
    assert withdrawals(after, after) == []


@given(places=st.sets(st.tuples(ids, ids | st.just("")), min_size=2, max_size=6))
def test_no_two_places_share_an_entity_and_every_topic_is_allowed(places):
    topics, unique = [], []
    for store, zone in places:
        made = announcements(Store(id=store, name="x", lat=0, lon=0), [zone] if zone else [])
        own = made[3:] if zone else made
        topics += [one.topic for one in own]
        unique += [msgspec.json.decode(one.payload)["unique_id"] for one in own]
    assert len(set(topics)) == len(topics)
    assert len(set(unique)) == len(unique)
    assert all(
        re.fullmatch(r"homeassistant/(binary_)?sensor/geo_service/[A-Za-z0-9_-]+/config", topic) for topic in topics
    )
