"""Blocks of rows in growing columns: what `malloc` is to bytes, for numpy arrays.

```
columns   | block of 3 | block of 8           | (free, 8) | block of 2 | … end          room to grow
```

A block keeps its place until it is released, so whoever holds its start can index the columns directly. Sizes are rounded
up to a class (1, 2, …, 8, 10, 12, 14, 16, 20, …); a released block waits for the next one of its class. Nothing is ever moved
or compacted, so no call takes long; a column that is full is copied once into one a quarter larger.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Ints = NDArray[np.int64]

_CLASSES = np.array([1, 2, 3, *(step << k for k in range(38) for step in (4, 5, 6, 7))], np.int64)


class Arena:
    """Columns of equal length, handed out in blocks of rows."""

    def __init__(self, dtypes: Sequence[DTypeLike]) -> None:
        self.columns: list[NDArray[Any]] = [np.zeros(1024, dtype) for dtype in dtypes]
        self._end = 0
        self._free: dict[int, list[int]] = {}

    def allocate(self, sizes: Ints) -> Ints:
        """Starts of new blocks of at least these sizes (0 is fine, and takes nothing); what they hold is undefined."""
        starts = np.zeros(len(sizes), np.int64)
        kinds = np.searchsorted(_CLASSES, sizes)
        for kind in np.unique(kinds[sizes > 0]).tolist():
            wanted = np.flatnonzero((kinds == kind) & (sizes > 0))
            free = self._free.get(kind, [])
            reused = min(len(free), len(wanted))
            if reused:
                starts[wanted[:reused]] = free[-reused:]
                del free[-reused:]
            fresh = len(wanted) - reused
            room = int(_CLASSES[kind])
            starts[wanted[reused:]] = self._end + room * np.arange(fresh)
            self._end += room * fresh
        self._grow()
        return starts

    def release(self, starts: NDArray[np.integer], sizes: NDArray[np.integer]) -> None:
        """Give back blocks, by the sizes they were asked for."""
        kinds = np.searchsorted(_CLASSES, sizes)
        for kind in np.unique(kinds[sizes > 0]).tolist():
            self._free.setdefault(kind, []).extend(starts[(kinds == kind) & (sizes > 0)].tolist())

    def _grow(self) -> None:
        have = len(self.columns[0])
        if self._end > have:
            self.columns = [grown(column, self._end) for column in self.columns]


def room_of(sizes: Ints) -> Ints:
    """How many rows a block of so many has room for."""
    return _CLASSES[np.searchsorted(_CLASSES, sizes)]


def grown(column: NDArray[Any], size: int) -> NDArray[Any]:
    """The same column with room for `size` rows and a quarter more; new rows are zero."""
    larger = np.zeros((size + size // 4, *column.shape[1:]), column.dtype)
    larger[: len(column)] = column
    return larger


def sorted_unique(values: NDArray[Any]) -> NDArray[Any]:
    """Each value once, ascending; by sorting, which is several times faster here than `np.unique`'s hashing."""
    ordered = np.sort(values)
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def spread(starts: NDArray[np.integer], sizes: NDArray[np.integer]) -> Ints:
    """The row numbers of blocks, one block after another: `start, start + 1, …` for each."""
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    return np.asarray(np.repeat(starts - (ends - sizes), sizes) + np.arange(total), np.int64)
