"""Shortest paths between the points of a small graph: street corners, or places inside a store."""

import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from geo_service.simulator.plane import Point, nearest_on


class Paths:
    """All shortest paths at once (Floyd, *Algorithm 97*, CACM 5 (1962) 345): quick for a few hundred points."""

    def __init__(self, points: list[Point], edges: Iterable[tuple[int, int]]) -> None:
        """Join `points` by straight `edges`, given as pairs of indices."""
        self.points = points
        size = len(points)
        metres = np.full((size, size), np.inf)
        hops = np.tile(np.arange(size), (size, 1))
        np.fill_diagonal(metres, 0.0)
        for a, b in edges:
            metres[a, b] = metres[b, a] = math.dist(points[a], points[b])
        for via in range(size):
            detour = metres[:, via, None] + metres[None, via, :]
            shorter = detour < metres
            metres[shorter] = detour[shorter]
            hops[shorter] = np.broadcast_to(hops[:, via, None], shorter.shape)[shorter]
        self._metres: list[list[float]] = metres.tolist()
        self._hops: list[list[int]] = hops.tolist()

    def next_hop(self, at: int, to: int) -> int:
        """The neighbour of `at` on the shortest path to `to`."""
        return self._hops[at][to]

    def metres(self, at: int, to: int) -> float:
        """The length of the shortest path; infinite where there is none."""
        return self._metres[at][to]

    def reachable(self, at: int) -> list[int]:
        """The points that a path leads to, `at` among them."""
        return [to for to, metres in enumerate(self._metres[at]) if math.isfinite(metres)]


class Streets:
    """Streets on which people walk, with the kerbs where they step off to a door."""

    def __init__(self, lines: list[list[Point]], places: list[Point]) -> None:
        """Lay out streets; lines that share a point meet there. Each place gets the nearest point of a street as its kerb."""
        corners: dict[Point, int] = {}
        points: list[Point] = []

        def corner(point: Point) -> int:
            # Coordinates come as decimal degrees: the same corner of two streets may differ by their last digit.
            key = (round(point[0], 1), round(point[1], 1))
            if key not in corners:
                corners[key] = len(points)
                points.append(point)
            return corners[key]

        edges = {(corner(a), corner(b)) for line in lines for a, b in pairwise(line)}
        self.kerbs: list[int] = []
        for place in places:
            a, b = min(edges, key=lambda edge: (_from_edge(points, edge, place), edge))
            kerb = corner(nearest_on((points[a], points[b]), place))
            if kerb not in (a, b):
                edges = (edges - {(a, b)}) | {(a, kerb), (kerb, b)}
            self.kerbs.append(kerb)
        self.paths = Paths(points, sorted(edges))
        degrees = np.bincount(np.array(sorted(edges)).ravel(), minlength=len(points))
        self.ends: list[int] = [int(node) for node in np.flatnonzero(degrees == 1)]
        """Where a street leaves the town: people come from there and go back there."""


def _from_edge(points: list[Point], edge: tuple[int, int], place: Point) -> float:
    return math.dist(nearest_on((points[edge[0]], points[edge[1]]), place), place)
