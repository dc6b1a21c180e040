"""Devices and what was offered to them."""

import json

import pytest

OFFERS = [
    {"kind": "offer", "id": str(number), "store": store, "decision": decision}
    for number, (store, decision) in enumerate([("harbour", "sent"), ("market", "withheld"), ("harbour", "held_out")])
]


def test_an_app_registers_a_device_and_gets_its_token(client, bearer):
    answer = client.post("/v1/devices", headers=bearer("pk_app"))
    assert (answer.status_code, answer.json()) == (201, {"device": "d-0", "token": "token-of-d-0"})


def test_only_a_secret_key_chooses_the_id(client, bearer):
    body = {"device": "alice.phone"}
    assert client.post("/v1/devices", json=body, headers=bearer("pk_app")).status_code == 403
    made = client.post("/v1/devices", json=body, headers=bearer("sk_all"))
    assert made.json() == {"device": "alice.phone", "token": "token-of-alice.phone"}
    again = client.post("/v1/devices", json=body, headers=bearer("sk_all"))
    assert again.status_code == 409


@pytest.mark.parametrize("body", [{"device": "a b"}, {"device": "a\n"}, {"device": 3}, []])
def test_a_device_that_is_no_id_is_refused(client, bearer, body):
    answer = client.post("/v1/devices", json=body, headers=bearer("sk_all"))
    assert answer.status_code == 400


def test_one_place_registers_so_many_an_hour(client, fakes, bearer):
    answers = [client.post("/v1/devices", headers=bearer("pk_app")).status_code for _ in range(61)]
    assert answers == [201] * 60 + [429]


@pytest.mark.parametrize(
    ("credential", "ids"), [("token-1", ["0"]), ("sk_harbour", ["0", "2"]), ("sk_all", ["0", "1", "2"])]
)
def test_a_shopper_sees_what_was_sent_and_a_back_office_what_was_decided(client, fakes, bearer, credential, ids):
    fakes.offers.offers = {"phone-1": [json.dumps(offer).encode() for offer in OFFERS]}
    answer = client.get("/v1/devices/phone-1/offers", headers=bearer(credential))
    assert answer.status_code == 200
    assert [offer["id"] for offer in answer.json()["items"]] == ids


def test_a_device_without_offers_has_an_empty_list(client, bearer):
    assert client.get("/v1/devices/phone-1/offers", headers=bearer("token-1")).json() == {"items": []}
