import pytest

from geo_service.catalogue.documents import Fence, Store
from geo_service.geofences.places import Places
from geo_service.geofences.shapes import ShapeError


def store(key, lat, lon):
    return Store(id=key, name=key, lat=lat, lon=lon)


def circle(key, lat, lon, radius_m, **more):
    return Fence(id=key, geometry={"type": "Point", "coordinates": [lon, lat]}, radius_m=radius_m, **more)


@pytest.fixture
def places():
    made = Places()
    made.put_store(store("market", 60.0, 25.0))
    made.put_store(store("harbour", 60.01, 25.0))
    made.put_fence(circle("harbour-edge", 60.01, 25.0, 900.0, store="harbour", role="store"))
    made.put_fence(circle("harbour-near", 60.01, 25.0, 3_000.0, store="harbour", role="near"))
    return made


def names(found):
    return [name for name, _ in found]


def test_a_store_is_as_far_as_the_edge_of_its_store_fence(places):
    found = dict(places.nearest(60.001, 25.0, 5_000, 10))
    assert found["market"] == pytest.approx(111.4, abs=0.5)
    assert found["harbour"] == pytest.approx(9 * 111.4 - 900, abs=2)


def test_a_store_with_several_shapes_is_told_once_and_by_the_nearest(places):
    for number in range(5):
        places.put_fence(circle(f"door-{number}", 60.001 + number * 1e-4, 25.0, 5.0, store="harbour", role="store"))
    found = places.nearest(60.001, 25.0, 5_000, 2)
    assert names(found) == ["harbour", "market"]
    assert found[0][1] == 0.0


def test_a_store_whose_fence_goes_or_is_disabled_is_a_point_again(places):
    places.put_fence(circle("harbour-edge", 60.01, 25.0, 900.0, store="harbour", role="store", disabled=True))
    assert dict(places.nearest(60.001, 25.0, 5_000, 10))["harbour"] == pytest.approx(9 * 111.4, abs=2)
    places.put_fence(circle("harbour-edge", 60.01, 25.0, 900.0, store="harbour", role="store"))
    places.remove_fence("harbour-edge")
    assert dict(places.nearest(60.001, 25.0, 5_000, 10))["harbour"] == pytest.approx(9 * 111.4, abs=2)


def test_a_store_that_is_removed_is_not_found_even_while_its_fence_stays(places):
    places.remove_store("harbour")
    assert names(places.nearest(60.01, 25.0, 5_000, 10)) == ["market"]
    assert places.covering(60.01, 25.0) == ["harbour-edge", "harbour-near"]


def test_a_fence_known_before_its_store_counts_once_the_store_is_there():
    places = Places()
    places.put_fence(circle("edge", 1.0, 1.0, 100.0, store="later", role="store"))
    assert places.nearest(1.0, 1.0, 500, 5) == []
    places.put_store(store("later", 50.0, 50.0))
    assert places.nearest(1.0, 1.0, 500, 5) == [("later", 0.0)]


def test_only_accepted_stores_are_told(places):
    assert names(places.nearest(60.0, 25.0, 5_000, 10, lambda name: name != "market")) == ["harbour"]


def test_a_shape_that_cannot_be_used_is_refused_and_the_old_one_stays(places):
    with pytest.raises(ShapeError):
        places.put_fence(Fence(id="harbour-near", geometry={"type": "Point", "coordinates": [0, 0]}))
    assert places.covering(60.01, 25.0) == ["harbour-edge", "harbour-near"]


def test_a_store_that_moves_is_found_where_it_is_now(places):
    places.put_store(store("market", 10.0, 10.0))
    assert names(places.nearest(60.0, 25.0, 5_000, 10)) == ["harbour"]
    assert names(places.nearest(10.0, 10.0, 5, 10)) == ["market"]
