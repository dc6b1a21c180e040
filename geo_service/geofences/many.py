"""Many shapes read at once: what `read_geometry` says of each, at a fifth of its cost.

```
geometries ──► one array of positions ──► flawless rings ──► valid ──► shapes
                 (nested lists, flat)       on arrays         GEOS
                     │                          │               │
                     └──────── whatever is not as plain ────────┴──► read_geometry, one by one
```

Nearly every fence is a polygon at which nothing has to be repaired; those are judged together. Where the lists cannot be
made into one array, halves are tried, so that whoever is to blame ends up alone.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_service.catalogue.documents import Fence
from geo_service.geofences.arena import Ints
from geo_service.geofences.earth import Floats, metres_per_degree
from geo_service.geofences.rings import Fault, ShapeError
from geo_service.geofences.shapes import MAX_POSITIONS, MAX_RINGS, WOUND, Circle, Polygons, Shape, read_geometry

Written = tuple[Any, float | None]
"""A GeoJSON geometry object, and `radius_m` for a Point."""
Read = tuple[Shape, list[Fault]]
"""A shape, and what was repaired on the way."""
_ONE_RING = np.array([0, 1], np.int64)
_SURE = 1e-6
"""An area, against what it is added up from, of which the sign is beyond doubt."""


def read_geometries(written: Sequence[Written]) -> list[Read | ShapeError]:
    """Each geometry as `read_geometry` reads it, or the error with which that refuses it."""
    found: dict[int, Read] = {}
    plain = [number for number, (geometry, radius_m) in enumerate(written) if radius_m is None and _is_plain(geometry)]
    _read_polygons(plain, [written[number][0]["coordinates"] for number in plain], found)
    return [found.get(number) or _alone(*one) for number, one in enumerate(written)]


class Outline(NamedTuple):
    """A fence's shape, and half the side of the square that is as large, metres."""

    shape: Shape
    half_width_m: float


def outlines_of(fences: Sequence[Fence]) -> list[Outline | ShapeError]:
    """The outline of each fence, or the error with which its geometry is refused."""
    found = read_geometries([(fence.geometry, fence.radius_m) for fence in fences])
    half_m = iter(half_widths_m([read[0] for read in found if not isinstance(read, ShapeError)]).tolist())
    return [read if isinstance(read, ShapeError) else Outline(read[0], next(half_m)) for read in found]


def shapes_of(fences: Sequence[Fence]) -> list[Shape]:
    """The shapes of fences.

    Raises:
        ShapeError: the geometry of one cannot be used; says which fence.
    """
    shapes = []
    for fence, read in zip(fences, read_geometries([(f.geometry, f.radius_m) for f in fences]), strict=True):
        if isinstance(read, ShapeError):
            read.add_note(f"fence {fence.id}")
            raise read
        shapes.append(read[0])
    return shapes


def _alone(geometry: Any, radius_m: float | None) -> Read | ShapeError:
    try:
        return read_geometry(geometry, radius_m)
    except ShapeError as error:
        return error


def _is_plain(geometry: Any) -> bool:
    """Whether it is a Polygon with a list of as many rings as are allowed."""
    if not isinstance(geometry, dict) or geometry.get("type") != "Polygon":
        return False
    rings = geometry.get("coordinates")
    return isinstance(rings, list) and 0 < len(rings) <= MAX_RINGS


def _read_polygons(numbers: list[int], polygons: list[list[Any]], found: dict[int, Read]) -> None:
    """Put into `found` the flawless ones among polygons that go by these numbers."""
    if not polygons:
        return
    rings = list(chain.from_iterable(polygons))
    positions = _as_array(rings)
    if positions is None:
        half = len(polygons) // 2
        if half:
            _read_polygons(numbers[:half], polygons[:half], found)
            _read_polygons(numbers[half:], polygons[half:], found)
        return
    ring_starts = np.concatenate(([0], np.cumsum(list(map(len, rings)))))
    polygon_starts = np.concatenate(([0], np.cumsum(list(map(len, polygons)))))
    sizes = np.diff(ring_starts[polygon_starts])
    good = np.logical_and.reduceat(_flawless(positions, ring_starts), polygon_starts[:-1]) & (sizes <= MAX_POSITIONS)
    good &= _spans(positions[:, 0], ring_starts[polygon_starts[:-1]]) <= 180
    area, sure = _areas(positions, ring_starts)
    good &= np.logical_and.reduceat(sure, polygon_starts[:-1])
    if not good.all():
        kept = np.flatnonzero(good).tolist()
        _read_polygons([numbers[number] for number in kept], [polygons[number] for number in kept], found)
        return
    outer = np.zeros(len(rings), np.bool_)
    outer[polygon_starts[:-1]] = True
    wrong = (area > 0) != outer
    made = shapely.from_ragged_array(shapely.GeometryType.POLYGON, positions, (ring_starts, polygon_starts))
    faulty = set(np.flatnonzero(np.logical_or.reduceat(wrong, polygon_starts[:-1])).tolist())
    firsts = polygon_starts.tolist()
    begins = ring_starts[polygon_starts].tolist()
    for number in np.flatnonzero(shapely.is_valid(made)).tolist():
        first, last, begin = firsts[number], firsts[number + 1], begins[number]
        shape = Polygons(
            positions[begin : begins[number + 1]].copy(),
            ring_starts[first : last + 1] - begin,
            _ONE_RING if last - first == 1 else np.array([0, last - first], np.int64),
        )
        turned = np.flatnonzero(wrong[first:last]).tolist() if number in faulty else []
        found[numbers[number]] = shape, [Fault(WOUND, None, ring) for ring in turned]


def _as_array(rings: list[Any]) -> Floats | None:
    """The positions of rings, one after another, (n, 2); None where one is no list of pairs of numbers."""
    if not set(map(type, rings)) <= {list, tuple}:
        return None
    pairs: list[Any] = list(chain.from_iterable(rings))
    if not set(map(type, pairs)) <= {list, tuple} or set(map(len, pairs)) != {2} or not all(rings):
        return None
    flat: list[Any] = list(chain.from_iterable(pairs))
    if not set(map(type, flat)) <= {int, float}:
        return None
    try:
        return np.array(flat, np.float64).reshape(-1, 2)
    except OverflowError:
        return None


def _flawless(positions: Floats, ring_starts: Ints) -> NDArray[np.bool_]:
    """By ring: whether it is closed, in range, and never stays where it is."""
    first, last = ring_starts[:-1], ring_starts[1:] - 1
    good = (last - first >= 3) & (positions[first] == positions[last]).all(axis=1)
    in_range: NDArray[np.bool_] = np.all(np.abs(positions) <= (180.0, 90.0), axis=1)  # false for NaN, too
    in_range[:-1] &= (positions[1:] != positions[:-1]).any(axis=1) | _ends(ring_starts, len(positions))[:-1]
    return np.asarray(good & np.logical_and.reduceat(in_range, first))


def _ends(ring_starts: Ints, size: int) -> NDArray[np.bool_]:
    """Which positions are the last of their ring."""
    ends = np.zeros(size, np.bool_)
    ends[ring_starts[1:] - 1] = True
    return ends


def _spans(lon: Floats, firsts: Ints) -> Floats:
    return np.asarray(np.maximum.reduceat(lon, firsts) - np.minimum.reduceat(lon, firsts))


def _areas(positions: Floats, ring_starts: Ints) -> tuple[Floats, NDArray[np.bool_]]:
    """Twice each ring's signed area, in square degrees, and whether its sign is sure."""
    x, y = (positions - np.repeat(positions[ring_starts[:-1]], np.diff(ring_starts), axis=0)).T
    # A step from one ring to the next is no edge; it begins at a ring's end, which is (0, 0) here.
    cross = np.append(x[:-1] * y[1:] - x[1:] * y[:-1], 0.0)
    area = np.add.reduceat(cross, ring_starts[:-1])
    return area, np.abs(area) > _SURE * np.add.reduceat(np.abs(cross), ring_starts[:-1])


def half_widths_m(shapes: Sequence[Shape]) -> Floats:
    """Half the sides of the squares that are as large as the shapes, metres; see `steady.half_width_m`."""
    half = np.empty(len(shapes))
    polygons: list[int] = []
    for number, shape in enumerate(shapes):
        if isinstance(shape, Circle):
            half[number] = shape.radius_m * np.sqrt(np.pi) / 2
        else:
            polygons.append(number)
    if polygons:
        half[polygons] = _half_widths_m([shape for shape in shapes if isinstance(shape, Polygons)])
    return half


def _half_widths_m(shapes: Sequence[Polygons]) -> Floats:
    positions = np.concatenate([shape.positions for shape in shapes])
    starts = np.cumsum([0, *(len(shape.positions) for shape in shapes)])
    rings = np.array([len(shape.ring_starts) - 1 for shape in shapes])
    ring_starts = np.concatenate([shape.ring_starts[:-1] for shape in shapes]) + np.repeat(starts[:-1], rings)
    area, _ = _areas(positions, np.append(ring_starts, starts[-1]))
    first = np.cumsum(rings) - rings
    outer = np.concatenate([shape.polygon_starts[:-1] for shape in shapes])
    outer += np.repeat(first, [len(shape.polygon_starts) - 1 for shape in shapes])
    signed = -np.abs(area) / 2
    signed[outer] *= -1
    south, north = (limit.reduceat(positions[:, 1], starts[:-1]) for limit in (np.minimum, np.maximum))
    lon_m, lat_m = metres_per_degree((south + north) / 2)
    return np.asarray(np.sqrt(np.maximum(np.add.reduceat(signed, first) * lon_m * lat_m, 1.0)) / 2)
