"""Shapes for property tests, and slow oracles to hold the index against."""

import math

import numpy as np
import shapely
from hypothesis import strategies as st

from geo_service.geofences.shapes import Circle, Polygons, ShapeError, read_geometry

# Places that differ: a town, the equator, the antimeridian, both poles, the far north, where the grid's columns change.
PLACES = [
    (60.17, 24.94),
    (0.0, 0.0),
    (-17.8, 180.0),
    (52.0, -179.999),
    (89.999, 10.0),
    (90.0, 0.0),
    (-89.99, 179.0),
    (71.0, -30.0),
    (69.609375, 10.536),
    (-45.703125, -10.8),
]
# Degrees in a step of the grid: from a kiosk to a country.
STEPS = [2.0**-17, 1e-5, 1e-4, 2.0**-10, 0.01, 0.25, 1.0]


@st.composite
def boxes_and_triangles(draw):
    """Polygons with holes and in parts, as unions and differences of pieces on a grid of integers."""
    coordinate = st.integers(-6, 6)
    piece = st.one_of(
        st.tuples(coordinate, coordinate, st.integers(1, 6), st.integers(1, 6)).map(
            lambda b: shapely.box(b[0], b[1], b[0] + b[2], b[1] + b[3])
        ),
        st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=3).map(shapely.Polygon),
    )
    whole = shapely.union_all([p for p in draw(st.lists(piece, min_size=1, max_size=4)) if p.area > 0])
    for hole in draw(st.lists(piece, max_size=2)):
        if hole.area > 0:
            whole = shapely.difference(whole, hole)
    parts = [part for part in shapely.get_parts(whole) if part.geom_type == "Polygon" and part.area > 0]
    return shapely.MultiPolygon(parts)


def placed(grid, place, step):
    """The same on the earth: GeoJSON with longitudes in [-180, 180]."""
    lat, lon = place

    def turned(positions):
        positions = positions * step + (lon, lat)
        positions[:, 0] = np.where(positions[:, 0] > 180, positions[:, 0] - 360, positions[:, 0])
        positions[:, 0] = np.where(positions[:, 0] < -180, positions[:, 0] + 360, positions[:, 0])
        positions[:, 1] = np.clip(positions[:, 1], -90, 90)
        return positions

    return shapely.geometry.mapping(shapely.transform(grid, turned))


@st.composite
def shapes(draw, places=PLACES, steps=STEPS):
    """Valid shapes anywhere, of any size."""
    place = draw(st.sampled_from(places))
    step = draw(st.sampled_from(steps))
    if draw(st.integers(0, 4)) == 0:
        radius = draw(st.sampled_from([5.0, 50.0, 150.0, 1000.0, 20_000.0]))
        lat, lon = place
        return Circle(lat, (lon + 180) % 360 - 180, radius)
    for _ in range(20):
        try:
            return read_geometry(placed(draw(boxes_and_triangles()), place, step))[0]
        except ShapeError:
            continue
    return read_geometry(placed(shapely.box(0, 0, 1, 1), (10.0, 10.0), step))[0]


@st.composite
def points_about(draw, fences, most=12):
    """Points that matter to these shapes: on positions, on edges, a hair beside them, around them, anywhere."""
    lat, lon = [], []
    polygons = [shape for shape in fences if isinstance(shape, Polygons)]
    for _ in range(draw(st.integers(1, most))):
        shape = draw(st.sampled_from(fences))
        kind = draw(st.integers(0, 4))
        if isinstance(shape, Polygons) and kind < 4:
            n = len(shape.positions)
            one = draw(st.integers(0, n - 2))
            x, y = shape.positions[one]
            x1, y1 = shape.positions[one + 1]
            along = draw(st.sampled_from([0.0, 0.5, 0.25, 1 / 3, 0.9]))
            x, y = x + along * (x1 - x), y + along * (y1 - y)
            if kind == 1:
                x = math.nextafter(x, draw(st.sampled_from([-math.inf, math.inf])))
            if kind == 2:
                y = math.nextafter(y, draw(st.sampled_from([-math.inf, math.inf])))
            if kind == 3:
                x, y = draw(inside_box(shape.bounds))
        elif isinstance(shape, Circle):
            y = shape.lat + draw(st.floats(-1.2, 1.2)) * shape.radius_m / 111_000
            x = shape.lon + draw(st.floats(-1.2, 1.2)) * shape.radius_m / 111_000
        else:
            x, y = draw(st.floats(-180, 180)), draw(st.floats(-90, 90))
        lat.append(min(max(y, -90.0), 90.0))
        lon.append(x - 360 if x > 180 else x)
    assert polygons is not None
    return np.array(lat), np.array(lon)


def inside_box(bounds):
    west, south, east, north = bounds
    pad = (east - west) / 10
    return st.tuples(_degrees(west - pad, east + pad), _degrees(south - pad, north + pad))


def _degrees(least, most):
    """Any, but none so small that GEOS, which reckons with 106 bits, takes it for 0 beside a shape's positions."""
    return st.floats(least, most).map(lambda degrees: 0.0 if abs(degrees) < 1e-30 else degrees)


def pairs(found):
    """Pairs as a list of tuples, in their order."""
    return list(zip(found.row.tolist(), found.slot.tolist(), strict=True))


def brute_force(fences, lat, lon):
    """Which point is in which fence, one by one, with shapely; circles by Vincenty's formula, doubtful ones left out."""
    sure, doubtful = [], set()
    east = np.where(lon >= 180, lon - 360, lon)
    for row, (y, x) in enumerate(zip(lat.tolist(), east.tolist(), strict=True)):
        for slot, shape in fences.items():
            if isinstance(shape, Circle):
                gap = geodesic_m(y, x, shape.lat, shape.lon) / shape.radius_m - 1
                if abs(gap) < 0.005:
                    doubtful.add((row, slot))
                elif gap < 0:
                    sure.append((row, slot))
            elif any(shapely.covers(shape.geometry, shapely.Point(x + turn, y)) for turn in (0, 360)):
                sure.append((row, slot))
    return sorted(sure), doubtful


def geodesic_m(lat1, lon1, lat2, lon2):
    """Vincenty's inverse formula, Survey Review XXIII, 176 (1975); good to a millimetre but for opposite points."""
    a, f = 6378137.0, 1 / 298.257223563
    b = a * (1 - f)
    u1, u2 = (math.atan((1 - f) * math.tan(math.radians(lat))) for lat in (lat1, lat2))
    big_l = math.radians(lon2 - lon1)
    lam = big_l
    for _ in range(100):
        sin_s = math.hypot(
            math.cos(u2) * math.sin(lam),
            math.cos(u1) * math.sin(u2) - math.sin(u1) * math.cos(u2) * math.cos(lam),
        )
        if sin_s == 0:
            return 0.0
        cos_s = math.sin(u1) * math.sin(u2) + math.cos(u1) * math.cos(u2) * math.cos(lam)
        s = math.atan2(sin_s, cos_s)
        sin_alpha = math.cos(u1) * math.cos(u2) * math.sin(lam) / sin_s
        cos2_alpha = 1 - sin_alpha**2
        cos_2m = cos_s - 2 * math.sin(u1) * math.sin(u2) / cos2_alpha if cos2_alpha else 0.0
        c = f / 16 * cos2_alpha * (4 + f * (4 - 3 * cos2_alpha))
        before = lam
        lam = big_l + (1 - c) * f * sin_alpha * (s + c * sin_s * (cos_2m + c * cos_s * (-1 + 2 * cos_2m**2)))
        if abs(lam - before) < 1e-12:
            break
    u_sq = cos2_alpha * (a**2 - b**2) / b**2
    big_a = 1 + u_sq / 16384 * (4096 + u_sq * (-768 + u_sq * (320 - 175 * u_sq)))
    big_b = u_sq / 1024 * (256 + u_sq * (-128 + u_sq * (74 - 47 * u_sq)))
    ds = (
        big_b
        * sin_s
        * (
            cos_2m
            + big_b
            / 4
            * (cos_s * (-1 + 2 * cos_2m**2) - big_b / 6 * cos_2m * (-3 + 4 * sin_s**2) * (-3 + 4 * cos_2m**2))
        )
    )
    return b * big_a * (s - ds)
