"""What `bench presence` compares with: others that tell enters and exits of the same pings, fed as well as they can be.

A rival takes a batch of pings and gives the crossings that they made. One that is a server of its own is charged for the CPU
of its processes only, read from /proc: what it costs us to write its commands and to read its answers is not on its bill.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_service.catalogue.documents import Fence
from geo_service.geofences.index import Pairs
from geo_service.geofences.shapes import Polygons, read_shape
from geo_service.pings.batch import PingBatch

Floats = NDArray[np.float64]
CIRCLE_CORNERS = 64
"""A circle of those who have none: a polygon of so many corners."""


class Crossing(NamedTuple):
    """What all of them tell."""

    type: Literal["enter", "exit"]
    device: str
    fence: str


class Rival(Protocol):
    """A server with the fences in it."""

    def step(self, batch: PingBatch) -> list[Crossing]:
        """Take pings, each device at most once, and tell what they made, in any order."""
        ...

    def cpu_s(self) -> float:
        """CPU seconds that its processes have used so far."""
        ...


def polygon_of(fence: Fence) -> shapely.Geometry:
    """The fence's valid shape in degrees; a circle as `CIRCLE_CORNERS` corners."""
    shape, _ = read_shape(fence)
    if isinstance(shape, Polygons):
        return shape.geometry
    corners = shapely.get_coordinates(shape.geometry)
    return shapely.Polygon(corners[:: max(1, (len(corners) - 1) // CIRCLE_CORNERS)])


class TreeIndex:
    """Shapely's STRtree, to be put in the index's place with everything else as it is.

    `prepared` is the quickest use of shapely that we know: the tree gives boxes only, and each candidate is tested against
    its polygon, prepared once. Without it the tree is asked in the usual one call, with a predicate; for a point
    `intersects` is what `covers` is the other way round, and is answered faster than `covered_by`.
    """

    def __init__(self, slots: Iterable[int], polygons: Iterable[shapely.Geometry], *, prepared: bool) -> None:
        self._slots = np.array(list(slots), np.int32)
        self._polygons: NDArray[Any] = np.array(list(polygons), object)
        self._prepared = prepared
        if prepared:
            shapely.prepare(self._polygons)
        self._tree = shapely.STRtree(self._polygons)

    def match(self, lat: Floats, lon: Floats) -> Pairs:
        """As the index does: pairs of row and slot, in order."""
        points = shapely.points(lon, lat)
        if self._prepared:
            rows, found = self._tree.query(points)
            by_polygon = np.argsort(found, kind="stable")
            rows, found = rows[by_polygon], found[by_polygon]
            inside = shapely.intersects_xy(self._polygons[found], lon[rows], lat[rows])
            rows, found = rows[inside], found[inside]
        else:
            rows, found = self._tree.query(points, predicate="intersects")
        key = np.sort(rows << 32 | self._slots[found])
        return Pairs(key >> 32, (key & 0xFFFFFFFF).astype(np.int32))
