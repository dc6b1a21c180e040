import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.geofences.cells import LEVELS, cell_of, page_and_spot, place_of
from geo_service.geofences.earth import metres_per_degree
from geo_service.geofences.strips import cells_in, strips_of

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
levels = st.integers(0, LEVELS - 1)


def cells_at(lat, lon, level):
    page, spot = page_and_spot(place_of(np.atleast_1d(np.float64(lat)), np.atleast_1d(np.float64(lon))), level)
    return page.astype(np.int64) << 6 | spot


@given(latitudes, longitudes, levels)
def test_a_box_around_a_point_is_listed_in_the_points_cell(lat, lon, level):
    box = np.array([[lon - 1e-9, lat - 1e-9, lon + 1e-9, lat + 1e-9]])
    listed = cells_in(strips_of(box, np.array([level])))
    assert cells_at(lat, lon, level)[0] in listed
    assert len(listed) <= 4


@given(latitudes, longitudes, levels)
def test_a_turn_around_the_earth_leads_back_to_the_same_cell(lat, lon, level):
    box = np.array([[lon + 360, lat, lon + 360, lat]])
    assert cells_at(lat, lon, level)[0] in cells_in(strips_of(box + np.array([-1e-9, 0, 1e-9, 0]), np.array([level])))


@pytest.mark.parametrize("level", range(LEVELS))
def test_180_and_minus_180_are_one_meridian(level):
    lat = np.linspace(-90, 90, 7)
    assert cells_at(lat, np.full(7, 180.0), level).tolist() == cells_at(lat, np.full(7, -180.0), level).tolist()


@pytest.mark.parametrize("level", range(LEVELS))
def test_the_world_is_cut_into_cells_that_are_all_different(level):
    south = -0.01 if level < 3 else -90.0
    lat_box = [[-180.0, south, 179.999, 89.99]] if level >= 3 else [[10.0, 60.0, 10.5, 60.2]]
    listed = cells_in(strips_of(np.array(lat_box), np.array([level])))
    assert len(set(listed.tolist())) == len(listed)


@pytest.mark.parametrize("lat", [0.6, 30.0, 52.0, 60.17, -69.7, 75.0, 84.0])
def test_a_cell_is_about_as_wide_as_it_is_high(lat):
    """Cells go by until their numbers change: a degree holds so many rows and columns."""
    steps = np.arange(0, 0.5, 0.00002)
    along = len(np.unique(cells_at(np.full(len(steps), lat), 20 + steps, 0)))
    up = len(np.unique(cells_at(lat - np.sign(lat) * steps, np.full(len(steps), 20.0), 0)))
    east, north = (float(metres[0]) * 0.5 for metres in metres_per_degree(np.array([lat])))
    assert 60 < north / up < 90
    assert 0.65 < (east / along) / (north / up) < 1.6


def test_a_row_and_a_column_make_a_page_and_a_spot():
    assert cell_of(np.array([8 + 3]), np.array([16 + 5])).tolist() == [(1 << 16 | 2) << 6 | 3 << 3 | 5]
