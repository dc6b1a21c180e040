import json
from pathlib import Path

import pytest

from geo_service.catalogue.check import check_site
from geo_service.catalogue.documents import Capacity, Store
from geo_service.catalogue.site import (
    Site,
    decode_document,
    encode_document,
    feature_of_fence,
    fence_of_feature,
    read_site,
    write_site,
)
from geo_service.errors import InvalidInputError

TOWN = Path(__file__).resolve().parents[2] / "fixtures" / "town"
POINT = {"type": "Point", "coordinates": [24.9, 60.1]}


def feature(**changes: object) -> dict:
    known = {
        "type": "Feature",
        "id": "f1",
        "geometry": POINT,
        "properties": {"store": "s1", "role": "near", "radius_m": 50},
    }
    return known | changes


def write(folder: Path, **files: object) -> Path:
    folder.mkdir(exist_ok=True)
    names = {"fences": "fences.geojson"}
    for name, content in files.items():
        (folder / names.get(name, f"{name}.json")).write_text(json.dumps(content))
    return folder


def test_the_town_survives_being_written_and_read(tmp_path):
    town, problems = read_site(TOWN)
    assert problems == []
    write_site(town, tmp_path / "again")
    again, problems = read_site(tmp_path / "again")
    assert problems == []
    assert again == town


def test_equal_documents_are_equal_bytes_whatever_the_order_of_their_fields():
    one = decode_document("store", b'{"id": "s", "name": "S", "lat": 1, "lon": 2, "unknown": true}')
    two = decode_document("store", b'{"lon": 2.0, "lat": 1.0, "name": "S", "id": "s", "tags": []}')
    assert encode_document(one) == encode_document(two)


def test_a_feature_keeps_its_geometry_as_written_and_drops_what_it_does_not_know():
    fence = fence_of_feature(feature(properties={"store": "s1", "radius_m": 50, "colour": "red"}))
    assert fence.geometry == POINT
    assert fence.role == "zone"
    assert fence_of_feature(feature_of_fence(fence)) == fence


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"type": "Feature", "geometry": POINT}, "id"),
        (feature(id="a b"), "regex"),
        (feature(geometry=None), "geometry: is missing or null"),
        (feature(properties=[1]), "properties: must be an object"),
        (feature(properties={"role": "shop"}), "role"),
        (feature(properties={"radius_m": -1}), "radius_m"),
        ("text", "not a GeoJSON Feature"),
    ],
)
def test_a_feature_that_cannot_be_read_says_why(broken, reason):
    with pytest.raises(InvalidInputError, match=reason):
        fence_of_feature(broken)


def test_reading_goes_on_after_a_fault_and_names_each(tmp_path):
    stores = [
        {"id": "s1", "name": "One", "lat": 1, "lon": 2},
        {"id": "s2"},
        7,
        {"id": "s1", "name": "x", "lat": 0, "lon": 9},
    ]
    folder = write(
        tmp_path / "site", stores=stores, fences={"type": "FeatureCollection", "features": [feature(), feature()]}
    )
    (folder / "sensors.json").write_text("{ nonsense")
    site, problems = read_site(folder)
    assert (set(site.store), set(site.fence)) == ({"s1"}, {"f1"})
    assert [(problem.file, problem.id) for problem in problems] == [
        ("stores.json", "s2"),
        ("stores.json", "[2]"),
        ("stores.json", "s1"),
        ("fences.geojson", "f1"),
        ("sensors.json", ""),
    ]


def test_a_folder_without_a_site_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="holds no site"):
        read_site(tmp_path)
    with pytest.raises(InvalidInputError, match="not a folder"):
        read_site(tmp_path / "missing")


def test_check_finds_what_does_not_fit_together(tmp_path):
    folder = write(
        tmp_path / "site",
        stores=[{"id": "s1", "name": "One", "lat": 60, "lon": 25, "capacity": {"comfort": 50, "legal": 40}}],
        fences={
            "type": "FeatureCollection",
            "features": [
                feature(properties={"store": "nobody", "radius_m": 50}),
                feature(id="f2", properties={"role": "near", "radius_m": 50}),
                feature(id="f3", geometry={"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}),
            ],
        },
        sensors=[
            {"id": "a", "store": "s1", "topic": "t"},
            {"id": "b", "store": "s1", "topic": "t"},
            {"id": "c", "store": "s1", "format": "invented"},
            {"id": "d", "store": "s1", "topic": "shop/+/door"},
        ],
        campaigns=[
            {"id": "c1", "name": "C", "starts": "2026-02-01T00:00:00Z", "ends": "2026-01-01T00:00:00Z", "skus": ["x"]},
            {"id": "c2", "name": "C", "hours": {"mon": [["8", "9"]]}},
        ],
        products=[{"sku": "y", "name": "Y"}],
        stock=[{"store": "s1", "sku": "z", "on_hand": 1}],
    )
    site, problems = read_site(folder)
    assert problems == []
    found = {(problem.id, problem.reason.partition(":")[0], problem.severity) for problem in check_site(site)}
    assert found == {
        ("s1", "capacity", "error"),
        ("f1", "store", "error"),
        ("f2", "store", "warning"),
        ("f3", "geometry", "error"),
        ("a", "topic", "error"),
        ("b", "topic", "error"),
        ("c", "format", "error"),
        ("d", "topic", "error"),
        ("c1", "ends", "error"),
        ("c1", "sku", "error"),
        ("c2", "hours", "error"),
        ("s1/z", "sku", "error"),
    }


def test_capacities_that_cannot_be_meant_are_found():
    zone = {"store": "s1", "role": "zone", "radius_m": 9, "capacity": {"comfort": 30, "legal": 20}}
    near = {"store": "s1", "role": "near", "radius_m": 9, "capacity": {"comfort": 30}}
    store = Store(id="s1", name="One", lat=60, lon=25, capacity=Capacity(comfort=50, legal=60, warn=0.95, full=0.9))
    fences = {
        name: fence_of_feature(feature(id=name, properties=fields)) for name, fields in (("z", zone), ("n", near))
    }
    found = [
        (problem.id, problem.severity, problem.reason)
        for problem in check_site(Site(store={"s1": store}, fence=fences))
    ]
    assert found == [
        ("s1", "error", "capacity: warn (0.95) is not below full (0.9)"),
        ("z", "error", "capacity: comfort is above legal"),
        ("n", "warning", "capacity: has no effect but for a zone of a store; a store's stands in stores.json"),
    ]
