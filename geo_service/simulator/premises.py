"""Stores from the inside: where their doors are, and how one walks in them without walking through walls."""

import math
from dataclasses import dataclass

from geo_service.catalogue.documents import Store
from geo_service.errors import InvalidInputError
from geo_service.simulator.paths import Paths
from geo_service.simulator.plane import Outline, Point, nearest_on, spans_inside

_STEP_INSIDE_M = 0.6
_CLEAR_OF_WALLS_M = 1.0
_ROUGHLY_PLACES = 24


@dataclass(frozen=True, slots=True)
class Door:
    """A door, and the line of a sensor that counts there."""

    store: str
    sensor: str
    line: str
    at: Point
    inner: Point
    """One step inside."""
    kerb: int
    """The corner of the streets from which one walks straight to it."""
    place: int
    """The point of the store's paths that is `inner`."""


@dataclass(frozen=True, slots=True)
class Premises:
    """A store as shoppers know it."""

    store: Store
    outline: Outline
    doors: tuple[Door, ...]
    paths: Paths
    """Between the doors, which come first, and places all over the store."""
    parking: tuple[Point, int] | None
    """Where cars wait (in the curbside fence), and its kerb."""

    def exits(self, door: Door) -> list[Door]:
        """The doors that can be reached inside from this one, itself among them."""
        within = set(self.paths.reachable(door.place))
        return [other for other in self.doors if other.place in within]

    def places(self, door: Door) -> list[int]:
        """Where one can stand, coming in by this door."""
        return [place for place in self.paths.reachable(door.place) if place >= len(self.doors)]


def step_inside(outline: Outline, door: Point) -> Point:
    """The point one step behind a door in the outline's edge."""
    edge = min(outline.edges, key=lambda edge: (math.dist(nearest_on(edge, door), door), edge))
    (x0, y0), (x1, y1) = edge
    length = math.dist(*edge)
    across = ((y0 - y1) / length * _STEP_INSIDE_M, (x1 - x0) / length * _STEP_INSIDE_M)
    for sign in (1, -1):
        inner = door[0] + sign * across[0], door[1] + sign * across[1]
        if outline.contains(*inner):
            return inner
    raise InvalidInputError("a door must lie on the edge of the store's polygon")


def point_in(outline: Outline, within: Outline | None = None) -> Point:
    """A point well inside a shape (and another around it): of a 9 by 9 grid, the one farthest from the edge.

    Raises:
        InvalidInputError: the shape is too thin for the grid, or not within the other.
    """
    candidates = [
        (outline.distance_to_edge(*point), point)
        for point in _grid(outline, 9)
        if outline.contains(*point) and (within is None or within.contains(*point))
    ]
    if not candidates:
        raise InvalidInputError("holds no point where a person could stand")
    return max(candidates)[1]


def lay_paths(outline: Outline, inner: list[Point], zones: list[Outline]) -> Paths:
    """Paths between the doors and a grid of places; two places are neighbours if one sees the other.

    Raises:
        InvalidInputError: a door leads nowhere, however fine the grid.
    """
    for cells in (7, 13, 25):
        places = [
            point
            for point in _grid(outline, cells)
            if outline.contains(*point) and outline.distance_to_edge(*point) >= _CLEAR_OF_WALLS_M
        ]
        if len(places) > _ROUGHLY_PLACES:
            places = places[:: math.ceil(len(places) / (2 * _ROUGHLY_PLACES))]
        points = [*inner, *places, *(point_in(zone, outline) for zone in zones)]
        paths = Paths(
            points,
            (
                (a, b)
                for a in range(len(points))
                for b in range(a)
                if spans_inside(outline, points[a], points[b]) == [(0.0, 1.0)]
            ),
        )
        if all(paths.reachable(door)[-1] >= len(inner) for door in range(len(inner))):
            return paths
    raise InvalidInputError("a door leads to no place inside the store")


def _grid(outline: Outline, cells: int) -> list[Point]:
    west, south, east, north = outline.box
    return [
        (west + (east - west) * (column + 0.5) / cells, south + (north - south) * (row + 0.5) / cells)
        for row in range(cells)
        for column in range(cells)
    ]
