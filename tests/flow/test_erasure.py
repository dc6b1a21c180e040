"""Erasing a person from the running service: afterwards the id stands in no key of Redis and in no file."""

import json
import time

import httpx
import pytest

from geo_service.catalogue.documents import WhenFull
from geo_service.embedded.servers import find_mosquitto, start_servers
from geo_service.storage.keys import Keys

ERASED, OTHER = "erase-me-7f3a", "keep-me-90c1"


def holding(client, word):
    """Every key of the server whose name or content holds a word."""
    read = {
        "string": client.get,
        "hash": client.hgetall,
        "list": lambda key: client.lrange(key, 0, -1),
        "set": client.smembers,
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        "stream": client.xrange,
    }
    found = []
    for key in client.scan_iter(count=1000):
        kind = client.type(key).decode()
        # Without a type it has gone in this moment.
        if kind in read and word in repr((key, read[kind](key))):
            found.append(key)
    return found


def files_holding(folders, word):
    return [
        str(path)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and word.encode() in path.read_bytes()
    ]


@pytest.fixture
def town(town_of):
    town = town_of("north", "south", total=1000)
    campaign = town.site.campaign["bread"]
    caps = type(campaign.caps)(total=1000, per_device=5, min_gap_s=1)
    town.site.campaign["bread"] = type(campaign)(
        id="bread", name="Bread", holdout=0, trigger=campaign.trigger, caps=caps
    )
    in_corner = type(campaign.trigger)(role="zone")
    town.site.campaign["cake"] = type(campaign)(
        id="cake", name="Cake", holdout=0, trigger=in_corner, when_full=WhenFull(redirect_m=10_000, wait_s=3600)
    )
    return town


@pytest.mark.slow
@pytest.mark.parametrize(("partitions", "killed"), [(1, False), (3, True)])
def test_afterwards_the_id_stands_in_no_key_and_in_no_file(
    tmp_path, town, service_of, until, monkeypatch, partitions, killed
):
    if find_mosquitto() is None:
        pytest.skip("no mosquitto is installed")
    monkeypatch.setenv("GEO_WEBHOOK_PRIVATE", "true")
    data = tmp_path / "servers"
    with (
        start_servers(data, fsync="everysec") as servers,
        service_of(servers.redis_url, servers.mqtt_url, town, partitions=partitions) as service,
    ):
        client = service.client
        # Else the rewritten file would be compressed, and nothing could be found in it.
        client.config_set("aof-use-rdb-preamble", "no")
        service.start_api()
        worker = service.start_worker()
        service.await_worker()
        # It will not answer: what is sent there waits.
        hook = {"url": "http://127.0.0.1:9/", "kinds": ["crossing", "offer", "visit"], "identities": True}
        assert service.post("/v1/webhooks", hook).status_code == 201
        time.sleep(1.5)  # the worker looks for new webhooks once a second
        for person in (ERASED, OTHER):
            live(service, town, person)
        heard = service.listen("geo/v1/store/north/crossing")
        until(lambda: all(told(service, person) for person in (ERASED, OTHER)))
        have_wait(service, town, until, ERASED, OTHER)

        export = service.get(f"/v1/people/{ERASED}/export").json()
        assert_all_is_told(export, service)
        assert files_holding([data], ERASED)

        began = time.monotonic()
        answer = httpx.delete(f"{service.url}/v1/people/{ERASED}", headers=service.headers, timeout=30)
        assert answer.status_code == 202
        receipt = f"/v1/people/{ERASED}/erasure/{answer.json()['receipt']}"
        assert service.put(f"/v1/people/{ERASED}/consent", {"offers": True}).status_code == 409
        if killed:
            # In the midst of it: whoever comes next carries it on.
            until(lambda: b"forget" in kinds_in_log(service))
            worker.process.kill()
            worker.process.wait()
            service.start_worker()
        # Somebody's phone that has not heard of it goes on sending.
        heard.publish(f"geo/v1/ping/{ERASED}", town.ping("north", 10))
        heard.publish(f"geo/v1/ping/{ERASED}", {"lat": "bad"})
        done = until(lambda: (said := service.get(receipt).json())["state"] == "done" and said, timeout_s=60)
        assert time.monotonic() - began < 60
        assert done["left"] == []
        assert {"outputs", "webhook_queue", "consents", "ledger_counters"} <= done["removed"].keys()
        assert done["files"].endswith("written anew")

        assert holding(client, ERASED) == []
        # The broker writes its own file every 30 seconds.
        until(lambda: files_holding([data, service.folder], ERASED) == [], timeout_s=45)
        assert service.get(f"/v1/people/{OTHER}/erasure/{answer.json()['receipt']}").status_code == 404
        assert service.get(f"/v1/people/{ERASED}/export").json()["kept"] == {}

        # Everybody else goes on as if nothing had happened.
        assert told(service, OTHER)
        assert service.get(f"/v1/people/{OTHER}/export").json()["kept"]["checkpoint"]

        def walks_away():
            heard.publish(f"geo/v1/ping/{OTHER}", town.ping("north", 900))
            time.sleep(0.5)
            return heard.on("geo/v1/store/north/crossing", device=OTHER, type="exit")

        until(walks_away)
        assert_all_is_declared(client, service.keys)


def kinds_in_log(service):
    logs = [service.keys("log", partition=partition) for partition in range(service.partitions)]
    return {fields[b"k"] for log in logs for _, fields in service.client.xrange(log)}


def live(service, town, person):
    """All that a person does: consents, a token, pings by every way, offers, refusals."""
    assert service.put(f"/v1/people/{person}/consent", {"offers": True, "version": "2026-03"}).status_code == 202
    made = service.post("/v1/devices", {"device": person})
    assert made.status_code == 201, made.text
    token = {"Authorization": f"Bearer {made.json()['token']}"}
    phone = service.listen()
    pinged = service.post("/v1/pings", town.ping("north", 20), **token)
    assert pinged.json() == {"accepted": 1, "rejected": []}
    service.post("/v1/pings", {"lat": 200}, **token)
    phone.publish(f"geo/v1/ping/{person}", {"lat": "bad"})


def have_wait(service, town, until, *people):
    """Nobody is invited to either store, so whoever comes into the corner of one waits there."""
    for store in town.stores:
        assert service.post(f"/v1/stores/{store}/pacing", {"action": "pause"}).status_code == 202
    lat, lon = town.place("north")
    corner = {"geometry": {"type": "Point", "coordinates": [lon, lat]}, "radius_m": 60}
    assert service.put("/v1/fences/north.corner", corner | {"store": "north", "role": "zone"}).status_code in {200, 201}
    phone = service.listen()

    def wait():
        for person in people:
            phone.publish(f"geo/v1/ping/{person}", town.ping("north", 20))
        time.sleep(0.5)
        kept = [service.get(f"/v1/people/{person}/export").json()["kept"] for person in people]
        return all(
            any(each["part"] == "offering.waiting.waiters" for each in of_one.get("checkpoint", ())) for of_one in kept
        )

    until(wait, timeout_s=90)


def told(service, person):
    """Whether everything that comes of it has come."""
    lines = [line for _, line in service.outputs() if person.encode() in line]
    kinds = {json.loads(line)["kind"] for line in lines}
    waiting = sum(1 for key in holding(service.client, person) if b":queue:" in key)
    return {"crossing", "offer", "rejected"} <= kinds and waiting


def assert_all_is_told(export, service):
    """The export has something of every key in which the id stands."""
    assert export["person"] == ERASED
    assert [(said["purposes"], said["version"]) for said in export["consents"]] == [({"offers": True}, "2026-03")]
    keys = {service.keys.declared(key.decode()).name for key in holding(service.client, ERASED)}
    # A record is told by the counters that it claims; who may be located, only where somebody said.
    assert keys - {"ledger_records", "ledger_due", "log"} <= export["kept"].keys() | {"outputs_rewritten"}
    crossings = [said for said in export["kept"]["outputs"] if said["kind"] == "crossing"]
    assert {said["device"] for said in crossings} == {ERASED}


def assert_all_is_declared(client, keys: Keys):
    """Every key of the running service is one that is declared, of its kind, and lives as long as is said."""
    found = list(client.scan_iter(match=f"{keys.prefix}*"))
    assert found
    for key in found:
        declaration = keys.declared(key.decode())
        assert declaration is not None, f"{key!r} is declared nowhere"
        kind, ttl_ms = client.type(key).decode(), client.pttl(key)
        if ttl_ms == -2:
            continue  # it has gone in this moment
        assert kind == declaration.kind, key
        assert (ttl_ms >= 0) == declaration.expires, f"{key!r}: time to live is not as declared"
