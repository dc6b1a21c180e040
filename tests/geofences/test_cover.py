import h3.api.basic_int as h3
import numpy as np
import pytest
import shapely
from fence_geometry import PLACES, points_about, shapes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_service.geofences.cells import key_of, keys_at
from geo_service.geofences.celltable import CODE_UNIT_M
from geo_service.geofences.cover import FINEST, NEAR_M, cover
from geo_service.geofences.index import FenceIndex
from geo_service.geofences.shapes import Circle, read_geometry
from geo_service.geofences.wide_cover import wide_cover


def cells(found, owner=0):
    """By tagged key `(code, near)` of one shape's cells."""
    mine = found.owner == owner
    rows = zip(found.key[mine].tolist(), found.code[mine].tolist(), found.near[mine].tolist(), strict=True)
    return {key: (code, near) for key, code, near in rows}


def points_in(tagged, count, rng):
    """Points all over what counts as a cell: the finest cells below it."""
    key, res = tagged >> 4, tagged & 15
    levels = FINEST - res
    digits = rng.integers(0, 7, (count, levels)) if levels else np.zeros((count, 0), int)
    lat, lon = [], []
    for row in digits.tolist():
        finest = key
        for digit in row:
            finest = finest << 3 | digit
        cell = 1 << 59 | FINEST << 52 | finest << 3 * (15 - FINEST) | (1 << 3 * (15 - FINEST)) - 1
        if not h3.is_valid_cell(cell):
            continue
        middle, corners = np.array(h3.cell_to_latlng(cell)), np.array(h3.cell_to_boundary(cell))
        corner = corners[rng.integers(len(corners))]
        if abs(corner[1] - middle[1]) < 90:
            place = middle + rng.uniform(0, 0.999) * (corner - middle)
            lat.append(place[0])
            lon.append(place[1])
    return np.array(lat), np.array(lon)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_a_cover_says_of_a_cell_is_true_of_all_its_points(data):
    shape = data.draw(shapes([place for place in PLACES if abs(place[0]) < 85]))
    index = FenceIndex()
    index.put(0, shape)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    for tagged, (code, near) in cells(cover([shape])).items():
        lat, lon = points_in(tagged, 6, rng)
        if len(lat) == 0:
            continue
        distance = index.distances(np.zeros(len(lat), np.int32), lat, lon)
        if near:
            assert (distance >= code * CODE_UNIT_M - 0.5).all()
        elif code:
            assert (distance <= -(code - 1) * CODE_UNIT_M + 0.5).all()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_point_in_no_cell_of_a_shape_is_far_from_it(data):
    shape = data.draw(shapes([place for place in PLACES if abs(place[0]) < 85]))
    index = FenceIndex()
    index.put(0, shape)
    listed = cells(cover([shape]))
    res = next(iter(listed)) & 15
    assert {key & 15 for key in listed} == {res}
    assert len(listed) <= 130
    lat, lon = data.draw(points_about([shape], most=20))
    distance = index.distances(np.zeros(len(lat), np.int32), lat, lon)
    for key, away in zip((keys_at(lat, lon, FINEST) >> 3 * (FINEST - res)).tolist(), distance.tolist(), strict=True):
        _, near = listed.get(key << 4 | res, (0, None))
        if near is None:
            assert away > NEAR_M - 0.5
        elif near:
            assert away > 0


def test_every_corner_of_a_shape_is_in_a_cell_that_it_reaches_into():
    """Corners poke into cells, and coarse cells reach over their hexagons by a little: both at once is the hard case."""
    rng = np.random.default_rng(7)
    triangles = rng.uniform(0, 0.03, (1_500, 1, 2)) + rng.normal(0, 0.008, (1_500, 3, 2)) + (25.0, 60.0)
    closed = np.concatenate((triangles, triangles[:, :1]), axis=1).tolist()
    many = [read_geometry({"type": "Polygon", "coordinates": [ring]})[0] for ring in closed]
    found = cover(many)
    listed = dict(zip(zip(found.owner.tolist(), found.key.tolist(), strict=True), found.code.tolist(), strict=True))
    near = set(zip(found.owner[found.near].tolist(), found.key[found.near].tolist(), strict=True))
    resolutions = dict(zip(found.owner.tolist(), (found.key & 15).tolist(), strict=True))
    assert len(set(resolutions.values())) > 2
    for owner, shape in enumerate(many):
        lon, lat = shape.positions.T
        keys = keys_at(lat, lon, FINEST) >> 3 * (FINEST - resolutions[owner]) << 4 | resolutions[owner]
        for key in keys.tolist():
            assert listed[owner, key] == 0
            assert (owner, key) not in near


@pytest.mark.parametrize(
    "shape",
    [Circle(60.0, 25.0, 300.0), Circle(-33.9, 151.2, 40.0), Circle(0.0, 10.0, 3_000.0)],
    ids=["shop", "kiosk", "quarter"],
)
def test_the_quick_and_the_slow_way_agree_on_what_matters(shape):
    quick, wide = cells(cover([shape])), wide_cover(shape, NEAR_M, FINEST)
    res = int(wide.key[0]) & 15
    if {key & 15 for key in quick} == {res}:
        slow = set(wide.key.tolist())
        assert set(quick) <= slow, "the slow way is the more careful one"
    assert (wide.code[wide.near] == 0).all()


def test_a_world_of_its_own_has_few_cells():
    ring = [[-170, -80], [0, -80], [170, -80], [170, 80], [0, 80], [-170, 80], [-170, -80]]
    found = cover([read_geometry({"type": "Polygon", "coordinates": [ring]})[0]])
    assert len(found.key) <= 122
    assert set((found.key & 15).tolist()) == {0}
    assert (found.code > 0).any()
    middle = key_of(h3.latlng_to_cell(10, 10, 0)) << 4
    assert cells(found)[middle] == (1, False)


def test_covers_of_many_shapes_at_once_are_those_of_each_alone():
    rng = np.random.default_rng(0)
    many = [Circle(float(lat), float(lon), 200.0) for lat, lon in rng.uniform(-60, 60, (40, 2))]
    square = shapely.geometry.mapping(shapely.box(24.9, 60.1, 24.902, 60.101))
    many += [read_geometry(square)[0], Circle(89.0, 0.0, 500.0)]
    together = cover(many)
    for number, shape in enumerate(many):
        assert cells(together, number) == cells(cover([shape]))
