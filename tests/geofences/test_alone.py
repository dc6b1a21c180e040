"""One point asked in plain numbers, against the same point in columns."""

import numpy as np
import pytest
from fence_geometry import PLACES, points_about, shapes
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from geo_service.geofences.alone import covering, near
from geo_service.geofences.index import FenceIndex
from geo_service.geofences.shapes import Circle
from geo_service.geofences.strips import NEAR_M

reaches = st.sampled_from([0.0, 3.667, 8.8, NEAR_M])
depths = st.sampled_from([0.0, 10.0, 25.0, 60.0])


def about(circle, draw):
    """Points all about a circle's edge, where a plane is a good guide, is not, and is again."""
    radii = st.sampled_from([0.0, 0.5, 0.984, 0.988, 0.995, 1.0, 1.005, 1.012, 1.5, 1.98, 1.988, 2.01])
    away = np.array(draw(st.lists(radii, min_size=4, max_size=8))) * circle.radius_m / 111_400
    return np.clip(circle.lat - away * np.sign(circle.lat), -90, 90), np.full(len(away), circle.lon)


@settings(max_examples=120, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.data(), reaches, depths)
def test_one_point_alone_is_answered_as_in_columns_to_the_bit(data, reach_m, depth_m):
    place = data.draw(st.sampled_from(PLACES))
    fences = dict(enumerate(data.draw(st.lists(shapes([place]), min_size=1, max_size=5))))
    fences[99] = Circle(*place, data.draw(st.sampled_from([30.0, 700.0, 900.0])))
    lat, lon = data.draw(points_about(list(fences.values()), most=10))
    lat, lon = (np.concatenate(both) for both in zip((lat, lon), about(fences[99], data.draw), strict=True))
    index = FenceIndex()
    for slot, shape in fences.items():
        index.put(slot, shape)
    matched = index.match(lat, lon)
    around = index.within(lat, lon, np.full(len(lat), reach_m), np.full(len(lat), depth_m))
    for row, (y, x) in enumerate(zip(lat.tolist(), lon.tolist(), strict=True)):
        assert covering(index, y, x) == matched.slot[matched.row == row].tolist()
        mine = around.row == row
        want = list(zip(around.slot[mine].tolist(), around.distance_m[mine].tolist(), strict=True))
        assert near(index, y, x, reach_m, depth_m) == want


def test_a_reach_beyond_what_cells_are_told_of_is_refused():
    with pytest.raises(ValueError, match="farther than cells are told of"):
        near(FenceIndex(), 60.0, 24.0, NEAR_M + 1, 0.0)
