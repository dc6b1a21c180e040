"""The grid: the earth cut into cells by latitude and longitude, at six sizes.

```
lat, lon ──► row, column at the finest size ──► the same, coarser ──► page, spot
            2¹⁸ rows of 76 m, 2¹⁹ columns       three bits fewer       8 by 8 cells to a page
                                                for each level
```

| level | 0 | 1 | 2 | 3 | 4 | 5 |
|---|---|---|---|---|---|---|
| height of a cell | 76 m | 611 m | 4.9 km | 39 km | 313 km | 2 504 km |

Towards the poles columns are joined, 2, 4, 8 … to one, so that a cell stays about as wide as it is high; how many is
decided once for a band of 1 024 rows (or one row, if that is higher). Where a point lies takes two multiplications and a
few shifts. A cell is a rectangle in the plane in which the edges of shapes are straight, so what `cover.py` says of it needs
no projection. (H3's hexagons cost five times as much to find, and their children stick out of them.)
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.earth import RADIANS, Floats

LEVELS = 6
STEP = 3
"""Bits by which a row is coarser from one level to the next."""
ROW_BITS, COLUMN_BITS = 18, 19
# So that the north pole, too, is within the last row.
ROWS_PER_DEGREE = (1 << ROW_BITS) / 180 * (1 - 2.0**-40)
COLUMNS_PER_DEGREE = (1 << COLUMN_BITS) / 360
SPOT_BITS = 6
"""A page has 64 cells."""
_BAND_BITS = 10
_PAGE_ROW_BITS = COLUMN_BITS - STEP
_MOST_COLUMNS = (1 << COLUMN_BITS) - 1

Pages = NDArray[np.uint32]
Spots = NDArray[np.int32]


class Place(NamedTuple):
    """Rows and columns of points in the finest grid, where no columns are joined yet."""

    row: NDArray[np.int32]
    column: NDArray[np.int32]


def band_bits(level: int) -> int:
    """How many bits of the finest row do not matter to how many columns are joined at this level."""
    return max(_BAND_BITS, STEP * level)


def _joined(level: int) -> NDArray[np.int32]:
    """By band: the bits by which a finest column is coarser at this level."""
    bits = band_bits(level)
    edges = np.arange((1 << ROW_BITS - bits) + 1) / (1 << ROW_BITS - bits) * 180 - 90
    nearest_equator = np.minimum(np.abs(edges[:-1]), np.abs(edges[1:]))
    more = np.rint(-np.log2(np.cos(nearest_equator * RADIANS))).astype(np.int32)
    return np.minimum(more + STEP * level, COLUMN_BITS - STEP).astype(np.int32)


_JOINED = [_joined(level) for level in range(LEVELS)]


def place_of(lat: Floats, lon: Floats) -> Place:
    """Where points (finite degrees; longitude -180 to 180) lie; 180° is -180°."""
    row = lat + 90.0
    row *= ROWS_PER_DEGREE
    column = lon + 180.0
    column *= COLUMNS_PER_DEGREE
    east = column.astype(np.int32)
    east &= _MOST_COLUMNS
    return Place(row.astype(np.int32), east)


def page_and_spot(place: Place, level: int) -> tuple[Pages, Spots]:
    """The page of each point's cell at a level, and the cell's spot on the page."""
    column = place.column >> joined(place.row, level)
    row = place.row >> STEP * level if level else place.row
    spot = row & 7
    spot <<= 3
    spot |= column & 7
    page = row >> 3
    page <<= _PAGE_ROW_BITS
    page |= column >> 3
    return page.view(np.uint32), spot


def page_and_spot_at(lat: float, lon: float, level: int) -> tuple[int, int]:
    """The same for one point."""
    row = int((lat + 90.0) * ROWS_PER_DEGREE)
    column = int((lon + 180.0) * COLUMNS_PER_DEGREE) & _MOST_COLUMNS
    column >>= _JOINED[level].item(row >> band_bits(level))
    row >>= STEP * level
    return row >> 3 << _PAGE_ROW_BITS | column >> 3, (row & 7) << 3 | column & 7


def joined(row: NDArray[np.int32], level: int) -> NDArray[np.int32]:
    """The bits by which a finest column is coarser, for finest rows."""
    return _JOINED[level].take(row >> band_bits(level))


def cell_of(row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.int64]:
    """A row and a column of one level as one number: page · 64 + spot."""
    page = row >> 3 << _PAGE_ROW_BITS | column >> 3
    return np.asarray(page << SPOT_BITS | (row & 7) << 3 | column & 7)
