"""Sensitive places: where nobody may be followed. Pings from them are dropped before anything is stored."""

from collections.abc import Iterable

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_service.catalogue.documents import Fence, Sensitive
from geo_service.errors import InvalidInputError
from geo_service.geofences.index import FenceIndex
from geo_service.geofences.shapes import Shape, read_geometry, read_shape

Floats = NDArray[np.float64]
_TURNS = (-360.0, 0.0, 360.0)


class SensitivePlaces:
    """A set of places. Costs nothing while it is empty. One thread at a time."""

    def __init__(self, places: Iterable[Sensitive] = ()) -> None:
        """A place whose geometry cannot be used is left out: whoever takes documents in refuses those."""
        self._index = FenceIndex()
        self._ids: list[str] = []
        self._shapes: list[Shape] = []
        self._tree: shapely.STRtree | None = None
        for place in places:
            try:
                shape, _ = read_geometry(place.geometry, place.radius_m)
            except InvalidInputError:
                continue
            self._index.put(len(self._ids), shape)
            self._ids.append(place.id)
            self._shapes.append(shape)

    def __len__(self) -> int:
        return len(self._ids)

    def cover(self, lat: Floats, lon: Floats) -> NDArray[np.bool_]:
        """Which of these points (finite degrees) lie in one of the places; a point on the edge does."""
        inside = np.zeros(len(lat), np.bool_)
        if self._ids:
            inside[self._index.match(lat, lon).row] = True
        return inside

    def overlapping(self, fence: Fence) -> str | None:
        """The first place that a fence shares ground with, None where there is none or the fence has no usable shape.

        Circles are taken as polygons of 256 corners, true to 0.2 % of the radius.
        """
        if not self._ids:
            return None
        try:
            ground = read_shape(fence)[0].geometry
        except InvalidInputError:
            return None
        if self._tree is None:
            self._tree = shapely.STRtree([_turned(shape.geometry, turn) for shape in self._shapes for turn in _TURNS])
        near = sorted(self._tree.query(ground, predicate="intersects").tolist())
        found = (at for at in near if not shapely.touches(ground, self._tree.geometries[at]))
        first = next(found, None)
        return None if first is None else self._ids[first // len(_TURNS)]


def _turned(geometry: shapely.Geometry, degrees: float) -> shapely.Geometry:
    """The same ground, longitudes so much farther east: a shape across the antimeridian meets both."""
    return shapely.transform(geometry, lambda positions: positions + np.array([degrees, 0.0]))
