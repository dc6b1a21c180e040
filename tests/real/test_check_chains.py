"""The stores of 75 chains, with their dirt: `check` names every row that cannot be meant."""

import csv
import gzip
import json
from pathlib import Path

import pytest

from geo_service.catalogue.check import check_site
from geo_service.catalogue.site import read_site

STORES = Path(__file__).resolve().parents[2] / "../shared/data/stores/us_chain_stores.csv.gz"
pytestmark = pytest.mark.skipif(not STORES.exists(), reason="the chain stores are not here")


def test_check_names_every_row_that_cannot_be_meant(tmp_path):
    with gzip.open(STORES, "rt") as file:
        rows = list(csv.DictReader(file))
    stores = [
        {
            "id": str(number),
            "name": row["name"] or "?",
            "lat": float(row["lat"]),
            "lon": float(row["lon"]),
            "timezone": row["timezone"] or "UTC",
        }
        for number, row in enumerate(rows)
    ]
    (tmp_path / "stores.json").write_text(json.dumps(stores))
    site, problems = read_site(tmp_path)
    problems += check_site(site)
    assert len(site.store) == 190_997

    def named(fragment: str) -> set[int]:
        return {int(problem.id) for problem in problems if fragment in problem.reason}

    places = [(float(row["lat"]), float(row["lon"])) for row in rows]
    assert named("swapped") == {number for number, (lat, _) in enumerate(places) if abs(lat) > 90}
    assert named("unknown addresses") == {number for number, place in enumerate(places) if place in {(0, 0), (-1, -1)}}
    once: dict[tuple[float, float], int] = {}
    for lat, lon in places:
        once[lat, lon] = once.get((lat, lon), 0) + 1
    shared = {number for number, place in enumerate(places) if once[place] > 1 and abs(place[0]) <= 90}
    assert named("shared with") == shared
    # A lost sign, a swap that stays below 90 degrees, a wrong digit: far from every other store.
    lonely = {(rows[number]["city"], rows[number]["state"]) for number in named("far from every other")}
    assert {("Richmond", "VA"), ("Milwaukee", "WI"), ("Queens", "NY")} <= lonely
    assert len(lonely) <= 10
    assert {problem.file for problem in problems} == {"stores.json"}
