"""What of an output names a person is left out, and nothing else."""

import json

import pytest

from geo_service.people.identity import without_identity

CROSSING = {
    "kind": "crossing",
    "id": "0-1772366400000-0-1",
    "type": "enter",
    "device": "",
    "fence": "harbour.near",
    "store": "harbour",
    "role": "near",
    "time": "2026-03-01T12:00:00Z",
    "confidence": 0.91,
    "duration_s": None,
}


@pytest.mark.parametrize(
    "device", ["phone-1", "1", "a", "near", "harbour", "enter", "2026-03-01T12:00:00Z", "crossing"]
)
def test_of_a_crossing_only_the_device_is_left_out_however_it_is_called(device):
    line = json.dumps(CROSSING | {"device": device}).encode()
    assert json.loads(without_identity(line, device)) == {k: v for k, v in CROSSING.items() if k != "device"}


@pytest.mark.parametrize(
    "more",
    [
        {"code": "7Q4K"},
        {"person": "phone-1"},
        {"reason": "device: is 'phone-1' but the sender is another"},
        {"evidence": {"shopper": "phone-1"}},
        {"something": "of phone-1"},
        {"title": "phone-1, this is for you"},
        {"offers": ["phone-1"]},
    ],
)
def test_whatever_else_mentions_it_is_left_out_too(more):
    line = json.dumps({"kind": "offer", "device": "phone-1"} | more).encode()
    assert json.loads(without_identity(line, "phone-1")) == {"kind": "offer"}
