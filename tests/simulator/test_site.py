"""The committed site of Quillmere."""

import json
import subprocess
import sys

import pytest
from shapely.geometry import LineString, Point, shape

from geo_service.catalogue.check import check_site
from geo_service.catalogue.site import read_site
from geo_service.errors import InvalidInputError
from geo_service.simulator import blueprint
from geo_service.simulator.plan import STREETS, built_in, read_plan
from geo_service.simulator.town import Town


def features(folder, name):
    return json.loads((folder / name).read_text())["features"]


@pytest.fixture(scope="module")
def buildings(folder):
    return {
        feature["properties"]["store"]: shape(feature["geometry"])
        for feature in features(folder, "fences.geojson")
        if feature["properties"]["role"] == "store"
    }


def test_the_committed_files_are_what_the_generator_writes(folder, tmp_path):
    subprocess.run([sys.executable, "-m", "geo_service.simulator.town", str(tmp_path)], check=True)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_generator_wants_one_folder():
    done = subprocess.run(
        [sys.executable, "-m", "geo_service.simulator.town"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "usage" in done.stderr


def test_the_site_decodes_and_nothing_is_wrong_with_it(folder):
    site, problems = read_site(folder)
    assert problems == []
    assert check_site(site) == []


def test_the_town_has_a_dozen_stores_from_a_kiosk_to_a_department_store(folder):
    site, _ = read_site(folder)
    legal = sorted(store.capacity.legal for store in site.store.values())
    assert (len(legal), legal[0], legal[-1]) == (12, 12, 300)
    assert len({store.timezone for store in site.store.values()}) == 1
    assert sum(store.hours is None for store in site.store.values()) >= 3, "the demo lives at any hour"


def test_every_store_has_one_outline_one_near_fence_of_150_to_300_m_and_a_door(folder):
    site, _ = read_site(folder)
    for store in site.store:
        mine = [fence for fence in site.fence.values() if fence.store == store]
        assert [fence.role for fence in mine].count("store") == 1
        (near,) = [fence for fence in mine if fence.role == "near"]
        assert 150 <= near.radius_m <= 300
        lines = sum(max(len(s.lines), 1) for s in site.sensor.values() if (s.store, s.role) == (store, "door"))
        assert lines in (1, 2)


def test_shapes_sensors_and_campaigns_are_of_many_kinds(folder, buildings):
    site, _ = read_site(folder)
    assert any(building.geom_type == "MultiPolygon" for building in buildings.values())
    assert any(building.geom_type == "Polygon" and building.interiors for building in buildings.values())
    assert any(building.convex_hull.area > 1.15 * building.area for building in buildings.values()), "an L"
    assert {fence.role for fence in site.fence.values()} == {"near", "store", "curbside", "zone"}
    directions = [line.in_is for sensor in site.sensor.values() for line in sensor.lines.values()]
    assert "backward" in directions
    cameras = {sensor.store for sensor in site.sensor.values() if sensor.role == "camera"}
    assert cameras == {store.id for store in site.store.values() if store.hours is None}, (
        "nothing else corrects the doors"
    )
    campaigns = site.campaign.values()
    assert 5 <= len(campaigns) <= 8
    assert {campaign.holdout for campaign in campaigns} == {0, 0.1}
    assert {("near", "enter"), ("store", "dwell")} <= {(c.trigger.role, c.trigger.type) for c in campaigns}
    assert any(campaign.hours for campaign in campaigns)


def test_zones_lie_in_their_store_and_kerbsides_do_not(folder, buildings):
    for feature in features(folder, "fences.geojson"):
        building = buildings[feature["properties"]["store"]]
        if feature["properties"]["role"] == "zone":
            assert building.contains(shape(feature["geometry"])), feature["id"]
        if feature["properties"]["role"] == "curbside":
            assert not building.intersects(shape(feature["geometry"])), feature["id"]


def test_no_street_and_no_way_to_a_door_leads_through_a_house(folder, plan, buildings):
    for feature in features(folder, STREETS):
        if feature["geometry"]["type"] == "LineString":
            assert not any(building.intersects(shape(feature["geometry"])) for building in buildings.values())
    for premises in plan.premises.values():
        for door in premises.doors:
            kerb = plan.streets.paths.points[door.kerb]
            way = LineString([plan.plane.degrees(*kerb), plan.plane.degrees(*door.at)])
            crossed = [store for store, building in buildings.items() if way.intersection(building).length > 1e-7]
            assert crossed == [], door
            centimetres = buildings[door.store].exterior if buildings[door.store].geom_type == "Polygon" else None
            if centimetres is not None:
                assert centimetres.distance(Point(plan.plane.degrees(*door.at))) < 1e-6


def test_the_town_without_files_is_the_same_town(folder, plan, noon_ms):
    assert Town(1, built_in(), start_ms=noon_ms, phones=5).step(noon_ms + 600_000) == Town(
        1, folder, start_ms=noon_ms, phones=5
    ).step(noon_ms + 600_000)


def _broken(tmp_path, name, change):
    blueprint.write(tmp_path)
    path = tmp_path / name
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return tmp_path


def test_a_site_without_streets_is_refused_with_what_is_missing(tmp_path):
    blueprint.write(tmp_path)
    (tmp_path / STREETS).unlink()
    with pytest.raises(InvalidInputError, match=r"streets\.geojson is missing"):
        read_plan(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("stores.json", lambda stores: stores[0].update(lat=95), r"stores\.json: emberoat"),
        ("fences.geojson", lambda fences: fences["features"].pop(1), "one fence of role 'store'"),
        ("streets.geojson", lambda streets: streets["features"].pop(), "'petalform' has no door"),
        ("streets.geojson", lambda streets: streets["features"][-1]["properties"].update(sensor="x"), "not in sensors"),
        ("streets.geojson", lambda streets: streets.pop("features"), "not a FeatureCollection"),
        (
            "streets.geojson",
            lambda streets: streets["features"].__delitem__(slice(0, 16)),
            "holds no street",
        ),
    ],
)
def test_a_site_that_cannot_be_simulated_is_refused_with_the_reason(tmp_path, name, change, reason):
    with pytest.raises(InvalidInputError, match=reason):
        read_plan(_broken(tmp_path, name, change))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda sensors: sensors[0].update(format="xovis"), "speak 'native'"),
        (lambda sensors: sensors[0].update(store="x"), "not in stores"),
        (lambda sensors: sensors[0].update(role="co2"), "co2 sensor cannot be simulated"),
    ],
)
def test_sensors_that_cannot_be_simulated_are_refused_with_the_reason(tmp_path, noon_ms, change, reason):
    folder = _broken(tmp_path, "sensors.json", change)
    with pytest.raises(InvalidInputError, match=reason):
        Town(1, folder, start_ms=noon_ms)
