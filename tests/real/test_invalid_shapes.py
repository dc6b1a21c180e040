"""Shapes that broke other people's programs: each is taken, repaired with a warning, or refused with its place."""

import gzip
import json
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import shapely

from geo_service.geofences.index import FenceIndex
from geo_service.geofences.shapes import Circle, Polygons, ShapeError, read_geometry

INVALID = Path(__file__).resolve().parents[2] / "../shared/data/invalid"
pytestmark = pytest.mark.skipif(not INVALID.exists(), reason="the invalid shapes are not here")


def documents():
    """`(name, JSON value)` of every file."""
    for path in sorted((INVALID / "geojson-invalid-geometry").rglob("*.geojson")):
        yield f"{path.parent.name}/{path.stem}", json.loads(path.read_text())
    with tarfile.open(INVALID / "turf.tar.gz") as archive:
        for member in archive:
            if member.isfile():
                data = archive.extractfile(member).read()
                yield member.name, json.loads(gzip.decompress(data) if member.name.endswith(".gz") else data)


def geometries(value):
    """Every geometry in a GeoJSON text, whatever it is wrapped in."""
    if isinstance(value, list):
        for item in value:
            yield from geometries(item)
    elif isinstance(value, dict) and value.get("type") == "Feature":
        yield value.get("geometry")
    elif isinstance(value, dict) and isinstance(value.get("features"), list):
        yield from geometries(value["features"])
    else:
        yield value


@pytest.fixture(scope="module")
def verdicts():
    """By name of the file: `(geometry, shape or None, what was said about it)` of each geometry in it."""
    said = {}
    for name, document in documents():
        for geometry in geometries(document):
            radius_m = 100.0 if isinstance(geometry, dict) and geometry.get("type") == "Point" else None
            began = time.process_time()
            try:
                shape, faults = read_geometry(geometry, radius_m)
            except ShapeError as refused:
                shape, faults = None, [refused.fault]
            assert time.process_time() - began < 10, name
            said.setdefault(name, []).append((geometry, shape, faults))
    return said


def test_every_shape_is_taken_repaired_or_refused_with_a_reason(verdicts):
    assert len(verdicts) > 450
    taken = refused = 0
    for name, shapes in verdicts.items():
        for _, shape, faults in shapes:
            assert all(str(fault) for fault in faults), name
            if shape is None:
                refused += 1
                assert len(faults) == 1, name
            else:
                taken += 1
                assert isinstance(shape, Circle) or shapely.is_valid(shape.geometry), name
    assert taken > 1_000
    assert refused > 300


def test_a_shape_that_shapely_calls_invalid_is_never_taken_in_silence(verdicts):
    found = 0
    for name, shapes in verdicts.items():
        for geometry, shape, faults in shapes:
            if not isinstance(geometry, dict) or geometry.get("type") not in ("Polygon", "MultiPolygon"):
                continue
            try:
                valid = shapely.is_valid(shapely.geometry.shape(geometry))
            except (ValueError, TypeError, KeyError, AttributeError, IndexError):
                valid = False
            if not valid and "antimeridian" not in name:
                found += 1
                assert faults, name
            if shape is None:
                assert faults[0].reason, name
    assert found > 25


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("invalid_geometries/invalid_unclosed", "ring 0, position 3: the ring is not closed; closed"),
        ("invalid_geometries/invalid_exterior_not_ccw", "ring 0: wound the wrong way round"),
        ("invalid_geometries/invalid_interior_not_cw", "ring 1: wound the wrong way round"),
        ("invalid_geometries/invalid_less_three_unique_nodes", "ring 0: a ring needs at least three different"),
        ("problematic_geometries/problematic_3d_coordinates", "ring 0, position 0: more than two coordinates"),
        ("problematic_geometries/problematic_4d_coordinates", "ring 0, position 0: more than two coordinates"),
        ("problematic_geometries/problematic_duplicate_nodes", "ring 0, position 2: repeats the position before"),
        ("problematic_geometries/problematic_feature_null_geometry", "no geometry"),
        ("problematic_geometries/problematic_outside_lat_lon_boundaries", "ring 0, position 0: an edge of more"),
        ("problematic_geometries/problematic_self_intersection_small", "ring 0, position 0: self-intersection; taken"),
        ("problematic_structure/problematic_crs_defined", "ring 0, position 0: latitude 5.82733e+06 is out of range"),
        ("problematic_structure/problematic_nested_geometrycollection", "'GeometryCollection' is none of them"),
        ("invalid_structure/invalid_geometry_depth_deep_polygon", "ring 0, position 0: a position needs"),
        ("invalid_structure/invalid_geometry_coordinates_missing", "a Polygon needs coordinates"),
    ],
)
def test_a_named_fault_is_told_as_what_it_is(verdicts, name, verdict):
    assert any(verdict in str(fault) for _, _, faults in verdicts[name] for fault in faults)


def test_the_rectangle_across_the_antimeridian_is_narrow(verdicts):
    [(_, shape, faults)] = verdicts["problematic_geometries/problematic_crosses_antimeridian"]
    assert faults == []
    assert shape.bounds == pytest.approx((177.912, -18.288, 180.206, -16.152))


def test_whatever_was_taken_can_be_indexed_and_is_matched_as_shapely_does(verdicts):
    rng = np.random.default_rng(8)
    index, fences = FenceIndex(), {}
    for shapes in verdicts.values():
        for _, shape, _ in shapes:
            if isinstance(shape, Polygons):
                fences[len(fences)] = shape
                index.put(len(fences) - 1, shape)
    chosen = [fences[slot].positions for slot in rng.permutation(len(fences))[:300].tolist()]
    near = np.concatenate([positions[rng.integers(0, len(positions), 4)] for positions in chosen])
    near = np.concatenate((near, near + rng.normal(0, 0.01, near.shape)))
    lon, lat = np.where(near[:, 0] >= 180, near[:, 0] - 360, near[:, 0]), np.clip(near[:, 1], -90, 90)
    tree = shapely.STRtree([shape.geometry for shape in fences.values()])
    want = set()
    for turn in (0.0, 360.0):
        rows, slots = tree.query(shapely.points(lon + turn, lat), predicate="intersects")
        want |= set(zip(rows.tolist(), slots.tolist(), strict=True))
    got = index.match(lat, lon)
    assert list(zip(got.row.tolist(), got.slot.tolist(), strict=True)) == sorted(want)
