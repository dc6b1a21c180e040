"""The sensors of one partition's stores: what they counted, how they do, and what is told of each beside its document."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Self

import msgspec

from geo_service import outputs
from geo_service.catalogue.documents import Sensor
from geo_service.catalogue.site import Site
from geo_service.flow.entries import Refusal
from geo_service.flow.intake import config_of
from geo_service.flow.openings import Openings
from sensors.config import SensorConfig
from sensors.counters import Counted, Counters, Observed
from sensors.formats import decoder
from sensors.health import HealthEvent, HealthWatch
from sensors.instants import instant
from sensors.readings import Reading

EVERY_MS = 10_000
"""The status of a sensor that speaks is told at most this often; a trouble that begins or ends, at once."""


def status_name(sensor_id: str) -> str:
    """The current value that holds a sensor's status."""
    return f"status:{sensor_id}"


class SensorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a sensor does."""

    state: outputs.SensorState
    since: datetime
    """Since when it is in this state."""
    details: list[str]
    """What is the matter and what to do, worst first; [] where nothing is."""
    last_message: datetime | None
    """null: none has come yet."""
    day: date
    """The store's day of `in_today` and `out_today`, which begins at its reset hour."""
    in_today: int
    out_today: int
    battery: float | None
    """Charge left, 0 to 1; null where the sensor does not say."""
    tamper: bool | None
    """Somebody covers, turns or opens it; null where it does not say."""


_encode = msgspec.json.Encoder().encode


class Sensing:
    """Counters and health of the sensors. `site` and `openings` belong to others and are only read."""

    def __init__(self, site: Site, openings: Openings) -> None:
        self._site = site
        self._openings = openings
        self._counters: dict[str, Counters] = {}
        self._health = HealthWatch()
        self._told_ms: dict[str, int] = {}
        self._untold: dict[str, None] = {}
        self._untold_due_ms: int | None = None
        self._statuses: dict[str, bytes | None] = {}

    # --- what they say -----------------------------------------------------------------------------------------------

    def take(
        self, reading: Reading, now_ms: int
    ) -> tuple[Sensor | None, list[Counted | Observed], list[outputs.Sensor]]:
        """The sensor of a reading, what it adds, and what changed about its health; no sensor where it is unknown."""
        counters, sensor = self._counters.get(reading.sensor), self._site.sensor.get(reading.sensor)
        if counters is None or sensor is None or sensor.store not in self._site.store:
            return None, [], []  # it or its store was removed while its message was on the way
        stamped = msgspec.structs.replace(reading, received_ms=now_ms)
        facts = counters.take(stamped)
        events = self._say(self._health.heard(sensor.id, [stamped], facts, now_ms), now_ms)
        self._tell_soon(sensor.id)
        return sensor, facts, events

    def refused(self, refusals: Iterable[Refusal], now_ms: int) -> list[outputs.Sensor]:
        """Messages of sensors that could not be read, or hold what cannot be."""
        said = []
        for refusal in refusals:
            if refusal.sensor is not None and refusal.sensor in self._counters:
                said += self._say(self._health.refused(refusal.sensor, refusal.reason, now_ms), now_ms)
                self._tell_soon(refusal.sensor)
        return said

    def tick(self, now_ms: int) -> list[outputs.Sensor]:
        """Troubles that time alone brings."""
        return self._say(self._health.tick(now_ms), now_ms)

    def next_due_ms(self) -> int | None:
        """When time alone may next bring one, or a status is to be told."""
        dues = [due for due in (self._health.next_due_ms(), self._untold_due_ms) if due is not None]
        return min(dues, default=None)

    def _say(self, events: Iterable[HealthEvent], now_ms: int) -> list[outputs.Sensor]:
        said = []
        for event in events:
            self._tell(event.sensor, now_ms)
            store = self._site.sensor[event.sensor].store
            since = instant(event.since_ms)
            said.append(
                outputs.Sensor(id=event.sensor, store=store, state=event.state, since=since, detail=event.detail)
            )
        return said

    # --- what is told of them ----------------------------------------------------------------------------------------

    def statuses(self, now_ms: int) -> dict[str, bytes | None]:
        """The statuses (JSON of `SensorStatus`) that changed and are to be told now, by name; None: it is gone."""
        if self._untold_due_ms is not None and self._untold_due_ms <= now_ms:
            for sensor_id in [sensor_id for sensor_id in self._untold if self._due_ms(sensor_id) <= now_ms]:
                self._tell(sensor_id, now_ms)
        if self._statuses:
            self._untold_due_ms = min((self._due_ms(sensor_id) for sensor_id in self._untold), default=None)
        statuses, self._statuses = self._statuses, {}
        return statuses

    def _due_ms(self, sensor_id: str) -> int:
        return self._told_ms.get(sensor_id, -EVERY_MS) + EVERY_MS

    def _tell_soon(self, sensor_id: str) -> None:
        self._untold[sensor_id] = None
        due_ms = self._due_ms(sensor_id)
        self._untold_due_ms = due_ms if self._untold_due_ms is None else min(self._untold_due_ms, due_ms)

    def _tell(self, sensor_id: str, now_ms: int) -> None:
        self._untold.pop(sensor_id, None)
        status = self._health.status(sensor_id, now_ms)
        if status is None:
            return
        self._told_ms[sensor_id] = now_ms
        self._statuses[status_name(sensor_id)] = _encode(
            SensorStatus(
                state=status.state,
                since=instant(status.since_ms),
                details=status.details,
                last_message=None if status.heard_ms is None else instant(status.heard_ms),
                day=date.fromordinal(status.day),
                in_today=status.ins_today,
                out_today=status.outs_today,
                battery=status.battery,
                tamper=status.tamper,
            )
        )

    # --- the site ----------------------------------------------------------------------------------------------------

    def put(self, sensor: Sensor, now_ms: int) -> None:
        """A sensor is new or changed; what it has counted so far stays counted."""
        config = self._config(sensor)
        self._counters.setdefault(sensor.id, Counters(config)).config = config
        self._watch(sensor, now_ms)
        self._tell(sensor.id, now_ms)
        self._told_ms.pop(sensor.id)  # its first word is told at once

    def remove(self, sensor_id: str) -> None:
        """A sensor is gone."""
        self._counters.pop(sensor_id, None)
        self._health.remove(sensor_id)
        self._told_ms.pop(sensor_id, None)
        self._untold.pop(sensor_id, None)
        self._statuses[status_name(sensor_id)] = self._statuses[f"sensor:{sensor_id}"] = None

    def store_changed(self, store_id: str, now_ms: int) -> None:
        """The hours or the clock of a store's sensors may be others."""
        for sensor in [sensor for sensor in self._site.sensor.values() if sensor.store == store_id]:
            if sensor.id in self._counters:
                self.put(sensor, now_ms)

    def _watch(self, sensor: Sensor, now_ms: int) -> None:
        store = self._site.store.get(sensor.store)
        self._health.configure(
            self._config(sensor),
            sensor.store,
            now_ms,
            hours=self._openings.hours(sensor.store),
            heartbeat_s=decoder(sensor.format).heartbeat_s,
            reset_hour=0 if store is None else store.reset_hour,
        )

    def _config(self, sensor: Sensor) -> SensorConfig:
        store = self._site.store.get(sensor.store)
        return config_of(sensor, sensor.timezone or (store.timezone if store is not None else "UTC"))

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Everything but the site."""
        return {
            "counters": {sensor: counters.dump() for sensor, counters in self._counters.items()},
            "health": self._health.dump(),
            "told": self._told_ms,
            "untold": list(self._untold),
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any], site: Site, openings: Openings, now_ms: int) -> Self:
        """What `dump` wrote, as of `now_ms`."""
        sensing = cls(site, openings)
        for sensor_id, counted in dumped["counters"].items():
            sensing._counters[sensor_id] = Counters.load(sensing._config(site.sensor[sensor_id]), counted)
        sensing._health = HealthWatch.load(dumped["health"])
        for sensor_id in sensing._counters:
            sensing._watch(site.sensor[sensor_id], now_ms)
        sensing._told_ms = dict(dumped["told"])
        for sensor_id in dumped["untold"]:
            sensing._tell_soon(sensor_id)
        return sensing
