"""Which fences have to do with a cell: pages of 8 by 8 cells, found by a hash table, each cell with a list of entries.

```
probe      [ 0, 2, 0, 0, 1, … ]                  a power of two of places, at most half of them taken;
             │                                   a page's place is its number's hash, or the next free one after it
             ▼
record       0     1      2       …              0 stands for "no such page"
number       -     p₁     p₂                     the page
starts     0 … 0 │ 0 40 0 … │ 12 0 …             64 to a page: where each cell's block is in the arena; 0 = no fence there
                     │         │
blocks   … | 12: 1 2 (7·edge) (9·near) | … | 40: 3 4 (3·full) (7·edge) (8·edge) (2·near) | …
                 │ └ reaching: entries of all fences that reach into the cell or come near it
                 └ touching: how many of them, the first ones, reach into it
```

An entry is an int32: slot · 2⁸ + circle · 2⁷ + code, so entries sort by slot; those that only come near are in no order. For a fence that reaches into the cell code 0 means
that its edge may pass through the cell, so a point needs the exact test; a code c above 0 that the whole cell is inside,
at least (c - 1) · 4 m from the edge. For a fence that only comes near, the cell is at least c · 4 m from it.

A table holds one level of the grid and changes in place.
"""

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.arena import Arena, Ints, grown, room_of, sorted_unique, spread
from geo_service.geofences.cells import SPOT_BITS, Pages, Spots

CODE_UNIT_M = 4.0
HIGHEST_CODE = 127
SLOTS = 1 << 23
"""Slots fit 23 bits."""
_HEADER = 2
"""Before a block's entries: touching, reaching."""
# Knuth's multiplicative hashing (TAOCP 6.4) with 2³²/φ: consecutive numbers, as neighbouring pages have, spread evenly.
_GOLDEN = np.uint32(0x9E3779B1)
_NO_PAGE = np.uint32(0xFFFFFFFF)
_FULL, _FULLEST = 0.4, 0.7
"""Above the first the next table is begun; above the second nothing is added before that is done."""
_MOVED_AT_ONCE = 30_000


def entries_of(slots: NDArray[np.int32], circle: NDArray[np.bool_], code: NDArray[np.int32]) -> NDArray[np.int32]:
    """Pack entries."""
    return slots << 8 | circle.astype(np.int32) << 7 | code


class _Places:
    """The hash table proper: page → record, by open addressing with linear probing."""

    def __init__(self, bits: int) -> None:
        self.size = 1 << bits
        self._shift = np.uint32(32 - bits)
        self._mask = self.size - 1
        self._records = np.zeros(self.size, np.int32)

    def find(self, pages: Pages, stored: Pages) -> NDArray[np.int32]:
        """The record of each page, 0 where there is none; `stored` is the page of each record."""
        first = pages * _GOLDEN
        first >>= self._shift
        found = self._records.take(first)
        wrong = np.flatnonzero((stored.take(found) != pages) & (found != 0))
        if len(wrong):
            place = first.take(wrong).astype(np.int64)
            while len(wrong):
                place = (place + 1) & self._mask
                again = self._records[place]
                found[wrong] = again
                still = np.flatnonzero((again != 0) & (stored[again] != pages[wrong]))
                wrong, place = wrong[still], place[still]
        return found

    def find_one(self, page: int, stored: Pages) -> int:
        """The record of one page, 0 where there is none."""
        place = (page * int(_GOLDEN) & 0xFFFFFFFF) >> int(self._shift)
        while (record := self._records.item(place)) and stored.item(record) != page:
            place = (place + 1) & self._mask
        return record

    def add(self, pages: Pages, records: NDArray[np.int32]) -> None:
        """Enter pages that are not there, all different."""
        place = ((pages * _GOLDEN) >> self._shift).astype(np.int64)
        left = np.arange(len(pages))
        while len(left):
            free = left[self._records[place[left]] == 0]
            self._records[place[free]] = records[free]
            left = left[self._records[place[left]] != records[left]]
            place[left] = (place[left] + 1) & self._mask


class CellTable:
    """The cells of one level and their entries."""

    def __init__(self) -> None:
        self._places = _Places(8)
        self._next: _Places | None = None
        """The table that will follow, filled a part at each change, so that growing never takes long."""
        self._moved = 1
        """Records below this are in `_next`, too."""
        self._count = 1
        self._spare = np.empty(0, np.int32)
        """Records below `_count` that no page has any more."""
        self._number = np.full(16, _NO_PAGE, np.uint32)
        self._listed = np.zeros(16, np.int16)
        """How many of a page's cells have a block."""
        self._starts = np.zeros(16 << SPOT_BITS, np.int32)
        self._arena = Arena([np.int32])
        self._arena.allocate(np.ones(1, np.int64))  # no block begins at 0

    def look(self, pages: Pages, spots: Spots) -> tuple[Ints, NDArray[np.int32]]:
        """For cells: positions in `pages`, ascending, and the entries of fences that reach into the cell there."""
        hit, start = self._blocks(pages, spots)
        blocks = self._arena.columns[0]
        return _spread(blocks, hit, start, blocks.take(start))

    def look_around(self, pages: Pages, spots: Spots) -> tuple[Ints, NDArray[np.int32], NDArray[np.bool_]]:
        """The same with fences that only come near, and which those are."""
        hit, start = self._blocks(pages, spots)
        blocks = self._arena.columns[0]
        sizes = blocks.take(start + 1)
        touching = np.repeat(np.cumsum(sizes) - sizes + blocks.take(start), sizes)
        at, entry = _spread(blocks, hit, start, sizes)
        return at, entry, np.arange(len(at)) >= touching

    def look_at(self, page: int, spot: int) -> tuple[list[int], list[int]]:
        """For one cell: the entries of fences that reach into it, and of those that only come near."""
        record = self._places.find_one(page, self._number)
        start = self._starts.item(record << SPOT_BITS | spot)
        if not record or not start:
            return [], []
        blocks = self._arena.columns[0]
        first = start + _HEADER
        listed = blocks[first : first + blocks.item(start + 1)].tolist()
        touching = blocks.item(start)
        return listed[:touching], listed[touching:]

    def _blocks(self, pages: Pages, spots: Spots) -> tuple[Ints, NDArray[np.int32]]:
        """Positions of cells that have a block, and where that begins."""
        record = self._places.find(pages, self._number)
        on_page = np.flatnonzero(record)
        record = record.take(on_page)
        record <<= SPOT_BITS
        record |= spots.take(on_page)
        start = self._starts.take(record)
        listed = np.flatnonzero(start)
        return on_page.take(listed), start.take(listed)

    def add(self, cells: Ints, entries: NDArray[np.int32], near: NDArray[np.bool_]) -> None:
        """Put entries into cells (page · 64 + spot)."""
        before = self._used()
        affected = sorted_unique(cells)
        where = self._made(affected)
        # By cell, near ones last, by slot.
        order = np.searchsorted(affected, cells) << 33 | near.astype(np.int64) << 32 | entries
        order.sort()
        full = self._append(where, order)
        if len(full):
            kept = np.zeros(len(where), np.bool_)
            kept[full] = True
            order = order[kept[order >> 33]]
            number = np.cumsum(kept) - 1
            coming = number[order >> 33], (order & 0xFFFFFFFF).astype(np.int32), order >> 32 & 1 == 1
            self._rewrite(where[full], None, coming)
        self._migrate(4 * (self._used() - before))

    def _append(self, where: Ints, order: Ints) -> Ints:
        """Put entries after those that lists have, where there is room and they belong there; says which lists have none.

        A list's near entries make room for those that touch by going to its end, so they are in no order.
        """
        blocks = self._arena.columns[0]
        owner, close = order >> 33, order >> 32 & 1 == 1
        more = np.bincount(owner, minlength=len(where))
        more_touching = np.bincount(owner[~close], minlength=len(where))
        start = self._starts[where].astype(np.int64)
        touching, reaching = blocks[start].astype(np.int64), blocks[start + 1].astype(np.int64)
        first = (order & 0xFFFFFFFF)[np.cumsum(more) - more]
        belongs = (more_touching == 0) | (touching == 0) | (first > blocks[start + _HEADER + touching - 1])
        fits = (start != 0) & belongs
        fits[fits] = (reaching + _HEADER + more <= room_of(reaching + _HEADER))[fits]
        at = np.flatnonzero(fits)
        begin = start[at] + _HEADER
        moved = np.minimum(more_touching[at], reaching[at] - touching[at])
        leaving = blocks[spread(begin + touching[at], moved)]
        blocks[spread(begin + reaching[at] + more_touching[at] - moved, moved)] = leaving
        mine = fits[owner]
        owner, close, entry = owner[mine], close[mine], order[mine] & 0xFFFFFFFF
        place = start[owner] + _HEADER + np.where(close, reaching[owner], touching[owner])
        blocks[place + spread(np.zeros(len(at), np.int64), more[at])] = entry
        blocks[start[at]] += more_touching[at].astype(np.int32)
        blocks[start[at] + 1] += more[at].astype(np.int32)
        return np.flatnonzero(~fits)

    def take_out(self, cells: Ints, leaving: NDArray[np.bool_]) -> None:
        """Take the entries of these slots (a mask by slot) out of these cells; some may not have any."""
        affected = sorted_unique(cells)
        record = self._places.find((affected >> SPOT_BITS).astype(np.uint32), self._number).astype(np.int64)
        where = (record << SPOT_BITS | affected & 63)[record != 0]
        none = np.empty(0, np.int32)
        self._rewrite(where[self._starts[where] != 0], leaving, (none.astype(np.int64), none, np.empty(0, np.bool_)))

    def _rewrite(
        self,
        where: Ints,
        leaving: NDArray[np.bool_] | None,
        coming: tuple[Ints, NDArray[np.int32], NDArray[np.bool_]],
    ) -> None:
        """Write the lists of cells (positions in `starts`, each once) anew, without what leaves and with what comes."""
        blocks = self._arena.columns[0]
        starts = self._starts[where].astype(np.int64)
        sizes = np.where(starts == 0, 0, blocks[starts + 1])
        owner = np.repeat(np.arange(len(where)), sizes)
        rows = spread(starts + _HEADER, sizes)
        old = blocks[rows]
        old_near = rows >= np.repeat(starts + _HEADER + blocks[starts], sizes)
        if leaving is not None:
            stays = ~leaving[old >> 8]
            owner, old, old_near = owner[stays], old[stays], old_near[stays]
        self._arena.release(starts, np.where(starts == 0, 0, sizes + _HEADER))
        new_owner, entries, near = coming
        # One sort puts everything in its place: by cell, near ones last, by slot.
        order = np.concatenate(
            (
                owner << 33 | old_near.astype(np.int64) << 32 | old,
                new_owner << 33 | near.astype(np.int64) << 32 | entries,
            )
        )
        order.sort()
        owner = order >> 33
        reaching = np.bincount(owner, minlength=len(where))
        listed = np.flatnonzero(reaching)
        begins = np.zeros(len(where), np.int64)
        begins[listed] = self._arena.allocate(reaching[listed] + _HEADER)
        blocks = self._arena.columns[0]
        blocks[begins[listed]] = np.bincount(owner[order >> 32 & 1 == 0], minlength=len(where))[listed]
        blocks[begins[listed] + 1] = reaching[listed]
        blocks[spread(begins + _HEADER, reaching)] = order & 0xFFFFFFFF
        self._starts[where] = begins
        np.add.at(self._listed, where >> SPOT_BITS, (begins != 0).astype(np.int16) - (starts != 0))

    def _made(self, cells: Ints) -> Ints:
        """Where the starts of cells (ascending) are, on pages made where there were none."""
        pages = sorted_unique(cells >> SPOT_BITS).astype(np.uint32)
        if self._used() + len(pages) > _FULLEST * self._places.size:
            self._begin_next(len(pages))
            self._advance(self._count)
        records = self._places.find(pages, self._number)
        new = np.flatnonzero(records == 0)
        if len(new):
            records[new] = self._make(pages[new])
        return records[np.searchsorted(pages, cells >> SPOT_BITS)].astype(np.int64) << SPOT_BITS | cells & 63

    def _make(self, fresh: Pages) -> NDArray[np.int32]:
        """Records for pages that have none."""
        reused, self._spare = np.split(self._spare, [min(len(fresh), len(self._spare))])
        end = self._count + len(fresh) - len(reused)
        made = np.concatenate((reused, np.arange(self._count, end, dtype=np.int32)))
        if end > len(self._number):
            self._number, self._listed = grown(self._number, end), grown(self._listed, end)
            self._starts = grown(self._starts, len(self._number) << SPOT_BITS)
        self._count = end
        self._number[made] = fresh
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
        live = int(np.count_nonzero(self._listed[: self._count])) + more
        self._next, self._moved = _Places(max(8, int(1.5 / _FULL * live).bit_length())), 1

    def _advance(self, end: int) -> None:
        """Bring the records below `end` into the next table, but for those of pages that became empty."""
        assert self._next is not None
        moving = np.arange(self._moved, end, dtype=np.int32)
        moving = moving[self._number[moving] != _NO_PAGE]
        empty = self._listed[moving] == 0
        self._next.add(self._number[moving[~empty]], moving[~empty])
        self._number[moving[empty]] = _NO_PAGE
        self._spare = np.concatenate((self._spare, moving[empty]))
        self._moved = end
        if end == self._count:
            self._places, self._next = self._next, None


def _spread(
    blocks: NDArray[np.int32], hit: Ints, start: NDArray[np.int32], sizes: NDArray[np.int32]
) -> tuple[Ints, NDArray[np.int32]]:
    """Each hit as often as its block's size says, and so many of the block's entries."""
    ends = np.cumsum(sizes, dtype=np.int32)
    total = int(ends[-1]) if len(ends) else 0
    first = start + _HEADER
    first -= ends
    first += sizes
    rows = np.repeat(first, sizes)
    rows += np.arange(total, dtype=np.int32)
    return np.repeat(hit, sizes), blocks.take(rows)
