import contextlib

import numpy as np
import pytest
import shapely
from fence_geometry import PLACES, boxes_and_triangles, brute_force, pairs, placed, points_about, shapes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_service.geofences.index import FenceIndex, covers
from geo_service.geofences.shapes import Circle, Polygons, ShapeError, read_geometry

# Where the grid's columns become twice as wide from one row to the next.
BAND_EDGE = (193 * 180 / 256 - 90, 24.94)
THOROUGH = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


def index_of(fences):
    index = FenceIndex()
    for slot, shape in fences.items():
        index.put(slot, shape)
    return index


def matches_shapely(index, fences, lat, lon):
    want, doubtful = brute_force(fences, lat, lon)
    found = pairs(index.match(lat, lon))
    assert found == sorted(set(found)), "sorted by row, then slot, each once"
    assert [pair for pair in found if pair not in doubtful] == [pair for pair in want if pair not in doubtful]


@THOROUGH
@given(st.data())
def test_a_point_is_in_a_fence_exactly_when_shapely_says_so(data):
    fences = dict(enumerate(data.draw(st.lists(shapes(), min_size=1, max_size=5))))
    lat, lon = data.draw(points_about(list(fences.values())))
    matches_shapely(index_of(fences), fences, lat, lon)


@THOROUGH
@given(st.data())
def test_one_shape_asked_alone_says_the_same(data):
    shape = data.draw(shapes())
    lat, lon = data.draw(points_about([shape]))
    found = index_of({0: shape}).match(lat, lon)
    assert np.flatnonzero(covers(shape, lat, lon)).tolist() == found.row.tolist()


@THOROUGH
@given(st.data())
def test_fences_that_share_edges_and_positions_or_nest_are_all_found(data):
    place, step = (
        data.draw(st.sampled_from([(60.17, 24.94), (0.0, 180.0)])),
        data.draw(st.sampled_from([1e-4, 2.0**-12])),
    )
    grids = data.draw(st.lists(boxes_and_triangles().filter(lambda g: g.area > 1e-6), min_size=2, max_size=8))
    fences = {slot * 3: read_geometry(placed(grid, place, step))[0] for slot, grid in enumerate(grids)}
    lat, lon = data.draw(points_about(list(fences.values()), most=30))
    matches_shapely(index_of(fences), fences, lat, lon)


@THOROUGH
@given(st.data())
def test_the_index_follows_every_put_and_remove(data):
    fences, index = {}, FenceIndex()
    for _ in range(data.draw(st.integers(1, 8))):
        slot = data.draw(st.integers(0, 5))
        if data.draw(st.booleans()):
            fences[slot] = data.draw(shapes(places=[(60.17, 24.94), (60.1701, 24.9401)], steps=[1e-5, 1e-4, 1e-3]))
            index.put(slot, fences[slot])
        else:
            fences.pop(slot, None)
            index.remove(slot)
        if fences and data.draw(st.booleans()):
            lat, lon = data.draw(points_about(list(fences.values()), most=6))
            matches_shapely(index, fences, lat, lon)


def star(rng, lat, lon, radius_m, corners):
    turn = np.sort(rng.uniform(0, 2 * np.pi, corners))
    away = radius_m * rng.uniform(0.4, 1, corners) / 111_320
    ring = np.stack((lon + away * np.cos(turn) / np.cos(np.radians(lat)), lat + away * np.sin(turn)), axis=1)
    return {"type": "Polygon", "coordinates": [np.concatenate((ring, ring[:1])).tolist()]}


@pytest.mark.parametrize("place", [*PLACES[:4], *PLACES[7:], BAND_EDGE], ids=str)
def test_a_town_of_fences_is_matched_as_an_strtree_does(place):
    rng = np.random.default_rng(int(abs(place[0]) * 100))
    east = 0.03 / np.cos(np.radians(place[0]))
    fences = {}
    for slot in range(200):
        lat, lon = place[0] + rng.normal(0, 0.01), place[1] + rng.normal(0, east / 3)
        with contextlib.suppress(ShapeError):
            radius = float(np.exp(rng.uniform(np.log(3), np.log(4000))))
            fences[slot] = read_geometry(star(rng, lat, lon, radius, rng.integers(3, 60)))[0]
    lat, lon = place[0] + rng.normal(0, 0.012, 4000), place[1] + rng.normal(0, east / 2, 4000)
    lon = np.where(lon >= 180, lon - 360, np.where(lon < -180, lon + 360, lon))
    tree = shapely.STRtree([shape.geometry for shape in fences.values()])
    slots = np.array(list(fences))
    found = [tree.query(shapely.points(lon + turn, lat), predicate="intersects") for turn in (0, 360)]
    want = sorted(
        {(row, slot) for rows, at in found for row, slot in zip(rows.tolist(), slots[at].tolist(), strict=True)}
    )
    assert len(want) > 1000
    assert pairs(index_of(fences).match(lat, lon)) == want


@pytest.mark.parametrize("size", [1, 2, 7, 100, 5000])
def test_a_batch_of_any_size_and_order_gives_each_point_the_same_fences(size):
    rng = np.random.default_rng(size)
    fences = {
        slot: Circle(60 + rng.normal(0, 0.02), 25 + rng.normal(0, 0.02), float(rng.uniform(50, 2000)))
        for slot in range(200)
    }
    index = index_of(fences)
    lat, lon = 60 + rng.normal(0, 0.02, size), 25 + rng.normal(0, 0.02, size)
    found = index.match(lat, lon)
    order = rng.permutation(size)
    again = index.match(lat[order], lon[order])
    assert sorted(zip(order[again.row].tolist(), again.slot.tolist(), strict=True)) == pairs(found)


def test_no_points_match_nothing():
    none = np.empty(0)
    assert pairs(index_of({0: Circle(0, 0, 100)}).match(none, none)) == []


def test_an_index_without_fences_matches_nothing():
    index = FenceIndex()
    assert pairs(index.match(np.array([1.0]), np.array([2.0]))) == []
    index.put(4, Circle(1, 2, 100))
    index.remove(4)
    assert pairs(index.match(np.array([1.0]), np.array([2.0]))) == []


def test_a_slot_that_was_never_put_can_be_removed():
    index = FenceIndex()
    index.remove(3_000)
    assert pairs(index.match(np.array([1.0]), np.array([2.0]))) == []


@pytest.mark.parametrize("slot", [-1, 1 << 23])
def test_a_slot_out_of_range_is_refused(slot):
    with pytest.raises(ValueError, match="slot"):
        FenceIndex().put(slot, Circle(0, 0, 1))


@pytest.mark.parametrize("lat", [0.0, 45.0, -60.0, 80.0, 89.0, 89.99])
@pytest.mark.parametrize("radius_m", [10.0, 500.0, 20_000.0, 100_000.0])
def test_a_circle_is_geodesic_to_half_a_per_cent_at_any_latitude(lat, radius_m):
    from fence_geometry import geodesic_m

    index = index_of({0: Circle(lat, 179.99, radius_m)})
    rng = np.random.default_rng(1)
    bearing, away = rng.uniform(0, 2 * np.pi, 400), radius_m * rng.uniform(0.97, 1.03, 400)
    y = lat + np.degrees(away * np.cos(bearing) / 6.37e6)
    x = 179.99 + np.degrees(away * np.sin(bearing) / 6.37e6 / max(np.cos(np.radians(lat)), 1e-3))
    y, x = np.clip(y, -90, 90), (x + 180) % 360 - 180
    truth = np.array([geodesic_m(*p, lat, 179.99) for p in zip(y.tolist(), x.tolist(), strict=True)]) / radius_m
    inside = np.zeros(len(y), bool)
    inside[index.match(y, x).row] = True
    assert inside[truth < 0.995].all()
    assert not inside[truth > 1.005].any()
    assert (np.abs(truth - 1) < 0.05).any()


def test_a_hole_is_outside_and_its_edge_inside():
    ring = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
    hole = [[1, 1], [1, 2], [2, 2], [2, 1], [1, 1]]
    shape, _ = read_geometry({"type": "Polygon", "coordinates": [ring, hole]})
    found = index_of({7: shape}).match(np.array([1.5, 1.0, 1.5, 3.0]), np.array([1.5, 1.5, 2.0, 3.0]))
    assert pairs(found) == [(1, 7), (2, 7), (3, 7)]


def test_180_and_minus_180_are_one_meridian():
    east, _ = read_geometry({"type": "Polygon", "coordinates": [[[179, 0], [180, 0], [180, 1], [179, 1], [179, 0]]]})
    west, _ = read_geometry(
        {"type": "Polygon", "coordinates": [[[-180, 0], [-179, 0], [-179, 1], [-180, 1], [-180, 0]]]}
    )
    found = index_of({0: east, 1: west}).match(np.array([0.5, 0.5]), np.array([180.0, -180.0]))
    assert pairs(found) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_shape_with_very_many_positions_is_matched_exactly():
    turn = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    wavy = 0.01 * (1 + 0.3 * np.sin(200 * turn))
    ring = np.stack((25 + wavy * np.cos(turn), 60 + wavy * np.sin(turn)), axis=1)
    shape, _ = read_geometry({"type": "Polygon", "coordinates": [np.concatenate((ring, ring[:1])).tolist()]})
    assert isinstance(shape, Polygons)
    rng = np.random.default_rng(0)
    lat, lon = 60 + rng.normal(0, 0.006, 500), 25 + rng.normal(0, 0.006, 500)
    matches_shapely(index_of({0: shape}), {0: shape}, lat, lon)


def test_a_comb_whose_every_edge_spans_its_height_stays_within_memory():
    teeth = 3000
    x = np.repeat(np.linspace(0, 0.01, teeth), 2)
    y = np.tile([0.001, 0.02, 0.02, 0.001], teeth)[: len(x)]
    ring = [[0.01, 0.0], *np.stack((x, y), axis=1)[::-1].tolist(), [0.0, 0.0], [0.01, 0.0]]
    shape, _ = read_geometry({"type": "Polygon", "coordinates": [ring]})
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(0, 0.02, 200), rng.uniform(0, 0.01, 200)
    matches_shapely(index_of({0: shape}), {0: shape}, lat, lon)


def test_a_sliver_around_half_the_world_is_matched_exactly():
    ring = [[-60, 0], [60, 0], [60, 1e-12], [-60, 1e-12], [-60, 0]]
    shape, _ = read_geometry({"type": "Polygon", "coordinates": [ring]})
    lat, lon = np.array([0.0, 1e-12, 2e-12, 10.0, -1e-13]), np.array([0.0, 59.0, 1.0, 1.0, 2.0])
    assert pairs(index_of({3: shape}).match(lat, lon)) == [(0, 3), (1, 3)]
