"""Stores, fences, sensors and campaigns, one by one."""

import json

import pytest

STORE = {
    "name": "Quay",
    "timezone": "Europe/Helsinki",
    "lat": 60.18,
    "lon": 24.95,
    "capacity": {"comfort": 20, "legal": 30},
}
FEATURE = {
    "type": "Feature",
    "geometry": {"type": "Point", "coordinates": [24.94, 60.17]},
    "properties": {"radius_m": 60, "store": "harbour", "role": "store"},
}


def ring(*positions):
    return {"type": "Polygon", "coordinates": [list(positions)]}


def test_a_store_is_created_read_replaced_and_removed(client, fakes, bearer):
    headers = bearer("sk_all")
    created = client.put("/v1/stores/quay", json=STORE, headers=headers)
    assert (created.status_code, created.json()) == (201, {"id": "quay", "warnings": []})
    read = client.get("/v1/stores/quay", headers=headers)
    assert read.json()["name"] == "Quay"
    assert read.json()["id"] == "quay"
    assert client.put("/v1/stores/quay", json={**STORE, "name": "Quay 2"}, headers=headers).status_code == 200
    assert client.delete("/v1/stores/quay", headers=headers).status_code == 204
    assert client.get("/v1/stores/quay", headers=headers).status_code == 404
    assert client.delete("/v1/stores/quay", headers=headers).status_code == 404


def test_a_fence_goes_in_and_comes_out_as_a_feature(client, fakes, bearer):
    assert client.put("/v1/fences/f1", json=FEATURE, headers=bearer("sk_all")).status_code == 201
    answer = client.get("/v1/fences/f1", headers=bearer("sk_all"))
    assert answer.headers["content-type"] == "application/geo+json"
    assert answer.json()["geometry"] == FEATURE["geometry"]
    assert answer.json()["properties"]["radius_m"] == 60
    assert json.loads(fakes.catalogue.documents["fence", "f1"])["store"] == "harbour"


@pytest.mark.parametrize(
    ("path", "body", "field", "word"),
    [
        ("stores/s1", {"name": "x"}, "lat", "missing"),
        ("stores/s1", {**STORE, "lat": 200}, "lat", "90"),
        ("stores/s1", {**STORE, "timezone": "Mars/Base"}, "hours", "Mars/Base"),
        ("stores/s1", {**STORE, "hours": {"mon": [["9", "21:00"]]}}, "hours", "mon"),
        ("stores/s1", {**STORE, "capacity": {"comfort": 9, "legal": 3}}, "capacity", "legal"),
        ("stores/s1", {**STORE, "id": "s2"}, "id", "path"),
        ("stores/s1", {**STORE, "capacity": {"comfort": 0, "legal": 3}}, "capacity.comfort", "1"),
        ("fences/f1", {**FEATURE, "properties": {"store": "nowhere", "radius_m": 5}}, "store", "nowhere"),
        ("fences/f1", {**FEATURE, "geometry": {"type": "Point", "coordinates": [0, 91]}}, "geometry", "91"),
        ("fences/f1", {"type": "Feature", "properties": {}}, "geometry", "missing"),
        ("sensors/door-1", {"store": "nowhere"}, "store", "nowhere"),
        ("sensors/door-9", {"store": "harbour", "format": "telepathy"}, "format", "telepathy"),
        ("sensors/door-9", {"store": "harbour", "topic": "geo/v1/sensor/door-1"}, "topic", "more than one"),
        ("campaigns/c1", {"name": "c", "stores": ["nowhere"]}, "store", "nowhere"),
        ("campaigns/c1", {"name": "c", "holdout": 2}, "holdout", "1"),
    ],
)
def test_what_is_wrong_with_a_document_is_said_with_its_field(client, fakes, bearer, path, body, field, word):
    before = dict(fakes.catalogue.documents)
    answer = client.put(f"/v1/{path}", json=body, headers=bearer("sk_all"))
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = {error.get("field", ""): error["reason"] for error in answer.json()["errors"]}
    assert field in found
    assert word in found[field]
    assert fakes.catalogue.documents == before


def test_a_shape_that_is_refused_says_which_ring_and_position(client, bearer):
    shape = ring([24.94, 60.17], [24.95, 60.17], ["east", 60.18], [24.94, 60.17])
    answer = client.put("/v1/fences/f1", json={**FEATURE, "geometry": shape}, headers=bearer("sk_all"))
    assert answer.status_code == 400
    assert "ring 0" in answer.json()["detail"]
    assert "position 2" in answer.json()["detail"]


def test_a_shape_that_is_repaired_is_taken_with_a_warning(client, bearer):
    shape = ring([24.94, 60.17], [24.95, 60.17], [24.95, 60.18], [24.94, 60.18])  # not closed
    answer = client.put("/v1/fences/f1", json={**FEATURE, "geometry": shape}, headers=bearer("sk_all"))
    assert answer.status_code == 201, answer.text
    assert answer.json()["warnings"][0]["field"] == "geometry"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 50_000, b"\xff", b'{"name": "\xff"}'])
def test_a_body_that_is_no_document_is_a_problem(client, bearer, body):
    answer = client.put("/v1/stores/s1", content=body, headers=bearer("sk_all"))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("key", ["no%20id", "x" * 65, "a%0a", "%E2%82%AC"])
def test_a_path_that_is_no_id_is_refused(client, bearer, key):
    assert client.put(f"/v1/stores/{key}", json=STORE, headers=bearer("sk_all")).status_code == 400
    assert client.get(f"/v1/stores/{key}", headers=bearer("sk_all")).status_code == 404


def test_lists_come_in_pages_that_the_cursor_joins(client, fakes, bearer):
    for number in range(25):
        fakes.catalogue.add("store", f"s{number:02}", name=f"S{number}", lat=1, lon=2)
    seen, cursor = [], None
    while True:
        query = "?limit=10" + (f"&cursor={cursor}" if cursor else "")
        page = client.get(f"/v1/stores{query}", headers=bearer("sk_all")).json()
        assert len(page["items"]) <= 10
        seen += [store["id"] for store in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == sorted(key for kind, key in fakes.catalogue.documents if kind == "store")


def test_a_page_that_ends_exactly_at_the_end_has_no_next(client, bearer):
    page = client.get("/v1/stores?limit=2", headers=bearer("sk_all")).json()
    assert ([store["id"] for store in page["items"]], page["next"]) == (["harbour", "market"], None)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "cursor=" + "x" * 300])
def test_a_page_that_cannot_be_is_refused(client, bearer, query):
    assert client.get(f"/v1/stores?{query}", headers=bearer("sk_all")).status_code == 400


def test_a_list_holds_the_askers_stores_only(client, fakes, bearer):
    fakes.catalogue.add("campaign", "everywhere", name="E")
    fakes.catalogue.add("campaign", "market-only", name="M", stores=["market"])
    for number in range(300):
        fakes.catalogue.add("fence", f"a{number:03}", store="market", geometry={})
    fakes.catalogue.add("fence", "z", store="harbour", geometry={"type": "Point", "coordinates": [1, 2]}, radius_m=3)
    for plural, ids in (
        ("stores", ["harbour"]),
        ("sensors", ["door-1"]),
        ("campaigns", ["everywhere"]),
        ("fences", ["z"]),
    ):
        page = client.get(f"/v1/{plural}?limit=1", headers=bearer("sk_harbour")).json()
        assert [document["id"] for document in page["items"]] == ids
        assert page["next"] is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("stores/quay", STORE),
        ("fences/f1", {**FEATURE, "properties": {"store": "market", "radius_m": 5}}),
        ("fences/f1", {**FEATURE, "properties": {"radius_m": 5}}),
        ("sensors/door-2", {"store": "harbour"}),
        ("sensors/door-1", {"store": "market"}),
        ("campaigns/c1", {"name": "c"}),
        ("campaigns/c1", {"name": "c", "stores": ["harbour", "market"]}),
    ],
)
def test_nobody_writes_outside_their_stores(client, fakes, bearer, path, body):
    before = dict(fakes.catalogue.documents)
    assert client.put(f"/v1/{path}", json=body, headers=bearer("sk_harbour")).status_code == 403
    assert fakes.catalogue.documents == before


def test_a_campaign_of_ones_own_stores_may_be_written(client, bearer):
    body = {"name": "c", "stores": ["harbour"]}
    assert client.put("/v1/campaigns/c1", json=body, headers=bearer("sk_harbour")).status_code == 201


def test_a_campaign_names_products_that_exist_where_there_are_products(client, fakes, bearer):
    body = {"name": "c", "skus": ["bread"]}
    assert client.put("/v1/campaigns/c1", json=body, headers=bearer("sk_all")).status_code == 201
    fakes.catalogue.documents["product", "milk"] = b'{"sku":"milk","name":"Milk"}'
    refused = client.put("/v1/campaigns/c1", json=body, headers=bearer("sk_all"))
    assert refused.status_code == 400
    assert "bread" in refused.json()["detail"]


def test_what_is_ignored_of_a_document_or_keeps_it_silent_is_told(client, fakes, bearer):
    def warnings(path, body):
        answer = client.put(f"/v1/{path}", json=body, headers=bearer("sk_all"))
        assert answer.status_code in {200, 201}, answer.text
        return [(warning.get("field"), warning["reason"]) for warning in answer.json()["warnings"]]

    assert client.put("/v1/fences/n", json=FEATURE, headers=bearer("sk_all")).status_code == 201
    campaign = {"name": "c", "stores": ["harbour"], "trigger": {"role": "store"}}
    assert warnings("campaigns/c1", campaign) == []
    assert warnings("campaigns/c1", campaign | {"audiance": {}}) == [
        ("audiance", "is unknown and ignored; is audience meant?")
    ]
    ((field, reason),) = warnings("campaigns/c1", campaign | {"trigger": {"role": "store", "type": "dwell"}})
    assert (field, reason.partition(",")[0]) == ("trigger", "no 'store' fence of its stores has a dwell_s")
    assert warnings("campaigns/c1", campaign | {"tags": ["toys"]}) == [("tags", "no store has the tag 'toys'")]
    assert warnings("stores/quay", STORE | {"timezoen": "UTC", "manager": "Ada"}) == [
        ("timezoen", "is unknown and ignored; is timezone meant?")
    ]


def test_a_store_that_others_name_is_not_removed(client, fakes, bearer):
    answer = client.delete("/v1/stores/harbour", headers=bearer("sk_all"))
    assert answer.status_code == 409
    assert "sensor door-1" in answer.json()["detail"]
    assert ("store", "harbour") in fakes.catalogue.documents


def test_a_sensor_is_shown_with_how_it_does(client, fakes, bearer):
    fakes.current.names = {"status:door-1": b'{"state":"silent","in_today":4}'}
    status = {"state": "silent", "in_today": 4}
    one = client.get("/v1/sensors/door-1", headers=bearer("sk_all")).json()
    assert one == {"id": "door-1", "store": "harbour", "status": status}
    listed = client.get("/v1/sensors", headers=bearer("sk_all")).json()["items"]
    assert [(sensor["id"], sensor["status"]) for sensor in listed] == [("door-1", status), ("door-2", None)]
    # What was read may be written back as it is.
    assert client.put("/v1/sensors/door-1", json=one, headers=bearer("sk_all")).status_code == 200
