"""Venues and buildings of real cities, from OpenStreetMap: every polygon read, and matched as shapely does."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from geo_service.geofences.index import FenceIndex
from geo_service.geofences.shapes import Polygons, ShapeError, read_geometry

FOOTPRINTS = Path(__file__).resolve().parents[2] / "../shared/data/footprints"
pytestmark = pytest.mark.skipif(not FOOTPRINTS.exists(), reason="the footprints are not here")


@pytest.fixture(scope="module", params=["osm_venue_polygons", "osm_buildings_5cities"])
def footprints(request):
    """`(shapes by slot, slots that were invalid as they came, refusals)` of one file."""
    with gzip.open(FOOTPRINTS / f"{request.param}.geojson.gz", "rt") as file:
        features = json.load(file)["features"]
    shapes, invalid, refused = {}, [], []
    for slot, feature in enumerate(features):
        valid = shapely.is_valid(shapely.geometry.shape(feature["geometry"]))
        try:
            shape, faults = read_geometry(feature["geometry"])
        except ShapeError as error:
            refused.append(str(error))
            continue
        shapes[slot] = shape
        told = [fault for fault in faults if "wound" not in fault.reason and "repeats" not in fault.reason]
        assert bool(told) == (not valid), f"feature {slot}: {told}"
        if not valid:
            invalid.append(slot)
    return shapes, invalid, refused


def test_every_polygon_is_read_and_the_invalid_ones_are_repaired_or_refused_with_their_place(footprints):
    shapes, invalid, refused = footprints
    assert len(shapes) + len(refused) in (4_018, 18_190)
    assert len(invalid) + len(refused) in (8, 28)
    assert all(isinstance(shape, Polygons) and shapely.is_valid(shape.geometry) for shape in shapes.values())
    assert all("ring 0: a ring needs at least three different positions" in reason for reason in refused)


def test_every_polygon_is_matched_as_shapely_does_on_corners_edges_and_all_around(footprints):
    shapes, _, _ = footprints
    index = FenceIndex()
    for slot, shape in shapes.items():
        index.put(slot, shape)
    rng = np.random.default_rng(4)
    places = []
    for shape in shapes.values():
        west, south, east, north = shape.bounds
        ends = shape.positions[rng.integers(0, len(shape.positions) - 1, 3)[:, None] + [0, 1]]
        around = rng.uniform(-0.2, 1.2, (6, 2)) * (east - west, north - south) + (west, south)
        places += [*ends[:, 0], ends.mean(axis=1)[0], ends[1, 0] * 0.3 + ends[1, 1] * 0.7, *around]
    lon, lat = np.array(places).T
    slots = np.array(list(shapes))
    tree = shapely.STRtree([shape.geometry for shape in shapes.values()])
    rows, found = tree.query(shapely.points(lon, lat), predicate="intersects")
    want = np.unique(np.stack((rows, slots[found]), axis=1), axis=0)
    got = index.match(lat, lon)
    assert len(want) > 5 * len(shapes)
    assert np.array_equal(np.stack((got.row, got.slot), axis=1), want)
