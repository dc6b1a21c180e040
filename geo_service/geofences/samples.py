"""Points that stand for a disc or a path: so dense that whatever touches it is near one of them.

The index lists a fence in every cell that comes within some distance of it. So to find what is within a larger distance of
a point, or along a path, it is enough to look into the cells of samples that leave no gap wider than that distance.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.arena import Ints, spread
from geo_service.geofences.earth import MEAN_M, RADIANS, Floats, degrees_of, on_ellipsoid, unit_vectors

_CLOSER = 0.98
"""The earth is no sphere: its radii of curvature differ from the mean one by up to 0.6 %."""
_METRES_PER_DEGREE = 111_700.0
"""The most of any degree on the earth."""


class Samples(NamedTuple):
    """Points, each belonging to a row."""

    row: NDArray[np.intp]
    lat: Floats
    lon: Floats


def of_discs(lat: Floats, lon: Floats, radius_m: Floats, gap_m: float) -> Samples:
    """Points such that no point of a row's disc is farther than `gap_m` from one of them."""
    apart = gap_m * np.sqrt(3) * _CLOSER**2
    reach = radius_m / _CLOSER + gap_m
    high = np.ceil(reach / (apart * np.sqrt(3) / 2)).astype(np.int64)
    row = np.repeat(np.arange(len(lat)), 2 * high + 1)
    b = spread(-high, 2 * high + 1)
    y = b * (apart * np.sqrt(3) / 2)
    wide = np.sqrt(np.maximum(reach[row] ** 2 - y**2, 0)) / apart
    first = np.ceil(-wide - b % 2 / 2).astype(np.int64)
    count = np.maximum(np.floor(wide - b % 2 / 2).astype(np.int64) - first + 1, 0)
    x = (spread(first, count) + np.repeat(b % 2 / 2, count)) * apart
    y, row = np.repeat(y, count), np.repeat(row, count)
    # On the plane that touches the sphere at the disc's centre; there distances are never shorter than on the sphere.
    centre = unit_vectors(lat, lon)
    east = np.stack((-np.sin(lon * RADIANS), np.cos(lon * RADIANS), np.zeros(len(lon))))
    north = np.cross(centre, east, axis=0)
    vectors = centre[:, row] + east[:, row] * (x / MEAN_M) + north[:, row] * (y / MEAN_M)
    return Samples(row, *degrees_of(vectors / np.sqrt((vectors**2).sum(axis=0))))


class Paths(NamedTuple):
    """Points along segments, from end to end, and the pieces between them."""

    samples: Samples
    first: Ints
    """Where each row's points begin."""
    length: Ints
    """How many points each row has."""

    def pieces_to(self, sample: NDArray[np.intp], centre: Floats) -> Floats:
        """Metres from points (3, n) to the two pieces that meet at a sample, whichever is nearer; pair by pair."""
        points = on_ellipsoid(unit_vectors(self.samples.lat, self.samples.lon))
        row = self.samples.row[sample]
        here = points[:, sample]
        before = points[:, np.maximum(sample - 1, self.first[row])]
        after = points[:, np.minimum(sample + 1, self.first[row] + self.length[row] - 1)]
        return np.minimum(_to_piece(centre, here, before), _to_piece(centre, here, after))


def of_paths(start: tuple[Floats, Floats], end: tuple[Floats, Floats], apart_m: float) -> Paths:
    """Points at most `apart_m` apart along segments that are straight in degrees; ends are `(lat, lon)`."""
    widest = np.cos(np.minimum(np.abs(start[0]), np.abs(end[0])) * RADIANS)
    straddles = start[0] * end[0] < 0
    width = np.abs(end[1] - start[1]) * np.where(straddles, 1.0, widest)
    length_m = np.hypot(width, end[0] - start[0]) * _METRES_PER_DEGREE
    count = np.ceil(length_m / apart_m).astype(np.int64) + 1
    first = np.cumsum(count) - count
    row = np.repeat(np.arange(len(count)), count)
    along = spread(np.zeros(len(count), np.int64), count) / np.maximum(count - 1, 1)[row]
    lat = start[0][row] + along * (end[0] - start[0])[row]
    lon = start[1][row] + along * (end[1] - start[1])[row]
    return Paths(Samples(row, lat, lon), first, count)


def _to_piece(point: Floats, start: Floats, end: Floats) -> Floats:
    """Distance from points to straight pieces, all (3, n)."""
    way, offset = end - start, point - start
    along = np.clip((way * offset).sum(axis=0) / np.maximum((way * way).sum(axis=0), 1e-12), 0, 1)
    return np.asarray(np.sqrt(((offset - along * way) ** 2).sum(axis=0)))
