"""Pings, OwnTracks and sensors over HTTP."""

import base64
import json

import pytest

from geo_service.api.services import Accepted

PING = {"device": "phone-1", "time": 1_772_366_400, "lat": 60.17, "lon": 24.94}
BASIC = {"Authorization": "Basic " + base64.b64encode(b"alice:sk_all").decode()}


def test_a_ping_is_taken_at_the_border_as_it_came(client, fakes, bearer):
    answer = client.post("/v1/pings", json=PING, headers=bearer("sk_all"))
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 1, "rejected": []}
    topic, payload, device = fakes.intake.taken[0]
    assert (topic, json.loads(payload), device) == ("http:/v1/pings", PING, None)


def test_a_devices_token_says_who_is_speaking(client, fakes, bearer):
    client.post("/v1/pings", json={**PING, "device": None}, headers=bearer("token-1"))
    assert fakes.intake.taken[0][2] == "phone-1"


@pytest.mark.parametrize("body", [{**PING, "device": "phone-2"}, [PING, {**PING, "device": 7}]])
def test_a_devices_token_under_another_devices_ping_is_forbidden_and_nothing_is_taken(client, fakes, bearer, body):
    answer = client.post("/v1/pings", json=body, headers=bearer("token-1"))
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == "device"
    assert fakes.intake.taken == []


def test_some_refused_of_many_is_still_a_202_that_names_them(client, fakes, bearer):
    fakes.intake.refuse((1, "lat", "must be a latitude"), accepted=2)
    answer = client.post("/v1/pings", json=[PING, PING, PING], headers=bearer("sk_all"))
    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 2,
        "rejected": [{"reason": "must be a latitude", "field": "lat", "index": 1}],
    }


def test_all_refused_is_a_400_that_says_which_field_and_why(client, fakes, bearer):
    fakes.intake.refuse((None, "lat", "must be a latitude"))
    answer = client.post("/v1/pings", json=PING, headers=bearer("sk_all"))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "title": "Bad Request",
        "status": 400,
        "detail": "lat: must be a latitude",
        "errors": [{"reason": "must be a latitude", "field": "lat"}],
    }


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 100_000, b'{"device": NaN}'])
def test_whatever_bytes_a_phone_sends_reach_the_border_which_says_what_is_wrong(client, fakes, bearer, body):
    fakes.intake.refuse((None, None, "is not JSON"))
    answer = client.post("/v1/pings", content=body, headers=bearer("token-1"))
    assert answer.status_code == 400
    assert fakes.intake.taken[0][1] == body


def test_a_body_over_the_limit_is_refused_before_the_border(client, fakes, bearer):
    answer = client.post("/v1/pings", content=b" " * 1_048_577, headers=bearer("sk_all"))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert fakes.intake.taken == []


def test_a_body_without_a_length_is_held_to_the_limit_too(client, fakes, bearer):
    answer = client.post("/v1/pings", content=iter([b" " * 600_000] * 2), headers=bearer("sk_all"))
    assert answer.status_code == 413
    assert fakes.intake.taken == []


def test_a_log_that_does_not_answer_is_a_503_that_says_when_to_come_back(client, fakes, bearer):
    fakes.intake.down = True
    answer = client.post("/v1/pings", json=PING, headers=bearer("sk_all"))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert "redis" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "query"),
    [({"X-Limit-U": "alice", "X-Limit-D": "phone"}, ""), ({}, "?u=alice&d=phone"), ({"X-Limit-D": "phone"}, "")],
)
def test_owntracks_names_itself_by_header_query_or_login(client, fakes, headers, query):
    body = {"_type": "location", "lat": 60.17, "lon": 24.94, "tst": 1_772_366_400}
    answer = client.post(f"/v1/owntracks{query}", json=body, headers={**BASIC, **headers})
    assert (answer.status_code, answer.json()) == (200, [])
    assert fakes.intake.taken[0][0] == "http:/v1/owntracks"
    assert fakes.intake.taken[0][2] == "alice.phone"


def test_an_empty_owntracks_body_is_answered_and_ignored(client, fakes):
    answer = client.post("/v1/owntracks?u=alice&d=phone", headers=BASIC)
    assert (answer.status_code, answer.json()) == (200, [])
    assert fakes.intake.taken == []


def test_an_owntracks_message_without_a_fix_is_answered_too(client, fakes):
    fakes.intake.answer = Accepted(0, ())
    answer = client.post("/v1/owntracks?u=alice&d=phone", json={"_type": "lwt", "tst": 1}, headers=BASIC)
    assert (answer.status_code, answer.json()) == (200, [])


def test_an_owntracks_message_that_cannot_be_used_does_not_wedge_the_phones_queue(client, fakes):
    fakes.intake.refuse((None, "lat", "must be a latitude\n\u00e9"))
    body = {"_type": "location", "lat": 200, "lon": 24.94, "tst": 1_772_366_400}
    answer = client.post("/v1/owntracks?u=alice&d=phone", json=body, headers=BASIC)
    assert (answer.status_code, answer.json()) == (200, [])
    assert answer.headers["x-rejected"] == "lat: must be a latitude ?"


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"lat": 1}', b'{"_type": "encrypted", "data": "x"}'])
def test_what_a_person_must_mend_in_the_app_is_a_400(client, fakes, body):
    fakes.intake.refuse((None, None, "is not OwnTracks"))
    answer = client.post("/v1/owntracks?u=alice&d=phone", content=body, headers=BASIC)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_owntracks_without_a_device_is_told_how_to_say_it(client):
    answer = client.post("/v1/owntracks", json={"_type": "lwt"}, headers=BASIC)
    assert answer.status_code == 400
    assert "X-Limit-D" in answer.json()["detail"]


def test_owntracks_names_that_make_no_id_are_refused(client):
    answer = client.post("/v1/owntracks?u=al%20ice&d=phone", json={"_type": "lwt"}, headers=BASIC)
    assert answer.status_code == 400


def test_owntracks_under_a_devices_token_is_that_device(client, fakes, bearer):
    client.post("/v1/owntracks?u=alice&d=phone-1", json={"_type": "lwt"}, headers=bearer("token-1"))
    assert fakes.intake.taken[0][2] == "phone-1"
    other = client.post("/v1/owntracks?u=alice&d=phone-2", json={"_type": "lwt"}, headers=bearer("token-1"))
    assert other.status_code == 403


def test_a_sensors_body_goes_to_the_border_under_its_path(client, fakes, bearer):
    answer = client.post("/v1/sensors/door-1", json={"in": 3, "out": 1}, headers=bearer("sk_harbour"))
    assert answer.status_code == 202
    assert fakes.intake.taken[0][:2] == ("http:/v1/sensors/door-1", b'{"in":3,"out":1}')


def test_a_sensor_may_log_in_with_basic(client):
    assert client.post("/v1/sensors/door-1", json={"in": 3}, headers=BASIC).status_code == 202


@pytest.mark.parametrize("sensor", ["door-9", "no%20id"])
def test_an_unknown_sensor_is_a_404(client, fakes, bearer, sensor):
    assert client.post(f"/v1/sensors/{sensor}", json={"in": 3}, headers=bearer("sk_all")).status_code == 404
    assert fakes.intake.taken == []


def test_a_sensor_of_another_store_is_forbidden(client, fakes, bearer):
    assert client.post("/v1/sensors/door-2", json={"in": 3}, headers=bearer("sk_harbour")).status_code == 403
    assert fakes.intake.taken == []
