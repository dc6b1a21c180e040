"""Which fences have to do with a cell: a hash table of H3 cells, each with a list of entries, that changes in place.

```
probe      [ 0, 2, 0, 0, 1, … ]                   a power of two of places, at most half of them taken;
             │                                    a cell's place is its key's hash, or the next free one after it
             ▼
record       0    1        2       …              0 stands for "no such cell"
key          -   k₁       k₂                      H3 key and resolution, see `tagged`
start        0   40       12                      where its entries begin in the arena
touching     0    3        1                      entries of fences that reach into the cell
reaching     0    4        2                      the same and, after them, of fences that only come near it

entries    … | 12: (7·edge) (9·near) | … | 40: (3·full) (7·edge) (8·edge) (2·near) | …
```

An entry is an int32: slot · 2⁸ + circle · 2⁷ + code, so entries sort by slot. For a fence that reaches into the cell code 0 means
that its edge may pass through the cell, so a point needs the exact test; a code c above 0 that the whole cell is inside,
at least (c - 1) · 4 m from the edge. For a fence that only comes near, the cell is at least c · 4 m from it.
"""

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.arena import Arena, Ints, grown, sorted_unique, spread
from geo_service.geofences.cells import Keys

CODE_UNIT_M = 4.0
HIGHEST_CODE = 127
SLOTS = 1 << 23
"""Slots fit 23 bits."""
# Knuth's multiplicative hashing (TAOCP 6.4) with 2⁶⁴/φ: consecutive keys, as neighbouring cells have, spread evenly.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_NO_CELL = -1
_FULL, _FULLEST = 0.4, 0.7
"""Above the first the next table is begun; above the second nothing is added before that is done."""
_MOVED_AT_ONCE = 30_000


def tagged(keys: Keys, res: int) -> Keys:
    """Keys that tell resolutions apart."""
    return keys << 4 | res


def entries_of(slots: NDArray[np.int32], circle: NDArray[np.bool_], code: NDArray[np.int32]) -> NDArray[np.int32]:
    """Pack entries."""
    return slots << 8 | circle.astype(np.int32) << 7 | code


class _Places:
    """The hash table proper: key → record, by open addressing with linear probing."""

    def __init__(self, bits: int) -> None:
        self.size = 1 << bits
        self._shift = np.uint64(64 - bits)
        self._mask = self.size - 1
        self._records = np.zeros(self.size, np.int32)

    def find(self, keys: Keys, stored: Keys) -> NDArray[np.int32]:
        """The record of each key, 0 where there is none; `stored` is the key of each record."""
        place = self._first(keys)
        found = self._records.take(place)
        wrong = np.flatnonzero((stored.take(found) != keys) & (found != 0))
        while len(wrong):
            place[wrong] = (place[wrong] + 1) & self._mask
            again = self._records[place[wrong]]
            found[wrong] = again
            wrong = wrong[(again != 0) & (stored[again] != keys[wrong])]
        return found

    def add(self, keys: Keys, records: NDArray[np.int32]) -> None:
        """Enter keys that are not there, all different."""
        place = self._first(keys)
        left = np.arange(len(keys))
        while len(left):
            free = left[self._records[place[left]] == 0]
            self._records[place[free]] = records[free]
            left = left[self._records[place[left]] != records[left]]
            place[left] = (place[left] + 1) & self._mask

    def _first(self, keys: Keys) -> Ints:
        return ((keys.view(np.uint64) * _GOLDEN) >> self._shift).view(np.int64)


class CellTable:
    """Cells and their entries."""

    def __init__(self) -> None:
        self._places = _Places(10)
        self._next: _Places | None = None
        """The table that will follow, filled a part at each change, so that growing never takes long."""
        self._moved = 1
        """Records below this are in `_next`, too."""
        self._count = 1
        self._spare = np.empty(0, np.int32)
        """Records below `_count` that no cell has any more."""
        self._key = np.full(256, _NO_CELL, np.int64)
        self._start = np.zeros(256, np.int32)
        self._touching = np.zeros(256, np.int32)
        self._reaching = np.zeros(256, np.int32)
        self._arena = Arena([np.int32])

    def look(self, keys: Keys) -> tuple[Ints, NDArray[np.int32]]:
        """For tagged keys: positions in `keys`, ascending, and the entries of fences that reach into the cell there."""
        record = self._places.find(keys, self._key)
        hit = np.flatnonzero(record)
        record = record.take(hit)
        sizes = self._touching.take(record)
        return np.repeat(hit, sizes), self._arena.columns[0].take(spread(self._start.take(record), sizes))

    def look_around(self, keys: Keys) -> tuple[Ints, NDArray[np.int32], NDArray[np.bool_]]:
        """The same with fences that only come near, and which those are."""
        record = self._places.find(keys, self._key)
        hit = np.flatnonzero(record)
        record = record.take(hit)
        starts, sizes = self._start.take(record), self._reaching.take(record)
        rows = spread(starts, sizes)
        near = rows >= np.repeat(starts + self._touching.take(record), sizes)
        return np.repeat(hit, sizes), self._arena.columns[0].take(rows), near

    def add(self, keys: Keys, entries: NDArray[np.int32], near: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Put entries into cells; returns the record that each went to."""
        before = self._used()
        records = self._records_of(keys)
        self._rewrite(sorted_unique(records), None, (records, entries, near))
        self._migrate(4 * (self._used() - before))
        return records

    def take_out(self, records: NDArray[np.int32], leaving: NDArray[np.bool_]) -> None:
        """Take the entries of these slots (a mask by slot) out of these records."""
        none = np.empty(0, np.int32)
        self._rewrite(sorted_unique(records), leaving, (none, none, np.empty(0, np.bool_)))

    def _rewrite(
        self,
        affected: NDArray[np.int32],
        leaving: NDArray[np.bool_] | None,
        coming: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]],
    ) -> None:
        """Write the affected records' lists anew, without what leaves and with what comes."""
        sizes = self._reaching[affected].astype(np.int64)
        starts = self._start[affected]
        owner = np.repeat(np.arange(len(affected)), sizes)
        rows = spread(starts, sizes)
        old = self._arena.columns[0][rows]
        old_near = rows - starts[owner] >= self._touching[affected][owner]
        if leaving is not None:
            stays = ~leaving[old >> 8]
            owner, old, old_near = owner[stays], old[stays], old_near[stays]
        self._arena.release(starts, sizes)
        records, entries, near = coming
        # One sort puts everything in its place: by cell, near ones last, by slot.
        order = np.concatenate(
            (
                owner << 33 | old_near.astype(np.int64) << 32 | old,
                np.searchsorted(affected, records) << 33 | near.astype(np.int64) << 32 | entries,
            )
        )
        order.sort()
        owner = order >> 33
        listed = np.bincount(owner, minlength=len(affected))
        blocks = self._arena.allocate(listed)
        self._arena.columns[0][spread(blocks, listed)] = order & 0xFFFFFFFF
        self._start[affected] = blocks
        self._reaching[affected] = listed
        self._touching[affected] = np.bincount(owner[order >> 32 & 1 == 0], minlength=len(affected))

    def _records_of(self, keys: Keys) -> NDArray[np.int32]:
        """Each key's record, made where there was none."""
        if self._used() + len(keys) > _FULLEST * self._places.size:
            self._begin_next(len(keys))
            self._advance(self._count)
        records = self._places.find(keys, self._key)
        new = np.flatnonzero(records == 0)
        if len(new):
            fresh = sorted_unique(keys[new])
            records[new] = self._make(fresh)[np.searchsorted(fresh, keys[new])]
        return records

    def _make(self, fresh: Keys) -> NDArray[np.int32]:
        """Records for cells that have none."""
        reused, self._spare = np.split(self._spare, [min(len(fresh), len(self._spare))])
        end = self._count + len(fresh) - len(reused)
        made = np.concatenate((reused, np.arange(self._count, end, dtype=np.int32)))
        if end > len(self._key):
            self._key, self._start = grown(self._key, end), grown(self._start, end)
            self._touching, self._reaching = grown(self._touching, end), grown(self._reaching, end)
        self._count = end
        self._key[made] = fresh
        self._places.add(fresh, made)
        if self._next is not None:
            behind = made < self._moved
            self._next.add(fresh[behind], made[behind])
        return made

    def _used(self) -> int:
        return self._count - 1 - len(self._spare)

    def _migrate(self, at_least: int) -> None:
        """Go on with the next table, or begin it if this one is filling up."""
        if self._next is None and self._used() > _FULL * self._places.size:
            self._begin_next(0)
        if self._next is not None:
            self._advance(min(self._moved + max(at_least, _MOVED_AT_ONCE), self._count))

    def _begin_next(self, more: int) -> None:
        live = int(np.count_nonzero(self._reaching[: self._count])) + more
        self._next, self._moved = _Places(max(10, int(1.5 / _FULL * live).bit_length())), 1

    def _advance(self, end: int) -> None:
        """Bring the records below `end` into the next table, but for those of cells that became empty."""
        assert self._next is not None
        moving = np.arange(self._moved, end, dtype=np.int32)
        moving = moving[self._key[moving] != _NO_CELL]
        empty = self._reaching[moving] == 0
        self._next.add(self._key[moving[~empty]], moving[~empty])
        self._key[moving[empty]] = _NO_CELL
        self._spare = np.concatenate((self._spare, moving[empty]))
        self._moved = end
        if end == self._count:
            self._places, self._next = self._next, None
