"""Fences as presence sees them: a slot each, and what each asks for, as columns. Shapes are the index's business.

```
slot           0          1          2
print       0x4f…      0x91…                 of the shape, to know another one
id          "shop"     "curb"     None       None = free, to be used again
store       "s1"       "s1"
role        "store"    "curbside"
dwell_ms    120000      -1                   -1 = no dwell asked for
silence_ms  1800000   1800000
detect        0b1101    0b0010               bit of EXIT, CROSS, ENTER, DWELL
timed         0          1                   has opening hours
inside       17          0                   devices in it now
half_width_m 31.0      150.0                 of a square as large (steady presence)
rank        80…        40…                   orders fences by id; with gaps, so that a new id finds a place
```
"""

import heapq
from bisect import bisect_left
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from geo_service.catalogue.documents import Fence
from geo_service.catalogue.hours import Hours
from geo_service.geofences.columns import Columns
from geo_service.geofences.events import CROSS, TYPES
from geo_service.geofences.shapes import Circle, Shape

NO_DWELL = -1
FRESH_MS = 120_000
"""A ping that reached the log within this time is judged by the hours at the log's clock, an older one by its own time."""


_FEW, _RANKS = 64, (1 << 31) - 1


class Opening:
    """Whether a fence is open, remembered until the next change of its hours."""

    def __init__(self, hours: Hours, now_ms: int) -> None:
        self._hours = hours
        self.since_ms = now_ms
        self.open = hours.is_open(now_ms)
        self.until_ms = hours.next_change(now_ms)

    def turn(self, now_ms: int) -> None:
        """Move on to the interval that holds this instant."""
        self.__init__(self._hours, now_ms)  # type: ignore[misc]

    def at(self, at_ms: int) -> bool:
        """Whether it is open at this instant."""
        return self.open if self.since_ms <= at_ms < self.until_ms else self._hours.is_open(at_ms)


class Fences(Columns):
    """Every fence that is neither removed nor disabled."""

    SPEC: ClassVar[dict[str, DTypeLike]] = {
        "dwell_ms": np.int64,
        "silence_ms": np.int64,
        "exit_after_ms": np.int64,
        "detect": np.uint8,
        "timed": np.bool_,
        "inside": np.int64,
        "half_width_m": np.float64,
        "print": np.uint64,
        "id": np.object_,
        "store": np.object_,
        "role": np.object_,
    }
    dwell_ms: NDArray[np.int64]
    silence_ms: NDArray[np.int64]
    exit_after_ms: NDArray[np.int64]
    detect: NDArray[np.uint8]
    timed: NDArray[np.bool_]
    inside: NDArray[np.int64]
    half_width_m: NDArray[np.float64]
    print: NDArray[np.uint64]
    id: NDArray[np.object_]
    store: NDArray[np.object_]
    role: NDArray[np.object_]

    def __init__(self) -> None:
        super().__init__()
        self.slot_of: dict[str, int] = {}
        self.openings: dict[int, Opening] = {}
        self.crossable = 0
        """How many fences ask for `cross`."""
        self._free: list[int] = []
        self._turns: list[tuple[int, int]] = []
        self._rank = np.empty(0, np.int32)
        self._ordered: list[str] = []
        """The ids that have a rank, in order."""
        self._unranked: dict[str, None] = {}
        self.shortest_silence_ms = np.iinfo(np.int64).max

    def put(self, fence: Fence, now_ms: int) -> int:
        """Take a new or changed fence; its slot."""
        opening = None if fence.hours is None else Opening(Hours(fence.hours, fence.timezone), now_ms)
        slot = self.slot_of.get(fence.id)
        if slot is None:
            slot = self._new(fence.id)
        detect = _bits(fence.detect)
        self.crossable += (detect >> CROSS & 1) - (self.detect.item(slot) >> CROSS & 1)
        self.id[slot], self.store[slot], self.role[slot] = fence.id, fence.store, fence.role
        self.dwell_ms[slot] = NO_DWELL if fence.dwell_s is None else round(fence.dwell_s * 1000)
        self.silence_ms[slot] = silence_ms = round(fence.silence_s * 1000)
        self.exit_after_ms[slot] = round(fence.exit_after_s * 1000)
        self.detect[slot] = detect
        self.shortest_silence_ms = min(self.shortest_silence_ms, silence_ms)
        self.timed[slot] = opening is not None
        self.openings.pop(slot, None)
        if opening is not None:
            self.openings[slot] = opening
            heapq.heappush(self._turns, (opening.until_ms, slot))
        return slot

    def reshape(self, slot: int, shape: Shape) -> bool:
        """Take note of the fence's shape; whether it is another than before."""
        found = _print_of(shape)
        if self.print.item(slot) == found:
            return False
        self.print[slot] = found
        return True

    def _new(self, fence_id: str) -> int:
        if self._free:
            slot = self._free.pop()
        else:
            slot = self.size
            self.resize(slot + 1)
        self.slot_of[fence_id] = slot
        self.inside[slot] = self.detect[slot] = self.print[slot] = 0
        self._unranked[fence_id] = None
        return slot

    def remove(self, fence_id: str) -> int:
        """Forget a fence; the slot that is free now."""
        slot = self.slot_of.pop(fence_id)
        if fence_id in self._unranked:
            del self._unranked[fence_id]
        else:
            del self._ordered[bisect_left(self._ordered, fence_id)]
        self.crossable -= bool(self.detect[slot] & 1 << CROSS)
        self.detect[slot] = 0
        self.timed[slot] = False
        self.id[slot] = self.store[slot] = None
        self.openings.pop(slot, None)
        self._free.append(slot)
        return slot

    def restore(self, slot_of: dict[str, int], fences: dict[str, Fence], now_ms: int) -> None:
        """Take fences into the slots that they had."""
        size = max(slot_of.values(), default=-1) + 1
        taken = set(slot_of.values())
        self._free = [slot for slot in range(size) if slot not in taken]
        self.resize(size)
        self.slot_of = dict(slot_of)
        self._ordered, self._unranked = [], dict.fromkeys(slot_of)
        for fence_id in slot_of:
            self.put(fences[fence_id], now_ms)

    @property
    def rank(self) -> NDArray[np.int32]:
        """Per slot a number from 0 to 2³¹ - 1 that orders fences by id."""
        if self._unranked:
            self._give_ranks()
        return self._rank

    def _give_ranks(self) -> None:
        """A few new ids go half-way between their neighbours; where there is no room or there are many, all begin anew."""
        coming, self._unranked = self._unranked, {}
        if len(self._rank) < self.size:
            self._rank = np.concatenate((self._rank, np.zeros(self.size // 4 + self.size - len(self._rank), np.int32)))
        if len(coming) <= _FEW:
            for fence_id in coming:
                at = bisect_left(self._ordered, fence_id)
                low, high = (self._rank_at(number) for number in (at - 1, at))
                self._ordered.insert(at, fence_id)
                self._rank[self.slot_of[fence_id]] = (low + high) // 2
                if high - low < 2:
                    break
            else:
                return
        self._ordered = sorted(self.slot_of)
        apart = _RANKS // (len(self._ordered) + 1)
        self._rank[[self.slot_of[fence_id] for fence_id in self._ordered]] = apart * np.arange(
            1, len(self._ordered) + 1
        )

    def _rank_at(self, number: int) -> int:
        if number < 0:
            return 0
        return self._rank.item(self.slot_of[self._ordered[number]]) if number < len(self._ordered) else _RANKS

    def next_turn_ms(self) -> int | None:
        """The earliest instant at which the hours of a fence may begin or end."""
        while self._turns:
            at_ms, slot = self._turns[0]
            if slot in self.openings and self.openings[slot].until_ms == at_ms:
                return at_ms
            heapq.heappop(self._turns)
        return None

    def turn(self, at_ms: int) -> list[int]:
        """Begin or end hours at this instant; the slots for which something changed."""
        changed = []
        while self.next_turn_ms() == at_ms:
            _, slot = heapq.heappop(self._turns)
            opening = self.openings[slot]
            was_open = opening.open
            opening.turn(at_ms)
            heapq.heappush(self._turns, (opening.until_ms, slot))
            if opening.open != was_open:
                changed.append(slot)
        return changed

    def open_at(self, slot: NDArray[np.integer], time_ms: NDArray[np.int64], logged_ms: int) -> NDArray[np.bool_]:
        """Whether each fence is open for a ping of this time."""
        opened = np.ones(len(slot), np.bool_)
        for i in np.flatnonzero(self.timed[slot]).tolist():
            opened[i] = self.is_open(int(slot[i]), int(time_ms[i]), logged_ms)
        return opened

    def is_open(self, slot: int, time_ms: int, logged_ms: int) -> bool:
        """Whether one fence is open for a ping of this time."""
        opening = self.openings.get(slot)
        return opening is None or opening.at(logged_ms if logged_ms - time_ms <= FRESH_MS else time_ms)


@cache
def _bits(detect: tuple[str, ...]) -> int:
    """What a fence tells, as bits."""
    return sum(1 << TYPES.index(change) for change in set(detect))


def _print_of(shape: Shape) -> int:
    """A number by which to tell shapes apart, within this process; never 0."""
    if isinstance(shape, Circle):
        found = hash((shape.lat, shape.lon, shape.radius_m))
    else:
        found = hash((shape.positions.tobytes(), shape.ring_starts.tobytes(), shape.polygon_starts.tobytes()))
    return found & (1 << 64) - 1 or 1
