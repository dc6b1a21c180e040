"""What is around a place."""

import json

import pytest
from litestar.testing import TestClient

from geo_service.api.app import build_app

HERE = "lat=60.17&lon=24.94"


@pytest.fixture(autouse=True)
def _town(fakes):
    def circle(key, store, lat, lon, radius_m, **more):
        geometry = {"type": "Point", "coordinates": [lon, lat]}
        fakes.catalogue.add("fence", key, geometry=geometry, radius_m=radius_m, store=store, **more)

    fakes.catalogue.documents.clear()
    for key, lat, more in (
        ("harbour", 60.17, {"tags": ["bakery"], "services": ["pickup"], "address": "Harbour Street 1"}),
        ("market", 60.18, {"hours": {"mon": [["09:00", "17:00"]]}}),  # NOW_MS is a Sunday
        ("airport", 60.32, {}),
    ):
        fakes.catalogue.add("store", key, name=key.title(), lat=lat, lon=24.94, timezone="Europe/Helsinki", **more)
    circle("harbour-edge", "harbour", 60.17, 24.94, 50, role="store")
    circle("harbour-near", "harbour", 60.17, 24.94, 400, role="near")
    circle("harbour-off", "harbour", 60.17, 24.94, 400, role="near", disabled=True)
    circle("market-edge", "market", 60.18, 24.94, 100, role="store")


def test_the_fences_and_stores_around_a_place(client, bearer):
    answer = client.get(f"/v1/context?{HERE}", headers=bearer("pk_app"))
    assert answer.status_code == 200
    assert answer.json()["fences"] == [
        {"id": "harbour-edge", "store": "harbour", "role": "store"},
        {"id": "harbour-near", "store": "harbour", "role": "near"},
    ]
    [store] = answer.json()["stores"]
    assert store == {
        "id": "harbour",
        "name": "Harbour",
        "distance_m": 0.0,
        "lat": 60.17,
        "lon": 24.94,
        "address": "Harbour Street 1",
        "open": True,
        "services": ["pickup"],
        "tags": ["bakery"],
    }


def test_a_store_outside_its_hours_is_near_and_closed(client, bearer):
    answer = client.get(f"/v1/stores/nearby?{HERE}", headers=bearer("pk_app"))
    assert {store["id"]: store["open"] for store in answer.json()["items"]} == {"harbour": True, "market": False}


def test_stores_that_have_a_product_are_those_with_more_than_their_safety(client, fakes, bearer):
    def having(sku, query=""):
        path = f"/v1/stores/nearby?{HERE}&radius_m=20000&sku={sku}{query}"
        return [store["id"] for store in client.get(path, headers=bearer("pk_app")).json()["items"]]

    for store, on_hand in (("harbour", 2), ("market", 3), ("nowhere", 9)):  # the airport has not said
        level = {"store": store, "sku": "rye/1", "on_hand": on_hand, "safety": 2}
        fakes.catalogue.documents["stock", f"{store}/rye/1"] = json.dumps(level).encode()
    assert having("rye%2F1") == ["market"]
    assert having("rye%2F1", "&open=true") == []
    assert having("oat") == []
    level = {"store": "harbour", "sku": "rye/1", "on_hand": 3, "safety": 2}
    fakes.catalogue.documents["stock", "harbour/rye/1"] = json.dumps(level).encode()
    del fakes.catalogue.documents["stock", "market/rye/1"]
    assert having("rye%2F1") == having("rye%2F1", "&limit=1") == ["harbour"]
    assert client.get(f"/v1/stores/nearby?{HERE}&sku=", headers=bearer("pk_app")).status_code == 400


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["harbour", "market"]),
        ("&radius_m=20000", ["harbour", "market", "airport"]),
        ("&radius_m=500", ["harbour"]),
        ("&limit=1", ["harbour"]),
        ("&tag=bakery", ["harbour"]),
        ("&open=true&radius_m=20000", ["harbour", "airport"]),
        ("&open=false", ["harbour", "market"]),
    ],
)
def test_stores_nearby_are_those_asked_for_nearest_first(client, bearer, query, ids):
    answer = client.get(f"/v1/stores/nearby?{HERE}{query}", headers=bearer("pk_app"))
    assert [store["id"] for store in answer.json()["items"]] == ids


def test_distances_are_to_the_edge(client, bearer):
    answer = client.get(f"/v1/stores/nearby?{HERE}", headers=bearer("pk_app"))
    assert answer.json()["items"][1]["distance_m"] == pytest.approx(1114.2 - 100, abs=2)


def test_what_changes_counts_with_the_next_request(client, fakes, bearer):
    def around():
        return client.get(f"/v1/context?{HERE}", headers=bearer("pk_app")).json()

    assert len(around()["fences"]) == 2
    feature = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [24.94, 60.17]}}
    properties = {"radius_m": 10, "store": "harbour", "role": "curbside"}
    client.put("/v1/fences/kerb", json={**feature, "properties": properties}, headers=bearer("sk_all"))
    assert [fence["id"] for fence in around()["fences"]] == ["harbour-edge", "harbour-near", "kerb"]
    client.delete("/v1/fences/harbour-near", headers=bearer("sk_all"))
    assert [fence["id"] for fence in around()["fences"]] == ["harbour-edge", "kerb"]


def test_a_fence_without_a_usable_shape_is_left_out(client, fakes, bearer):
    fakes.catalogue.add("fence", "bad", geometry={"type": "Polygon", "coordinates": []}, store="harbour")
    answer = client.get(f"/v1/context?{HERE}", headers=bearer("pk_app"))
    assert answer.status_code == 200
    assert len(answer.json()["fences"]) == 2


@pytest.mark.parametrize(
    "query", ["", "lat=91&lon=0", "lat=0&lon=181", "lat=nan&lon=0", "lat=x&lon=0", "lat=0&lon=0&radius_m=0"]
)
def test_a_place_that_is_none_is_refused(client, bearer, query):
    answer = client.get(f"/v1/stores/nearby?{query}", headers=bearer("pk_app"))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_without_an_index_the_resources_do_not_exist(fakes, bearer):
    fakes.nearby = None
    fakes.offers = None
    with TestClient(build_app(fakes.services())) as client:
        assert client.get(f"/v1/context?{HERE}", headers=bearer("pk_app")).status_code == 404
        assert client.get("/v1/devices/phone-1/offers", headers=bearer("token-1")).status_code == 404
        assert "/v1/context" not in client.get("/schema/openapi.json").json()["paths"]
