"""SenML, RFC 8428: base fields resolve as the RFC's own rules say."""

import msgspec
import pytest

from sensors.config import SensorConfig
from sensors.errors import ReadingError
from sensors.formats import decoder
from sensors.formats.senml import resolve

NOW_MS = 1_785_492_300_000
NOW_S = NOW_MS / 1000


def names(pack):
    return [(record.base + record.own, record.at_ms, record.value) for record in resolve(pack, NOW_MS)]


def test_names_times_and_values_are_joined_to_their_bases():
    pack = [
        {"bn": "urn:dev:ow:10e2073a01080063:", "bt": 1.276020076e09, "bv": 100, "n": "voltage", "v": 20.1},
        {"n": "current", "t": -5, "v": 1.2},
        {"n": "current", "t": -4},
    ]
    assert names(pack) == [
        ("urn:dev:ow:10e2073a01080063:voltage", 1_276_020_076_000, 120.1),
        ("urn:dev:ow:10e2073a01080063:current", 1_276_020_071_000, 101.2),
        ("urn:dev:ow:10e2073a01080063:current", 1_276_020_072_000, 100.0),
    ]


def test_a_base_holds_until_the_next_one():
    pack = [{"bn": "a:", "bt": 2e9, "n": "in", "v": 1}, {"bn": "b:", "n": "in", "v": 2}, {"n": "out", "v": 3}]
    assert [(name, value) for name, _, value in names(pack)] == [("a:in", 1.0), ("b:in", 2.0), ("b:out", 3.0)]


def test_small_times_are_relative_to_now_and_none_is_now():
    assert [at for _, at, _ in names([{"n": "in", "v": 1, "t": -30}, {"n": "in", "v": 1}])] == [NOW_MS - 30_000, None]
    assert resolve([{"n": "in", "v": 1, "t": -30}], 0)[0].at_ms is None


def test_a_record_of_base_fields_alone_measures_nothing():
    assert names([{"bn": "dev:", "bt": NOW_S}, {"n": "in", "v": 1}]) == [("dev:in", NOW_MS, 1.0)]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"n": "in", "v": 1, "unit_": "x"}, "a field that must be understood and is not: 'unit_'"),
        ({"n": "in", "v": 1, "bver": 11}, r"\[0\].bver: is a later version than 10"),
        ({"n": "-in", "v": 1}, "the name '-in' is not one of RFC 8428"),
        ({"v": 1}, "the name '' is not one of RFC 8428"),
        ({"n": 5, "v": 1}, r"\[0\].n: must be a text"),
        ({"n": "in", "v": "x"}, r"\[0\].v: 'x' is not a number"),
        ({"n": "in", "v": 1, "t": 1e300}, r"\[0\].t: time is not a number of seconds"),
    ],
)
def test_what_the_rfc_forbids_is_refused(record, reason):
    with pytest.raises(ReadingError, match=reason):
        resolve([record], NOW_MS)


def read(pack, **options):
    config = SensorConfig(id="door-1", options=options)
    return decoder("senml").decode(msgspec.json.encode(pack), "t", config, received_ms=NOW_MS)


def test_a_sum_is_a_running_total_and_beats_a_value():
    [reading] = read([{"n": "in", "s": 40, "v": 2}, {"n": "out", "s": 30, "v": 1}])
    assert (reading.kind, reading.ins, reading.outs) == ("cumulative", 40, 30)


def test_two_devices_in_one_pack_are_two_lines():
    pack = [{"bn": "urn:dev:a:", "n": "in", "v": 1}, {"bn": "urn:dev:b:", "n": "in", "v": 2}]
    assert [(reading.line, reading.ins) for reading in read(pack)] == [("urn:dev:a", 1), ("urn:dev:b", 2)]


def test_negative_people_are_refused():
    with pytest.raises(ReadingError, match="in: -2 is negative"):
        read([{"n": "in", "v": -2}])


def test_a_pack_about_something_else_is_a_sign_of_life():
    assert [reading.kind for reading in read([{"n": "temperature", "u": "Cel", "v": 21}])] == ["heartbeat"]


def test_wrong_options_are_named():
    assert decoder("senml").problems({"names": {"inn": "a"}}) == [
        "options.names: 'inn' is none of in, out, people, on, seq, uptime, battery"
    ]
