"""How a store's promotions are paced, over HTTP."""

import json

import msgspec
import pytest

from geo_service.flow.pacers import Pacing
from sensors.instants import instant

PATH = "/v1/stores/harbour/pacing"


def pacing():
    return Pacing(
        store="harbour", time=instant(1_772_366_400_000), capacity=120, admits=False,
        reason="would be 123 ± 9 of 120 people at 14:35", evidence={"minutes": 15}, in_flight=41, outlook=[],
        target_minutes=5.0, overshoot_minutes=None, override=None, overrides=[],
    )  # fmt: skip


def test_pacing_is_told_with_its_reason(client, fakes, bearer):
    fakes.current.named = lambda names: {
        name: msgspec.json.encode(pacing()) for name in names if name == "pacing:harbour"
    }
    answer = client.get(PATH, headers=bearer("sk_harbour"))
    assert answer.status_code == 200
    assert answer.json()["pacing"]["reason"] == "would be 123 ± 9 of 120 people at 14:35"


def test_a_store_that_nothing_measures_is_not_paced(client, bearer):
    assert client.get(PATH, headers=bearer("sk_all")).json() == {"pacing": None}


def test_a_decision_goes_to_the_border_with_who_decided(client, fakes, bearer):
    body = {"action": "ceiling", "ceiling": 80, "until": "2026-03-01T18:00:00Z"}
    answer = client.post(PATH, json=body, headers=bearer("sk_all"))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    topic, payload, _ = fakes.intake.taken[0]
    assert topic == "http:/v1/stores/harbour/pacing"
    said = json.loads(payload)
    assert (said["action"], said["ceiling"], said["until"]) == ("ceiling", 80, "2026-03-01T18:00:00Z")
    assert said["by"]


@pytest.mark.parametrize(
    "body", [{}, {"action": "stop"}, {"action": "ceiling", "ceiling": -1}, {"action": "pause", "for": 3}]
)
def test_what_is_no_decision_is_refused(client, fakes, bearer, body):
    answer = client.post(PATH, json=body, headers=bearer("sk_all"))
    assert answer.status_code == 400
    assert fakes.intake.taken == []


def test_an_unknown_store_is_a_404(client, bearer):
    assert client.get("/v1/stores/nowhere/pacing", headers=bearer("sk_all")).status_code == 404
    answer = client.post("/v1/stores/nowhere/pacing", json={"action": "pause"}, headers=bearer("sk_all"))
    assert answer.status_code == 404


def test_who_may_only_read_decides_nothing(client, bearer):
    assert client.post(PATH, json={"action": "pause"}, headers=bearer("sk_readonly")).status_code == 403
