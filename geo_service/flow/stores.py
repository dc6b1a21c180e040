"""The half of a partition that knows stores: what their sensors counted, how full they are."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

import msgspec

from geo_service import outputs
from geo_service.catalogue.documents import Sensor, Store
from geo_service.catalogue.hours import Hours
from geo_service.catalogue.site import Site
from geo_service.flow.entries import Recount, Refusal
from geo_service.flow.intake import config_of
from occupancy.place import Place
from sensors.config import SensorConfig
from sensors.counters import Counted, Counters, Observed
from sensors.formats import decoder
from sensors.health import HealthEvent, HealthWatch
from sensors.instants import instant
from sensors.readings import Reading

EVERY_MS = 1000
"""An occupancy is said at most this often for each place."""

PlaceKey = tuple[str, str]
"""`(store, zone)`; zone "" is the store as a whole."""


Said = outputs.Occupancy | outputs.Sensor


class _Opening(NamedTuple):
    """The hours of a store that has any, and when they next begin or end."""

    hours: Hours
    changes_ms: int


class Stores:
    """Counters and places of the stores that one partition owns. `site` belongs to the partition and is only read."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._counters: dict[str, Counters] = {}
        self._health = HealthWatch()
        self._places: dict[PlaceKey, Place] = {}
        self._openings: dict[str, _Opening] = {}
        self._opening_due_ms: int | None = None
        self._said_ms: dict[PlaceKey, int] = {}
        self._unsaid: dict[PlaceKey, None] = {}

    # --- what sensors and people say ---------------------------------------------------------------------------------

    def readings(self, readings: Iterable[Reading], now_ms: int) -> list[Said]:
        """Count, observe, and say what changed, unless it was said within the last second."""
        touched: dict[PlaceKey, None] = {}
        troubles: list[HealthEvent] = []
        for reading in readings:
            counters, sensor = self._counters.get(reading.sensor), self._site.sensor.get(reading.sensor)
            if counters is None or sensor is None or sensor.store not in self._site.store:
                continue  # it or its store was removed while its message was on the way
            stamped = msgspec.structs.replace(reading, received_ms=now_ms)
            facts = counters.take(stamped)
            troubles += self._health.heard(sensor.id, [stamped], facts, now_ms)
            told = [self._fact(sensor, fact, touched) for fact in facts]
            if not any(told) and sensor.zone is None and not reading.retained:
                self._place(sensor.store, "", now_ms).heard(now_ms, sensor.id)
                touched[sensor.store, ""] = None
        return [*self._sensors(troubles), *self._say(touched, now_ms)]

    def refused(self, refusals: Iterable[Refusal], now_ms: int) -> list[outputs.Sensor]:
        """Messages of sensors that could not be read."""
        return self._sensors(
            event
            for refusal in refusals
            if refusal.sensor is not None
            for event in self._health.refused(refusal.sensor, refusal.reason, now_ms)
        )

    def _sensors(self, events: Iterable[HealthEvent]) -> list[outputs.Sensor]:
        return [
            outputs.Sensor(
                id=event.sensor,
                store=self._site.sensor[event.sensor].store,
                state=event.state,
                since=instant(event.since_ms),
                detail=event.detail,
            )
            for event in events
        ]

    def _fact(self, sensor: Sensor, fact: Counted | Observed, touched: dict[PlaceKey, None]) -> bool:
        """Tell the places concerned; False where it says nothing about how many are inside."""
        if isinstance(fact, Observed):
            if fact.kind != "absolute":
                return False
            self._place(sensor.store, fact.zone or "", fact.at_ms).observe(
                fact.at_ms, fact.value, fact.error, counter=sensor.id
            )
            touched[sensor.store, fact.zone or ""] = None
            return True
        for zone, ins, outs in _flows(fact):
            whole_gap = fact.backfill is not None
            self._place(sensor.store, zone, fact.at_ms).count(fact.at_ms, ins, outs, sensor.id, whole_gap=whole_gap)
            touched[sensor.store, zone] = None
        return True

    def recount(self, recount: Recount, now_ms: int) -> list[outputs.Occupancy]:
        """Somebody counted by eye; said at once."""
        key = (recount.store, recount.zone or "")
        self._place(*key, now_ms).recount(now_ms, recount.count)
        self._said_ms.pop(key, None)
        return self._say({key: None}, now_ms)

    # --- time --------------------------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> list[Said]:
        """What is due by now: opening hours, what places do by themselves, what was held back a second ago."""
        if self._opening_due_ms is not None and self._opening_due_ms <= now_ms:
            for store_id, opening in self._openings.items():
                if opening.changes_ms <= now_ms:
                    self._open_or_close(store_id, now_ms)
            self._look_at_openings()
        due: dict[PlaceKey, None] = {}
        for key, place in self._places.items():
            place_due_ms = place.next_due_ms()
            if place_due_ms is not None and place_due_ms <= now_ms:
                before = place.estimate(place_due_ms - 1)
                place.advance(now_ms)  # though it may be said only later: a tick leaves nothing due behind
                if place.estimate(now_ms) != before:
                    due[key] = None
        return [*self._sensors(self._health.tick(now_ms)), *self._say(self._unsaid | due, now_ms)]

    def next_due_ms(self) -> int | None:
        """When a tick would next do something."""
        dues = [] if self._opening_due_ms is None else [self._opening_due_ms]
        dues += [due for place in self._places.values() if (due := place.next_due_ms()) is not None]
        dues += [self._said_ms.get(key, 0) + EVERY_MS for key in self._unsaid]
        if (health_due_ms := self._health.next_due_ms()) is not None:
            dues.append(health_due_ms)
        return min(dues, default=None)

    def _open_or_close(self, store_id: str, now_ms: int) -> None:
        hours = self._openings[store_id].hours
        self._openings[store_id] = _Opening(hours, hours.next_change(now_ms))
        for key, place in self._places.items():
            if key[0] == store_id:
                place.is_open(now_ms, hours.is_open(now_ms))
                self._unsaid[key] = None

    def _look_at_openings(self) -> None:
        self._opening_due_ms = min((opening.changes_ms for opening in self._openings.values()), default=None)

    # --- the site ----------------------------------------------------------------------------------------------------

    def store_changed(self, store_id: str, store: Store | None, now_ms: int) -> list[outputs.Occupancy]:
        """A store is new, changed, or gone (None), and with it what was known of its inside."""
        if store is None:
            self._openings.pop(store_id, None)
            self._look_at_openings()
            for key in [key for key in self._places if key[0] == store_id]:
                del self._places[key]
                self._said_ms.pop(key, None)
                self._unsaid.pop(key, None)
            return []
        for (owner, zone), place in self._places.items():
            if owner == store_id:
                comfort, legal = _capacity(store, zone)
                place.configure(now_ms, comfort=comfort, legal=legal, timezone=store.timezone, reset_hour=RESET_HOUR)
                self._unsaid[owner, zone] = None
        self._hours_changed(store, now_ms)
        self._expect(store_id, now_ms)
        return self._say(dict(self._unsaid), now_ms)

    def _hours_changed(self, store: Store, now_ms: int) -> None:
        if store.hours is not None:
            self._openings[store.id] = _Opening(Hours(store.hours, store.timezone), now_ms)
            self._open_or_close(store.id, now_ms)
        elif self._openings.pop(store.id, None) is not None:
            for key in [key for key in self._places if key[0] == store.id]:
                self._places[key].is_open(now_ms, True)
        self._look_at_openings()
        for sensor in [sensor for sensor in self._site.sensor.values() if sensor.store == store.id]:
            self._watch(sensor, now_ms)

    def sensor_changed(self, old: Sensor | None, new: Sensor | None, now_ms: int) -> list[outputs.Occupancy]:
        """A sensor is new, changed or gone; what it has counted so far stays counted."""
        if new is not None:
            config = self._config(new)
            counters = self._counters.setdefault(new.id, Counters(config))
            counters.config = config
            self._watch(new, now_ms)
        elif old is not None:
            self._counters.pop(old.id, None)
            self._health.remove(old.id)
        stores = sorted({sensor.store for sensor in (old, new) if sensor is not None} & self._site.store.keys())
        for store_id in stores:
            self._expect(store_id, now_ms)
        return self._say(dict(self._unsaid), now_ms)

    def _watch(self, sensor: Sensor, now_ms: int) -> None:
        opening = self._openings.get(sensor.store)
        self._health.configure(
            self._config(sensor),
            sensor.store,
            now_ms,
            hours=None if opening is None else opening.hours,
            heartbeat_s=decoder(sensor.format).heartbeat_s,
        )

    def _config(self, sensor: Sensor) -> SensorConfig:
        store = self._site.store.get(sensor.store)
        return config_of(sensor, sensor.timezone or (store.timezone if store is not None else "UTC"))

    def _expect(self, store_id: str, now_ms: int) -> None:
        """Tell the store which doors and counters ought to speak, so that it knows when one falls silent."""
        sensors = [sensor for sensor in self._site.sensor.values() if sensor.store == store_id]
        doors = [sensor.id for sensor in sensors if sensor.role == "door" and _leads_outside(sensor)]
        cameras = [sensor.id for sensor in sensors if sensor.role == "camera" and sensor.zone is None]
        if doors or cameras or (store_id, "") in self._places:
            self._place(store_id, "", now_ms).expect(now_ms, doors=doors, counters=cameras)
            self._unsaid[store_id, ""] = None

    # --- places ------------------------------------------------------------------------------------------------------

    def _place(self, store_id: str, zone: str, now_ms: int) -> Place:
        place = self._places.get((store_id, zone))
        if place is None:
            store = self._site.store[store_id]
            comfort, legal = _capacity(store, zone)
            place = Place(comfort, legal, timezone=store.timezone, reset_hour=RESET_HOUR)
            place.advance(now_ms)
            opening = self._openings.get(store_id)
            if opening is not None:
                place.is_open(now_ms, opening.hours.is_open(now_ms))
            self._places[store_id, zone] = place
        return place

    def _say(self, touched: Mapping[PlaceKey, None], now_ms: int) -> list[outputs.Occupancy]:
        """Occupancies of these places, each at most once a second; the others stay unsaid until a tick."""
        said = []
        for key in touched:
            if now_ms - self._said_ms.get(key, -EVERY_MS) < EVERY_MS:
                self._unsaid[key] = None
                continue
            self._unsaid.pop(key, None)
            self._said_ms[key] = now_ms
            said.append(self._occupancy(key, now_ms))
        return said

    def occupancy(self, store_id: str, now_ms: int) -> outputs.Occupancy | None:
        """How full the store as a whole is now; None where nothing measures it."""
        key = (store_id, "")
        return self._occupancy(key, now_ms) if key in self._places else None

    def _occupancy(self, key: PlaceKey, now_ms: int) -> outputs.Occupancy:
        store_id, zone = key
        estimate = self._places[key].estimate(now_ms)
        return outputs.Occupancy(
            store=store_id,
            zone=zone or None,
            time=instant(now_ms),
            mean=round(estimate.mean, 2),
            low=round(estimate.low, 2),
            high=round(estimate.high, 2),
            rate=round(estimate.rate, 4),
            p_over=round(estimate.p_over, 4),
            level=estimate.level,
            status=estimate.status,
            in_total=estimate.in_total,
            out_total=estimate.out_total,
        )

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Everything but the site."""
        return {
            "counters": {sensor: counters.dump() for sensor, counters in self._counters.items()},
            "health": self._health.dump(),
            "places": [[*key, place.dump(), self._said_ms.get(key)] for key, place in self._places.items()],
            "unsaid": [list(key) for key in self._unsaid],
            "changes": {store: opening.changes_ms for store, opening in self._openings.items()},
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any], site: Site, now_ms: int) -> Self:
        """What `dump` wrote, as of `now_ms`."""
        stores = cls(site)
        for sensor_id, counted in dumped["counters"].items():
            stores._counters[sensor_id] = Counters.load(stores._config(site.sensor[sensor_id]), counted)
        for store_id, zone, place, said_ms in dumped["places"]:
            stores._places[store_id, zone] = Place.load(place)
            if said_ms is not None:
                stores._said_ms[store_id, zone] = said_ms
        stores._unsaid = dict.fromkeys((store_id, zone) for store_id, zone in dumped["unsaid"])
        for store_id, changes_ms in dumped["changes"].items():
            store = site.store[store_id]
            stores._openings[store_id] = _Opening(Hours(store.hours or {}, store.timezone), changes_ms)
        stores._look_at_openings()
        stores._health = HealthWatch.load(dumped["health"])
        for sensor_id in stores._counters:
            stores._watch(site.sensor[sensor_id], now_ms)
        return stores


RESET_HOUR = 4
"""Local hour at which a store's day begins: when even late stores have closed."""


def _leads_outside(sensor: Sensor) -> bool:
    """Whether it counts at the street; lines that nobody configured do."""
    return not sensor.lines or any(line.from_zone is None for line in sensor.lines.values())


def _flows(fact: Counted) -> list[tuple[str, int, int]]:
    """`(zone, ins, outs)` of each place that a crossing moves: an inner line moves two zones and not the store."""
    flows = [] if fact.from_zone else [("", fact.ins, fact.outs)]
    if fact.zone:
        flows.append((fact.zone, fact.ins, fact.outs))
    if fact.from_zone:
        flows.append((fact.from_zone, fact.outs, fact.ins))
    return flows


def _capacity(store: Store, zone: str) -> tuple[int | None, int | None]:
    """Comfort and legal capacity; nobody has said a zone's."""
    if store.capacity is None or zone:
        return None, None
    return store.capacity.comfort, store.capacity.legal
