"""The places of one partition's stores, each a store or a zone of it: what is believed, said and raised of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import msgspec

from geo_service import outputs
from geo_service.catalogue.documents import Sensor, ZoneCapacity
from geo_service.catalogue.site import Site
from geo_service.flow.alarms import Raised, alert_name, judged
from geo_service.flow.chronicle import Chronicle, PlaceKey
from geo_service.flow.diary import Recounted
from geo_service.flow.entries import Recount
from geo_service.flow.openings import Openings
from occupancy import weak
from occupancy.day import Flows
from occupancy.estimate import Estimate
from occupancy.place import Place
from sensors.counters import Counted, Observed
from sensors.instants import instant

EVERY_MS = 1000
"""An occupancy is said at most this often for each place."""
Said = outputs.Occupancy | outputs.Alert


class Standing(NamedTuple):
    """How many are inside, and who came and left so far today."""

    people: float
    variance: float
    flows: Flows


class Places:
    """The places. `site` and `openings` belong to others and are only read."""

    def __init__(self, site: Site, openings: Openings) -> None:
        self._site = site
        self._openings = openings
        self._chronicle = Chronicle(site)
        self._places: dict[PlaceKey, Place] = {}
        self._raised: dict[PlaceKey, Raised] = {}
        self._said_ms: dict[PlaceKey, int] = {}
        self._unsaid: dict[PlaceKey, None] = {}
        self._gone: dict[str, None] = {}

    # --- what the world says -----------------------------------------------------------------------------------------

    def take(self, sensor: Sensor, fact: Counted | Observed, touched: dict[PlaceKey, None]) -> bool:
        """Tell the places concerned; False where the fact says nothing about how many are inside.

        Raises:
            ValueError: a number that cannot be one of people, or of what the sensor measures.
        """
        if isinstance(fact, Observed):
            key = (sensor.store, fact.zone or "")
            if not self._observe(key, sensor, fact):
                return False
            touched[key] = None
            return True
        for zone, ins, outs in _flows(fact):
            place = self._place((sensor.store, zone), fact.at_ms)
            place.count(fact.at_ms, ins, outs, sensor.id, whole_gap=fact.backfill is not None)
            touched[sensor.store, zone] = None
        return True

    def _observe(self, key: PlaceKey, sensor: Sensor, fact: Observed) -> bool:
        if fact.kind == "state" and (sensor.role != "presence" or _is_contact(sensor, fact.line)):
            return False
        place = self._place(key, fact.at_ms)
        if fact.kind == "state" and fact.value:
            place.moved(fact.at_ms, source=sensor.id)
        elif fact.kind == "state":
            place.hint(fact.at_ms, *weak.from_stillness(place.comfort), source=sensor.id)
        elif sensor.role == "co2":
            place.hint(fact.at_ms, *_from_air(sensor, fact, place.comfort), source=sensor.id)
        else:
            place.observe(fact.at_ms, fact.value, fact.error, counter=sensor.id)
        return True

    def heard(self, sensor: Sensor, now_ms: int, touched: dict[PlaceKey, None]) -> None:
        """A sign of life of a sensor that speaks of the store as a whole."""
        self._place((sensor.store, ""), now_ms).heard(now_ms, sensor.id)
        touched[sensor.store, ""] = None

    def recount(self, recount: Recount, now_ms: int) -> list[Said]:
        """Somebody counted by eye; said at once, and kept with who it was."""
        key = (recount.store, recount.zone or "")
        place = self._place(key, now_ms)
        place.recount(now_ms, recount.count, by=recount.by)
        self._chronicle.recounted(key, Recounted(*place.recounts[-1]), now_ms)
        self._said_ms.pop(key, None)
        return self.say({key: None}, now_ms)

    def expect(self, store_id: str, doors: list[str], cameras: list[str], now_ms: int) -> None:
        """Tell a store which doors and counters ought to speak, so that it knows when one falls silent."""
        if doors or cameras or (store_id, "") in self._places:
            self._place((store_id, ""), now_ms).expect(now_ms, doors=doors, counters=cameras)
            self._unsaid[store_id, ""] = None

    # --- time --------------------------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> list[Said]:
        """What is due by now: what places do by themselves, and what was held back a second ago."""
        changed: dict[PlaceKey, None] = {}
        for key in self._places:
            due_ms = self._due_ms(key)
            if due_ms <= now_ms:
                place, alarm = self._places[key], self._raised[key].night
                before = place.estimate(due_ms - 1)
                self._chronicle.note(key, place, now_ms)
                place.advance(now_ms)  # though it may be said only later: a tick leaves nothing due behind
                if place.estimate(now_ms) != before or place.night != alarm:
                    changed[key] = None
        return self.say(self._unsaid | changed, now_ms)

    def _due_ms(self, key: PlaceKey) -> int:
        step_ends_ms, place_due_ms = self._chronicle.step_ends_ms(key), self._places[key].next_due_ms()
        return step_ends_ms if place_due_ms is None else min(place_due_ms, step_ends_ms)

    def next_due_ms(self) -> int | None:
        """When a tick would next do something."""
        dues = [self._due_ms(key) for key in self._places]
        dues += [self._said_ms.get(key, 0) + EVERY_MS for key in self._unsaid]
        if self._chronicle.due_ms is not None:
            dues.append(self._chronicle.due_ms)
        return min(dues, default=None)

    def opens_or_closes(self, store_id: str, now_ms: int) -> None:
        """Opening hours of a store may have begun or ended, or be others than they were."""
        is_open = self._openings.is_open(store_id, now_ms)
        for key in self._of(store_id):
            self._place(key, now_ms).is_open(now_ms, is_open)
            self._unsaid[key] = None

    # --- the site ----------------------------------------------------------------------------------------------------

    def store_changed(self, store_id: str, now_ms: int) -> None:
        """A store's capacity, clock or calendar may be others."""
        for key in self._of(store_id):
            self._configure(key, self._place(key, now_ms), now_ms)
            self._chronicle.clock_changed(key, now_ms)
            self._unsaid[key] = None

    def fence_changed(self, store_id: str, fence_id: str, now_ms: int) -> None:
        """A zone's capacity may be another."""
        for key in ((store_id, fence_id), (store_id, fence_id.removeprefix(f"{store_id}."))):
            if key in self._places:
                self._configure(key, self._place(key, now_ms), now_ms)
                self._unsaid[key] = None

    def store_removed(self, store_id: str) -> None:
        """A store is gone, and with it whatever was known of its inside."""
        for key in self._of(store_id):
            self._chronicle.remove(key)
            del self._places[key]
            self._said_ms.pop(key, None)
            self._unsaid.pop(key, None)
            self._gone[f"occupancy:{store_id}" + (f"/{key[1]}" if key[1] else "")] = None
            self._gone |= dict.fromkeys(alert_name(*key, kind) for kind in self._raised.pop(key).since_ms)

    def _of(self, store_id: str) -> list[PlaceKey]:
        return [key for key in self._places if key[0] == store_id]

    def _place(self, key: PlaceKey, now_ms: int) -> Place:
        """The place, with every step kept that was over before this instant."""
        place = self._places.get(key)
        if place is not None:
            self._chronicle.note(key, place, now_ms)
            return place
        store = self._site.store[key[0]]
        capacity = _capacity(self._site, *key)
        comfort, legal = (None, None) if capacity is None else (capacity.comfort, capacity.legal)
        place = Place(comfort, legal, timezone=store.timezone, reset_hour=store.reset_hour)
        self._configure(key, place, now_ms)
        place.is_open(now_ms, self._openings.is_open(store.id, now_ms))
        self._chronicle.begin(key, now_ms)
        self._places[key], self._raised[key] = place, Raised()
        return place

    def _configure(self, key: PlaceKey, place: Place, now_ms: int) -> None:
        store, capacity = self._site.store[key[0]], _capacity(self._site, *key)
        hours = self._openings.hours(store.id)
        place.configure(
            now_ms,
            comfort=None if capacity is None else capacity.comfort,
            legal=None if capacity is None else capacity.legal,
            timezone=store.timezone,
            reset_hour=store.reset_hour,
            holidays=[] if hours is None else hours.dated,
        )

    # --- what is said ------------------------------------------------------------------------------------------------

    def say_held_back(self, now_ms: int) -> list[Said]:
        """Whatever waits to be said."""
        return self.say(dict(self._unsaid), now_ms)

    def say(self, touched: Mapping[PlaceKey, None], now_ms: int) -> list[Said]:
        """Occupancies of these places, each at most once a second, the others at a later tick; and the alerts they bring."""
        said: list[Said] = []
        for key in touched:
            if now_ms - self._said_ms.get(key, -EVERY_MS) < EVERY_MS:
                self._unsaid[key] = None
                continue
            self._unsaid.pop(key, None)
            self._said_ms[key] = now_ms
            place = self._places[key]
            estimate = place.estimate(now_ms)
            occupancy = _occupancy(key, estimate, now_ms)
            said.append(occupancy)
            capacity = _capacity(self._site, *key)
            self._raised[key], alerts = judged(self._raised[key], occupancy, estimate, place.night, capacity)
            said += alerts
        return said

    def occupancy(self, store_id: str, now_ms: int) -> outputs.Occupancy | None:
        """How full the store as a whole is now; None where nothing measures it."""
        key = (store_id, "")
        if key not in self._places:
            return None
        if self._due_ms(key) <= now_ms:  # what changes by itself now, no tick will find any more
            self._chronicle.note(key, self._places[key], now_ms)
            self._unsaid[key] = None
        return _occupancy(key, self._places[key].estimate(now_ms), now_ms)

    def standing(self, store_id: str, now_ms: int) -> Standing:
        """What pacing starts from, of the store as a whole, as of what was said last."""
        place = self._places[store_id, ""]
        return Standing(*place.moments(now_ms), place.flows(now_ms))

    def values(self, now_ms: int) -> dict[str, bytes | None]:
        """The current values that are to be written with this entry, by name; None: it is gone."""
        values: dict[str, bytes | None] = self._chronicle.values(self._places, self._openings.is_open, now_ms)
        gone, self._gone = self._gone, {}
        return values | gone

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Everything but the site."""
        return {
            "places": [
                [*key, place.dump(), _encode(self._raised[key]), self._said_ms.get(key)]
                for key, place in self._places.items()
            ],
            "unsaid": [list(key) for key in self._unsaid],
            "chronicle": self._chronicle.dump(),
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any], site: Site, openings: Openings, now_ms: int) -> Self:
        """What `dump` wrote, as of `now_ms`."""
        places = cls(site, openings)
        for store_id, zone, place, raised, said_ms in dumped["places"]:
            places._places[store_id, zone] = Place.load(place)
            places._raised[store_id, zone] = _decode(raised)
            if said_ms is not None:
                places._said_ms[store_id, zone] = said_ms
        places._unsaid = dict.fromkeys((store_id, zone) for store_id, zone in dumped["unsaid"])
        places._chronicle = Chronicle.load(dumped["chronicle"], site, now_ms)
        return places


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Raised).decode


def _occupancy(key: PlaceKey, estimate: Estimate, now_ms: int) -> outputs.Occupancy:
    store_id, zone = key
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


def _flows(fact: Counted) -> list[tuple[str, int, int]]:
    """`(zone, ins, outs)` of each place that a crossing moves: an inner line moves two zones and not the store."""
    flows = [] if fact.from_zone else [("", fact.ins, fact.outs)]
    if fact.zone:
        flows.append((fact.zone, fact.ins, fact.outs))
    if fact.from_zone:
        flows.append((fact.from_zone, fact.outs, fact.ins))
    return flows


def _capacity(site: Site, store_id: str, zone: str) -> ZoneCapacity | None:
    """A store's capacity, or that of the zone's fence: `hall` or `harbour.hall` for the zone `hall` of `harbour`."""
    if not zone:
        return site.store[store_id].capacity
    for fence_id in (zone, f"{store_id}.{zone}"):
        fence = site.fence.get(fence_id)
        if fence is not None and fence.store == store_id and fence.role == "zone" and fence.capacity is not None:
            return fence.capacity
    return None


def _is_contact(sensor: Sensor, line: str) -> bool:
    """Whether a state says that a door stands open: nothing of how many are inside."""
    return line == "contact" or sensor.options.get("contact") is True


def _from_air(sensor: Sensor, fact: Observed, comfort: int) -> weak.Hint:
    """What carbon dioxide says; already people where the sensor's options say how to scale it."""
    if "scale" in sensor.options:
        return weak.Hint(fact.value, fact.error or max(fact.value / 2, 2.0))
    full_ppm = sensor.options.get("full_ppm", weak.FULL_PPM)
    if isinstance(full_ppm, bool) or not isinstance(full_ppm, int | float):
        raise ValueError("options.full_ppm: must be a number")  # noqa: TRY004 - one kind of refusal
    return weak.from_co2(fact.value, comfort, full_ppm)
