"""The town as a plane: metres east and north of an origin, and shapes on it.

A town is small enough for a plane: within a kilometre of the origin a distance is right to 0.02 %, a fifth of a metre.
Everything here is a handful of edges, for which plain floats are quicker than arrays.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

Point = tuple[float, float]
"""Metres east and north."""
Box = tuple[float, float, float, float]
"""West, south, east, north."""


@dataclass(frozen=True, slots=True)
class Plane:
    """An equirectangular projection about an origin, with the ellipsoid's two radii there.

    Lengths of a degree by the series for WGS84 (Snyder, *Map Projections: A Working Manual*, 1987, p. 24 f.).
    """

    lat: float
    lon: float

    @property
    def metres_per_degree(self) -> Point:
        """Of longitude, of latitude."""
        phi = math.radians(self.lat)
        lon_m = 111_412.84 * math.cos(phi) - 93.5 * math.cos(3 * phi) + 0.118 * math.cos(5 * phi)
        lat_m = 111_132.92 - 559.82 * math.cos(2 * phi) + 1.175 * math.cos(4 * phi)
        return lon_m, lat_m

    def metres(self, lon: float, lat: float) -> Point:
        """Degrees, in GeoJSON's order, to metres."""
        lon_m, lat_m = self.metres_per_degree
        return (lon - self.lon) * lon_m, (lat - self.lat) * lat_m

    def degrees(self, x: float, y: float) -> Point:
        """Metres to longitude and latitude."""
        lon_m, lat_m = self.metres_per_degree
        return self.lon + x / lon_m, self.lat + y / lat_m


class Shape(Protocol):
    """What a fence is on the plane."""

    @property
    def box(self) -> Box:
        """The bounds."""

    def contains(self, x: float, y: float) -> bool:
        """Whether the point is inside."""

    def cuts(self, start: Point, end: Point) -> list[float]:
        """Where the segment meets the boundary, as shares of its length; in any order."""


@dataclass(frozen=True, slots=True)
class Disc:
    """A circle."""

    x: float
    y: float
    radius: float

    @property
    def box(self) -> Box:
        """The bounds."""
        return self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius

    def contains(self, x: float, y: float) -> bool:
        """Whether the point is inside or on the line."""
        return (x - self.x) ** 2 + (y - self.y) ** 2 <= self.radius**2

    def cuts(self, start: Point, end: Point) -> list[float]:
        """The roots of |start + t (end - start) - centre| = radius."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        fx, fy = start[0] - self.x, start[1] - self.y
        a, b, c = dx * dx + dy * dy, fx * dx + fy * dy, fx * fx + fy * fy - self.radius**2
        discriminant = b * b - a * c
        if a == 0 or discriminant <= 0:
            return []
        root = math.sqrt(discriminant)
        return [(-b - root) / a, (-b + root) / a]


@dataclass(frozen=True, slots=True)
class Outline:
    """Rings of a polygon or multipolygon, holes among them: inside is what an odd number of rings surrounds."""

    edges: tuple[tuple[Point, Point], ...]
    box: Box

    @classmethod
    def of(cls, rings: Iterable[Iterable[Point]]) -> "Outline":
        """Rings, closed: the last point is the first."""
        edges = tuple(edge for ring in rings for edge in pairwise(ring))
        xs, ys = zip(*(start for start, _ in edges), strict=True)
        return cls(edges, (min(xs), min(ys), max(xs), max(ys)))

    def contains(self, x: float, y: float) -> bool:
        """Even-odd rule: a ray to the east."""
        inside = False
        for (x0, y0), (x1, y1) in self.edges:
            if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
                inside = not inside
        return inside

    def cuts(self, start: Point, end: Point) -> list[float]:
        """Crossings with the edges; a segment that runs along an edge does not cross it."""
        (px, py), dx, dy = start, end[0] - start[0], end[1] - start[1]
        found = []
        for (x0, y0), (x1, y1) in self.edges:
            ex, ey = x1 - x0, y1 - y0
            across = dx * ey - dy * ex
            if across == 0:
                continue
            along = ((x0 - px) * ey - (y0 - py) * ex) / across
            beside = ((x0 - px) * dy - (y0 - py) * dx) / across
            if 0 <= along <= 1 and 0 <= beside <= 1:
                found.append(along)
        return found

    def distance_to_edge(self, x: float, y: float) -> float:
        """Metres to the nearest edge, from either side."""
        return min(math.dist((x, y), nearest_on(edge, (x, y))) for edge in self.edges)


def nearest_on(edge: tuple[Point, Point], point: Point) -> Point:
    """The point of a segment that is nearest to a point."""
    (x0, y0), (x1, y1) = edge
    dx, dy = x1 - x0, y1 - y0
    length = dx * dx + dy * dy
    share = 0.0 if length == 0 else max(0.0, min(1.0, ((point[0] - x0) * dx + (point[1] - y0) * dy) / length))
    return x0 + share * dx, y0 + share * dy


def spans_inside(shape: Shape, start: Point, end: Point) -> list[tuple[float, float]]:
    """The stretches of a segment that lie inside a shape, as shares of its length, in order."""
    if start == end:
        return [(0.0, 1.0)] if shape.contains(*start) else []
    marks = sorted({0.0, 1.0, *(cut for cut in shape.cuts(start, end) if 0 < cut < 1)})
    spans: list[tuple[float, float]] = []
    for low, high in pairwise(marks):
        middle = (low + high) / 2
        if shape.contains(start[0] + middle * (end[0] - start[0]), start[1] + middle * (end[1] - start[1])):
            if spans and spans[-1][1] == low:
                low = spans.pop()[0]  # noqa: PLW2901 - the touching stretch before it is the same one
            spans.append((low, high))
    return spans


def rings_of(geometry: dict[str, Any], plane: Plane) -> list[list[Point]]:
    """All rings of a GeoJSON Polygon or MultiPolygon on the plane."""
    coordinates = geometry["coordinates"]
    polygons = [coordinates] if geometry["type"] == "Polygon" else coordinates
    return [[plane.metres(*position[:2]) for position in ring] for polygon in polygons for ring in polygon]
