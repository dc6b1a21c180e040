"""The H3 cells of one shape of any size, anywhere: over a pole, the antimeridian, the edge of a face, half the world.

It goes down H3's hierarchy from the 122 base cells, keeps what comes near the shape, and stops before there are too many.
A cell is judged by a box of latitude and longitude around it, so the verdict is never too small whatever the projection.
A few milliseconds a shape: for the few that `cover.py` cannot take.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from typing import NamedTuple

import h3.api.basic_int as h3
import numpy as np
import shapely
from numpy.typing import NDArray

from geo_service.geofences.cells import key_of
from geo_service.geofences.celltable import tagged
from geo_service.geofences.earth import MEAN_M, RADIANS, Floats, unit_vectors
from geo_service.geofences.shapes import Circle, Polygons, Shape

_MOST_CELLS = 100
# The cells below a cell reach over its corners, in a regular grid by 5 % (see `cover.py`).
_OVERHANG = 1.08
_ELLIPSOID = 0.006
"""How far a distance on the sphere may be from the true one, relative."""


class WideCover(NamedTuple):
    """Cells of one shape; columns as in `cover.Cover`."""

    key: NDArray[np.int64]
    code: NDArray[np.int32]
    near: NDArray[np.bool_]


class _Discs(NamedTuple):
    """Discs around cells: centres in degrees, radii in radians."""

    lat: Floats
    lon: Floats
    radius: Floats


def wide_cover(shape: Shape, near_m: float, finest: int) -> WideCover:
    """The cells of a shape: those it reaches into, and those within `near_m` of it."""
    if isinstance(shape, Polygons):
        shapely.prepare(geometry := shape.geometry)
    else:
        geometry = None
    cells, discs = _world()
    kept, around = cells, discs
    for res in range(finest + 1):
        close = np.flatnonzero(_reach(shape, geometry, discs, near_m))
        if res and len(close) > _MOST_CELLS:
            break
        kept, around = [cells[number] for number in close.tolist()], _Discs(*(column[close] for column in discs))
        cells = [child for cell in kept for child in h3.cell_to_children(cell)]
        discs = _discs(cells)
    touching, full = _reach(shape, geometry, around, 0.0), _holds(shape, geometry, around)
    keys = tagged(np.array([key_of(cell) for cell in kept], np.int64), h3.get_resolution(kept[0]))
    return WideCover(keys, full.astype(np.int32), ~touching)


def _discs(cells: Sequence[int]) -> _Discs:
    """A disc around each cell and the cells below it."""
    lat, lon = np.array([h3.cell_to_latlng(cell) for cell in cells]).T
    boundaries = [h3.cell_to_boundary(cell) for cell in cells]
    counts = np.array([len(boundary) for boundary in boundaries])
    corners = unit_vectors(*np.array(list(chain.from_iterable(boundaries))).T)
    away = corners - np.repeat(unit_vectors(lat, lon), counts, axis=1)
    square = np.maximum.reduceat((away**2).sum(axis=0), np.cumsum(counts) - counts)
    return _Discs(lat, lon, 2 * np.arcsin(np.sqrt(square) / 2) * _OVERHANG)


@cache
def _world() -> tuple[list[int], _Discs]:
    """H3's base cells."""
    cells = h3.get_res0_cells()
    return cells, _discs(cells)


def _reach(shape: Shape, geometry: shapely.Geometry | None, discs: _Discs, near_m: float) -> NDArray[np.bool_]:
    """Whether the shape may come within `near_m` of each disc."""
    if isinstance(shape, Circle):
        gap = _angles(shape, discs) * (1 - _ELLIPSOID) - discs.radius
        return np.asarray(gap * MEAN_M <= (shape.radius_m + near_m) * (1 + _ELLIPSOID))
    boxes = _boxes(discs._replace(radius=discs.radius + near_m * (1 + _ELLIPSOID) / MEAN_M))
    return np.asarray(np.any([shapely.intersects(geometry, boxes(turn)) for turn in (-360.0, 0.0, 360.0)], axis=0))


def _holds(shape: Shape, geometry: shapely.Geometry | None, discs: _Discs) -> NDArray[np.bool_]:
    """Whether each disc is certainly inside the shape."""
    if isinstance(shape, Circle):
        reach = _angles(shape, discs) * (1 + _ELLIPSOID) + discs.radius * (1 + _ELLIPSOID)
        return np.asarray(reach * MEAN_M <= shape.radius_m)
    boxes = _boxes(discs)
    return np.asarray(np.any([shapely.covers(geometry, boxes(turn)) for turn in (-360.0, 0.0, 360.0)], axis=0))


def _angles(circle: Circle, discs: _Discs) -> Floats:
    """Radians from the circle's centre to the discs' centres."""
    centre = unit_vectors(np.array([circle.lat]), np.array([circle.lon]))
    straight = np.linalg.norm(unit_vectors(discs.lat, discs.lon) - centre, axis=0)
    return np.asarray(2 * np.arcsin(np.minimum(straight / 2, 1)))


def _boxes(discs: _Discs) -> Callable[[float], NDArray[np.object_]]:
    """Boxes around discs, as a function of how many degrees of longitude they are moved."""
    degrees = discs.radius / RADIANS
    south, north = discs.lat - degrees, discs.lat + degrees
    polar = (north >= 90) | (south <= -90)
    ratio = np.sin(discs.radius) / np.maximum(np.cos(discs.lat * RADIANS), 1e-12)
    half = np.where(polar, 180.0, np.arcsin(np.minimum(ratio, 1)) / RADIANS)
    middle = np.where(polar, 0.0, discs.lon)
    south, north = np.maximum(south, -90), np.minimum(north, 90)

    def moved(turn: float) -> NDArray[np.object_]:
        return np.asarray(shapely.box(middle - half + turn, south, middle + half + turn, north))

    return moved
