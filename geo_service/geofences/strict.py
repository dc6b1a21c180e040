"""Strict presence: inside is where the shape says so, at every ping."""

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.arrivals import rounds
from geo_service.geofences.columns import spans
from geo_service.geofences.fences import NO_DWELL
from geo_service.geofences.tables import NEW, Floats, Ints, Pairs, Rows, Tables


class Strict:
    """A batch's matches with the shapes, to be compared with the stays turn by turn."""

    def __init__(self, tables: Tables, rows: Rows) -> None:
        self._stays, self._fences = tables.stays, tables.fences
        found = tables.index.match(rows.lat, rows.lon)
        self._slot = np.asarray(found.slot, np.int64)
        self._count = np.bincount(found.row, minlength=len(rows.dev))
        self._begin = np.cumsum(self._count) - self._count

    def turns(self, dev: Ints) -> list[NDArray[np.intp]]:
        """The rows in turns in which each device occurs once; rows that can tell nothing are left out.

        In a backlog most pings are where the one before was. Between a device's first and last ping of a batch, such a
        ping matters only to a dwell, to opening hours, or to the way between two places.
        """
        order = np.argsort(dev, kind="stable")
        again = np.flatnonzero(dev[order][1:] == dev[order][:-1])
        row, before = order[again + 1], order[again]
        idle = np.zeros(len(dev), np.bool_)
        if not self._fences.crossable:
            idle[row] = self._count[row] == self._count[before]
            alike = np.flatnonzero(idle[row])
            at, owner = spans(self._begin[row[alike]], self._count[row[alike]])
            then, _ = spans(self._begin[before[alike]], self._count[before[alike]])
            slot = self._slot[at]
            fences = self._fences
            matters = (slot != self._slot[then]) | fences.timed[slot] | (fences.dwell_ms[slot] != NO_DWELL)
            idle[row[alike[owner[matters]]]] = False
            last = np.ones(len(dev), np.bool_)
            last[before] = False
            idle &= ~last
        kept = np.flatnonzero(~idle)
        return [kept[part] for part in rounds(dev[kept])]

    def follow(self, rows: Rows, part: NDArray[np.intp]) -> tuple[Pairs, Ints, Ints]:
        """Pairs after these rows, the given part of the batch; then row and position of stays that are over."""
        at, row = spans(self._begin[part], self._count[part])
        slot = self._slot[at]
        old, old_row = self._stays.of(rows.dev)
        prev, lost = compare(row << 32 | slot, old_row << 32 | self._stays.slot[old], old)
        inside = np.ones(len(row), np.bool_)
        sure: Floats = np.ones(len(row))
        return Pairs(row, slot, inside, inside, sure, prev, rows.time_ms[row], {}), old_row[lost], old[lost]


def compare(key: Ints, old_key: Ints, old: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Find each key among the old ones, both ascending: its element of `old` or NEW; and which old ones are no more."""
    prev = np.full(len(key), NEW)
    if not len(key):
        return prev, np.ones(len(old), np.bool_)
    at = np.searchsorted(key, old_key)
    at[at == len(key)] = 0
    hit = key[at] == old_key
    prev[at[hit]] = old[hit]
    return prev, ~hit
