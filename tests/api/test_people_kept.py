"""Export, erasure and its receipt over HTTP, on a real Redis; and sensitive places in the catalogue."""

import pytest
from litestar.testing import TestClient

from geo_service.api.app import build_app
from geo_service.api.services import People
from geo_service.flow.entries import Consent, EntryId
from geo_service.flow.log import Commit
from geo_service.storage.consents import Consents
from geo_service.storage.erasures import Erasures
from geo_service.storage.people import PersonalData
from geo_service.storage.redis_log import RedisLog

PERSON = "/v1/people/phone-1"


@pytest.fixture
def erasures(redis, fakes):
    redis.flushdb()
    return Erasures(redis, fakes.now_ms)


@pytest.fixture
def office(fakes, redis, erasures):
    services = fakes.services()
    fields = {name: getattr(services, name) for name in type(services).__dataclass_fields__}
    people = People(erasures, PersonalData(redis, 1), Consents(redis))
    with TestClient(build_app(type(services)(**fields | {"people": people}))) as client:
        yield client


def test_an_export_tells_consents_and_all_that_is_kept(office, redis, bearer):
    log = RedisLog.open(redis, 1)
    log.acquire(0)
    log.append([(0, Consent("phone-1", {"offers": True}, "2026-03"))])
    line = b'{"kind":"crossing","device":"phone-1","store":"harbour"}'
    log.commit(0, Commit([(EntryId(1, 0), line + b'\n{"kind":"crossing","device":"phone-2"}')], {}, None))
    told = office.get(f"{PERSON}/export", headers=bearer("sk_all")).json()
    assert (told["person"], told["time"]) == ("phone-1", "2026-03-01T12:00:00Z")
    (said,) = told["consents"]
    assert (said["purposes"], said["version"]) == ({"offers": True}, "2026-03")
    assert told["kept"]["outputs"] == [{"kind": "crossing", "device": "phone-1", "store": "harbour"}]
    assert told["kept"]["log"] == [
        {
            "kind": "consent",
            "part": "",
            "holds": {"device": "phone-1", "purposes": {"offers": True}, "version": "2026-03"},
        }
    ]
    assert set(told["kept"]) == {"consents", "log", "outputs"}


def test_an_erasure_is_followed_by_its_receipt(office, fakes, erasures, bearer):
    asked = office.delete(PERSON, headers=bearer("sk_all"))
    assert asked.status_code == 202
    receipt = asked.json()["receipt"]
    path, headers = f"{PERSON}/erasure/{receipt}", bearer("sk_all")
    assert office.get(path, headers=headers).json()["state"] == "under way"
    assert fakes.intake.taken[0][0] == "http:/v1/people/phone-1"
    assert office.put(f"{PERSON}/consent", json={"offers": True}, headers=headers).status_code == 409
    ((name, erasure),) = erasures.pending(9)
    removed = {"outputs": 4, "device_tokens": 1}
    files = "append-only file written anew"
    done = type(erasure)(
        about=erasure.about,
        requested_ms=erasure.requested_ms,
        done_ms=fakes.now_ms() + 9000,
        removed=removed,
        files=files,
    )
    erasures.note(name, done)
    assert office.get(path, headers=headers).json() == {
        "receipt": receipt,
        "state": "done",
        "requested": "2026-03-01T12:00:00Z",
        "done": "2026-03-01T12:00:09Z",
        "removed": removed,
        "left": [],
        "files": files,
    }
    assert office.get(f"/v1/people/phone-2/erasure/{receipt}", headers=headers).status_code == 404
    assert office.get(f"{PERSON}/erasure/other", headers=headers).status_code == 404


@pytest.mark.parametrize("method", ["export", "erasure/x"])
def test_only_who_may_do_people_may_ask(office, bearer, method):
    assert office.get(f"{PERSON}/{method}", headers=bearer("sk_readonly")).status_code == 403
    assert office.get(f"{PERSON}/{method}", headers=bearer("token-1")).status_code == 403


def test_a_fence_over_a_sensitive_place_is_refused(client, fakes, bearer):
    place = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [24.95, 60.17]},
        "properties": {"radius_m": 80, "name": "Clinic"},
    }
    headers = bearer("sk_all")
    fence = {"geometry": {"type": "Point", "coordinates": [24.951, 60.17]}, "radius_m": 60, "store": "harbour"}
    assert client.put("/v1/fences/near", json=fence, headers=headers).status_code == 201
    made = client.put("/v1/sensitive-places/clinic", json=place, headers=headers)
    assert made.status_code == 201
    assert "'near'" in made.json()["warnings"][0]["reason"]
    shown = client.get("/v1/sensitive-places/clinic", headers=headers)
    assert shown.headers["content-type"].startswith("application/geo+json")
    assert shown.json()["properties"] == place["properties"]
    refused = client.put("/v1/fences/near", json=fence, headers=headers)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "geometry"
    assert "clinic" in refused.json()["detail"]
    assert client.put("/v1/sensitive-places/x", json=place, headers=bearer("sk_harbour")).status_code == 403
