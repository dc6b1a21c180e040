"""Ranges of H3 cells around a place."""

import math

import h3.api.basic_int as h3
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_service.geofences.earth import MEAN_M
from geo_service.geofences.hexagons import FINEST, _finest_within, around, cell_of

PENTAGONS = [h3.cell_to_latlng(cell) for cell in h3.get_pentagons(5)]
anywhere = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
near_a_pentagon = st.tuples(st.sampled_from(PENTAGONS), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)).map(
    lambda drawn: (drawn[0][0] + drawn[1], (drawn[0][1] + drawn[2] + 180) % 360 - 180)
)


def away(lat, lon, distance_m, bearing):
    """The place so far from here (Snyder, USGS 1395, eq. 5-5 and 5-6)."""
    phi, arc = math.radians(lat), distance_m / MEAN_M
    sine = math.sin(phi) * math.cos(arc) + math.cos(phi) * math.sin(arc) * math.cos(bearing)
    east = math.sin(bearing) * math.sin(arc) * math.cos(phi)
    turn = math.atan2(east, math.cos(arc) - math.sin(phi) * sine)
    return math.degrees(math.asin(max(-1.0, min(1.0, sine)))), (lon + math.degrees(turn) + 180) % 360 - 180


@settings(max_examples=400, deadline=None)
@given(anywhere | near_a_pentagon, st.floats(1, 2_000_000), st.floats(0, 1), st.floats(0, 2 * math.pi))
def test_every_place_within_the_radius_is_in_one_of_the_ranges(place, radius_m, share, bearing):
    there = away(*place, radius_m * share, bearing)
    ranges = around(*place, radius_m)
    cell = cell_of(*there)
    assert ((ranges.first <= cell) & (cell <= ranges.last)).any()


@given(anywhere | near_a_pentagon, st.integers(0, FINEST))
def test_a_hexagons_range_holds_its_finest_cells_and_none_of_its_neighbours(place, resolution):
    cell = h3.latlng_to_cell(*place, resolution)
    around_it = h3.grid_disk(cell, 1)
    (first, *_), (last, *_) = _finest_within(np.array([cell]), resolution)
    for other in around_it:
        for child in h3.cell_to_children(other, min(resolution + 2, FINEST)):
            finest = h3.cell_to_center_child(child, FINEST)
            assert (first <= finest <= last) == (other == cell)


@pytest.mark.parametrize("radius_m", [10.0, 500.0, 20_000.0, 300_000.0])
def test_the_ranges_are_few_and_do_not_overlap(radius_m):
    first, last = around(60.17, 24.94, radius_m)
    assert len(first) <= 37
    order = np.argsort(first)
    assert (first[order][1:] > last[order][:-1]).all()


def test_half_the_earth_is_no_small_part():
    assert around(0, 0, 10_000_000) is None
