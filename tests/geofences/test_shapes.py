import contextlib
import math
import resource
import time

import numpy as np
import pytest
import shapely
from fence_geometry import boxes_and_triangles, geodesic_m, placed
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from geo_service.catalogue.documents import Fence
from geo_service.geofences.shapes import (
    MAX_POSITIONS,
    MAX_RINGS,
    Circle,
    Polygons,
    ShapeError,
    read_geometry,
    read_shape,
)

SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
HOLE = [[1, 1], [1, 2], [2, 2], [2, 1], [1, 1]]


def polygon(*rings):
    return {"type": "Polygon", "coordinates": list(rings)}


def multi(*polygons):
    return {"type": "MultiPolygon", "coordinates": list(polygons)}


def refusal(geometry, radius_m=None):
    with pytest.raises(ShapeError) as refused:
        read_geometry(geometry, radius_m)
    return refused.value.fault


def repairs(geometry, radius_m=None):
    shape, faults = read_geometry(geometry, radius_m)
    return shape, [str(fault) for fault in faults]


def test_a_valid_polygon_is_taken_as_it_is_without_a_word():
    shape, faults = repairs(polygon(SQUARE, HOLE))
    assert faults == []
    assert shape.geometry.equals(shapely.Polygon(SQUARE, [HOLE]))
    assert shape.positions.tolist() == SQUARE + HOLE
    assert shape.bounds == (0, 0, 4, 4)


def test_a_multipolygon_keeps_its_parts_and_their_holes():
    far = [[10, 0], [11, 0], [11, 1], [10, 1], [10, 0]]
    shape, faults = repairs(multi([SQUARE, HOLE], [far]))
    assert faults == []
    assert shape.geometry.equals(shapely.MultiPolygon([(SQUARE, [HOLE]), (far, [])]))


def test_a_point_with_a_radius_is_a_circle():
    fence = Fence(id="f", geometry={"type": "Point", "coordinates": [24.9, 60.1]}, radius_m=150)
    assert read_shape(fence) == (Circle(60.1, 24.9, 150), [])


@pytest.mark.parametrize(
    ("geometry", "radius_m", "fault"),
    [
        (polygon(SQUARE[:-1]), None, "ring 0, position 3: the ring is not closed; closed with its first position"),
        (polygon(SQUARE[::-1]), None, "ring 0: wound the wrong way round"),
        (polygon(SQUARE, HOLE[::-1]), None, "ring 1: wound the wrong way round"),
        (polygon([SQUARE[0], *SQUARE]), None, "ring 0, position 1: repeats the position before it"),
        (polygon([[*position, 12.5] for position in SQUARE]), None, "ring 0, position 0: more than two coordinates"),
        (polygon([[x + 179, y] for x, y in SQUARE]), None, "ring 0, position 1: longitudes beyond ±180°"),
        (polygon(SQUARE), 20, "radius_m has no effect on a Polygon"),
        ({"type": "GeometryCollection", "geometries": [polygon(SQUARE)]}, None, "a GeometryCollection of one"),
        (multi([SQUARE], [[[x + 2, y] for x, y in SQUARE]]), None, "polygons overlap; joined into one"),
        (multi([SQUARE], [[[x + 4, y] for x, y in SQUARE]]), None, "polygons share an edge; joined into one"),
    ],
)
def test_an_unambiguous_fault_is_repaired_and_reported_with_its_place(geometry, radius_m, fault):
    shape, faults = repairs(geometry, radius_m)
    assert [text for text in faults if text.startswith(fault)]
    assert shape.geometry.is_valid


@pytest.mark.parametrize(
    ("ring", "area"),
    [
        ([[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]], 2.0),
        ([[0, 0], [4, 0], [4, 4], [2, 0], [0, 4], [0, 0]], 8.0),
        ([[0, 0], [4, 0], [4, 4], [0, 4], [0, 2], [-3, 2], [0, 2], [0, 0]], 16.0),
        ([[0, 0], [4, 0], [4, 4], [2, 4], [3, 1], [1, 1], [2, 4], [0, 4], [0, 0]], 13.0),
    ],
    ids=["bow tie", "touches itself", "spike", "hole drawn in one line"],
)
def test_a_ring_that_both_filling_rules_agree_on_is_what_it_encloses(ring, area):
    shape, faults = repairs(polygon(ring))
    assert shape.geometry.area == pytest.approx(area)
    assert shape.geometry.is_valid
    assert any("what the ring encloses" in fault for fault in faults)


def test_a_hole_that_crosses_the_outer_ring_is_cut_out_of_it():
    shape, faults = repairs(polygon(SQUARE, [[3, 1], [3, 2], [6, 2], [6, 1], [3, 1]]))
    assert shape.geometry.equals(shapely.Polygon(SQUARE).difference(shapely.box(3, 1, 6, 2)))
    assert any("ring 1" in fault and "cut out" in fault for fault in faults)


def test_a_pentagram_is_refused_as_it_can_be_read_in_two_ways():
    points = [[math.cos(t * 4 * math.pi / 5), math.sin(t * 4 * math.pi / 5)] for t in range(5)]
    fault = refusal(polygon([*points, points[0]]))
    assert "goes twice around a part of itself" in fault.reason
    assert (fault.polygon, fault.ring) == (None, 0)
    assert fault.position in range(5)


@pytest.mark.parametrize(
    ("geometry", "place", "reason"),
    [
        (None, (None, None, None), "no geometry"),
        ("Polygon", (None, None, None), "a geometry must be an object"),
        ({"type": "LineString", "coordinates": SQUARE}, (None, None, None), "'LineString' is none of them"),
        ({"type": 3}, (None, None, None), "is none of them"),
        ({"type": "Polygon"}, (None, None, None), "needs coordinates"),
        ({"type": "Polygon", "coordinates": None}, (None, None, None), "needs coordinates"),
        (polygon(), (None, None, None), "at least its outer ring"),
        (multi(), (None, None, None), "at least one polygon"),
        (multi([SQUARE], []), (1, None, None), "at least its outer ring"),
        (polygon(SQUARE[:2]), (None, 0, None), "at least three different positions"),
        (polygon([[1, 1], [1, 1], [1, 1], [1, 1]]), (None, 0, None), "this one has 1"),
        (polygon([[0, 0], [1, 1], [2, 2], [0, 0]]), (None, 0, 1), "encloses nothing"),
        (polygon([[0, 0], [4, 0], [4, math.nan], [0, 4], [0, 0]]), (None, 0, 2), "latitude is not a finite number"),
        (polygon([[0, 0], [math.inf, 0], [4, 4], [0, 4], [0, 0]]), (None, 0, 1), "longitude is not a finite number"),
        (polygon([[0, 0], [4, 0], [4, 91], [0, 4], [0, 0]]), (None, 0, 2), "latitude 91 is out of range"),
        (polygon([[0, 0], [400, 0], [4, 4], [0, 4], [0, 0]]), (None, 0, 1), "longitude 400 is out of range"),
        (polygon([[60, 120], [61, 120], [61, 121], [60, 120]]), (None, 0, 0), "are longitude and latitude swapped?"),
        (polygon(SQUARE, [[9, 9], [9, 10], [10, 10], [9, 9]]), (None, 1, None), "lies outside the outer ring"),
        (polygon(SQUARE, SQUARE[::-1]), (None, None, None), "nothing is left"),
        (polygon([[0, 0], ["4", 0], [4, 4], [0, 0]]), (None, 0, 1), "expected a number, found a string"),
        (polygon([[0, 0], [True, 0], [4, 4], [0, 0]]), (None, 0, 1), "found a boolean"),
        (polygon([[0, 0], None, [4, 4], [0, 0]]), (None, 0, 1), "found null"),
        (polygon([[0, 0], [4], [4, 4], [0, 0]]), (None, 0, 1), "a position needs a longitude and a latitude"),
        (polygon([[0, 0], [10**400, 0], [4, 4], [0, 0]]), (None, 0, 1), "too large"),
        (multi([SQUARE], [SQUARE, {"a": 1}]), (1, 1, None), "expected a list of positions, found an object"),
        (polygon([[-190, 0], [12, 0], [13, 1], [-190, 1], [-190, 0]]), (None, 0, 0), "more than 180°"),
        (polygon([[-180, 60], [180, 60], [180, 80], [-180, 80], [-180, 60]]), (None, 0, 0), "encloses nothing"),
        ({"type": "GeometryCollection", "geometries": []}, (None, None, None), "is none of them"),
    ],
)
def test_what_cannot_be_used_is_refused_with_ring_position_and_reason(geometry, place, reason):
    fault = refusal(geometry)
    assert reason in fault.reason
    assert (fault.polygon, fault.ring, fault.position) == place


@pytest.mark.parametrize("radius_m", [None, 0, -5, math.nan, math.inf, 100_001])
def test_a_point_needs_a_sensible_radius(radius_m):
    assert "radius_m" in refusal({"type": "Point", "coordinates": [0, 0]}, radius_m).reason


@pytest.mark.parametrize("at", [[0], [], [None, 1], [0, 95], "00", {"lon": 1}, [math.nan, 0]])
def test_a_circle_needs_a_real_centre(at):
    refusal({"type": "Point", "coordinates": at}, 100)


def test_an_edge_of_more_than_180_degrees_goes_the_short_way_round():
    ring = [[170, -10], [-170, -10], [-170, 10], [170, 10], [170, -10]]
    shape, faults = repairs(polygon(ring))
    assert faults == []
    assert shape.bounds == (170, -10, 190, 10)


def test_holes_and_parts_move_to_where_the_shape_is():
    shell = [[170, -10], [-170, -10], [-170, 10], [170, 10], [170, -10]]
    hole = [[-178, -1], [-178, 1], [-176, 1], [-176, -1], [-178, -1]]
    far = [[-160, 0], [-159, 0], [-159, 1], [-160, 0]]
    shape, faults = repairs(multi([shell, hole], [far]))
    assert faults == []
    assert shape.geometry.area == pytest.approx(400 - 4 + 0.5)
    assert shape.bounds == (170, -10, 201, 10)


def test_a_shape_that_was_cut_at_the_antimeridian_is_whole_again():
    west, east = (
        [[179, 0], [180, 0], [180, 1], [179, 1], [179, 0]],
        [[-180, 0], [-179, 0], [-179, 1], [-180, 1], [-180, 0]],
    )
    shape, faults = repairs(multi([west], [east]))
    assert faults == []
    assert shape.bounds == (179, 0, 181, 1)
    assert shape.geometry.is_valid
    assert shape.geometry.area == 2


@pytest.mark.parametrize("eastward", [True, False])
@pytest.mark.parametrize(("lat", "pole"), [(80.0, 90.0), (-70.0, -90.0)])
def test_a_ring_around_a_pole_holds_the_pole(lat, pole, eastward):
    ring = [[lon, lat + (lon % 20) / 10] for lon in range(-175, 180, 10)][:: 1 if eastward else -1]
    shape, _ = read_geometry(polygon([*ring, ring[0]]))
    assert shape.geometry.is_valid
    assert shape.bounds[0] == -180
    assert shape.bounds[2] == 180
    for lon in (-180, -90.5, 0, 179.9, 180):
        assert shapely.covers(shape.geometry, shapely.Point(lon, pole))
        assert shapely.covers(shape.geometry, shapely.Point(lon, (lat + pole) / 2))
    assert not shapely.covers(shape.geometry, shapely.Point(3, -pole))


def test_a_ring_around_a_pole_may_have_a_hole_around_it():
    shell, hole = ([[lon, lat] for lon in (0, 90, 180, -90, 0)] for lat in (60, 80))
    shape, _ = read_geometry(polygon(shell, hole[::-1]))
    assert shape.geometry.area == pytest.approx(360 * 20)
    assert not shapely.covers(shape.geometry, shapely.Point(0, 85))


def test_a_ring_along_the_equator_holds_no_pole_more_than_the_other():
    ring = [[lon, 0] for lon in (0, 90, 180, -90, 0)]
    assert "which pole" in refusal(polygon(ring)).reason


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(boxes_and_triangles(), st.sampled_from([2.0**-13, 0.125, 1.0]))
def test_a_valid_shape_means_the_same_before_and_after(grid, step):
    corners = shapely.get_coordinates(grid)
    # Where pieces crossed, a corner was rounded, and may have slipped across an edge that it should touch.
    assume(grid.area > 0 and (corners == np.rint(corners)).all())
    expected = shapely.transform(grid, lambda at: at * step + (30.0, 20.0))
    assume(expected.is_valid)
    shape, faults = read_geometry(placed(grid, (20.0, 30.0), step))
    assert [str(fault) for fault in faults if "wound" not in str(fault)] == []
    assert shape.geometry.equals(expected)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=30,
    ),
    st.sampled_from(["Polygon", "MultiPolygon", "Point"]),
)
def test_nothing_that_json_can_say_crashes_the_reader(coordinates, kind):
    with contextlib.suppress(ShapeError):
        shape, _ = read_geometry({"type": kind, "coordinates": coordinates}, 100.0)
        assert isinstance(shape, Circle | Polygons)


RNG = np.random.default_rng(5)
TURN = np.linspace(0, 2 * np.pi, 49_000)
HOSTILE = {
    "a scribble": polygon(RNG.uniform(0, 1, (MAX_POSITIONS - 1, 2)).tolist()),
    "a short scribble": polygon(RNG.uniform(0, 1, (3_000, 2)).tolist()),
    "a zigzag": polygon(np.stack((np.arange(49_999) * 1e-4, np.arange(49_999) % 2), axis=1).tolist()),
    "a circle in detail": polygon(np.stack((np.cos(TURN), np.sin(TURN)), axis=1).tolist()),
    "a star around a pole": polygon(
        np.stack((np.linspace(-180, 179.9, 20_000), 80 + np.sin(np.arange(20_000))), axis=1).tolist()
    ),
    "a sieve": polygon(
        [[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]],
        *[[[x, y], [x, y + 0.5], [x + 0.5, y], [x, y]] for x in np.arange(0, 9, 0.3) for y in np.arange(0, 9, 0.3)],
    ),
    "a lattice": multi(
        *[[[[x, 0], [x + 0.01, 0], [x + 0.01, 9], [x, 9], [x, 0]]] for x in np.linspace(0, 9, 490).tolist()],
        *[[[[0, y], [9, y], [9, y + 0.01], [0, y + 0.01], [0, y]]] for y in np.linspace(0, 9, 490).tolist()],
    ),
    "too many positions": polygon([[0, 0]] * (MAX_POSITIONS + 1)),
    "too many rings": polygon(*[SQUARE] * (MAX_RINGS + 1)),
    "nothing, very often": multi(*[[]] * 1_000_000),
}


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("name", [*HOSTILE, "a deep nest"])
def test_no_shape_takes_much_memory_or_time(name):
    geometry = HOSTILE.get(name) or polygon(nested(100_000))
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(ShapeError):
        read_geometry(geometry)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kB"
    # Each takes well under a second; the slack is for a busy machine. What grows with the square takes minutes.
    assert time.process_time() - began < 30


def test_a_circle_as_a_polygon_is_on_the_circle():
    for lat, lon, radius in ((60.0, 25.0, 500.0), (0.0, 179.999, 1_000.0), (-45.0, 0.0, 50_000.0)):
        corners = shapely.get_coordinates(Circle(lat, lon, radius).geometry)
        away = [geodesic_m(lat, lon, y, x) for x, y in corners.tolist()]
        assert away == pytest.approx([radius] * len(away), rel=2e-3)


def test_a_circle_over_a_pole_as_a_polygon_holds_the_pole():
    assert shapely.covers(Circle(89.99, 10.0, 5_000.0).geometry, shapely.Point(-170.0, 90.0))
