"""Places as H3 cells, so that everything near a place stands in a few ranges of one sorted column.

```
an H3 cell, 64 bits    mode, resolution | base cell | digit 1 | digit 2 | … | digit 15
finer cells within     the same digits, then any others: one range of numbers, if all are of one resolution
```

The hexagons around a place that hold everything within a radius are found at a resolution where they are few; each is a
range of the finest cells, which a sorted column finds by bisection.
Source: https://h3geo.org/docs/core-library/h3Indexing (the bits), https://h3geo.org/docs/core-library/restable (the sizes).
"""

import math
from typing import Final, NamedTuple

import h3.api.basic_int as h3
import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.int64]
FINEST: Final = 10
"""The resolution of the column: hexagons of some 130 m across."""
RINGS: Final = 3
"""Around a place, at the most: 37 hexagons."""
_DIGITS: Final = 15
_RESOLUTION_BIT: Final = 52
_COVERED: Final = 0.65
"""Of an average edge: so far every ring reaches at least, wherever in its cell the place is. A regular grid's first ring
reaches a whole edge; H3's shortest edges are 0.7 of the average of their resolution."""
_EDGES_M: Final = tuple(h3.average_hexagon_edge_length(resolution, unit="m") for resolution in range(FINEST + 1))


class Ranges(NamedTuple):
    """Ranges of finest cells, both ends included."""

    first: Cells
    last: Cells


def cell_of(lat: float, lon: float, resolution: int = FINEST) -> int:
    """The cell of a place in degrees."""
    return int(h3.latlng_to_cell(lat, lon, resolution))


def around(lat: float, lon: float, radius_m: float) -> Ranges | None:
    """Ranges that hold every place within the radius, and some beyond; None where that is no small part of the earth."""
    for resolution in range(FINEST, -1, -1):
        rings = math.ceil(radius_m / (_COVERED * _EDGES_M[resolution]))
        if rings <= RINGS:
            cells = np.array(h3.grid_disk(cell_of(lat, lon, resolution), rings), np.int64)
            return _finest_within(cells, resolution)
    return None


def _finest_within(cells: Cells, resolution: int) -> Ranges:
    """The first and last cell of the finest resolution in each of these."""
    finer = cells + ((FINEST - resolution) << _RESOLUTION_BIT)
    free = 0
    for digit in range(resolution + 1, FINEST + 1):
        free |= 7 << 3 * (_DIGITS - digit)
    first = finer & ~free
    # The largest digit is 6: 7 stands for "no digit".
    return Ranges(first, first | (free & int("6" * _DIGITS, 8)))
