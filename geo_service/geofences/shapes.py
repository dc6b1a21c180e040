"""Shapes of geofences: GeoJSON as somebody wrote it → a valid shape, with every repair named, or a refusal that says where.

A shape is a `Circle` or `Polygons`. Polygons live in a plane of degrees whose longitudes never jump: `west` is in
[-180°, 180°) and a shape across the antimeridian runs on beyond 180°. A point is inside if the plane's polygon covers
`(lon, lat)` or `(lon + 360, lat)`. A shape around a pole spans -180° to 180° and has the pole's latitude as an edge.
Edges are straight in that plane, as in RFC 7946, section 3.1.1 (not great circles).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_service.catalogue.documents import Fence
from geo_service.geofences.earth import MEAN_M, RADIANS, Floats, metres_per_degree
from geo_service.geofences.repair import in_one_plane, repaired, signed_area
from geo_service.geofences.rings import Fault, Place, ShapeError, read_position, read_ring

__all__ = ["Circle", "Fault", "Polygons", "Shape", "ShapeError", "read_geometry", "read_shape"]

MAX_POSITIONS = 50_000
"""Of one shape. A shop has dozens, a detailed country tens of thousands."""
MAX_RINGS = 1_000
"""Of one shape, holes included."""
MAX_RADIUS_M = 100_000.0
WOUND = "wound the wrong way round; outer rings go counter-clockwise, holes clockwise"
_CIRCLE_CORNERS = 256


@dataclass(frozen=True)
class Circle:
    """Everything within a geodesic distance of a point."""

    lat: float
    lon: float
    radius_m: float

    @cached_property
    def geometry(self) -> shapely.Geometry:
        """A polygon of 256 corners on the circle, for pictures; true to 0.2 % of the radius. Not what the index uses."""
        bearing = np.linspace(0, 2 * np.pi, _CIRCLE_CORNERS, endpoint=False)
        lon_m, lat_m = metres_per_degree(np.array([self.lat]))
        # On a sphere of the mean radius, then stretched to the ellipsoid's two local scales.
        sphere_m = MEAN_M * RADIANS
        north = self.radius_m * np.cos(bearing) / (lat_m[0] / sphere_m) / MEAN_M
        ratio = lon_m[0] / (sphere_m * max(np.cos(self.lat * RADIANS), 1e-12))
        east = self.radius_m * np.sin(bearing) / ratio / MEAN_M
        lon, lat = _destination(self.lat, self.lon, np.hypot(north, east), np.arctan2(east, north))
        ring = np.stack((lon, lat), axis=1)
        positions = np.concatenate((ring, ring[:1])).tolist()
        return _polygons([[read_ring(positions, Place(None, None, []))]], []).geometry


@dataclass(frozen=True)
class Polygons:
    """One or more polygons with holes, valid in the sense of OGC simple features, in the plane described above."""

    positions: Floats
    """(n, 2) longitude and latitude; the closed rings one after another."""
    ring_starts: NDArray[np.int64]
    """Where each ring begins in `positions`, and n."""
    polygon_starts: NDArray[np.int64]
    """Where each polygon begins among the rings, and the number of rings."""

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in the plane."""
        west, south = self.positions.min(axis=0).tolist()
        east, north = self.positions.max(axis=0).tolist()
        return west, south, east, north

    @property
    def geometry(self) -> shapely.Geometry:
        """The same as a shapely MultiPolygon, in the plane: longitudes may exceed 180°."""
        parts = np.array([0, len(self.polygon_starts) - 1])
        offsets = (self.ring_starts, self.polygon_starts, parts)
        made = shapely.from_ragged_array(shapely.GeometryType.MULTIPOLYGON, self.positions, offsets)
        return made[0]


Shape = Circle | Polygons


def read_shape(fence: Fence) -> tuple[Shape, list[Fault]]:
    """The fence's shape, and what was repaired on the way.

    Raises:
        ShapeError: the geometry cannot be used, or its meaning is not clear; says which ring and position.
    """
    return read_geometry(fence.geometry, fence.radius_m)


def read_geometry(geometry: Any, radius_m: float | None = None) -> tuple[Shape, list[Fault]]:
    """A GeoJSON geometry object (Polygon, MultiPolygon, or Point with `radius_m`) as a shape; see `read_shape`."""
    faults: list[Fault] = []
    whole = Place(None, None, faults)
    kind, coordinates = _opened(geometry, whole)
    if kind == "Point":
        return _circle(coordinates, radius_m, whole), faults
    if radius_m is not None:
        whole.note(f"radius_m has no effect on a {kind}")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    return _polygons(_parts(polygons, kind, faults), faults), faults


def _opened(geometry: Any, whole: Place) -> tuple[str, Any]:
    """Type and coordinates, out of a collection of one if need be."""
    if isinstance(geometry, dict) and geometry.get("type") == "GeometryCollection":
        members = geometry.get("geometries")
        if isinstance(members, list) and len(members) == 1:
            whole.note("a GeometryCollection of one; its member is taken")
            geometry = members[0]
    if not isinstance(geometry, dict):
        raise whole.error("no geometry" if geometry is None else "a geometry must be an object")
    kind = geometry.get("type")
    if kind not in ("Point", "Polygon", "MultiPolygon"):
        shown = kind if isinstance(kind, str) and len(kind) < 40 else "this"
        raise whole.error(f"a fence is a Polygon, a MultiPolygon, or a Point with radius_m; {shown!r} is none of them")
    if geometry.get("coordinates") is None:
        raise whole.error(f"a {kind} needs coordinates")
    return kind, geometry["coordinates"]


def _circle(coordinates: Any, radius_m: float | None, whole: Place) -> Circle:
    if radius_m is None:
        raise whole.error("a Point needs radius_m")
    if not 0 < radius_m <= MAX_RADIUS_M:
        raise whole.error(f"radius_m must be above 0 and at most {MAX_RADIUS_M:g}, not {radius_m:g}")
    lon, lat = read_position(coordinates, whole).tolist()
    return Circle(lat, (lon + 180) % 360 - 180 if abs(lon) > 180 else lon, radius_m)


def _parts(polygons: Any, kind: str, faults: list[Fault]) -> list[list[Floats]]:
    """Each polygon's rings as arrays, outer one first."""
    whole = Place(None, None, faults)
    if not isinstance(polygons, list | tuple) or not polygons:
        raise whole.error(f"a {kind} needs at least one polygon, in a list")
    parts: list[list[Floats]] = []
    seen = count = 0
    for number, rings in enumerate(polygons):
        polygon = number if kind == "MultiPolygon" else None
        if not isinstance(rings, list | tuple) or not rings:
            raise Place(polygon, None, faults).error("a polygon needs a list with at least its outer ring")
        parts.append([])
        for index, positions in enumerate(rings):
            seen += len(positions) if isinstance(positions, list | tuple) else 0
            count += 1
            if seen > MAX_POSITIONS or count > MAX_RINGS:
                raise whole.error(f"more than {MAX_POSITIONS:,} positions or {MAX_RINGS:,} rings")
            place = Place(polygon, index, faults)
            ring = read_ring(positions, place)
            if signed_area(ring) * (-1 if index else 1) < 0:
                place.note(WOUND)
            parts[-1].append(ring)
    return parts


def _polygons(parts: list[list[Floats]], faults: list[Fault]) -> Polygons:
    """Valid polygons in one plane."""
    rings = in_one_plane(parts)
    if isinstance(rings, shapely.Geometry):
        made = rings
        rings = list(_rings_of(made))
    else:
        made = _made(rings)
    if not shapely.is_valid(made):
        made = repaired(rings, faults)
        rings = list(_rings_of(made))
        if made.area == 0:
            raise ShapeError(Fault("the shape has no area"))
    return _packed(rings)


def _made(parts: list[list[Floats]]) -> shapely.Geometry:
    polygons = [shapely.polygons(part[0], [*map(shapely.linearrings, part[1:])] or None) for part in parts]
    return polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons)


def _rings_of(made: shapely.Geometry) -> Iterator[list[Floats]]:
    for polygon in shapely.get_parts(made):
        yield [shapely.get_coordinates(ring) for ring in (polygon.exterior, *polygon.interiors)]


def _packed(parts: list[list[Floats]]) -> Polygons:
    rings = [ring for part in parts for ring in part]
    positions = np.concatenate(rings) if len(rings) > 1 else rings[0]
    ring_starts = np.array([0, *accumulate(map(len, rings))])
    return Polygons(positions, ring_starts, np.array([0, *accumulate(map(len, parts))]))


def _destination(lat: float, lon: float, angle: Floats, bearing: Floats) -> tuple[Floats, Floats]:
    """Longitudes in [-180°, 180°] and latitudes at an angular distance and bearing, on a sphere."""
    phi = lat * RADIANS
    sin_lat = np.sin(phi) * np.cos(angle) + np.cos(phi) * np.sin(angle) * np.cos(bearing)
    across = np.sin(bearing) * np.sin(angle) * np.cos(phi)
    along = np.cos(angle) - np.sin(phi) * sin_lat
    east = lon + np.arctan2(across, along) / RADIANS
    return (east + 180) % 360 - 180, np.arcsin(np.clip(sin_lat, -1, 1)) / RADIANS
