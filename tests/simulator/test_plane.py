import math
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import LineString, Point, Polygon

from geo_service.simulator.paths import Paths, Streets
from geo_service.simulator.plane import Disc, Outline, Plane, spans_inside

COURTYARD = [
    [(0, 0), (60, 0), (60, 50), (30, 50), (30, 20), (0, 20), (0, 0)],
    [(40, 10), (40, 18), (50, 18), (50, 10), (40, 10)],
]
# Odd offsets, so that no drawn segment runs along an edge or through a corner.
coordinate = st.integers(-300, 900).map(lambda tenths: tenths / 10 + 0.0317)
points = st.tuples(coordinate, coordinate)


def lengths(spans, start, end):
    return sum(high - low for low, high in spans) * math.dist(start, end)


@given(points, points)
@settings(max_examples=150)
def test_the_stretches_inside_an_outline_are_those_that_shapely_finds(start, end):
    outline, oracle = Outline.of(COURTYARD), Polygon(COURTYARD[0], COURTYARD[1:])
    spans = spans_inside(outline, start, end)
    assert math.isclose(lengths(spans, start, end), LineString([start, end]).intersection(oracle).length, abs_tol=1e-6)
    assert outline.contains(*start) == oracle.contains(Point(start))
    assert all(before[1] < after[0] for before, after in pairwise(spans))


@given(points, points, st.integers(1, 500))
@settings(max_examples=100)
def test_the_stretch_inside_a_circle_is_where_the_distance_is_below_the_radius(start, end, radius):
    disc = Disc(10, 10, radius + 0.123)
    spans = spans_inside(disc, start, end)
    for step in range(21):
        x, y = (start[axis] + step / 20 * (end[axis] - start[axis]) for axis in (0, 1))
        distance = math.dist((x, y), (10, 10)) - disc.radius
        if abs(distance) > 1e-6:
            assert (distance < 0) == any(low <= step / 20 <= high for low, high in spans)


def test_degrees_and_metres_are_each_others_inverse_and_of_the_right_size():
    plane = Plane(45.6, -6.4)
    lon, lat = plane.degrees(1234.5, -987.6)
    assert math.dist(plane.metres(lon, lat), (1234.5, -987.6)) < 1e-6
    # A degree at 45.6 north on WGS84, from the radii of curvature M and N there.
    square = 0.00669437999014
    sine = math.sin(math.radians(45.6))
    n = 6_378_137 / math.sqrt(1 - square * sine * sine)
    m = n * (1 - square) / (1 - square * sine * sine)
    degree = math.radians(1)
    expected = (n * math.cos(math.radians(45.6)) * degree, m * degree)
    assert math.dist(plane.metres(-5.4, 46.6), expected) < 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=25), st.data())
@settings(max_examples=50)
def test_following_the_hops_is_as_long_as_the_shortest_path_says(edges, data):
    places = [(float(i % 4) * 10, float(i * i % 7) * 10) for i in range(10)]
    paths = Paths(places, [(a, b) for a, b in edges if a != b])
    at, to = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 9))
    if to not in paths.reachable(at):
        assert paths.metres(at, to) == math.inf
        return
    expected, walked = paths.metres(at, to), 0.0
    while at != to:
        hop = paths.next_hop(at, to)
        assert (at, hop) in edges or (hop, at) in edges
        walked += math.dist(places[at], places[hop])
        at = hop
    assert math.isclose(walked, expected, abs_tol=1e-9)


def test_a_kerb_is_the_nearest_point_of_a_street_and_splits_it():
    streets = Streets([[(0, 0), (50, 0), (100, 0)], [(50, 50), (50, 0), (50, -50)]], [(20, 9), (48, 30)])
    first, second = streets.kerbs
    assert streets.paths.points[first] == (20, 0)
    assert streets.paths.points[second] == (50, 30)
    assert streets.paths.metres(first, second) == 60
