import json
import math

import pytest

from geo_service.errors import InvalidInputError
from geo_service.pings import owntracks

LOCATION = {
    "_type": "location",
    "lat": 50.1182933,
    "lon": -5.5407733,
    "tst": 1_732_270_000,
    "acc": 5,
    "vel": 36,
    "cog": 90,
}


def decode(**changes: object) -> list[owntracks.Row]:
    return owntracks.decode(json.dumps(LOCATION | changes).encode(), "jane.phone")


def test_the_device_is_user_and_device_of_the_topic():
    assert owntracks.device_of("owntracks/jane/phone") == "jane.phone"
    assert owntracks.device_of("owntracks/jane/phone/event") == "jane.phone"
    with pytest.raises(InvalidInputError):
        owntracks.device_of("owntracks/jane")


def test_speed_arrives_in_kilometres_an_hour():
    assert decode() == [("jane.phone", 1_732_270_000_000, 50.1182933, -5.5407733, 5.0, 10.0, 90.0, 0)]


def test_quoted_numbers_are_numbers():
    assert decode(lat="50.5", tst="1732270001")[0][1:3] == (1_732_270_001_000, 50.5)


def test_fields_left_out_are_unknown():
    row = owntracks.decode(b'{"_type":"location","lat":1,"lon":2,"tst":3}', "a.b")[0]
    assert all(math.isnan(value) for value in row[4:7])


def test_a_transition_is_a_fix_where_the_phone_says_it_was():
    assert decode(_type="transition", event="enter", desc="shop")[0][2] == 50.1182933


@pytest.mark.parametrize("kind", ["lwt", "waypoint", "waypoints", "status", "steps", "beacon", "card", "dump", "cmd"])
def test_what_is_no_fix_has_no_effect(kind):
    assert decode(_type=kind) == []


def test_an_empty_body_is_a_keep_alive():
    assert owntracks.decode(b"", "a.b") == owntracks.decode(b"  \n", "a.b") == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"lat": 91}, "lat"), ({"lon": None}, "lon"), ({"tst": None}, "tst"), ({"_type": "invented"}, "_type")],
)
def test_a_fix_without_place_or_time_says_which_field_is_wrong(changes, field):
    with pytest.raises(InvalidInputError) as caught:
        decode(**changes)
    assert caught.value.field == field


def test_encrypted_payloads_are_refused_in_words():
    with pytest.raises(InvalidInputError, match="encrypted"):
        owntracks.decode(b'{"_type":"encrypted","data":"AAAA"}', "a.b")
