"""Where an id stands, and where it only looks so."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.people.traces import Trace

IDS = st.text("abc.:-_1", min_size=1, max_size=8)
PACK = (msgspec.json.encode, msgspec.msgpack.encode)


@pytest.mark.parametrize("pack", PACK)
@pytest.mark.parametrize(
    "value",
    [
        {"device": "near"},
        {"near": 1},
        ["x", ["near"]],
        {"evidence": {"shoppers": ["near"]}},
        {"topic": "geo/v1/ping/near"},
        {"topic": "http:/v1/people/near/consent"},
    ],
)
def test_an_id_is_found_wherever_one_can_stand(pack, value):
    assert Trace("near").is_in(pack(value))


def test_packed_within_the_packed_is_found_too():
    inner = msgspec.msgpack.encode({"device": "near"})
    assert Trace("near").is_in(msgspec.msgpack.encode({"k": "d", "d": inner}))


@pytest.mark.parametrize(
    "value",
    [
        {"role": "near", "store": "near", "id": "near", "device": "nearby"},
        {"device": "x-near"},
        {"topic": "geo/v1/ping/nearby"},
        ["nearest"],
        {"title": "near"},
    ],
)
@pytest.mark.parametrize("pack", PACK)
def test_a_word_is_no_id(pack, value):
    assert not Trace("near").is_in(pack(value))


def test_an_owntracks_id_is_found_in_topics_and_queries_as_they_write_it():
    trace = Trace("ada.phone")
    for topic in ("owntracks/ada/phone", "owntracks/ada/phone/event", "http:/v1/owntracks?u=ada&d=phone"):
        assert trace.is_in(msgspec.json.encode({"topic": topic}))
    assert not trace.is_in(b'{"topic": "owntracks/ada/phones"}')


def test_plain_text_is_read_too():
    trace = Trace("phone-1")
    assert trace.is_in(b"phone-1")
    assert trace.is_in(b"of phone-1 there")
    assert not trace.is_in(b"phone-12")
    assert not trace.is_in(b"")


@pytest.mark.parametrize(
    ("name", "is_theirs"),
    [
        ("phone-1", True),
        ("cap:bread:device:phone-1:per_device", True),
        ("cap:bread:gap:phone-1:min_gap_s", True),
        ("http:device:phone-1", True),
        ("occupancy:phone-1", True),
        ("cap:phone-1:total", False),
        ("cap:bread:device:phone-12:per_device", False),
        ("cap:bread:device:my:phone-1x:per_device", False),
    ],
)
def test_names_of_keys_and_counters_tell_whose_they_are(name, is_theirs):
    assert Trace("phone-1").is_in_name(name) == is_theirs


def test_a_campaign_of_the_same_name_keeps_its_counters():
    assert not Trace("bread").is_in_name("cap:bread:device:phone-1:per_device")
    assert not Trace("total").is_in_name("cap:bread:total")
    assert Trace("bread").is_in_name("cap:bread:device:bread:per_device")


@given(st.lists(IDS, max_size=6), IDS)
def test_without_somebody_everybody_else_is_left(devices, person):
    lines = b"\n".join(msgspec.json.encode({"device": device, "n": n}) for n, device in enumerate(devices))
    kept = [msgspec.json.decode(line)["device"] for line in Trace(person).without(lines).split(b"\n") if line]
    assert kept == [device for device in devices if device != person]


def test_excerpts_are_the_smallest_parts_that_say_who():
    state = {
        "profiles": {"phone-1": {"visits": 3}, "phone-2": {"visits": 1}},
        "handed": [{"device": "phone-1", "at": 7}, {"device": "phone-2"}],
        "packed": msgspec.msgpack.encode({"seen": {"phone-1": [1, 2]}}),
    }
    assert list(Trace("phone-1").excerpts(state)) == [
        ("profiles", {"visits": 3}),
        ("handed", {"device": "phone-1", "at": 7}),
        ("packed.seen", [1, 2]),
    ]
