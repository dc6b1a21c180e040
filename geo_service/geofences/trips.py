"""Trips: somebody with an order is on the way; how far along, and when will they be here.

```
created ─on the way─► en_route ─2 min or 300 m left─► nearby ─in the fence─► arrived ─1 min there─► waiting ─► completed
```

Only forward. Pings move a trip, and so do the shopper's own words ("on my way", "I'm here") and the staff's (done).

The time that is left is the distance that is left over the recent speed, times a running ratio: what trips really took over
what was predicted for them, one for people on foot and one for people who drive, for streets are longer than straight
lines and cars stop at lights. The recent speed is that over the ground of the last minute, mixed with a usual
speed, so that a red light is not the end of the trip. Nothing of a trip is kept when it ends but what it taught the ratio.
"""

import math
import statistics
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from geo_service.pings.batch import PingBatch

State = Literal["created", "en_route", "nearby", "arrived", "waiting", "completed"]
ORDER: tuple[State, ...] = ("created", "en_route", "nearby", "arrived", "waiting", "completed")
Mode = Literal["walk", "drive"]

NEARBY_MS = 120_000
NEARBY_M = 300.0
WAITING_MS = 60_000
UNDER_WAY_M = 100.0
"""Somebody who came this much closer is on the way, said or not."""
WINDOW_MS = 60_000
USUAL_MPS: dict[Mode, float] = {"walk": 1.5, "drive": 4.0}
USUAL_WEIGHT_MS: dict[Mode, int] = {"walk": 120_000, "drive": 60_000}
"""The usual speed counts as much as so long a stretch of the trip itself."""
DRIVES_MPS = 3.0
"""Who was ever this fast over a window's length does not walk."""
LEARNS = 0.05
"""Weight of a new trip in the running ratio (exponential smoothing of its logarithm)."""
FIRST_RATIO: dict[Mode, float] = {"walk": 1.0, "drive": 1.2}
_METRES_PER_DEGREE = 111_320.0


class Track(msgspec.Struct):
    """What is kept of the way so far: fixes of the last minute, and predictions to learn from."""

    fixes: list[tuple[int, float, float]] = []
    """Time, metres left in a straight line, metres walked since the fix before."""
    drives: bool = False
    predictions: list[tuple[int, float]] = []
    """When, and how many milliseconds were predicted before the ratio."""

    @property
    def mode(self) -> Mode:
        """On foot or not."""
        return "drive" if self.drives else "walk"

    def add(self, time_ms: int, left_m: float, step_m: float) -> None:
        """Take a fix."""
        self.fixes.append((time_ms, left_m, step_m))
        while time_ms - self.fixes[0][0] > WINDOW_MS:
            self.fixes.pop(0)
        span_ms = time_ms - self.fixes[0][0]
        if span_ms >= WINDOW_MS / 2 and self._walked_m() * 1000 / span_ms > DRIVES_MPS:
            self.drives = True

    def _walked_m(self) -> float:
        return sum(step_m for _, _, step_m in self.fixes[1:])

    def left_ms(self) -> float:
        """How long the rest takes at the recent speed, in a straight line; before the ratio."""
        now_ms, left_m, _ = self.fixes[-1]
        usual_mps = USUAL_MPS[self.mode]
        weight_ms = USUAL_WEIGHT_MS[self.mode]
        metres = self._walked_m() + usual_mps * weight_ms / 1000
        span_ms = now_ms - self.fixes[0][0] + weight_ms
        return left_m * span_ms / metres


class Trip(msgspec.Struct):
    """One order's way to its store."""

    order: str
    device: str
    fence: str
    """The curbside fence, or whatever fence is the goal."""
    lat: float
    lon: float
    """The goal."""
    radius_m: float
    """How near it is there."""
    state: State = "created"
    since_ms: int = 0
    eta_ms: int | None = None
    """When they will be here; None before the first ping."""
    left_m: float | None = None
    first_m: float | None = None
    at: tuple[int, float, float] | None = None
    """Time, latitude and longitude of the newest ping."""
    track: Track = msgspec.field(default_factory=Track)


class Change(msgspec.Struct, frozen=True):
    """A trip took a step."""

    order: str
    device: str
    fence: str
    previous: State
    state: State
    time_ms: int
    eta_ms: int | None
    left_m: float | None


class Trips:
    """The trips under way; pure, like everything here."""

    def __init__(self) -> None:
        self.by_order: dict[str, Trip] = {}
        self.ratio: dict[Mode, float] = dict(FIRST_RATIO)
        """What trips took over what was predicted, by mode."""
        self._by_device: dict[str, list[str]] = {}

    def begin(self, order: str, device: str, fence: str, goal: tuple[float, float, float], now_ms: int) -> Trip:
        """Expect a device at a goal (latitude, longitude, radius in metres); an order that is known stays as it is."""
        if order not in self.by_order:
            self.by_order[order] = Trip(order, device, fence, *goal, since_ms=now_ms)
            self._by_device.setdefault(device, []).append(order)
        return self.by_order[order]

    def on_my_way(self, order: str, now_ms: int) -> list[Change]:
        """The shopper says so."""
        return self._move(order, "en_route", now_ms)

    def here(self, order: str, now_ms: int) -> list[Change]:
        """The shopper says so."""
        return self._move(order, "arrived", now_ms)

    def complete(self, order: str, now_ms: int) -> list[Change]:
        """Handed over, or given up: the trip ends, and its pings with it."""
        changes = self._move(order, "completed", now_ms)
        trip = self.by_order.pop(order, None)
        if trip is not None:
            self._by_device[trip.device].remove(order)
            if not self._by_device[trip.device]:
                del self._by_device[trip.device]
        return changes

    def crossed(self, device: str, fence: str, now_ms: int) -> list[Change]:
        """The device entered a fence: whoever was expected there has arrived."""
        orders = [order for order in self._by_device.get(device, ()) if self.by_order[order].fence == fence]
        return [change for order in orders for change in self._move(order, "arrived", now_ms)]

    def advance(self, batch: PingBatch) -> list[Change]:
        """Take the pings of devices that are expected; the others cost one look-up each."""
        changes: list[Change] = []
        if not self._by_device:
            return changes
        for row, device in enumerate(batch.devices):
            for order in self._by_device.get(device, ()):
                changes += self._see(
                    self.by_order[order], int(batch.time_ms[row]), float(batch.lat[row]), float(batch.lon[row])
                )
        return changes

    def tick(self, now_ms: int) -> list[Change]:
        """Who has been there for a minute is waiting."""
        due = [
            trip for trip in self.by_order.values() if trip.state == "arrived" and now_ms - trip.since_ms >= WAITING_MS
        ]
        return [change for trip in due for change in self._move(trip.order, "waiting", trip.since_ms + WAITING_MS)]

    def queue(self, fences: Iterable[str]) -> list[Trip]:
        """Trips to these fences as staff wants them: who waits longest, then who comes soonest."""
        chosen = set(fences)
        trips = [trip for trip in self.by_order.values() if trip.fence in chosen]
        return sorted(trips, key=_urgency)

    def _see(self, trip: Trip, time_ms: int, lat: float, lon: float) -> list[Change]:
        if trip.state in ("arrived", "waiting", "completed") or (trip.at is not None and time_ms <= trip.at[0]):
            return []
        left_m = max(metres_between(lat, lon, trip.lat, trip.lon) - trip.radius_m, 0.0)
        step_m = 0.0 if trip.at is None else metres_between(trip.at[1], trip.at[2], lat, lon)
        trip.at, trip.left_m = (time_ms, lat, lon), left_m
        trip.first_m = left_m if trip.first_m is None else max(trip.first_m, left_m)
        trip.track.add(time_ms, left_m, step_m)
        plain_ms = trip.track.left_ms()
        left_ms = plain_ms * self.ratio[trip.track.mode]
        trip.eta_ms = time_ms + round(left_ms)
        if trip.state == "created" and trip.first_m - left_m < UNDER_WAY_M:
            return []
        trip.track.predictions.append((time_ms, plain_ms))
        near = left_ms <= NEARBY_MS or left_m <= NEARBY_M
        return self._move(trip.order, "nearby" if near else "en_route", time_ms)

    def _move(self, order: str, state: State, time_ms: int) -> list[Change]:
        trip = self.by_order.get(order)
        if trip is None or ORDER.index(state) <= ORDER.index(trip.state):
            return []
        if state == "arrived":
            self._learn(trip.track, time_ms)
            trip.eta_ms, trip.left_m, trip.at, trip.track = time_ms, 0.0, None, Track()
        previous, trip.state, trip.since_ms = trip.state, state, time_ms
        return [Change(order, trip.device, trip.fence, previous, state, time_ms, trip.eta_ms, trip.left_m)]

    def _learn(self, track: Track, arrived_ms: int) -> None:
        """Move the ratio by what this trip took, the median over its predictions of at least half a minute."""
        logs = [
            math.log((arrived_ms - at_ms) / plain_ms)
            for at_ms, plain_ms in track.predictions
            if arrived_ms - at_ms >= 30_000 and plain_ms >= 30_000
        ]
        if logs:
            found = min(max(statistics.median(logs), -1.0), 1.0)
            self.ratio[track.mode] *= math.exp(LEARNS * (found - math.log(self.ratio[track.mode])))

    def dump(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {"trips": [msgspec.to_builtins(trip) for trip in self.by_order.values()], "ratio": dict(self.ratio)}

    @classmethod
    def load(cls, dumped: dict[str, Any]) -> "Trips":
        """What `dump` wrote."""
        trips = cls()
        for each in dumped["trips"]:
            trip = msgspec.convert(each, Trip)
            trips.by_order[trip.order] = trip
            trips._by_device.setdefault(trip.device, []).append(trip.order)
        trips.ratio.update(dumped["ratio"])
        return trips


def _urgency(trip: Trip) -> tuple[int, int, str]:
    if trip.state in ("arrived", "waiting"):
        return 0, trip.since_ms, trip.order
    return (1, trip.eta_ms, trip.order) if trip.eta_ms is not None else (2, trip.since_ms, trip.order)


def metres_between(lat0: float, lon0: float, lat1: float, lon1: float) -> float:
    """The distance of two places some kilometres apart, to half a per cent."""
    east = (lon1 - lon0 + 180) % 360 - 180
    return math.hypot(east * math.cos(math.radians((lat0 + lat1) / 2)), lat1 - lat0) * _METRES_PER_DEGREE
