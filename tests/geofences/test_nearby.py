import numpy as np
import pytest
from fence_geometry import PLACES, geodesic_m, shapes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_service.geofences.index import FenceIndex
from geo_service.geofences.nearby import Nearby
from geo_service.geofences.shapes import Circle, read_geometry

TEMPERATE = [place for place in PLACES if abs(place[0]) < 85]


def square(lat, lon, side):
    ring = [[lon, lat], [lon + side, lat], [lon + side, lat + side], [lon, lat + side], [lon, lat]]
    return read_geometry({"type": "Polygon", "coordinates": [ring]})[0]


def test_stores_come_nearest_first_by_distance_to_their_edge():
    nearby = Nearby()
    nearby.put_shape(1, square(60.0, 25.001, 0.01))  # 56 m to its edge, its middle far away
    nearby.put_point(2, 60.002, 25.0)
    nearby.put_shape(3, Circle(60.01, 25.0, 1_000.0))
    nearby.put_point(4, 61.0, 25.0)
    found = dict(nearby.nearest(60.0021, 25.0, 500.0, 10))
    assert list(found) == [3, 2, 1], "inside a circle, then a point, then a square whose middle is far away"
    assert found[3] == 0.0
    assert found[2] == pytest.approx(geodesic_m(60.0021, 25.0, 60.002, 25.0), rel=1e-3)
    assert found[1] == pytest.approx(geodesic_m(60.0021, 25.0, 60.0021, 25.001), rel=1e-3)


def test_a_place_inside_a_shape_is_at_no_distance():
    nearby = Nearby()
    nearby.put_shape(7, square(10.0, 20.0, 1.0))
    assert nearby.nearest(10.5, 20.5, 1.0, 1) == [(7, 0.0)]
    assert nearby.covering(10.5, 20.5) == [7]
    assert nearby.covering(9.5, 20.5) == []


def test_only_accepted_stores_count_and_each_is_asked_about_once():
    nearby, asked = Nearby(), []
    for slot in range(500):
        nearby.put_point(slot, 60.0 + slot * 1e-5, 25.0)

    def accept(slot):
        asked.append(slot)
        return slot % 100 == 99

    assert [slot for slot, _ in nearby.nearest(60.0, 25.0, 10_000.0, 3, accept)] == [99, 199, 299]
    assert len(asked) == len(set(asked))


def test_a_large_shape_is_found_from_far_outside_the_usual_band():
    nearby = Nearby()
    nearby.put_shape(0, square(40.0, 10.0, 20.0))
    nearby.put_point(1, 60.0001, 29.9)
    assert [slot for slot, _ in nearby.nearest(59.9999, 29.9, 100.0, 5)] == [0, 1]


def test_an_item_that_changes_or_goes_is_found_where_it_is_now():
    nearby = Nearby()
    nearby.put_point(0, 1.0, 1.0)
    assert [slot for slot, _ in nearby.nearest(1.0, 1.0, 10.0, 1)] == [0]
    nearby.put_shape(0, Circle(2.0, 2.0, 50.0))
    assert nearby.nearest(1.0, 1.0, 10.0, 1) == []
    assert nearby.nearest(2.0, 2.0, 10.0, 1) == [(0, 0.0)]
    nearby.put_point(0, 3.0, 3.0)
    assert nearby.covering(2.0, 2.0) == []
    nearby.remove(0)
    nearby.remove(5_000)
    assert nearby.nearest(3.0, 3.0, 10.0, 1) == []


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_nearest_equals_measuring_everything(data):
    place = data.draw(st.sampled_from(TEMPERATE))
    fences = data.draw(st.lists(shapes([place], [1e-5, 1e-4, 1e-3]), max_size=4))
    points = data.draw(st.lists(st.tuples(st.floats(-0.02, 0.02), st.floats(-0.02, 0.02)), max_size=8))
    lat, lon = place[0] + data.draw(st.floats(-0.01, 0.01)), place[1] + data.draw(st.floats(-0.01, 0.01))
    radius, k = data.draw(st.sampled_from([50.0, 1_000.0, 5_000.0])), data.draw(st.integers(1, 6))
    nearby, index = Nearby(), FenceIndex()
    distances = {}
    for slot, shape in enumerate(fences):
        nearby.put_shape(slot, shape)
        index.put(slot, shape)
        signed = index.distances(np.array([slot], np.int32), np.array([lat]), np.array([lon]))[0]
        distances[slot] = max(float(signed), 0.0)
    for slot, (up, right) in enumerate(points, len(fences)):
        nearby.put_point(slot, place[0] + up, place[1] + right)
        distances[slot] = geodesic_m(lat, lon, place[0] + up, place[1] + right)
    found = nearby.nearest(lat, lon, radius, k)
    want = sorted(distance for distance in distances.values() if distance <= radius)[:k]
    assert [distance for _, distance in found] == pytest.approx(want, rel=1e-3, abs=1e-3)
    assert all(distance == pytest.approx(distances[slot], rel=1e-3, abs=1e-3) for slot, distance in found)


def test_the_distance_to_an_empty_slot_is_an_error():
    index = FenceIndex()
    index.put(1, Circle(0, 0, 1))
    with pytest.raises(KeyError):
        index.distances(np.array([0], np.int32), np.zeros(1), np.zeros(1))
