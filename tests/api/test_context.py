"""What is around a place."""

import pytest
from litestar.testing import TestClient

from geo_service.api.app import build_app


def test_the_fences_and_stores_around_a_place(client, fakes, bearer):
    fakes.nearby.stores = [("market", 12.34), ("gone", 20.0), ("harbour", 500.0), ("far", 2_000.0)]
    fakes.nearby.fences = ["f1", "gone"]
    fakes.catalogue.add("fence", "f1", store="market", role="near", geometry={})
    answer = client.get("/v1/context?lat=60.17&lon=24.94", headers=bearer("pk_app"))
    assert answer.status_code == 200
    assert answer.json()["fences"] == [{"id": "f1", "store": "market", "role": "near"}]
    assert [(store["id"], store["distance_m"]) for store in answer.json()["stores"]] == [
        ("market", 12.3),
        ("harbour", 500.0),
    ]


def test_stores_nearby_keep_to_the_radius_and_the_limit(client, fakes, bearer):
    fakes.nearby.stores = [("market", 10.0), ("harbour", 700.0)]
    place = "lat=60.17&lon=24.94"
    for query, ids in (("", ["market", "harbour"]), ("&radius_m=100", ["market"]), ("&limit=1", ["market"])):
        answer = client.get(f"/v1/stores/nearby?{place}{query}", headers=bearer("pk_app"))
        assert [store["id"] for store in answer.json()["items"]] == ids


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
        assert client.get("/v1/context?lat=0&lon=0", headers=bearer("pk_app")).status_code == 404
        assert client.get("/v1/devices/phone-1/offers", headers=bearer("token-1")).status_code == 404
        assert "/v1/context" not in client.get("/schema/openapi.json").json()["paths"]
