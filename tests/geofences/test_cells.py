import h3.api.basic_int as h3
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_service.geofences.cells import cell_of, faces, key_of, keys_at


def told_by_h3(lat, lon, res):
    return [h3.latlng_to_cell(*place, res) for place in zip(lat.tolist(), lon.tolist(), strict=True)]


def told_here(lat, lon, res):
    return [cell_of(key, res) for key in keys_at(lat, lon, res).tolist()]


@pytest.mark.parametrize("res", range(3, 13))
def test_cells_are_those_of_h3_all_over_the_earth(res):
    rng = np.random.default_rng(res)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, 3_000))), rng.uniform(-180, 180, 3_000)
    assert told_here(lat, lon, res) == told_by_h3(lat, lon, res)


@pytest.mark.parametrize("spread", [1e-3, 0.05, 1.0, 4.0])
def test_cells_are_those_of_h3_around_pentagons_and_so_on_corners_of_faces(spread):
    rng = np.random.default_rng(1)
    centres = np.repeat([h3.cell_to_latlng(cell) for cell in h3.get_pentagons(5)], 100, axis=0)
    lat, lon = (centres + rng.normal(0, spread, centres.shape)).T
    assert told_here(lat, lon, 10) == told_by_h3(lat, lon, 10)


def test_cells_are_those_of_h3_along_the_edges_of_faces():
    rng = np.random.default_rng(2)
    lat, lon = [], []
    for face in faces():
        for other in face.neighbours:
            edge = face.centre + other + rng.normal(0, 0.2, (60, 3)) * np.cross(face.centre, other)
            edge += rng.normal(0, 1e-6, edge.shape)
            edge /= np.linalg.norm(edge, axis=1)[:, None]
            lat.extend(np.degrees(np.arcsin(edge[:, 2])))
            lon.extend(np.degrees(np.arctan2(edge[:, 1], edge[:, 0])))
    assert told_here(np.array(lat), np.array(lon), 11) == told_by_h3(np.array(lat), np.array(lon), 11)


@settings(max_examples=200, deadline=None)
@given(st.floats(-90, 90), st.floats(-180, 180), st.integers(3, 12))
def test_a_point_is_in_the_cell_that_h3_puts_it_in_or_on_its_border(lat, lon, res):
    mine, theirs = told_here(np.array([lat]), np.array([lon]), res)[0], h3.latlng_to_cell(lat, lon, res)
    if mine != theirs:  # a hair's breadth from the border, where rounding decides
        assert h3.are_neighbor_cells(mine, theirs)


def test_a_key_and_a_cell_are_the_same_thing():
    cell = h3.latlng_to_cell(60.17, 24.94, 9)
    assert cell_of(key_of(cell), 9) == cell
    assert key_of(h3.cell_to_parent(cell, 7)) == key_of(cell) >> 6


def test_no_points_have_no_cells():
    assert len(keys_at(np.empty(0), np.empty(0), 9)) == 0
