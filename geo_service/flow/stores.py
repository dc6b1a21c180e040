"""The half of a partition that knows stores: what their sensors counted, how full they are, what is kept of that.

A reading's way: `sensing.py` (counted once; is the sensor well?) → `places.py` (how many are inside, what is said and
raised) → `chronicle.py` (what is kept of the day). `openings.py` knows when stores open.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from geo_service import outputs
from geo_service.catalogue.documents import Fence, Sensor, Store
from geo_service.catalogue.site import Site
from geo_service.flow.chronicle import PlaceKey
from geo_service.flow.entries import Recount, Refusal
from geo_service.flow.openings import Openings
from geo_service.flow.places import Places, Standing
from geo_service.flow.places import Said as SaidOfPlaces
from geo_service.flow.sensing import Sensing
from sensors.instants import instant
from sensors.readings import Reading

Said = outputs.Occupancy | outputs.Alert | outputs.Sensor


class Stores:
    """Sensors and places of the stores that one partition owns. `site` belongs to the partition and is only read."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._openings = Openings()
        self._sensing = Sensing(site, self._openings)
        self._places = Places(site, self._openings)

    # --- what sensors and people say ---------------------------------------------------------------------------------

    def readings(self, readings: Iterable[Reading], now_ms: int) -> list[Said]:
        """Count, observe, and say what changed, unless it was said within the last second."""
        touched: dict[PlaceKey, None] = {}
        troubles: list[outputs.Sensor] = []
        for reading in readings:
            sensor, facts, events = self._sensing.take(reading, now_ms)
            if sensor is None:
                continue
            troubles += events
            told = False
            for fact in facts:
                try:
                    told |= self._places.take(sensor, fact, touched)
                except ValueError as error:
                    refusal = Refusal(sensor.published_topic, str(error), sensor.id, sensor.store)
                    troubles += self._sensing.refused([refusal], now_ms)
            if not told and sensor.zone is None and not reading.retained:
                self._places.heard(sensor, now_ms, touched)
        return [*troubles, *self._places.say(touched, now_ms)]

    def refused(self, refusals: Iterable[Refusal], now_ms: int) -> list[outputs.Sensor]:
        """Messages of sensors that could not be read."""
        return self._sensing.refused(refusals, now_ms)

    def recount(self, recount: Recount, now_ms: int) -> Sequence[SaidOfPlaces | outputs.Rejected]:
        """Somebody counted by eye; said at once."""
        if recount.zone and not self._has_zone(recount.store, recount.zone):
            topic = f"http:/v1/stores/{recount.store}/occupancy/recount"
            reason = f"the store has no zone {recount.zone!r}: neither a sensor nor a fence names it"
            return [outputs.Rejected(topic=topic, reason=reason, time=instant(now_ms))]
        return self._places.recount(recount, now_ms)

    def _has_zone(self, store_id: str, zone: str) -> bool:
        """Whether a sensor or a fence of the store names it."""
        fences = (self._site.fence.get(fence_id) for fence_id in (zone, f"{store_id}.{zone}"))
        if any(fence is not None and fence.store == store_id and fence.role == "zone" for fence in fences):
            return True
        sensors = (sensor for sensor in self._site.sensor.values() if sensor.store == store_id)
        return any(zone in sensor.zones for sensor in sensors)

    # --- time --------------------------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> list[Said]:
        """What is due by now: opening hours, what places do by themselves, what was held back a second ago."""
        for store_id in self._openings.passed(now_ms):
            self._places.opens_or_closes(store_id, now_ms)
        return [*self._sensing.tick(now_ms), *self._places.tick(now_ms)]

    def next_due_ms(self) -> int | None:
        """When a tick would next do something."""
        dues = (self._openings.due_ms, self._sensing.next_due_ms(), self._places.next_due_ms())
        return min((due for due in dues if due is not None), default=None)

    # --- the site ----------------------------------------------------------------------------------------------------

    def store_changed(self, store_id: str, store: Store | None, now_ms: int) -> list[SaidOfPlaces]:
        """A store is new, changed, or gone (None), and with it what was known of its inside."""
        if store is None:
            self._openings.remove(store_id)
            self._places.store_removed(store_id)
            return []
        if self._openings.put(store, now_ms):
            self._places.opens_or_closes(store_id, now_ms)
        self._places.store_changed(store_id, now_ms)
        self._sensing.store_changed(store_id, now_ms)
        self._expect(store_id, now_ms)
        return self._places.say_held_back(now_ms)

    def fence_changed(self, old: Fence | None, new: Fence | None, now_ms: int) -> list[SaidOfPlaces]:
        """A fence is new, changed or gone; it may say what a zone takes."""
        for fence in (old, new):
            if fence is not None and fence.role == "zone" and fence.store is not None and fence.capacity is not None:
                self._places.fence_changed(fence.store, fence.id, now_ms)
        return self._places.say_held_back(now_ms)

    def sensor_changed(self, old: Sensor | None, new: Sensor | None, now_ms: int) -> list[SaidOfPlaces]:
        """A sensor is new, changed or gone; what it has counted so far stays counted."""
        if new is not None:
            self._sensing.put(new, now_ms)
        elif old is not None:
            self._sensing.remove(old.id)
        stores = sorted({sensor.store for sensor in (old, new) if sensor is not None} & self._site.store.keys())
        for store_id in stores:
            self._expect(store_id, now_ms)
        return self._places.say_held_back(now_ms)

    def _expect(self, store_id: str, now_ms: int) -> None:
        sensors = [sensor for sensor in self._site.sensor.values() if sensor.store == store_id]
        doors = [sensor.id for sensor in sensors if sensor.role == "door" and _leads_outside(sensor)]
        cameras = [sensor.id for sensor in sensors if sensor.role == "camera" and sensor.zone is None]
        self._places.expect(store_id, doors, cameras, now_ms)

    # --- what is told ------------------------------------------------------------------------------------------------

    def occupancy(self, store_id: str, now_ms: int) -> outputs.Occupancy | None:
        """How full the store as a whole is now; None where nothing measures it."""
        return self._places.occupancy(store_id, now_ms)

    def standing(self, store_id: str, now_ms: int) -> Standing:
        """What pacing starts from, of a store whose occupancy was said."""
        return self._places.standing(store_id, now_ms)

    def values(self, now_ms: int) -> dict[str, bytes | None]:
        """The current values beside the outputs that are to be written with this entry, by name; None: it is gone."""
        return self._sensing.statuses(now_ms) | self._places.values(now_ms)

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Everything but the site."""
        return {
            "openings": self._openings.dump(),
            "sensing": self._sensing.dump(),
            "places": self._places.dump(),
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any], site: Site, now_ms: int) -> Self:
        """What `dump` wrote, as of `now_ms`."""
        stores = cls(site)
        stores._openings = Openings.load(dumped["openings"], site)
        stores._sensing = Sensing.load(dumped["sensing"], site, stores._openings, now_ms)
        stores._places = Places.load(dumped["places"], site, stores._openings, now_ms)
        return stores


def _leads_outside(sensor: Sensor) -> bool:
    """Whether it counts at the street; lines that nobody configured do."""
    return not sensor.lines or any(line.from_zone is None for line in sensor.lines.values())
