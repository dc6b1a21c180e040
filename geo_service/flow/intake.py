"""The border: whatever arrives, from MQTT, HTTP or a recording, becomes entries of the log or a refusal with a reason.

One rule for all three ways in, decided by the topic; a body received over HTTP has the topic `http:{path}`.
Nothing here raises for what a phone or sensor sent.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit
from zlib import crc32

import msgspec

from geo_service.catalogue.documents import Sensor, Store
from geo_service.decoding import decode_json
from geo_service.errors import InvalidInputError
from geo_service.flow.entries import (
    Body,
    Consent,
    Forget,
    Override,
    Pings,
    Purpose,
    Readings,
    Recount,
    Refusal,
    Refusals,
)
from geo_service.flow.heartbeats import Heartbeats
from geo_service.ids import require_id
from geo_service.offers import behaviour
from geo_service.pings import native, owntracks
from geo_service.pings.batch import PingBatch
from geo_service.pings.fields import Row
from sensors.config import SensorConfig
from sensors.errors import SensorsError, UnknownFormatError
from sensors.formats import decoder
from sensors.formats.message import Decoder
from sensors.instants import millis
from sensors.readings import Reading

MAX_PAYLOAD_BYTES = 1_048_576
MAX_BATCH = 65_536
"""Pings of one entry at the most. Large, because backlogs of many phones are folded side by side, ping by ping."""
HTTP = "http:"
_KNOWN_DEVICES_BOUND = 500_000


class Problem(NamedTuple):
    """One thing refused: its place in a list (None: the whole), the field, and why."""

    place: int | None
    field: str | None
    reason: str


class Message(NamedTuple):
    """One message as it came in."""

    topic: str
    payload: bytes
    received_ms: int
    retained: bool = False
    device: str | None = None
    """Who the credentials of an HTTP request say is speaking; MQTT topics say it themselves."""


class Taken(NamedTuple):
    """What some messages came to. Pings and readings keep the order in which they arrived."""

    rows: list[Row]
    readings: list[tuple[str, Reading]]
    """`(store, reading)`"""
    others: list[tuple[str, Body]]
    """`(key that decides the partition, body)`"""
    refusals: list[Refusal]


class SensorDirectory:
    """Who publishes where, and in which format: by topic and by id."""

    def __init__(self, sensors: Mapping[str, Sensor], stores: Mapping[str, Store]) -> None:
        self.sensors = sensors
        self.stores = stores
        self.by_topic: dict[str, tuple[Sensor, SensorConfig, Decoder]] = {}
        self.by_id: dict[str, tuple[Sensor, SensorConfig, Decoder]] = {}
        for sensor in sensors.values():
            store = stores.get(sensor.store)
            timezone = sensor.timezone or (store.timezone if store is not None else "UTC")
            try:
                known = (sensor, config_of(sensor, timezone), decoder(sensor.format))
            except UnknownFormatError:
                continue  # refused on import; its messages are refused like those of a sensor nobody configured
            self.by_id[sensor.id] = known
            self.by_topic[sensor.published_topic] = known


def config_of(sensor: Sensor, timezone: str) -> SensorConfig:
    """What a decoder may know of a sensor."""
    return msgspec.convert(msgspec.to_builtins(sensor) | {"timezone": timezone}, SensorConfig)


class Intake:
    """Turns messages into what the log takes. Holds no state but caches."""

    def __init__(self, directory: SensorDirectory) -> None:
        self.directory = directory
        self._devices: dict[str, str] = {}
        """By topic, once the id was found to be one. One look-up a ping, of a text that keeps its hash."""
        self._heartbeats = Heartbeats()

    def take_ping(self, topic: str, payload: bytes, taken: Taken) -> bool:
        """Take a message of one usual ping of a known device, quickly; False leaves it, and all others, to `take`.

        Not for retained ones.
        """
        device = self._devices.get(topic)
        if device is None:
            return False
        row = native.usual_row(payload, device)
        if row is None:
            return False
        taken.rows.append(row)
        return True

    def take(self, message: Message, taken: Taken) -> list[Problem]:
        """Decode one message into `taken`; returns what was refused of it (noted in `taken.refusals` too)."""
        topic = message.topic
        try:
            if topic.startswith(native.TOPIC):
                return self._native(message, topic[len(native.TOPIC) :], taken)
            return self._other(message, taken)
        except InvalidInputError as error:
            taken.refusals.append(Refusal(topic, str(error)))
            return [Problem(None, error.field, error.reason)]

    def _native(self, message: Message, device: str | None, taken: Taken) -> list[Problem]:
        if message.retained:
            raise InvalidInputError("a retained ping says where a phone was, not where it is; publish without retain")
        if device is not None and message.topic not in self._devices:
            require_id(device, "device")
            if message.topic.startswith(native.TOPIC) and len(self._devices) < _KNOWN_DEVICES_BOUND:
                self._devices[message.topic] = device
        _bound(message.payload)
        rows, refused = native.decode(message.payload, device)
        taken.rows.extend(rows)
        if not refused:
            return []
        taken.refusals.extend(Refusal(message.topic, f"[{index}] {error}") for index, error in refused)
        return [Problem(index, error.field, error.reason) for index, error in refused]

    def _other(self, message: Message, taken: Taken) -> list[Problem]:
        topic = message.topic
        _bound(message.payload)
        if topic.startswith(owntracks.TOPIC):
            if message.retained:
                raise InvalidInputError("a retained fix says where a phone was, not where it is; turn retain off")
            if not topic.endswith("/cmd"):
                device = require_id(owntracks.device_of(topic), "device")
                taken.rows.extend(owntracks.decode(message.payload, device))
            return []
        if topic.startswith(HTTP):
            return self._http(message, taken)
        known = self.directory.by_topic.get(topic)
        if known is None:
            raise InvalidInputError("no sensor is configured with this topic")
        return _read(known, message, taken, self._heartbeats)

    def _http(self, message: Message, taken: Taken) -> list[Problem]:
        """A body that came over HTTP; the path says what it is."""
        url = urlsplit(message.topic[len(HTTP) :])
        payload = message.payload
        match url.path.strip("/").split("/"):
            case ["v1", "pings"]:
                return self._native(message, message.device, taken)
            case ["v1", "owntracks"]:
                query = parse_qs(url.query)
                device = message.device or ".".join(query.get(name, [""])[0] for name in ("u", "d"))
                taken.rows.extend(owntracks.decode(payload, require_id(device, "device")))
            case ["v1", "sensors", sensor] if sensor in self.directory.by_id:
                return _read(self.directory.by_id[sensor], message, taken, self._heartbeats)
            case ["v1", "sensors", sensor]:
                raise InvalidInputError(f"no sensor {sensor[:64]!r} is configured")
            case ["v1", "stores", store, *what]:
                taken.others.append((store, _of_store(require_id(store, "store"), what, payload)))
            case ["v1", "behaviour"]:
                return self._behaviour(message, taken)
            case ["v1", "people", person, "traits"]:
                taken.others.append((person, behaviour.decode_traits(payload, person)))
            case ["v1", "people", person, "consent"]:
                said = decode_json(_consent, payload)
                taken.others.append((person, Consent(require_id(person, "person"), said.purposes, said.version)))
            case ["v1", "people", person]:
                taken.others.append((person, Forget(require_id(person, "person"))))
            case _:
                raise InvalidInputError("nothing is received under this path")
        return []

    @staticmethod
    def _behaviour(message: Message, taken: Taken) -> list[Problem]:
        told, refused = behaviour.decode(message.payload, message.device)
        taken.others.extend((entry.device, entry) for entry in told)
        problems = [Problem(*problem) for problem in behaviour.problems_of(refused)]
        taken.refusals.extend(
            Refusal(message.topic, f"[{problem.place or 0}] {problem.field or ''}: {problem.reason}")
            for problem in problems
        )
        return problems


def _read(
    known: tuple[Sensor, SensorConfig, Decoder], message: Message, taken: Taken, heartbeats: Heartbeats
) -> list[Problem]:
    sensor, config, decode = known
    try:
        readings = decode.decode(
            message.payload, message.topic, config, received_ms=message.received_ms, retained=message.retained
        )
    except SensorsError as error:
        taken.refusals.append(Refusal(message.topic, error.reason, sensor.id, sensor.store))
        return [Problem(None, None, error.reason)]
    logged = heartbeats.thinned(readings, message.received_ms)
    taken.readings.extend((sensor.store, reading) for reading in logged)
    return []


def _of_store(store: str, what: list[str], payload: bytes) -> Body:
    """What somebody who works in a store says of it."""
    if what == ["occupancy", "recount"]:
        body = decode_json(_recount, payload)
        return Recount(store, body.count, body.zone, body.by)
    if what == ["pacing"]:
        return decode_json(_override, payload).of(store)
    raise InvalidInputError("nothing is received under this path")


class RecountBody(msgspec.Struct):
    """Body of a recount: people counted by eye."""

    count: int
    zone: str | None = None
    by: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.count <= 1_000_000:
            raise ValueError("count must be 0 to 1000000")


class ConsentBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Body of a consent. A purpose that is not named stays as it was; a word that is no purpose is refused, not ignored."""

    location: bool | None = None
    offers: bool | None = None
    analytics: bool | None = None
    version: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    """Of the text that the person saw."""

    def __post_init__(self) -> None:
        if not self.purposes:
            raise ValueError("names no purpose: location, offers, analytics")

    @property
    def purposes(self) -> dict[Purpose, bool]:
        """The purposes that are named."""
        said: dict[Purpose, bool | None] = {
            "location": self.location,
            "offers": self.offers,
            "analytics": self.analytics,
        }
        return {purpose: agrees for purpose, agrees in said.items() if agrees is not None}


class OverrideBody(msgspec.Struct):
    """Body of a manager's word about pacing."""

    action: Literal["pause", "resume", "ceiling", "force"]
    by: str
    until: datetime | float | None = None
    ceiling: int | None = None

    def __post_init__(self) -> None:
        if (self.action == "ceiling") != (self.ceiling is not None):
            raise ValueError("a ceiling is a number of people, and only a ceiling has one")
        if self.ceiling is not None and not 0 <= self.ceiling <= 1_000_000:
            raise ValueError("ceiling must be 0 to 1000000")
        if self.until is not None:
            millis(self.until)

    def of(self, store: str) -> Override:
        """The entry for the log."""
        return Override(store, self.action, self.by, None if self.until is None else millis(self.until), self.ceiling)


_recount = msgspec.json.Decoder(RecountBody)
_override = msgspec.json.Decoder(OverrideBody)
_consent = msgspec.json.Decoder(ConsentBody)


def _bound(payload: bytes) -> None:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise InvalidInputError(f"is {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} are read")


def nothing_taken() -> Taken:
    """An empty basket for `Intake.take`."""
    return Taken([], [], [], [])


def partition_of(key: str, partitions: int) -> int:
    """The partition that owns a device or store."""
    return crc32(key.encode()) % partitions if partitions > 1 else 0


def bodies_of(taken: Taken, partitions: int) -> list[tuple[int, Body]]:
    """Entries for the log, each kind in arrival order, devices and stores with their partitions."""
    if not taken.others and not taken.refusals and partitions == 1:
        items: list[tuple[int, Body]] = []
        items += [(0, pings) for pings in _batches(taken.rows)]
        if taken.readings:
            items.append((0, Readings([reading for _, reading in taken.readings])))
        return items
    return _spread(taken, partitions)


def _batches(rows: list[Row]) -> Iterator[Pings]:
    for start in range(0, len(rows), MAX_BATCH):
        yield Pings(PingBatch.from_rows(rows[start : start + MAX_BATCH]))


def _spread(taken: Taken, partitions: int) -> list[tuple[int, Body]]:
    rows: dict[int, list[Row]] = {}
    for row in taken.rows:
        rows.setdefault(partition_of(row[0], partitions), []).append(row)
    readings: dict[int, list[Reading]] = {}
    for store, reading in taken.readings:
        readings.setdefault(partition_of(store, partitions), []).append(reading)
    items: list[tuple[int, Body]] = [(partition, pings) for partition, part in rows.items() for pings in _batches(part)]
    items += [(partition, Readings(part)) for partition, part in readings.items()]
    items += [(partition_of(key, partitions), body) for key, body in taken.others]
    refusals: dict[int, list[Refusal]] = {}
    for refusal in taken.refusals:
        # A sensor's go where its health is judged.
        refusals.setdefault(partition_of(refusal.store, partitions) if refusal.store else 0, []).append(refusal)
    items += [(partition, Refusals(part)) for partition, part in refusals.items()]
    return items
