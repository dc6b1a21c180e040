"""What an invalid polygon can only have meant; refused where it can be read in two ways.

A ring's meaning is clear if the two rules by which programs fill a ring agree on it: even-odd (a point is inside if the
ring is crossed an odd number of times on the way out) and non-zero winding (if the ring goes around it at all). A bow
tie, a ring that touches itself and a spike are clear; the centre of a pentagram, drawn in one line, is not. A polygon is
its outer ring's region without its holes' regions; a MultiPolygon is everything that is in any of its polygons.
"""

import re
from collections.abc import Sequence

import numpy as np
import shapely

from geo_service.geofences.earth import Floats
from geo_service.geofences.rings import Fault, Place, ShapeError

# Bounds on the work that one hostile ring can cause: pairs of edges that cross are what noding costs.
_MAX_CROSSINGS = 2_000
_MAX_NEIGHBOURS, _MAX_NEIGHBOURS_PER_EDGE = 100_000, 20
_CHUNK = 32
_AT = re.compile(r"\[(\S+) (\S+)\]")

Rings = list[Floats]
"""Of one polygon, the outer one first."""


def signed_area(ring: Floats) -> float:
    """Twice the area in square degrees of a closed ring; above 0 if counter-clockwise; 0 for a ring around a pole."""
    if ring[0, 0] != ring[-1, 0]:
        return 0.0
    x, y = ring[:, 0] - ring[0, 0], ring[:, 1] - ring[0, 1]
    return float(x[:-1] @ y[1:] - x[1:] @ y[:-1])


def shifted(positions: Floats, turn: float) -> Floats:
    """The positions, so many degrees further east; the same ones for 0."""
    if turn == 0:
        return positions
    moved = positions.copy()
    moved[:, 0] += turn
    return moved


def repaired(parts: Sequence[Rings], faults: list[Fault]) -> shapely.Geometry:
    """The region that the rings of these polygons mean; what was wrong is added to `faults`.

    Raises:
        ShapeError: it can be read in two ways, or nothing is left.
    """
    numbers = range(len(parts)) if len(parts) > 1 else (None,)
    before = len(faults)
    _bound_crossings([ring for rings in parts for ring in rings])
    regions = [_polygon(rings, number, faults) for number, rings in zip(numbers, parts, strict=True)]
    whole = shapely.union_all(regions)
    lost = sum(region.area for region in regions) - whole.area
    if lost > 1e-9 * whole.area:
        faults.append(Fault("polygons overlap; joined into one"))
    elif len(faults) == before and not _cut_at_antimeridian(parts):
        faults.append(Fault("polygons share an edge; joined into one"))
    return whole


def _cut_at_antimeridian(parts: Sequence[Rings]) -> bool:
    """Whether polygons meet at 180°, where RFC 7946, section 3.1.9, wants a shape to be cut."""
    west, east = (np.array([limit(rings[0][:, 0]) for rings in parts]) for limit in (np.min, np.max))
    return bool((west == 180).any() and (east == 180).any())


def _polygon(rings: Rings, number: int | None, faults: list[Fault]) -> shapely.Geometry:
    regions = [ring_region(ring, Place(number, index, faults)) for index, ring in enumerate(rings)]
    shell, holes = regions[0], regions[1:]
    made = shapely.Polygon(rings[0], rings[1:])
    if shapely.is_valid(made):
        return made
    for index, hole in enumerate(holes, 1):
        if not shapely.intersects(shell, hole):
            raise Place(number, index, faults).error("the hole lies outside the outer ring; is it meant as a polygon?")
    region = shapely.difference(shell, shapely.union_all(holes)) if holes else shell
    if region.area == 0:
        raise Place(number, None, faults).error("nothing is left of the polygon")
    if holes and all(shapely.is_valid(shapely.Polygon(ring)) for ring in rings):
        reason = shapely.is_valid_reason(made)
        ring, position = _nearest(rings, reason)
        faults.append(
            Fault(f"{_plain(reason)} between rings; the holes are cut out of the outer ring", number, ring, position)
        )
    return region


def ring_region(ring: Floats, place: Place) -> shapely.Geometry:
    """What a closed ring encloses.

    Raises:
        ShapeError: the two filling rules disagree, it crosses itself too often, or it encloses nothing.
    """
    simple = shapely.Polygon(ring)
    if shapely.is_valid(simple):
        return simple
    reason = shapely.is_valid_reason(simple)
    _, position = _nearest([ring], reason)
    noded = shapely.union_all(shapely.linestrings(np.stack((ring[:-1], ring[1:]), axis=1)))
    faces = shapely.get_parts(shapely.polygonize(list(shapely.get_parts(noded))))
    turns = np.array([_winding(ring, shapely.get_coordinates(face.representative_point())[0]) for face in faces])
    if len(faces) == 0 or not turns.any():
        raise place.error("the ring encloses nothing", position)
    twice = (turns != 0) & (turns % 2 == 0)
    if twice.any():
        spot = shapely.get_coordinates(faces[int(np.argmax(twice))].representative_point())[0]
        nearest = int(np.argmin(((ring - spot) ** 2).sum(axis=1)))
        raise place.error("the ring goes twice around a part of itself; is that part inside or outside?", nearest)
    place.note(f"{_plain(reason)}; taken as what the ring encloses", position)
    return shapely.union_all(faces[turns != 0])


def _winding(ring: Floats, point: Floats) -> int:
    """How often the ring goes around the point (Sunday, Inclusion of a Point in a Polygon, 2001)."""
    x, y = ring[:, 0] - point[0], ring[:, 1] - point[1]
    left = x[:-1] * y[1:] - x[1:] * y[:-1]
    up = (y[:-1] <= 0) & (y[1:] > 0) & (left > 0)
    down = (y[:-1] > 0) & (y[1:] <= 0) & (left < 0)
    return int(up.sum()) - int(down.sum())


def _bound_crossings(rings: Rings) -> None:
    """Refuse a scribble before noding it: edges can cross as often as the square of their number."""
    ends = np.concatenate([np.concatenate((ring[:-1], ring[1:]), axis=1) for ring in rings])
    tree = shapely.STRtree(shapely.linestrings(ends.reshape(-1, 2, 2)))
    most = _MAX_NEIGHBOURS + _MAX_NEIGHBOURS_PER_EDGE * len(ends)
    neighbours = crossings = 0
    for start in range(0, len(ends), _CHUNK):
        near = tree.query(tree.geometries[start : start + _CHUNK])
        one, other = near[0] + start, near[1]
        later = other > one + 1
        neighbours += len(one)
        if neighbours <= most:
            crossings += _crossing(ends[one[later]].T, ends[other[later]].T)
        if crossings > _MAX_CROSSINGS or neighbours > most:
            raise ShapeError(Fault("the edges cross each other too often to be repaired"))


def _crossing(one: Floats, other: Floats) -> int:
    """How many of these pairs of edges, (4, n) each, cross or touch; near enough."""

    def apart(line: Floats, edge: Floats) -> Floats:
        x, y = line[0], line[1]
        dx, dy = line[2] - x, line[3] - y
        sides = dx * (edge[1] - y) - dy * (edge[0] - x), dx * (edge[3] - y) - dy * (edge[2] - x)
        return np.asarray(sides[0] * sides[1])

    return int(((apart(one, other) <= 0) & (apart(other, one) <= 0)).sum())


def _nearest(rings: Rings, reason: str) -> tuple[int | None, int | None]:
    """Ring and position nearest to the place that GEOS names."""
    found = _AT.search(reason)
    if found is None:
        return None, None
    spot = np.array([float(found[1]), float(found[2])])
    squares = [((ring - spot) ** 2).sum(axis=1) for ring in rings]
    # A fault between rings belongs to the later one: the hole, not what it is cut from.
    ring = min(range(len(rings)), key=lambda index: (squares[index].min(), -index))
    return ring, int(np.argmin(squares[ring]))


def _plain(reason: str) -> str:
    """GEOS's word for a fault, without the place."""
    return _AT.sub("", reason).strip().lower()


def in_one_plane(parts: list[Rings]) -> list[Rings] | shapely.Geometry:
    """The same polygons with longitudes that fit together, within 360°; a geometry where rings had to be cut for that.

    Rings come as `read_ring` unwrapped them, each on its own. Holes move by whole turns onto their outer ring; polygons
    move so that the largest gap between them is where the plane ends.
    """
    if len(parts) == 1 and len(parts[0]) == 1:
        lon = parts[0][0][:, 0]
        if lon[0] == lon[-1] and -180 <= lon.min() < 180:  # already there, as nearly every fence is
            return parts
    if any(ring[0, 0] != ring[-1, 0] for rings in parts for ring in rings):
        return _around_pole(parts)
    fitted = [[rings[0], *(_turned_onto(ring, rings[0]) for ring in rings[1:])] for rings in parts]
    spans = np.array([(rings[0][:, 0].min(), rings[0][:, 0].max()) for rings in fitted])
    turns = -np.floor((spans[:, 0] + 180) / 360) * 360
    spans += turns[:, None]
    if spans[:, 1].max() - spans[:, 0].min() > 180 and len(parts) > 1:
        order = np.argsort(spans[:, 0])
        reached = np.maximum.accumulate(spans[order, 1])
        following = np.append(spans[order[1:], 0], spans[order[0], 0] + 360)
        first = (int(np.argmax(following - reached)) + 1) % len(order)
        turns[order[:first]] += 360
        spans[order[:first]] += 360
    if spans[:, 1].max() - spans[:, 0].min() > 360:
        return _around_pole(fitted)
    return [[shifted(ring, turn) for ring in rings] for rings, turn in zip(fitted, turns, strict=True)]


def _turned_onto(ring: Floats, shell: Floats) -> Floats:
    middle = (shell[:, 0].min() + shell[:, 0].max() - ring[:, 0].min() - ring[:, 0].max()) / 2
    turn = round(middle / 360) * 360.0
    return shifted(ring, turn)


def _around_pole(parts: list[Rings]) -> shapely.Geometry:
    """Polygons of which a ring goes around a pole, on the plane from -180° to 180°."""
    faults: list[Fault] = []
    whole = []
    for rings in parts:
        regions = [_on_world(ring, Place(None, index, faults)) for index, ring in enumerate(rings)]
        whole.append(shapely.difference(regions[0], shapely.union_all(regions[1:])))
    return _only_area(shapely.union_all(whole))


def _on_world(ring: Floats, place: Place) -> shapely.Geometry:
    """The ring's region between -180° and 180°, whatever turn it was written in."""
    turn = ring[-1, 0] - ring[0, 0]
    if turn == 0:
        copies = [shifted(ring, shift) for shift in (-720.0, -360.0, 0.0, 360.0, 720.0)]
    else:
        path = ring[:-1] if turn > 0 else ring[:0:-1]
        path = shifted(path, -360 * np.floor(path[0, 0] / 360))
        line = np.concatenate([shifted(path, shift) for shift in (-720.0, -360.0, 0.0)])
        pole = np.sign(ring[:, 1].min() + ring[:, 1].max()) * 90
        if pole == 0:
            raise place.error("the ring goes around the earth along the equator; which pole is inside?")
        ends = np.array([(line[-1, 0], pole), (line[0, 0], pole)])
        copies = [np.concatenate((line, ends, line[:1]))]
    regions = []
    for copy in copies:
        region = shapely.Polygon(copy)
        if not shapely.is_valid(region):
            raise place.error(f"{_plain(shapely.is_valid_reason(region))} in a ring around a pole")
        regions.append(shapely.intersection(region, shapely.box(-180, -90, 180, 90)))
    return _only_area(shapely.union_all(regions))


def _only_area(geometry: shapely.Geometry) -> shapely.Geometry:
    """Without the lines and points that clipping leaves."""
    parts = [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon"]
    return shapely.MultiPolygon(parts)


__all__ = ["Rings", "ShapeError", "in_one_plane", "repaired", "ring_region", "shifted", "signed_area"]
