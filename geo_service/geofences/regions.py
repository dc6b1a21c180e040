"""Circles around fences, for phones that can only watch circles, and only a few of them.

```
lat, lon     middles of all circles, degrees; nan where a slot is free
radius_m     metres
fence        slot → the fence
```
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from geo_service.catalogue.documents import Fence
from geo_service.geofences.earth import metres_per_degree


class Region(NamedTuple):
    """A circle that holds the whole of a fence."""

    fence: str
    store: str | None
    lat: float
    lon: float
    radius_m: float


class Regions:
    """Circles of the fences of some site, to be asked which are nearest."""

    def __init__(self) -> None:
        self._regions: dict[str, Region] = {}
        self._columns: tuple[list[Region], Any] | None = None

    def put(self, fence: Fence) -> None:
        """Take a fence, new or changed; one that is disabled or has no place is as good as removed."""
        region = None if fence.disabled else region_of(fence)
        if region is None:
            self.remove(fence.id)
            return
        self._regions[fence.id] = region
        self._columns = None

    def remove(self, fence_id: str) -> None:
        """Forget a fence; one that is not there is fine."""
        if self._regions.pop(fence_id, None) is not None:
            self._columns = None

    def nearest(self, lat: float, lon: float, most: int) -> list[Region]:
        """Up to `most` circles, by the metres from the place (degrees) to their edge; of equals, by the fence's id.

        Measured on a plane that touches the earth at the place, which orders what is near rightly and what is far roughly.
        """
        if self._columns is None:
            regions = sorted(self._regions.values())
            self._columns = regions, np.array([region[2:] for region in regions], np.float64).reshape(-1, 3)
        regions, columns = self._columns
        per_lon, per_lat = (float(metres[0]) for metres in metres_per_degree(np.array([lat])))
        east = (columns[:, 1] - lon + 180) % 360 - 180
        away = np.hypot(east * per_lon, (columns[:, 0] - lat) * per_lat) - columns[:, 2]
        if len(regions) > most:
            near = np.flatnonzero(away <= np.partition(away, most - 1)[most - 1])
        else:
            near = np.arange(len(regions))
        order = near[np.argsort(away[near], kind="stable")][:most]
        return [regions[place] for place in order.tolist()]


def region_of(fence: Fence) -> Region | None:
    """The circle around a fence's box; None where it has no positions that could be read."""
    positions = np.array(list(_positions(fence.geometry.get("coordinates"))), np.float64)
    if not len(positions):
        return None
    lon, lat = positions.T
    if lon.max() - lon.min() > 180:  # the short way round is over the antimeridian
        lon = np.where(lon < 0, lon + 360, lon)
    middle_lat, middle_lon = (lat.min() + lat.max()) / 2, (lon.min() + lon.max()) / 2
    per_lon, per_lat = metres_per_degree(np.array([middle_lat]))
    reach = float(np.hypot((lon - middle_lon) * per_lon, (lat - middle_lat) * per_lat).max()) + (fence.radius_m or 0.0)
    return Region(fence.id, fence.store, float(middle_lat), float((middle_lon + 180) % 360 - 180), reach)


def _positions(coordinates: object) -> Iterator[tuple[float, float]]:
    """Every position of any GeoJSON geometry."""
    if not isinstance(coordinates, list):
        return
    if len(coordinates) >= 2 and all(isinstance(number, int | float) for number in coordinates[:2]):
        yield float(coordinates[0]), float(coordinates[1])
        return
    for part in coordinates:
        yield from _positions(part)
