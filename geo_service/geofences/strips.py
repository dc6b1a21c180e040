"""Boxes cut into strips of cells: where `cover.py` has to look, at which level of the grid.

```
            box of a shape, NEAR_M wider
            ┌────────────────────┐
  strip 2   │┌──┬──┬──┬──┬──┬──┐ │     a strip is one row of cells, from column `west` on, `size` of them;
  strip 1   ││  │  │  │  │  │  │ │     columns go on beyond the antimeridian, as longitudes do in a shape's plane,
  strip 0   │└──┴──┴──┴──┴──┴──┘ │     and turn into those of the grid at the very end (`cells_in`)
            └────────────────────┘
```
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.arena import Ints, spread
from geo_service.geofences.cells import (
    COLUMN_BITS,
    COLUMNS_PER_DEGREE,
    LEVELS,
    ROW_BITS,
    ROWS_PER_DEGREE,
    STEP,
    cell_of,
    joined,
)
from geo_service.geofences.earth import Floats, metres_per_degree
from geo_service.geofences.shapes import Circle, Polygons, Shape

NEAR_M = 40.0
"""A fence is listed in every cell that comes this near it."""
MOST_CELLS = 1024
"""In the box of a shape, at the level that is chosen for it; more only at the coarsest."""
_MOST_WORK, _FEWEST_CELLS = 1 << 21, 64
"""Edges times cells of one shape: the pairs that a hostile one can ask for. So a shape of very many edges gets fewer cells."""
LEAST_METRES_NORTH = 110_570.0
"""Per degree of latitude, anywhere."""
POLAR = 89.9
"""Beyond this latitude a box takes the whole round."""
_GENEROUS = 1.001


class Strips(NamedTuple):
    """Rows of cells in the boxes of shapes, at each shape's level, from south to north."""

    first: Ints
    """By shape: its first strip, and one more at the end."""
    owner: Ints
    row: Ints
    bits: Ints
    """By how many bits a column is coarser than the finest."""
    west: Ints
    """The first column; may be below 0 or beyond the last one, for a shape's plane does not end at 180°."""
    size: Ints
    round: NDArray[np.bool_]
    """Whether the strip goes all the way round and meets itself."""


def boxes_of(shapes: Sequence[Shape]) -> Floats:
    """(n, 4): west, south, east, north of shapes, in their plane, generously for circles."""
    boxes = np.empty((len(shapes), 4))
    polygons = [number for number, shape in enumerate(shapes) if isinstance(shape, Polygons)]
    if polygons:
        some = [shape.positions for shape in shapes if isinstance(shape, Polygons)]
        positions = np.concatenate(some)
        firsts = np.cumsum([0, *map(len, some[:-1])])
        boxes[polygons, :2] = np.minimum.reduceat(positions, firsts)
        boxes[polygons, 2:] = np.maximum.reduceat(positions, firsts)
    circles = [number for number, shape in enumerate(shapes) if isinstance(shape, Circle)]
    if circles:
        boxes[circles] = circle_boxes(*circle_columns([shapes[number] for number in circles]))
    return boxes


def circle_boxes(lat: Floats, lon: Floats, radius_m: Floats) -> Floats:
    """Boxes of circles."""
    up = radius_m / LEAST_METRES_NORTH * _GENEROUS
    across = _degrees_across(radius_m * _GENEROUS, np.abs(lat) + up)
    return np.stack((lon - across, lat - up, lon + across, lat + up), axis=1)


def _degrees_across(metres: Floats | float, highest_lat: Floats) -> Floats:
    """Degrees of longitude that are at least so many metres at a latitude and below it."""
    across = metres / metres_per_degree(np.minimum(highest_lat, POLAR))[0]
    return np.asarray(np.where(highest_lat < POLAR, across, 360.0))


def circle_columns(circles: Sequence[Shape]) -> tuple[Floats, Floats, Floats]:
    """Latitudes, longitudes and radii of circles."""
    columns = [(shape.lat, shape.lon, shape.radius_m) for shape in circles if isinstance(shape, Circle)]
    lat, lon, radius = np.array(columns, np.float64).reshape(-1, 3).T
    return lat, lon, radius


def padded(boxes: Floats) -> tuple[Floats, Floats]:
    """The boxes, `NEAR_M` wider on each side, and by how many degrees of longitude that is."""
    up = NEAR_M / LEAST_METRES_NORTH
    wide = boxes + np.array([0, -up, 0, up])
    pad = _degrees_across(NEAR_M, np.abs(wide[:, 1::2]).max(axis=1))
    wide[:, 0] -= pad
    wide[:, 2] += pad
    return wide, pad


def levels_of(boxes: Floats, positions: Ints) -> Ints:
    """The finest level at which each (padded) box of a shape with so many positions has few cells enough."""
    most = np.clip(_MOST_WORK // positions, _FEWEST_CELLS, MOST_CELLS)
    south, north = _rows(boxes)
    straddles = (south < 1 << ROW_BITS - 1) & (north >= 1 << ROW_BITS - 1)
    middle = 1 << ROW_BITS - 1
    lowest = np.where(straddles, middle, np.where(south >= middle, south, north)).astype(np.int32)
    level = np.full(len(boxes), LEVELS - 1)
    for candidate in range(LEVELS - 2, -1, -1):
        bits = joined(lowest, candidate)
        west, east = _columns(boxes[:, 0], boxes[:, 2], bits)
        across = np.minimum(east - west + 1, 1 << COLUMN_BITS - bits)
        rows = (north >> STEP * candidate) - (south >> STEP * candidate) + 1
        level[across * rows <= most] = candidate
    return level


def strips_of(boxes: Floats, level: Ints) -> Strips:
    """The strips of (padded) boxes."""
    south, north = (row >> STEP * level for row in _rows(boxes))
    rows = north - south + 1
    owner = np.repeat(np.arange(len(boxes)), rows)
    row = spread(south, rows)
    bits = np.zeros(len(row), np.int64)
    mine = level[owner]
    for each in np.unique(level).tolist():
        at = np.flatnonzero(mine == each)
        bits[at] = joined((row[at] << STEP * each).astype(np.int32), each)
    west, east = _columns(boxes[owner, 0], boxes[owner, 2], bits)
    columns, count = 1 << COLUMN_BITS - bits, east - west + 1
    first = np.concatenate(([0], np.cumsum(rows)))
    return Strips(first, owner, row, bits, west, np.minimum(count, columns), count > columns)


def cells_in(strips: Strips) -> Ints:
    """The cells of strips, one strip after another."""
    column = spread(strips.west, strips.size)
    column &= np.repeat((1 << COLUMN_BITS - strips.bits) - 1, strips.size)
    return cell_of(np.repeat(strips.row, strips.size), column)


def _rows(boxes: Floats) -> tuple[Ints, Ints]:
    most = (1 << ROW_BITS) - 1
    rows = np.clip(np.floor((boxes[:, 1::2] + 90) * ROWS_PER_DEGREE), 0, most).astype(np.int64)
    return rows[:, 0], rows[:, 1]


def _columns(west: Floats, east: Floats, bits: NDArray[np.integer]) -> tuple[Ints, Ints]:
    first, last = (np.floor((lon + 180) * COLUMNS_PER_DEGREE).astype(np.int64) for lon in (west, east))
    return first >> bits, last >> bits
