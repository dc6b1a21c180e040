"""A synthetic city for the benchmark of presence: fences by the thousand, and people who walk among them.

85 % of the fences are star polygons with a radius of 50 to 300 m and 5 to 60 corners, a tenth of them with a hole; 15 % are
circles with a radius of 100 to 1 000 m. Four in five stand in clusters. There are 12.4 square kilometres to a hundred
fences, so that a place is in about 1.75 of them. People walk from one random place to the next, are seen every
30 s, and are seen 8 m off.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo_service.catalogue.documents import Fence
from geo_service.pings.batch import PingBatch

LAT, LON = 60.17, 24.94
METRES_NORTH, METRES_EAST = 111_400.0, 55_500.0
STEP_MS = 30_000
START_MS = 1_780_000_000_000
_HALF_SIDE_M = 17_600.0
"""Of the city, with 10 000 fences."""
_CLUSTER_M = 400.0
_FENCES_IN_CLUSTER = 200
_NOISE_M = 8.0

Floats = NDArray[np.float64]


def half_side_m(fences: int) -> float:
    """Half the side of a city with so many fences."""
    return float(_HALF_SIDE_M * np.sqrt(fences / 10_000))


def city(fences: int, seed: int = 0) -> Iterator[Fence]:
    """The documents of so many fences."""
    rng = np.random.default_rng(seed)
    half = half_side_m(fences)
    clusters = rng.uniform(-half, half, (max(fences // _FENCES_IN_CLUSTER, 1), 2))
    for number in range(fences):
        clustered = rng.random() < 0.8
        middle = clusters[rng.integers(len(clusters))] + rng.normal(0, _CLUSTER_M, 2)
        x, y = middle if clustered else rng.uniform(-half, half, 2)
        if rng.random() < 0.15:
            at = [float(LON + x / METRES_EAST), float(LAT + y / METRES_NORTH)]
            geometry: dict[str, Any] = {"type": "Point", "coordinates": at}
            yield Fence(id=f"f{number}", geometry=geometry, radius_m=float(rng.uniform(100, 1000)))
        else:
            yield Fence(id=f"f{number}", geometry=_star(rng, float(x), float(y)))


def _star(rng: np.random.Generator, x: float, y: float) -> dict[str, Any]:
    """A star around a place in metres: corners at random distances, all around, so that it never crosses itself."""
    corners = int(rng.integers(5, 61))
    turn = (np.arange(corners) + rng.uniform(0, 0.9, corners)) * (2 * np.pi / corners)
    away = rng.uniform(50, 300) * rng.uniform(0.5, 1, corners)
    rings = [away] if rng.random() > 0.1 else [away, 0.2 * away]
    coordinates = []
    for ring in rings:
        lon, lat = LON + (x + ring * np.cos(turn)) / METRES_EAST, LAT + (y + ring * np.sin(turn)) / METRES_NORTH
        positions = np.stack((lon, lat), axis=1)[:: 1 if ring is away else -1]
        coordinates.append(np.concatenate((positions, positions[:1])).tolist())
    return {"type": "Polygon", "coordinates": coordinates}


class Walkers:
    """People under way: each walks to a random place, then to the next."""

    def __init__(self, count: int, half_m: float, seed: int = 1) -> None:
        self._rng = np.random.default_rng(seed)
        self._half = half_m
        self._at = self._rng.uniform(-half_m, half_m, (count, 2))
        self._goal = self._somewhere(count)
        self._speed = self._rng.uniform(0.5, 2.0, count)
        self.names = [f"device-{number:06d}" for number in range(count)]
        self._step = 0

    def _somewhere(self, count: int) -> Floats:
        return self._rng.uniform(-self._half, self._half, (count, 2))

    def walk(self, batch: int, most: int | None = None) -> Iterator[tuple[int, PingBatch]]:
        """One ping of everybody, 30 s later, in batches: `(log's time in ms, pings)`; at most so many batches."""
        self._step += 1
        now_ms = START_MS + self._step * STEP_MS
        way = self._goal - self._at
        left = np.linalg.norm(way, axis=1)
        stride = np.minimum(self._speed * STEP_MS / 1000, left)
        self._at += way * (stride / np.maximum(left, 1e-9))[:, None]
        there = left - stride < 1
        self._goal[there] = self._somewhere(int(there.sum()))
        seen = self._at + self._rng.normal(0, _NOISE_M, self._at.shape)
        starts = range(0, len(self.names), batch)
        for start in starts[: len(starts) if most is None else most]:
            part = slice(start, start + batch)
            count = len(self.names[part])
            nothing = np.full(count, np.nan)
            yield (
                now_ms,
                PingBatch(
                    self.names[part],
                    np.full(count, now_ms, np.int64),
                    LAT + seen[part, 1] / METRES_NORTH,
                    LON + seen[part, 0] / METRES_EAST,
                    np.full(count, _NOISE_M * 1.5),
                    nothing,
                    nothing,
                    np.zeros(count, np.uint8),
                ),
            )
