"""Circles around fences, and the nearest of them."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo_service.catalogue.documents import Fence
from geo_service.geofences.earth import metres_per_degree
from geo_service.geofences.regions import Regions, region_of


def fence(name, geometry, **more):
    return Fence(id=name, geometry=geometry, store="s", role="store", **more)


def circle(name, lat, lon, radius_m=50):
    return fence(name, {"type": "Point", "coordinates": [lon, lat]}, radius_m=radius_m)


def test_a_circle_is_its_own_region():
    region = region_of(circle("a", 60.1, 24.9, 75))
    assert region[:2] == ("a", "s")
    assert region[2:] == pytest.approx((60.1, 24.9, 75))


@given(
    st.lists(st.tuples(st.floats(-0.01, 0.01), st.floats(-0.01, 0.01)), min_size=3, max_size=9),
    st.sampled_from([0, 179.999]),
)
def test_a_region_holds_the_whole_of_its_fence_over_the_antimeridian_too(corners, around):
    lons = [(lon + around + 180) % 360 - 180 for _, lon in corners]
    lats = [lat for lat, _ in corners]
    ring = [list(position) for position in zip(lons, lats, strict=True)]
    region = region_of(fence("a", {"type": "MultiPolygon", "coordinates": [[[*ring, ring[0]]]]}))
    per_lon, per_lat = metres_per_degree(np.array([region.lat]))
    east = [(lon - region.lon + 180) % 360 - 180 for lon in lons]
    reach = np.hypot(np.array(east) * per_lon, (np.array(lats) - region.lat) * per_lat)
    assert reach.max() <= region.radius_m + 1e-6
    assert region.radius_m <= shapely.box(-0.01, -0.01, 0.01, 0.01).length * 111_400  # and is no wider than the fence


def test_the_nearest_come_by_the_distance_to_their_edge_and_equals_by_id():
    regions = Regions()
    for number in range(30):
        regions.put(circle(f"f{number:02}", 60 + number * 0.01, 25))
    regions.put(circle("wide", 60.1, 25, 9_000))
    regions.put(circle("same", 60.02, 25))
    assert [region.fence for region in regions.nearest(60.021, 25, 4)] == ["wide", "f02", "same", "f03"]


def test_fewer_than_asked_for_are_all_there_are_and_none_of_none():
    regions = Regions()
    assert regions.nearest(0, 0, 10) == []
    regions.put(circle("a", 1, 1))
    assert [region.fence for region in regions.nearest(0, 0, 10)] == ["a"]


def test_a_fence_that_is_disabled_or_gone_is_no_region():
    regions = Regions()
    regions.put(circle("a", 1, 1))
    regions.put(circle("b", 1, 1))
    regions.put(fence("a", {"type": "Point", "coordinates": [1, 1]}, radius_m=5, disabled=True))
    regions.remove("b")
    regions.remove("never was there")
    assert regions.nearest(1, 1, 10) == []


def test_what_has_no_positions_has_no_region():
    assert region_of(fence("a", {"type": "Polygon", "coordinates": []})) is None
    assert region_of(fence("a", {"type": "GeometryCollection"})) is None
