"""Keeps Home Assistant told of the stores and zones there are: announces the new, withdraws the gone."""

from collections.abc import Mapping
from typing import Protocol

from geo_service.catalogue.documents import Sensor, Store
from geo_service.delivery.home_assistant import Announcement, announcements, withdrawals
from geo_service.delivery.mqtt_publisher import Outgoing


class Publisher(Protocol):
    """Sends and waits for the broker's word."""

    def publish(self, messages: list[Outgoing]) -> object:
        """Returns once the broker has answered for all of them; it says itself what is refused."""
        ...


class Announcer:
    """Remembers what it announced; a restart announces again, which changes nothing there."""

    def __init__(self, publisher: Publisher, prefix: str, version: str) -> None:
        self._publisher = publisher
        self._prefix = prefix
        self._version = version
        self._announced: dict[str, bytes] = {}

    def announce(self, stores: Mapping[str, Store], sensors: Mapping[str, Sensor]) -> None:
        """Tell what changed since the last time.

        Raises:
            UnreachableError: the broker does not answer.
        """
        wanted: dict[str, bytes] = {}
        for store in stores.values():
            mine = [sensor for sensor in sensors.values() if sensor.store == store.id]
            if mine:
                found = announcements(store, zones_of(mine), prefix=self._prefix, version=self._version)
                wanted |= {announcement.topic: announcement.payload for announcement in found}
        changed = [Announcement(*item) for item in wanted.items() if self._announced.get(item[0]) != item[1]]
        changed += withdrawals(self._announced, wanted)
        if changed:
            self._publisher.publish([Outgoing(topic, payload, retain=True) for topic, payload in changed])
        self._announced = wanted


def zones_of(sensors: list[Sensor]) -> list[str]:
    """The zones whose people these sensors count."""
    return sorted({zone for sensor in sensors for zone in sensor.zones})
