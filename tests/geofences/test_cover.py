import numpy as np
import pytest
import shapely
from fence_geometry import PLACES, points_about, shapes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_service.geofences.cells import COLUMN_BITS, COLUMNS_PER_DEGREE, ROWS_PER_DEGREE, STEP, page_and_spot, place_of
from geo_service.geofences.celltable import CODE_UNIT_M
from geo_service.geofences.cover import cover
from geo_service.geofences.index import FenceIndex
from geo_service.geofences.shapes import Circle, read_geometry
from geo_service.geofences.strips import MOST_CELLS, NEAR_M, boxes_of, cells_in, padded, strips_of

TEMPERATE = [place for place in PLACES if abs(place[0]) < 85]
THOROUGH = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def cells(found, owner=0):
    """By cell `(code, near)` of one shape's cells."""
    mine = found.owner == owner
    rows = zip(found.cell[mine].tolist(), found.code[mine].tolist(), found.near[mine].tolist(), strict=True)
    return {cell: (code, near) for cell, code, near in rows}


def cells_at(lat, lon, level):
    page, spot = page_and_spot(place_of(lat, lon), level)
    return (page.astype(np.int64) << 6 | spot).tolist()


def points_by_cell(shape, level, count, rng):
    """Random points of every cell in a shape's box: `cell, lat, lon`, one row a cell."""
    box, _ = padded(boxes_of([shape]))
    strips = strips_of(box, np.array([level]))
    rows = np.repeat(np.arange(len(strips.row)), strips.size)
    column = np.concatenate([np.arange(w, w + n) for w, n in zip(strips.west, strips.size, strict=True)])
    column &= (1 << COLUMN_BITS - strips.bits[rows]) - 1
    along, up = rng.uniform(0.001, 0.999, (2, len(rows), count))
    lat = (strips.row[rows, None] + up) * (1 << STEP * level) / ROWS_PER_DEGREE - 90
    lon = (column[:, None] + along) * (1 << strips.bits[rows])[:, None] / COLUMNS_PER_DEGREE - 180
    return cells_in(strips), lat, lon


@THOROUGH
@given(st.data())
def test_what_a_cover_says_of_a_cell_is_true_of_all_its_points(data):
    shape = data.draw(shapes(TEMPERATE))
    index = FenceIndex()
    index.put(0, shape)
    found, (level,) = cover([shape])
    listed = cells(found)
    cell, lat, lon = points_by_cell(shape, int(level), 3, np.random.default_rng(data.draw(st.integers(0, 99))))
    assert listed.keys() <= set(cell.tolist())
    assert cell.tolist() == cells_at(lat[:, 0], lon[:, 0], int(level))
    distance = index.distances(np.zeros(lat.size, np.int32), lat.ravel(), lon.ravel()).reshape(lat.shape)
    for number, least, most in zip(
        cell.tolist(), distance.min(axis=1).tolist(), distance.max(axis=1).tolist(), strict=True
    ):
        code, near = listed.get(number, (None, None))
        if code is None:
            assert least > NEAR_M - 0.5
        elif near:
            assert least > 0
            assert least >= code * CODE_UNIT_M - 0.5
        elif code:
            assert most < 0
            assert most <= -(code - 1) * CODE_UNIT_M + 0.5


@THOROUGH
@given(st.data())
def test_a_point_on_a_shapes_edge_is_in_an_edge_cell(data):
    shape = data.draw(shapes())
    lat, lon = data.draw(points_about([shape], most=20))
    found, (level,) = cover([shape])
    listed = cells(found)
    index = FenceIndex()
    index.put(0, shape)
    inside = np.zeros(len(lat), bool)
    distance = index.distances(np.zeros(len(lat), np.int32), lat, lon)
    inside[distance <= 0] = True
    for cell, within in zip(cells_at(lat, lon, int(level)), inside.tolist(), strict=True):
        code, near = listed.get(cell, (None, None))
        if within:
            assert code is not None
            assert not near
        elif code:
            assert near


@pytest.mark.parametrize("step", [1e-5, 1e-4, 1e-3, 0.01, 1.0])
def test_cells_are_few(step):
    rng = np.random.default_rng(7)
    triangles = rng.normal(0, 10 * step, (300, 3, 2)) + np.array([25.0, 60.0])
    closed = np.concatenate((triangles, triangles[:, :1]), axis=1).tolist()
    found, _ = cover([read_geometry({"type": "Polygon", "coordinates": [ring]})[0] for ring in closed])
    assert np.bincount(found.owner).max() <= MOST_CELLS


def test_an_edge_cell_of_a_simple_shape_has_an_edge_in_it():
    """Not too careful either: a square's edge cells are those that its outline passes through."""
    shape = read_geometry(shapely.geometry.mapping(shapely.box(24.9011, 60.1013, 24.9127, 60.1071)))[0]
    found, (level,) = cover([shape])
    listed = cells(found)
    outline = shapely.get_coordinates(shapely.segmentize(shape.geometry.boundary, 1e-6))
    passed = set(cells_at(outline[:, 1], outline[:, 0], int(level)))
    assert {cell for cell, (code, near) in listed.items() if code == 0 and not near} == passed


def test_a_world_of_its_own_has_few_cells():
    ring = [[-170, -80], [0, -80], [170, -80], [170, 80], [0, 80], [-170, 80], [-170, -80]]
    found, (level,) = cover([read_geometry({"type": "Polygon", "coordinates": [ring]})[0]])
    assert len(found.cell) <= 128
    listed = cells(found)
    middle = cells_at(np.array([10.0]), np.array([10.0]), int(level))[0]
    assert listed[middle][0] > 0


def test_a_hole_is_no_part_of_the_shape():
    ring, hole = shapely.box(24.90, 60.10, 24.92, 60.11), shapely.box(24.905, 60.103, 24.915, 60.107)
    shape = read_geometry(shapely.geometry.mapping(shapely.difference(ring, hole)))[0]
    found, (level,) = cover([shape])
    at = cells_at(np.array([60.105, 60.1015]), np.array([24.91, 24.91]), int(level))
    listed = cells(found)
    assert at[0] not in listed
    assert listed[at[1]][0] > 0


def test_covers_of_many_shapes_at_once_are_those_of_each_alone():
    rng = np.random.default_rng(0)
    many = [Circle(float(lat), float(lon), 200.0) for lat, lon in rng.uniform(-60, 60, (40, 2))]
    square = shapely.geometry.mapping(shapely.box(24.9, 60.1, 24.902, 60.101))
    many += [read_geometry(square)[0], Circle(89.0, 0.0, 500.0), Circle(10.0, 10.0, 50_000.0)]
    together, levels = cover(many)
    for number, shape in enumerate(many):
        alone, level = cover([shape])
        assert level[0] == levels[number]
        assert cells(together, number) == cells(alone)
