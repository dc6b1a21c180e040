"""Where an id stands, and where it only looks so."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service import outputs
from geo_service.catalogue.documents import Campaign, Caps, Policy, PolicyCaps, Store
from geo_service.flow.entries import Action, Behaviour, Handover, Traits, encode_body
from geo_service.offers.campaigns import Placement, StoreRules, Terms
from geo_service.offers.facts import Facts
from geo_service.people.traces import NAMES_NOBODY, Trace, plain
from sensors.instants import instant

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
        ("cap:bread/phone-1:per_device", True),
        ("cap:bread:gap/phone-1:min_gap_s", True),
        ("exclusive:spring/phone-1:exclusive", True),
        ("policy:house/phone-1:2026-06-04:policy.per_device_day", True),
        ("policy:house/phone-1:gap:policy.min_gap_s", True),
        ("cap:phone-1:total", False),
        ("cap:phone-1/phone-2:per_device", False),
        ("cap:bread/phone-12:per_device", False),
        ("cap:bread/my:phone-1:per_device", False),
        ("cap:bread/phone-1:my:per_device", False),
        ("policy:house/phone-1:gap:gap:policy.min_gap_s", False),
        ("cap:bread:phone-1:per_store", False),
        ("phone-1", False),
    ],
)
def test_counters_tell_whose_they_are(name, is_theirs):
    assert Trace("phone-1").is_counter(name) == is_theirs


@given(IDS, IDS, IDS)
def test_a_counter_is_that_of_one_person_whatever_signs_are_in_ids(person, other, campaign):
    store = Store(id="s", name="S", lat=0, lon=0)
    caps = Caps(per_device=1, per_store=1, per_day=1, total=1, min_gap_s=1, budget=1)
    document = Campaign(
        id=campaign, name="", caps=caps, exclusive="x:y", benefit={"type": "amount", "value": 5, "currency": "EUR"}
    )
    policy = Policy(id=campaign, caps=PolicyCaps(per_device_day=1, min_gap_s=1))
    placement = Placement(Terms(document, {}), StoreRules(store, [policy]))
    mine = [claim.counter for claim in placement.claims(other, 1_780_740_000_000)]
    assert sum(Trace(other).is_counter(counter) for counter in mine) == 5
    assert person == other or not any(Trace(person).is_counter(counter) for counter in mine)


WORDS = sorted(
    {*NAMES_NOBODY, "device", "sent", "enter", "observed", "fi", "members", "bread", "harbour", "push", "yes"}
)


@pytest.mark.parametrize("word", WORDS)
def test_a_device_that_is_called_like_a_word_of_ours_has_no_part_in_what_is_said_of_others(word):
    at = instant(1_780_740_000_000)
    evidence = {
        "crossing": "0-1-0-0",
        "confidence": 0.9,
        "occupancy": {"mean": 3.0, "low": 1.0, "high": 5.0, "rate": 0.1, "level": "quiet", "status": "live"},
        "person": {"visits": 1, "visits_here": 1, "segments": ["members"], "order": None},
        "pacing": {"verdict": "would be 3 ± 1 of 50 people at 10:00", "eta_s": 120, "capacity": 50},
        "benefit": {"type": "percentage", "value": 20},
    }
    offer = outputs.Offer(
        id="0-1-0-0.0",
        campaign="bread",
        device="anna",
        store="harbour",
        decision="sent",
        reason="admitted",
        title="Bread",
        body="Warm",
        language="fi",
        time=at,
        expires=at,
        evidence=evidence,
    )
    crossing = outputs.Crossing(
        id="0-1-0-0",
        type="enter",
        device="anna",
        fence="harbour.near",
        store="harbour",
        role="near",
        time=at,
        logged=at,
        lat=1.0,
        lon=2.0,
        accuracy_m=5.0,
        confidence=0.9,
        duration_s=None,
        reason="observed",
    )
    for output in (offer, crossing):
        assert not Trace(word).is_in(outputs.encode(output))
        assert Trace("anna").is_in(outputs.encode(output))
    for entry in (
        Traits("anna", ["members"], "fi"),
        Behaviour("anna", [Action("viewed", sku="bread", category="bread", query="bread")]),
        Handover(0, "1-0", [crossing], [Facts(agrees=True, segments=["members"])]),
    ):
        packed = encode_body(entry)[1]
        assert list(Trace(word).excerpts(msgspec.msgpack.decode(packed))) == []
        assert list(Trace("anna").excerpts(msgspec.msgpack.decode(packed))) != []


def test_a_sentence_may_quote_an_id():
    line = b'{"kind":"rejected","topic":"geo/v1/ping/bert","reason":"device: is \'anna\' but the sender is \'bert\'"}'
    assert Trace("anna").is_in(line)
    assert not Trace("device").is_in(line)
    assert not Trace("sender").is_in(line)


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


def test_fields_that_the_store_tells_as_bytes_are_told_by_their_names():
    kept = {b"offer": b"0-1-0-0.0", b"state": b"issued", b"till": b'{"receipt":"7"}', "plain": {3: b"x"}}
    assert plain(kept) == {
        "offer": "0-1-0-0.0",
        "state": "issued",
        "till": {"receipt": "7"},
        "plain": {"3": "x"},
    }


@pytest.mark.parametrize("kept", [b"\xff\xfe", b"\xd4\x01A", b"\xc7\x02\x05\xff\xfe"])
def test_bytes_that_are_no_text_can_be_told_too(kept):
    """The second and third are extensions of MessagePack, as a digest may look by chance."""
    told = plain({b"digest": kept})
    assert msgspec.json.decode(msgspec.json.encode(told)) == told


def test_an_excerpts_path_is_made_of_names():
    assert list(Trace("phone-1").excerpts({b"held": [{"device": "phone-1"}]})) == [("held", {"device": "phone-1"})]
