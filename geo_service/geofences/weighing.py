"""Weighing: a batch's fixes against what was believed before, fix by fix (steady presence; the rule is in `steady.py`).

```
                      turn 0    turn 1    turn 2            a turn: one fix of each device of the batch
track 0 (d1, shop)     near      near       -    ← far      a track: a device and a fence. An element: a fix on a track
track 1 (d1, mall)      -        near      near
track 2 (d7, shop)   ← far        -                         - = not followed, not near: nothing to weigh
```

Where a fix is near a fence, and what it says, is found for the whole batch at once; only the beliefs go turn by turn. A fix
away from a fence that its device was still followed in is measured when that shows: the next few fixes together, since
they will soon have said enough.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.arena import spread
from geo_service.geofences.devices import NEVER
from geo_service.geofences.stays import SteadyStays
from geo_service.geofences.steady import (
    DEPTH_SIGMAS,
    FAR_SIGMAS,
    FARTHEST_M,
    REACH_SIGMAS,
    Evidence,
    Gap,
    evidence,
    followed_odds,
    gap,
    judge,
    sigma_m,
    weigh,
)
from geo_service.geofences.tables import NEW, Floats, Ints, Lost, Mask, Pairs, Rows, Tables
from geo_service.geofences.timers import Timer

_AHEAD = 4
"""So many fixes of a device are measured at once against a fence that it is leaving."""


class _Elements(NamedTuple):
    """Fixes on tracks."""

    track: Ints
    row: Ints
    come: Floats
    go: Floats
    ratio: Floats

    def take(self, at: NDArray[np.intp] | slice) -> "_Elements":
        """The given elements."""
        return _Elements(self.track[at], self.row[at], self.come[at], self.go[at], self.ratio[at])


class _Weighed(NamedTuple):
    """What became of elements that were followed before the fix or are after it."""

    track: Ints
    row: Ints
    inside: Mask
    keep: Mask
    odds: Floats
    left_ms: Ints
    low_ms: Ints

    def take(self, at: NDArray[np.intp]) -> "_Weighed":
        """The given elements."""
        columns: Any = self
        return _Weighed(*(column[at] for column in columns))


def follow(tables: Tables, rows: Rows, logged_ms: int) -> tuple[Pairs, Lost]:
    """Pairs after these fixes. No stay is over without a fix that says so: nothing is ever lost."""
    weighing = _Weighing(tables, rows)
    parts = [weighing.turn(turn) for turn in range(int((rows.last - rows.first).max()) + 1)]
    pairs = weighing.pairs(parts)
    begun = pairs.extra["low_ms"] > tables.devices.fix_ms[rows.dev[pairs.row]]
    if rows.repeats:
        begun &= pairs.row == rows.last[rows.who[pairs.row]]
    doubted = begun.nonzero()[0]
    if len(doubted):
        dev, slot = rows.dev[pairs.row[doubted]], pairs.slot[doubted]
        due_ms = logged_ms + tables.fences.exit_after_ms[slot]
        tables.doubts.add(Timer(due_ms, dev, slot, pairs.extra["low_ms"][doubted]))
    none = np.empty(0, np.int64)
    return pairs, Lost(none, none, none)


class _Weighing:
    """A batch on its way through the turns; what is believed now, by track."""

    def __init__(self, tables: Tables, rows: Rows) -> None:
        stays = tables.stays
        assert isinstance(stays, SteadyStays)
        self._tables, self._rows = tables, rows
        self._sigma = sigma_m(rows.accuracy_m)
        seen_ms = rows.before(tables.devices.fix_ms, rows.time_ms)
        dt_s = np.where(seen_ms == NEVER, np.inf, (rows.time_ms - np.maximum(seen_ms, 0)) / 1000)
        self._gap = gap(dt_s)
        self._least = followed_odds(self._gap)
        reach = np.minimum(REACH_SIGMAS * self._sigma, FARTHEST_M)
        near = tables.index.within(rows.lat, rows.lon, reach, DEPTH_SIGMAS * self._sigma)
        row = np.asarray(near.row, np.int64)
        key = rows.who[row] << 32 | near.slot
        if rows.repeats:
            key, track = np.unique(key, return_inverse=True)
        else:
            track = np.arange(len(key))
        old, owner = stays.of(rows.dev[rows.first])
        old_key = owner << 32 | stays.slot[old]
        old_track = key.searchsorted(old_key)
        old_track[old_track == len(key)] = 0
        away = key[old_track] != old_key if len(key) else np.ones(len(old), np.bool_)
        old_track[away] = len(key) + np.arange(int(away.sum()))
        self._key = np.concatenate((key, old_key[away]))
        self._slot = self._key & 0xFFFFFFFF
        self._last = rows.last[self._key >> 32]
        self._at = np.full(len(self._key), NEW)
        self._odds = np.zeros(len(self._key), np.float32)
        self._inside = np.zeros(len(self._key), np.bool_)
        self._low_ms = np.full(len(self._key), NEVER)
        self._at[old_track] = old
        self._odds[old_track], self._inside[old_track] = stays.odds[old], stays.within[old]
        self._low_ms[old_track] = stays.low_ms[old]
        self._alive = self._at != NEW
        self._followed = old_track
        """Tracks that were followed after the last turn."""
        self._seen = np.full(len(self._key), -1)
        """The row of each track's newest element."""
        self._near: dict[int, _Elements] = {0: self._weighable(track, row, near.distance_m)}
        self._far: dict[int, list[_Elements]] = {}
        self._planned = track << 32 | row
        if rows.repeats:
            self._near = self._by_turn(self._near[0])
            self._planned = np.sort(self._planned)
            ends = self._planned[np.flatnonzero(np.diff(self._planned, append=-1) != 1)]
            self._measure(ends >> 32, (ends & 0xFFFFFFFF) + 1)

    def turn(self, turn: int) -> _Weighed:
        """Weigh each device's next fix."""
        rows, elements = self._rows, self._elements(turn)
        track, row, *found = elements
        known, was_in = self._alive[track], self._inside[track]
        after = weigh(self._odds[track].astype(np.float64), Evidence(*found))
        time_ms = rows.time_ms[row]
        exit_after_ms = self._tables.fences.exit_after_ms[self._slot[track]]
        belief = judge(after, was_in, self._low_ms[track], time_ms, exit_after_ms)
        keep = belief.inside | (after > self._least[row])
        if rows.repeats:
            self._odds[track] = np.where(keep, after, 0)
            self._inside[track], self._low_ms[track], self._alive[track] = belief.inside, belief.low_ms, keep
            self._followed = track[keep]
        weighed = _Weighed(track, row, belief.inside, keep, after, belief.left_ms, belief.low_ms)
        return weighed.take((keep | known).nonzero()[0])

    def _elements(self, turn: int) -> _Elements:
        """What there is to weigh in this turn: fixes near a fence, and fixes of devices that were followed in one."""
        parts = [self._near.pop(turn)] if turn in self._near else []
        parts += [far.take(self._alive[far.track].nonzero()[0]) for far in self._far.pop(turn, ())]
        for part in parts:
            self._seen[part.track] = part.row
        track = self._followed
        row = self._rows.first[self._key[track] >> 32] + turn
        missing = ((self._seen[track] < row) & (row <= self._last[track])).nonzero()[0]
        if len(missing):
            self._measure(track[missing], row[missing])
            parts += self._far.pop(turn)
        if not parts:
            none = np.empty(0, np.int64)
            return _Elements(none, none, np.empty(0), np.empty(0), np.empty(0))
        return parts[0] if len(parts) == 1 else _Elements(*map(np.concatenate, zip(*parts, strict=True)))

    def _measure(self, track: Ints, row: Ints) -> None:
        """Weigh the next few fixes of these tracks from these rows on, up to where they are near again."""
        rows = self._rows
        until = self._last[track] + 1
        if rows.repeats:
            near = self._planned.searchsorted(track << 32 | row)
            following = np.append(self._planned, -1)[near]
            until = np.where(following >> 32 == track, np.minimum(until, following & 0xFFFFFFFF), until)
        count = np.maximum(np.minimum(until - row, _AHEAD), 0)
        track, row = np.repeat(track, count), spread(row, count)
        far_m = FAR_SIGMAS * self._sigma[row]
        distance = self._tables.index.distances(self._slot[track], rows.lat[row], rows.lon[row], far_m)
        for turn, part in self._by_turn(self._weighable(track, row, distance)).items():
            self._far.setdefault(turn, []).append(part)

    def _weighable(self, track: Ints, row: Ints, distance_m: Floats) -> _Elements:
        half_m = self._tables.fences.half_width_m[self._slot[track]]
        since = Gap(*(column[row] for column in self._gap))
        return _Elements(track, row, *evidence(since, self._sigma[row], half_m, distance_m))

    def _by_turn(self, elements: _Elements) -> dict[int, _Elements]:
        turn = elements.row - self._rows.first[self._rows.who[elements.row]]
        order = np.argsort(turn, kind="stable")
        turn, elements = turn[order], elements.take(order)
        begins = np.diff(turn, prepend=-1).nonzero()[0].tolist()
        ends = [*begins[1:], len(turn)][: len(begins)]
        return {int(turn[begin]): elements.take(slice(begin, end)) for begin, end in zip(begins, ends, strict=True)}

    def pairs(self, parts: list[_Weighed]) -> Pairs:
        """All turns together, by device, slot and row."""
        one = parts[0] if len(parts) == 1 else _Weighed(*map(np.concatenate, zip(*parts, strict=True)))
        key = self._key[one.track]
        if self._rows.repeats:
            one = one.take(np.lexsort((one.row, key)))
        elif (key[1:] < key[:-1]).any():
            # Two sorted runs, near and far, which a merge sort takes as such.
            one = one.take(np.argsort(key, kind="stable"))
        track, row, inside, keep, after, left_ms, low_ms = one
        first = row == self._rows.first[self._rows.who[row]] if self._rows.repeats else True
        prev = np.where(first, self._at[track], NEW)
        extra: dict[str, NDArray[Any]] = {"odds": after.astype(np.float32), "low_ms": low_ms}
        return Pairs(row, self._slot[track], inside, keep, after / (1 + after), prev, left_ms, extra)
