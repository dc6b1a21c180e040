"""Sensitive places: nothing is heard from inside, and no fence may reach in."""

import json

import numpy as np
import pytest

from geo_service.catalogue.check import check_site
from geo_service.catalogue.documents import Fence, Sensitive
from geo_service.catalogue.site import Site, read_site, write_site
from geo_service.people.sensitive import SensitivePlaces


def square(west, south, side=0.001):
    east, north = west + side, south + side
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


CLINIC = Sensitive(id="clinic", geometry=square(24.94, 60.17), name="Clinic")
CHAPEL = Sensitive(id="chapel", geometry={"type": "Point", "coordinates": [24.95, 60.17]}, radius_m=50)


def covered(places, *points):
    lat, lon = np.array(points, float).T
    return places.cover(lat, lon).tolist()


def test_points_inside_and_on_the_edge_are_covered():
    places = SensitivePlaces([CLINIC, CHAPEL])
    points = [(60.1705, 24.9405), (60.17, 24.94), (60.169, 24.9405), (60.1703, 24.95), (60.1706, 24.95)]
    assert covered(places, *points) == [True, True, False, True, False]


def test_no_places_cover_nothing():
    assert covered(SensitivePlaces(), (60.17, 24.94)) == [False]
    assert not SensitivePlaces()


@pytest.mark.parametrize(
    ("geometry", "radius_m", "place"),
    [
        (square(24.9405, 60.1705), None, "clinic"),
        (square(24.9402, 60.1702, 0.0002), None, "clinic"),
        (square(24.93, 60.16, 0.1), None, "clinic"),
        ({"type": "Point", "coordinates": [24.9395, 60.1705]}, 60, "clinic"),
        ({"type": "Point", "coordinates": [24.9395, 60.1705]}, 20, None),
        (square(24.94 + 0.001, 60.17), None, None),  # a shared wall is no shared ground
        (square(24.9495, 60.1695), None, "chapel"),
    ],
)
def test_a_fence_overlaps_a_place_when_they_share_ground(geometry, radius_m, place):
    fence = Fence(id="f", geometry=geometry, radius_m=radius_m)
    assert SensitivePlaces([CLINIC, CHAPEL]).overlapping(fence) == place


def test_across_the_antimeridian_ground_is_ground():
    east = Sensitive(id="east", geometry=square(179.9995, -17))
    assert SensitivePlaces([east]).overlapping(Fence(id="f", geometry=square(-180, -17, 0.0002))) == "east"
    assert covered(SensitivePlaces([east]), (-16.9995, -179.9999)) == [True]


def test_a_site_with_a_fence_over_a_place_is_refused_and_comes_back_as_written(tmp_path):
    site = Site()
    site.sensitive = {place.id: place for place in (CLINIC, CHAPEL)}
    site.fence["f"] = Fence(id="f", geometry=square(24.9405, 60.1705))
    write_site(site, tmp_path)
    read, problems = read_site(tmp_path)
    assert problems == []
    assert read == site
    assert json.loads((tmp_path / "sensitive.geojson").read_text())["features"][0]["properties"] == {"name": "Clinic"}
    found = {(problem.severity, problem.file, problem.id) for problem in check_site(read)}
    assert ("error", "fences.geojson", "f") in found
    assert ("warning", "sensitive.geojson", "clinic") in found


def test_a_place_without_a_shape_is_a_problem_of_the_site():
    site = Site()
    site.sensitive["x"] = Sensitive(id="x", geometry={"type": "Polygon", "coordinates": []})
    (problem,) = check_site(site)
    assert (problem.severity, problem.file, problem.id) == ("error", "sensitive.geojson", "x")
