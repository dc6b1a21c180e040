"""What Home Assistant is told, and told again only when it changed."""

from geo_service.catalogue.documents import Line, Sensor, Store
from geo_service.delivery.announcer import Announcer, zones_of

STORE = Store(id="s1", name="One", lat=1, lon=2)
DOOR = Sensor(id="d", store="s1", lines={"a": Line(zone="back", from_zone="front")})


class Broker:
    def __init__(self):
        self.got = []

    def publish(self, messages):
        self.got.append(messages)


def test_stores_with_sensors_are_announced_once_and_withdrawn_when_gone():
    broker = Broker()
    announcer = Announcer(broker, "homeassistant", "1.0")
    announcer.announce({"s1": STORE, "s2": Store(id="s2", name="No sensors", lat=1, lon=2)}, {"d": DOOR})
    announcer.announce({"s1": STORE}, {"d": DOOR})
    (first,) = broker.got
    assert all(message.retain and message.payload for message in first)
    assert len(first) == 9  # the store and two zones, three entities each
    assert not any("s2" in message.topic for message in first)
    announcer.announce({}, {})
    assert {message.topic for message in broker.got[1]} == {message.topic for message in first}
    assert all(message.retain and message.payload == b"" for message in broker.got[1])


def test_zones_are_those_that_sensors_count():
    assert zones_of([DOOR, Sensor(id="c", store="s1", zone="cellar")]) == ["back", "cellar", "front"]
