import numpy as np
import pytest
import shapely
from fence_geometry import PLACES, brute_force, geodesic_m, pairs, points_about, shapes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_service.geofences.earth import metres_per_degree
from geo_service.geofences.index import FenceIndex
from geo_service.geofences.shapes import Circle, Polygons, read_geometry

THOROUGH = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
# Around the poles a degree of longitude changes too fast for a flat picture of the surroundings.
TEMPERATE = [place for place in PLACES if abs(place[0]) < 85]


def index_of(fences):
    index = FenceIndex()
    for slot, shape in fences.items():
        index.put(slot, shape)
    return index


def distance_m(shape, lat, lon):
    """Signed metres to the edge, measured with shapely on a flat picture of the surroundings."""
    if isinstance(shape, Circle):
        return geodesic_m(lat, lon, shape.lat, shape.lon) - shape.radius_m
    best = np.inf
    inside = any(shapely.covers(shape.geometry, shapely.Point(lon + turn, lat)) for turn in (-360, 0, 360))
    metres = np.concatenate(metres_per_degree(np.array([lat])))
    for turn in (-360, 0, 360):
        flat = shapely.transform(shape.geometry, lambda at, turn=turn: (at - (lon + turn, lat)) * metres)
        best = min(best, shapely.distance(flat.boundary, shapely.Point(0, 0)))
    return -best if inside else best


@THOROUGH
@given(st.data())
def test_every_fence_within_reach_is_found_with_its_distance(data):
    fences = dict(enumerate(data.draw(st.lists(shapes(TEMPERATE, [1e-5, 1e-4, 1e-3, 0.01]), min_size=1, max_size=5))))
    lat, lon = data.draw(points_about(list(fences.values()), most=8))
    reach = np.array([data.draw(st.sampled_from([0.0, 5.0, 39.0, 41.0, 150.0, 1000.0])) for _ in lat])
    depth = data.draw(st.sampled_from([None, 0.0, 10.0, 60.0]))
    index = index_of(fences)
    found = index.within(lat, lon, reach, None if depth is None else np.full(len(lat), depth))
    assert pairs(found) == sorted(set(pairs(found)))
    told = dict(zip(pairs(found), found.distance_m.tolist(), strict=True))
    for row in range(len(lat)):
        for slot, shape in fences.items():
            true = distance_m(shape, float(lat[row]), float(lon[row]))
            error = max(0.5, 0.01 * abs(true))
            if (row, slot) not in told:
                assert true > reach[row] - error
            elif depth is None or true >= -depth + error:
                assert told[row, slot] == pytest.approx(true, abs=error)
                assert told[row, slot] <= reach[row]
            else:
                assert told[row, slot] <= -depth + error
                assert told[row, slot] >= true - error, "never deeper than it is"


@THOROUGH
@given(st.data())
def test_within_no_reach_is_the_same_as_match(data):
    fences = dict(enumerate(data.draw(st.lists(shapes(TEMPERATE), min_size=1, max_size=4))))
    lat, lon = data.draw(points_about(list(fences.values()), most=10))
    index = index_of(fences)
    found = index.within(lat, lon, np.zeros(len(lat)), np.zeros(len(lat)))
    told = dict(zip(pairs(found), found.distance_m.tolist(), strict=True))
    matched = set(pairs(index.match(lat, lon)))
    assert matched <= told.keys()
    # A point less than a micrometre outside is at no distance that a float could tell from the edge.
    assert all(abs(told[pair]) < 1e-6 for pair in told.keys() - matched)


@THOROUGH
@given(st.data())
def test_a_path_crosses_exactly_the_fences_it_touches(data):
    places = data.draw(st.sampled_from([[place] for place in TEMPERATE]))
    fences = dict(enumerate(data.draw(st.lists(shapes(places, [1e-5, 1e-4, 1e-3]), min_size=1, max_size=4))))
    starts, ends = (data.draw(points_about(list(fences.values()), most=1)) for _ in range(2))
    lat, lon = (np.concatenate(column) for column in zip(starts, ends, strict=True))
    found = set(pairs(index_of(fences).crossed(lat[:1], lon[:1], lat[1:], lon[1:])))
    lon0 = lon[0] - 360 if lon[0] >= 180 else lon[0]
    lon1 = lon[1] + (360 if lon[1] - lon0 < -180 else -360 if lon[1] - lon0 > 180 else 0)
    for slot, shape in fences.items():
        if isinstance(shape, Polygons):
            paths = [shapely.LineString([(lon0 + turn, lat[0]), (lon1 + turn, lat[1])]) for turn in (-360, 0, 360)]
            assert ((0, slot) in found) == any(shapely.intersects(shape.geometry, path) for path in paths)
        else:
            along = np.linspace(0, 1, 2000)
            gaps = [
                geodesic_m(lat[0] + t * (lat[1] - lat[0]), lon0 + t * (lon1 - lon0), shape.lat, shape.lon)
                for t in along.tolist()
            ]
            gap = min(gaps) / shape.radius_m
            if abs(gap - 1) > 0.02:
                assert ((0, slot) in found) == (gap < 1)


def test_a_path_across_the_antimeridian_goes_the_short_way():
    ring = [[179.9, 0], [-179.9, 0], [-179.9, 1], [179.9, 1], [179.9, 0]]
    beside, _ = read_geometry({"type": "Polygon", "coordinates": [ring]})
    fences = {0: beside, 1: Circle(0.5, 0.0, 50_000.0), 2: Circle(0.5, 180.0 - 360, 500.0)}
    found = index_of(fences).crossed(np.array([0.5]), np.array([179.0]), np.array([0.5]), np.array([-179.0]))
    assert pairs(found) == [(0, 0), (0, 2)]


def test_a_path_that_begins_and_ends_inside_touches_the_fence():
    ring = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    shape, _ = read_geometry({"type": "Polygon", "coordinates": [ring]})
    found = index_of({5: shape}).crossed(np.array([0.5]), np.array([0.5]), np.array([0.5]), np.array([0.6]))
    assert pairs(found) == [(0, 5)]


def test_the_cut_of_a_shape_around_a_pole_is_not_its_edge():
    ring = [[lon, 80] for lon in range(-180, 180, 10)]
    cap, _ = read_geometry({"type": "Polygon", "coordinates": [[*ring, ring[0]]]})
    found = index_of({0: cap}).within(np.array([85.0]), np.array([180.0]), np.array([0.0]))
    assert found.distance_m[0] == pytest.approx(-558_000, rel=0.01)


def test_a_fence_far_away_is_found_with_a_long_reach():
    fences = {0: Circle(60.0, 25.0, 100.0), 1: Circle(60.5, 25.0, 100.0)}
    found = index_of(fences).within(np.array([60.0]), np.array([25.01]), np.array([5_000.0]))
    assert pairs(found) == [(0, 0)]
    want, _ = brute_force(fences, np.array([60.0]), np.array([25.0]))
    assert want == [(0, 0)]
