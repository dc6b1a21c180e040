"""The geometry of fences by slot, laid out for testing many points against many fences.

```
slot          0          1          2         …
kind          POLYGONS   CIRCLE     NONE
head (n, 5)   west       lon                      polygons: the box in degrees and slabs per degree
              south      lat                      circles: the centre, what a degree of longitude and of latitude
              east       per degree east                   are in radii there (nan where that is no good guide:
              north      per degree north                  see `exact.circles_cover`), and the radius
              rate       radius_m
slab          40 + 3                              first slab, and how many there are

slabs         … | 40: 210 | 41: 215 | 42: 219 | 43: 226 | …      where each slab's edges begin in `edges`; one more at the end
edges         … | 210: 96 97 103 110 111 | 215: …                 an edge runs from that position to the next one
x, y          … | 96: (24.93, 60.16) | 97: (24.94, 60.16) | …     longitude and latitude, as in `Polygons.positions`
```

A slab is a band of latitude: only the edges in a point's band can cross a ray that goes east or west from it. There are
about half as many bands as edges, so a band has five or so.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.arena import Arena, Ints, grown, spread
from geo_service.geofences.earth import Floats, metres_per_degree
from geo_service.geofences.shapes import Circle, Polygons, Shape

NONE, CIRCLE, POLYGONS = 0, 1, 2
_FLAT_RADIUS_M, _FLAT_LATITUDE, _FLAT_LONGITUDE = 5_000.0, 75.0, 179.0
_EDGES_PER_SLAB = 2
_MOST_COPIES = 3
"""How many slabs an edge may be in, on average: bounds the memory of combs, whose every edge goes all the way up."""
_MOST_SLABS = 4096


class Outlines:
    """Columns by slot, and the arenas they point into; `geofences/exact.py` reads them."""

    def __init__(self, slots: int = 256) -> None:
        self.kind = np.zeros(slots, np.uint8)
        self.head = np.zeros((slots, 5), np.float64)
        self.slab = np.zeros((slots, 2), np.int32)
        self._block = np.zeros((slots, 3), np.int32)
        """First position, how many, first edge: what `remove` needs to give back."""
        self._positions = Arena([np.float64, np.float64])
        self._edges = Arena([np.int32])
        self._slabs = Arena([np.int32])

    @property
    def x(self) -> Floats:
        """Longitudes of positions."""
        return self._positions.columns[0]

    @property
    def y(self) -> Floats:
        """Latitudes of positions."""
        return self._positions.columns[1]

    @property
    def edges(self) -> NDArray[np.int32]:
        """Edges by slab."""
        return self._edges.columns[0]

    @property
    def slabs(self) -> NDArray[np.int32]:
        """Where each slab's edges begin."""
        return self._slabs.columns[0]

    def edge_ends(self, edge: NDArray[np.int32]) -> tuple[Floats, Floats, Floats, Floats]:
        """x0, y0, x1, y1 of edges."""
        after = edge + 1
        return self.x.take(edge), self.y.take(edge), self.x.take(after), self.y.take(after)

    def reserve(self, slots: int) -> None:
        """Make room for slots below this."""
        if slots > len(self.kind):
            self.kind, self.head = grown(self.kind, slots), grown(self.head, slots)
            self.slab, self._block = grown(self.slab, slots), grown(self._block, slots)

    def put(self, slots: NDArray[np.int32], shapes: Sequence[Shape]) -> None:
        """Lay out shapes in slots that are empty."""
        circles = [number for number, shape in enumerate(shapes) if isinstance(shape, Circle)]
        self._put_circles(slots[circles], [shape for shape in shapes if isinstance(shape, Circle)])
        polygons = [number for number, shape in enumerate(shapes) if isinstance(shape, Polygons)]
        if polygons:
            self._put_polygons(slots[polygons], [shape for shape in shapes if isinstance(shape, Polygons)])

    def remove(self, slots: NDArray[np.int32]) -> None:
        """Empty slots."""
        gone = slots[self.kind[slots] == POLYGONS]
        position, count, edge = self._block[gone].astype(np.int64).T
        first, slabs = self.slab[gone].astype(np.int64).T
        self._positions.release(position, count)
        self._edges.release(edge, self.slabs[first + slabs] - edge)
        self._slabs.release(first, slabs + 1)
        self.kind[slots] = NONE

    def _put_circles(self, slots: NDArray[np.int32], circles: Sequence[Circle]) -> None:
        columns = np.array([(circle.lon, circle.lat, circle.radius_m) for circle in circles], np.float64)
        lon, lat, radius = columns.reshape(-1, 3).T
        self.kind[slots] = CIRCLE
        east, north = metres_per_degree(lat)
        guide = np.where(is_flat(lat, lon, radius), 1.0, np.nan)
        self.head[slots] = np.stack((lon, lat, guide * east / radius, guide * north / radius, radius), axis=1)

    def _put_polygons(self, slots: NDArray[np.int32], shapes: Sequence[Polygons]) -> None:
        positions = np.concatenate([shape.positions for shape in shapes])
        counts = np.array([len(shape.positions) for shape in shapes])
        firsts = np.cumsum(counts) - counts
        low, high = np.minimum.reduceat(positions, firsts), np.maximum.reduceat(positions, firsts)
        starts = self._positions.allocate(counts)
        places = spread(starts, counts)
        self.x[places], self.y[places] = positions.T
        # Every position begins an edge but the last of each ring.
        is_edge = np.ones(len(positions), np.bool_)
        rings = np.array([len(shape.ring_starts) - 1 for shape in shapes])
        ring_ends = np.concatenate([shape.ring_starts[1:] for shape in shapes])
        is_edge[ring_ends + np.repeat(firsts, rings) - 1] = False
        edge = np.flatnonzero(is_edge)
        owner = np.repeat(np.arange(len(shapes)), counts)[edge]
        ends = positions[edge, 1], positions[edge + 1, 1]
        self._put_slabs(slots, places[edge], owner, ends, (low, high))
        self.kind[slots] = POLYGONS
        self._block[slots, :2] = np.stack((starts, counts), axis=1)

    def _put_slabs(
        self, slots: NDArray[np.int32], edge: Ints, owner: Ints, ends: tuple[Floats, Floats], box: tuple[Floats, Floats]
    ) -> None:
        """Sort edges into bands of latitude; a band's number is computed here exactly as `exact.py` does for a point."""
        low, high = box
        height = high[:, 1] - low[:, 1]
        edges = np.bincount(owner, minlength=len(slots))
        crossed = np.bincount(owner, np.abs(ends[1] - ends[0]), minlength=len(slots)) / height
        wanted = np.minimum(edges / _EDGES_PER_SLAB, _MOST_COPIES * edges / crossed)
        slabs = np.clip(wanted.astype(np.int64), 1, _MOST_SLABS)
        rate = slabs / height
        south, most = low[owner, 1], slabs[owner] - 1
        bands = [np.minimum(((end - south) * rate[owner]).astype(np.int64), most) for end in ends]
        bottom, copies = np.minimum(*bands), np.abs(bands[1] - bands[0]) + 1
        # Sorted by fence, band, and place in the ring.
        base = np.cumsum(slabs) - slabs
        where = np.repeat(np.arange(len(edge)), copies)
        band = spread(base[owner] + bottom, copies)
        order = np.argsort(band, kind="stable")
        total = np.bincount(np.repeat(owner, copies), minlength=len(slots))
        starts = self._edges.allocate(total)
        self.edges[spread(starts, total)] = edge[where[order]]
        # Each band's first edge, and one more at the fence's end.
        first = self._slabs.allocate(slabs + 1)
        size = np.bincount(band, minlength=int(slabs.sum()))
        before = np.cumsum(size) - size
        fence = np.repeat(np.arange(len(slots)), slabs)
        self.slabs[spread(first, slabs)] = before + (starts - before[base])[fence]
        self.slabs[first + slabs] = starts + total
        self.head[slots] = np.concatenate((low, high, rate[:, None]), axis=1)
        self.slab[slots] = np.stack((first, slabs), axis=1)
        self._block[slots, 2] = starts


def is_flat(lat: Floats, lon: Floats, radius_m: Floats) -> NDArray[np.bool_]:
    """Whether a circle is as on a plane, to 0.4 % of its radius anywhere about its edge, and far from the antimeridian."""
    temperate = (np.abs(lat) <= _FLAT_LATITUDE) & (np.abs(lon) <= _FLAT_LONGITUDE)
    return np.asarray(temperate & (radius_m <= _FLAT_RADIUS_M))
