"""Who is erased takes nobody along, however alike their ids are, and whatever else is called so."""

import time

import pytest

from geo_service import outputs
from geo_service.delivery.webhook_endpoints import EndpointBody, made
from geo_service.delivery.webhook_feed import Queued
from geo_service.flow.entries import Consent, EntryId
from geo_service.flow.ledger import Claim, Reservation
from geo_service.flow.log import Commit
from geo_service.storage.accounts import Accounts
from geo_service.storage.coupons import Coupons
from geo_service.storage.people import PersonalData
from geo_service.storage.recent_offers import RecentOffers
from geo_service.storage.redis_ledger import RedisLedger
from geo_service.storage.redis_log import RedisLog
from geo_service.storage.webhooks import WebhookEndpoints, WebhookQueues
from sensors.instants import instant

NOW_MS = time.time_ns() // 1_000_000  # the server ends keys by its own clock
ALIKE = ["zq", "zq.a", "zq:1", "a.zq", "x:zq", "zq-zq", "zqx", "z", "anna:zq", "zq:gap", "a:per_device:zq"]
WORDS = ["harbour", "deli", "bread", "device", "store", "queued", "sent", "offer", "crossing", "d", "yes", "location",
         "issued", "1", "0", "enter", "fi", "wh-1", "total", "cap", "per_device", "ledger", "occupancy", "state"]  # fmt: skip


@pytest.fixture
def kept(client, keys):
    """Everything about everybody, as the service keeps it."""
    log = RedisLog.open(client, 1, keys=keys)
    log.acquire(0)
    recent, accounts = RecentOffers(client, keys=keys), Accounts(client, lambda: NOW_MS, keys=keys)
    ledger, queues = RedisLedger(client, keys=keys), WebhookQueues(client, keys=keys)
    coupons = Coupons(client, b"a secret that nobody knows", keys=keys)
    WebhookEndpoints(client, keys=keys).add(
        made(EndpointBody(url="https://example.com/", kinds=["offer"]), "wh-1", "whsec_", 1)
    )
    lines = []
    for number, device in enumerate(ALIKE + WORDS):
        log.append([(0, Consent(device, {"offers": True, "location": True}, "v1"))])
        accounts.register(device)
        offer = _offer(device, number)
        lines.append(outputs.encode(offer))
        recent.keep(lines[-1:])
        coupons.issue(lines[-1:])
        claims = [Claim(f"cap:bread/{device}:per_device", 1, 5), Claim(f"cap:bread:gap/{device}:min_gap_s", 1, 5)]
        claims.append(Claim("cap:bread:total", 1, 1000))
        ledger.reserve([Reservation(offer.id, claims, 60_000)], NOW_MS)
        queues.enqueue([Queued("wh-1", f"0-{number}-0", "offer", lines[-1], offer.id)], {}, NOW_MS)
    current = dict.fromkeys(
        ("occupancy:harbour", "occupancy:harbour/deli", "day:harbour/deli/2026-06-01", "week:harbour/"),
        b'{"kind":"occupancy","store":"harbour","zone":"deli","level":"quiet"}',
    )
    log.commit(0, Commit([(EntryId(NOW_MS + n, 0), line) for n, line in enumerate(lines)], current, None))
    log.commit(0, Commit([], {}, None))
    client.delete(keys("log", partition=0))  # as a checkpoint that passed it would
    return PersonalData(client, 1, keys=keys)


def _offer(device, number):
    return outputs.Offer(
        id=f"0-178074000{number:04}-0-0.0",
        campaign="bread",
        device=device,
        store="harbour",
        decision="sent",
        reason="admitted",
        code=f"7Q4K9XWM02RTH{number:03}",
        language="fi",
        time=instant(NOW_MS),
        expires=instant(NOW_MS + 3_600_000),
        evidence={"benefit": {"type": "percentage", "value": 20}, "person": {"segments": ["members"]}},
    )


@pytest.mark.parametrize("order", [1, -1])
def test_each_keeps_all_of_theirs_until_they_themselves_are_erased(kept, order, client, keys):
    everybody = ALIKE + WORDS
    before = {device: kept.export(device) for device in everybody}
    for device, told in before.items():
        assert {name: len(found) for name, found in told.items()} == {
            "consents": 1,
            "coupon": 1,
            "coupons_of": 1,
            "device_tokens": 1,
            "devices": 1,
            "ledger_counters": 2,
            "ledger_records": 1,
            "located": 1,
            "located_changed": 1,
            "offer": 1,
            "outputs": 1,
            "recent_offers": 1,
            "webhook_queue": 1,
        }, device
    for device in everybody[::order]:
        assert kept.export(device) == before[device], device
        kept.erase(device)
        assert kept.left(device) == [], device
    assert client.hlen(keys("current", partition=0)) == 4
