"""Webhooks in the API: on a real Redis, since queues are its streams."""

import msgspec
import pytest
from litestar.testing import TestClient

from geo_service.api.app import build_app
from geo_service.api.services import Webhooks
from geo_service.delivery.webhook_feed import Queued
from geo_service.delivery.webhook_targets import check_url
from geo_service.principals import SECRET, Action, Principal
from geo_service.storage.keys import Keys
from geo_service.storage.webhooks import WebhookEndpoints, WebhookQueues

WANTED = {"url": "https://hooks.example/in", "kinds": ["crossing", "occupancy"]}


def public(host, port):
    return ["10.1.1.1"] if host == "inside.example" else ["1.1.1.1"]


@pytest.fixture
def queues(redis):
    redis.flushdb()
    return WebhookQueues(redis, keys=Keys())


@pytest.fixture
def office(fakes, redis, queues):
    webhooks = Webhooks(
        WebhookEndpoints(redis, keys=Keys()), queues, lambda url: check_url(url, allow_private=False, resolve=public)
    )
    fakes.accounts.keys["sk_nameless"] = Principal(kind="secret", id="nameless", actions=SECRET - {Action.IDENTITIES})
    services = fakes.services()
    with TestClient(build_app(type(services)(**{**_fields(services), "webhooks": webhooks}))) as client:
        yield client


def _fields(services):
    return {name: getattr(services, name) for name in type(services).__dataclass_fields__}


@pytest.fixture
def make(office, bearer):
    def make(credential="sk_all", **more):
        return office.post("/v1/webhooks", json=WANTED | more, headers=bearer(credential))

    return make


def test_a_webhook_is_made_and_its_secret_is_told_once(office, make, bearer):
    made = make(note="till")
    assert made.status_code == 201
    key, secret = made.json()["id"], made.json()["secret"]
    assert secret.startswith("whsec_")
    shown = office.get(f"/v1/webhooks/{key}", headers=bearer("sk_all"))
    assert secret.removeprefix("whsec_") not in shown.text
    assert {name: shown.json()[name] for name in ("url", "kinds", "stores", "identities", "disabled", "note")} == {
        **WANTED,
        "stores": None,
        "identities": False,
        "disabled": None,
        "note": "till",
    }
    assert shown.json()["standing"]["waiting"] == 0
    assert office.get("/v1/webhooks", headers=bearer("sk_all")).json()["items"] == [shown.json()]


def test_a_store_that_is_none_is_named_since_nothing_would_ever_be_heard_of_it(office, make, bearer):
    assert make(stores=["harbour", "harbor"]).json()["errors"] == [
        {"field": "stores", "reason": "there is no store 'harbor'"}
    ]
    assert office.get("/v1/webhooks", headers=bearer("sk_all")).json()["items"] == []
    key = make(stores=["harbour"]).json()["id"]
    changed = office.put(f"/v1/webhooks/{key}", json=WANTED | {"stores": ["harbor"]}, headers=bearer("sk_all"))
    assert (changed.status_code, changed.json()["errors"][0]["field"]) == (400, "stores")
    assert office.get(f"/v1/webhooks/{key}", headers=bearer("sk_all")).json()["stores"] == ["harbour"]


def test_a_store_that_is_gone_does_not_keep_a_webhook_of_it_from_being_changed(office, make, bearer, fakes):
    key = make(stores=["harbour", "market"]).json()["id"]
    fakes.catalogue.remove("store", "market")
    wanted = WANTED | {"stores": ["market", "harbour"], "enabled": False}
    changed = office.put(f"/v1/webhooks/{key}", json=wanted, headers=bearer("sk_all"))
    assert (changed.status_code, changed.json()["disabled"]) == (200, "switched off")


def test_who_names_no_stores_hears_of_those_of_the_key_whether_they_are_there_yet_or_not(office, make, bearer, fakes):
    fakes.catalogue.remove("store", "harbour")
    own = make("sk_harbour").json()["id"]
    assert office.get(f"/v1/webhooks/{own}", headers=bearer("sk_harbour")).json()["stores"] == ["harbour"]


def test_a_rotation_tells_another_secret(office, make, bearer):
    made = make().json()
    rotated = office.post(f"/v1/webhooks/{made['id']}/rotate", headers=bearer("sk_all"))
    assert rotated.status_code == 200
    assert rotated.json()["id"] == made["id"]
    assert rotated.json()["secret"] != made["secret"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"url": "https://inside.example/"}, "url"),
        ({"url": "http://hooks.example/"}, "url"),
        ({"url": "gopher://hooks.example/"}, "url"),
        ({"kinds": ["weather"]}, "kinds"),
        ({"kinds": ["rejected"]}, "kinds"),
        ({"stores": ["harbour", "harbor"]}, "stores"),
        ({"stores": ["no id"]}, "stores"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(make, more, field):
    refused = make(**more)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == field


@pytest.mark.parametrize("more", [{"kinds": []}, {"sotres": ["harbour"]}, {"occupancy_s": 0}, {"note": "x" * 201}])
def test_a_body_that_is_none_is_refused(make, more):
    assert make(**more).status_code == 400


def test_nobody_hears_more_than_they_may_see(office, make, bearer):
    assert make("sk_readonly").status_code == 403
    assert make("pk_app").status_code == 403
    assert make("sk_nameless", identities=True).status_code == 403
    assert make("sk_harbour", stores=["market"]).status_code == 403
    own = make("sk_harbour").json()["id"]
    assert office.get(f"/v1/webhooks/{own}", headers=bearer("sk_harbour")).json()["stores"] == ["harbour"]
    every = make("sk_all").json()["id"]
    assert office.get(f"/v1/webhooks/{every}", headers=bearer("sk_harbour")).status_code == 404
    assert office.delete(f"/v1/webhooks/{every}", headers=bearer("sk_harbour")).status_code == 404
    assert [item["id"] for item in office.get("/v1/webhooks", headers=bearer("sk_harbour")).json()["items"]] == [own]


def test_what_became_of_deliveries_is_there_to_read_and_to_send_again(office, make, queues, bearer, fakes):
    key, headers = make(identities=True).json()["id"], bearer("sk_all")
    line = b'{"kind":"crossing","device":"phone-1"}'
    queues.enqueue([Queued(key, f"0-{n}-0", "crossing", line) for n in (1, 2, 3)], {}, fakes.now_ms())
    for how in (queues.delivered, lambda *a: queues.give_up(*a, 0), lambda *a: queues.failed(*a, 1_772_366_500_000)):
        how(key, queues.head(key)[0], "500 Oh", fakes.now_ms())
    found = office.get(f"/v1/webhooks/{key}/deliveries", headers=headers).json()
    (waiting,) = found["waiting"]
    assert (waiting["id"], waiting["attempts"], waiting["last_result"]) == ("0-3-0", 1, "500 Oh")
    assert waiting["output"] == msgspec.json.decode(line)
    assert [(each["id"], each["outcome"]) for each in found["ended"]] == [("0-2-0", "dead"), ("0-1-0", "delivered")]
    standing = office.get(f"/v1/webhooks/{key}", headers=headers).json()["standing"]
    assert standing["next_try"] == "2026-03-01T12:01:40Z"
    assert (standing["delivered"], standing["failed"], standing["dead"], standing["waiting"]) == (1, 2, 1, 1)
    nameless = office.get(f"/v1/webhooks/{key}/deliveries", headers=bearer("sk_nameless"))
    assert nameless.json()["waiting"][0]["output"] is None
    letters = f"/v1/webhooks/{key}/dead-letters"
    (letter,) = office.get(letters, headers=headers).json()["items"]
    assert letter["id"] == "0-2-0"
    resent = office.post(f"{letters}/resend", json={"entries": [letter["entry"]]}, headers=headers)
    assert resent.json() == {"queued": 1}
    assert office.get(letters, headers=headers).json() == {"items": [], "next": None}
    assert office.get(f"{letters}?cursor=;", headers=headers).status_code == 400


def test_switched_off_nothing_waits_and_switched_on_again_it_hears(office, make, queues, bearer):
    key, headers = make().json()["id"], bearer("sk_all")
    queues.enqueue([Queued(key, "0-1-0", "crossing", b"{}")], {}, 1)
    off = office.put(f"/v1/webhooks/{key}", json=WANTED | {"enabled": False}, headers=headers).json()
    assert (off["disabled"], off["standing"]["waiting"], off["standing"]["dead_letters"]) == ("switched off", 0, 1)
    changed = WANTED | {"kinds": ["visit"], "occupancy_s": 5}
    on = office.put(f"/v1/webhooks/{key}", json=changed, headers=headers).json()
    assert (on["disabled"], on["kinds"], on["occupancy_s"]) == (None, ["visit"], 5)


def test_a_removed_webhook_is_gone_with_all_that_waited(office, make, bearer, redis):
    key = make().json()["id"]
    assert office.delete(f"/v1/webhooks/{key}", headers=bearer("sk_all")).status_code == 204
    assert office.get(f"/v1/webhooks/{key}", headers=bearer("sk_all")).status_code == 404
    assert [name for name in redis.scan_iter() if key.encode() in name] == []
