"""What shoppers do online, as it comes in."""

import json

import pytest

from geo_service.errors import InvalidInputError
from geo_service.flow.entries import Action, Behaviour, Traits
from geo_service.flow.intake import Intake, Message, SensorDirectory, nothing_taken
from geo_service.offers.behaviour import MOST, decode, decode_traits


def body(*actions):
    return json.dumps(actions[0] if len(actions) == 1 else actions).encode()


def test_an_action_is_about_a_product_a_category_or_a_search():
    said = [
        {"type": "viewed", "sku": "rye", "time": "2026-06-06T10:00:00Z"},
        {"type": "searched", "query": "fresh bread", "id": "s-1"},
        {"type": "bought", "category": "bakery", "quantity": 3, "colour": "ignored"},
    ]
    (entry,), refused = decode(body(*said), "d1")
    assert refused == []
    assert entry == Behaviour(
        "d1",
        [
            Action("viewed", sku="rye", time_ms=1_780_740_000_000),
            Action("searched", query="fresh bread", id="s-1"),
            Action("bought", category="bakery", quantity=3),
        ],
    )


def test_a_back_end_names_each_device_and_a_phone_speaks_for_itself_only():
    said = body({"type": "viewed", "sku": "a", "device": "d1"}, {"type": "viewed", "sku": "b", "device": "d2"})
    entries, _ = decode(said, None)
    assert [entry.device for entry in entries] == ["d1", "d2"]
    entries, refused = decode(said, "d1")
    assert [entry.device for entry in entries] == ["d1"]
    assert [(index, error.field) for index, error in refused] == [(1, "device")]


@pytest.mark.parametrize(
    ("action", "field"),
    [
        ({"type": "stolen", "sku": "a"}, "type"),
        ({"sku": "a"}, "type"),
        ({"type": "viewed"}, "sku"),
        ({"type": "viewed", "sku": "a", "category": "b"}, "sku"),
        ({"type": "viewed", "sku": "a", "time": "2026-06-06T10:00:00"}, "time"),
        ({"type": "bought", "sku": "a", "quantity": 0}, "quantity"),
        ({"type": "bought", "sku": "a", "id": ""}, "id"),
        ({"type": "viewed", "sku": "a", "device": "no id"}, "device"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_field(action, field):
    entries, refused = decode(body(action), None if "device" in action else "d1")
    assert entries == []
    assert refused[0][1].field == field


def test_too_many_at_once_are_refused():
    with pytest.raises(InvalidInputError, match=f"at most {MOST}"):
        decode(body(*[{"type": "viewed", "sku": "a"}] * (MOST + 1)), "d1")


def test_traits_are_read_and_wrong_ones_refused():
    assert decode_traits(b'{"segments":["a","b"]}', "d1") == Traits("d1", ["a", "b"], None)
    assert decode_traits(b'{"language":""}', "d1") == Traits("d1", None, "")
    for wrong in (b'{"language":"finnish, please"}', b'{"segments":["no id"]}', b"[]"):
        with pytest.raises(InvalidInputError):
            decode_traits(wrong, "d1")


def test_a_recording_may_hold_them_as_bodies_over_http():
    intake, taken = Intake(SensorDirectory({}, {})), nothing_taken()
    said = body({"type": "viewed", "sku": "a", "device": "d1"}, {"type": "viewed", "device": "d1"})
    problems = intake.take(Message("http:/v1/behaviour", said, 1), taken)
    assert [(problem.place, problem.field) for problem in problems] == [(1, "sku")]
    assert intake.take(Message("http:/v1/people/d1/traits", b'{"language":"fi"}', 1), taken) == []
    assert [key for key, _ in taken.others] == ["d1", "d1"]
    assert len(taken.refusals) == 1
