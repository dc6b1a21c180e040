"""All stores of 75 chains as fences of 150 m around their points."""

import csv
import gzip
import time
from pathlib import Path

import numpy as np
import pytest

from geo_service.catalogue.documents import Fence
from geo_service.geofences.index import FenceIndex
from geo_service.geofences.nearby import Nearby
from geo_service.geofences.shapes import ShapeError, read_shape

STORES = Path(__file__).resolve().parents[2] / "../shared/data/stores/us_chain_stores.csv.gz"
pytestmark = pytest.mark.skipif(not STORES.exists(), reason="the chain stores are not here")


@pytest.fixture(scope="module")
def places():
    """(n, 2): latitude and longitude of each row, dirt included."""
    with gzip.open(STORES, "rt") as file:
        return np.array([(float(row["lat"]), float(row["lon"])) for row in csv.DictReader(file)])


def test_all_stores_load_as_fences_in_a_minute_and_every_bad_row_is_named(places):
    index, refused = FenceIndex(), {}
    began = time.process_time()
    for slot, (lat, lon) in enumerate(places.tolist()):
        fence = Fence(id=str(slot), geometry={"type": "Point", "coordinates": [lon, lat]}, radius_m=150)
        try:
            index.put(slot, read_shape(fence)[0])
        except ShapeError as error:
            refused[slot] = str(error)
    index.match(places[:1, 0], places[:1, 1])
    assert time.process_time() - began < 60
    bad = np.flatnonzero((np.abs(places[:, 0]) > 90) | (np.abs(places[:, 1]) > 180))
    assert sorted(refused) == bad.tolist()
    assert all("latitude" in reason and "out of range" in reason for reason in refused.values())
    good = np.setdiff1d(np.arange(len(places)), bad)
    found = index.match(*places[good].T)
    own = found.slot == good[found.row]
    assert own.sum() == len(good), "every store is in its own fence"
    inside = np.bincount(found.row)
    assert inside.max() >= 9, "those that share one coordinate are all there"


def test_the_nearest_of_all_stores_are_those_that_measuring_each_one_finds(places):
    nearby = Nearby()
    good = np.flatnonzero(np.abs(places[:, 0]) <= 90)
    for slot in good.tolist():
        nearby.put_point(slot, *places[slot])
    lat, lon = 40.75, -73.98
    found = nearby.nearest(lat, lon, 10_000, 25)
    metres = np.hypot((places[good, 0] - lat) * 111_050, (places[good, 1] - lon) * 111_320 * np.cos(np.radians(lat)))
    best = np.sort(metres)[:25]
    assert [distance for _, distance in found] == pytest.approx(best.tolist(), rel=5e-3)
    assert {slot for slot, _ in found} == set(good[np.argsort(metres, kind="stable")[:25]].tolist()) or best[
        24
    ] == best[23]
