"""How full a store is, and what somebody counted."""

import json

import pytest

from geo_service.outputs import Occupancy, encode
from sensors.instants import instant

FIGURES = {"mean": 4.2, "low": 2.0, "high": 6.0, "rate": 0.05, "p_over": 0.0, "in_total": 9, "out_total": 5}


def occupancy(zone: str | None = None) -> bytes:
    when = instant(1_772_366_400_000)
    return encode(Occupancy(store="harbour", zone=zone, time=when, level="quiet", status="live", **FIGURES))


def test_the_newest_occupancy_of_a_store_and_its_zones(client, fakes, bearer):
    fakes.current.values = {"harbour": [occupancy(), occupancy("deli")], "market": [b"{}"]}
    fakes.current.standing = {"harbour": b'{"alert":"warn"}', "market": b'{"alert":"full"}'}
    answer = client.get("/v1/stores/harbour/occupancy", headers=bearer("sk_harbour"))
    assert answer.status_code == 200
    assert answer.json() == {
        "store": json.loads(occupancy()),
        "zones": [json.loads(occupancy("deli"))],
        "alerts": [{"alert": "warn"}],
    }
    assert answer.headers["cache-control"] == "no-store"


def test_a_store_that_nothing_measures_yet_has_none(client, bearer):
    answer = client.get("/v1/stores/harbour/occupancy", headers=bearer("sk_all"))
    assert answer.json() == {"store": None, "zones": [], "alerts": []}


def test_an_unknown_store_is_a_404(client, bearer):
    assert client.get("/v1/stores/nowhere/occupancy", headers=bearer("sk_all")).status_code == 404
    recount = client.post("/v1/stores/nowhere/occupancy/recount", json={"count": 1}, headers=bearer("sk_all"))
    assert recount.status_code == 404


def test_a_recount_goes_to_the_border_with_who_counted(client, fakes, bearer):
    answer = client.post("/v1/stores/harbour/occupancy/recount", json={"count": 31}, headers=bearer("sk_harbour"))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    topic, payload, _ = fakes.intake.taken[0]
    assert topic == "http:/v1/stores/harbour/occupancy/recount"
    assert json.loads(payload) == {"count": 31, "zone": None, "by": "harbour-office"}


@pytest.mark.parametrize("body", [{}, {"count": -1}, {"count": 1.5}, {"count": "many"}, {"count": 1, "zone": "a b"}, 3])
def test_what_is_no_count_is_refused(client, fakes, bearer, body):
    answer = client.post("/v1/stores/harbour/occupancy/recount", json=body, headers=bearer("sk_all"))
    assert answer.status_code == 400
    assert answer.json()["errors"]
    assert fakes.intake.taken == []
