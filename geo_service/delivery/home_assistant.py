"""Home Assistant MQTT discovery: every store and zone as a device with its number of people, level, and a "full".

Pure: a store comes in, retained messages come out, for whoever publishes them. The entities read the retained `occupancy`
topics (docs/api.md), so nothing else has to be sent. Source of the fields: Home Assistant's documentation of MQTT
discovery, MQTT sensor and MQTT binary sensor.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, get_args

import msgspec

from geo_service.catalogue.documents import Store
from geo_service.outputs import Level

PREFIX = "homeassistant"
"""Where Home Assistant listens unless its MQTT integration was told otherwise."""
_UNSAFE = re.compile(r"[^A-Za-z0-9-]")
# A blind place still has a number, but it is a guess that nobody should switch anything by.
_AVAILABILITY = "{{ 'offline' if value_json.status == 'blind' else 'online' }}"


class Announcement(NamedTuple):
    """A retained message; an empty payload takes the entity away."""

    topic: str
    payload: bytes


def announcements(
    store: Store, zones: Sequence[str] = (), *, prefix: str = PREFIX, version: str | None = None
) -> list[Announcement]:
    """The discovery messages of a store and of the zones in it: three entities each, all of one device.

    Args:
        store: its id names the topics, its name the device.
        zones: ids of the zones whose occupancy is published.
        prefix: Home Assistant's discovery prefix.
        version: of this service, shown beside the device.
    """
    device = {
        "identifiers": [f"geo_service_{_plain(store.id)}"],
        "name": store.name,
        "manufacturer": "geo-service",
        "model": "Store",
    }
    origin = {"name": "geo-service"} if version is None else {"name": "geo-service", "sw_version": version}
    return [
        Announcement(
            f"{prefix}/{component}/geo_service/{name}/config",
            msgspec.json.encode({**entity, "unique_id": f"geo_service_{name}", "device": device, "origin": origin}),
        )
        for zone in ("", *zones)
        for component, name, entity in _entities(store.id, zone)
    ]


def withdrawals(announced: Iterable[str], still: Iterable[str] = ()) -> list[Announcement]:
    """Empty messages for topics that were announced and no longer are, so that their entities disappear."""
    kept = set(still)
    return [Announcement(topic, b"") for topic in announced if topic not in kept]


def _entities(store: str, zone: str) -> list[tuple[str, str, dict[str, Any]]]:
    """`(component, unique name, config)` of each entity of one place; zone "" is the store as a whole."""
    topic = f"geo/v1/store/{store}/occupancy" + (f"/{zone}" if zone else "")
    # A store "a" with a zone "b" is not a store "a_b": ids are escaped, so two underscores stand only here.
    place = _plain(store) + (f"__{_plain(zone)}" if zone else "")
    shared = {
        "state_topic": topic,
        "availability_topic": topic,
        "availability_template": _AVAILABILITY,
        "qos": 1,
    }
    named = f"{zone} " if zone else ""
    people = {
        "name": f"{named}occupancy".capitalize(),
        "value_template": "{{ value_json.mean | round(0) | int }}",
        "unit_of_measurement": "people",
        "state_class": "measurement",
        "icon": "mdi:account-group",
        # The interval, the rate and how sure it is, for whoever wants more than the number.
        "json_attributes_topic": topic,
    }
    level = {
        "name": f"{named}level".capitalize(),
        "device_class": "enum",
        "options": list(get_args(Level)),
        "value_template": "{{ value_json.level }}",
        "icon": "mdi:speedometer",
    }
    full = {
        "name": f"{named}full".capitalize(),
        "value_template": "{{ 'ON' if value_json.level == 'full' else 'OFF' }}",
        "payload_on": "ON",
        "payload_off": "OFF",
        "icon": "mdi:account-cancel",
    }
    kinds = (("sensor", "occupancy", people), ("sensor", "level", level), ("binary_sensor", "full", full))
    return [(component, f"{place}_{kind}", {**shared, **entity}) for component, kind, entity in kinds]


def _plain(identifier: str) -> str:
    """An id in the letters that discovery topics allow; different ids stay different."""
    return _UNSAFE.sub(lambda found: f"_{ord(found[0]):02x}", identifier)
