import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.config import SensorConfig
from sensors.errors import ReadingError
from sensors.formats import decoder
from sensors.readings import Reading

CONFIG = SensorConfig(id="door-1")


def read(body, config=CONFIG, **how):
    payload = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return decoder("native").decode(payload, "geo/v1/sensor/door-1", config, **how)


def test_a_body_with_in_and_out_is_a_delta_of_the_door():
    assert read({"in": 3, "out": 1}) == [Reading(sensor="door-1", line="door", kind="delta", ins=3, outs=1)]


def test_every_field_of_a_door_reading_is_read():
    body = {
        "line": "left", "time": "2026-07-31T10:00:00Z", "from": 1785491940, "kind": "cumulative", "in": 70_000,
        "out": 69_000, "seq": 7, "uptime_s": 360.5, "battery": 0.4, "tamper": True, "colour": "red",
    }  # fmt: skip
    assert read(body, received_ms=5, retained=True) == [
        Reading(
            sensor="door-1", line="left", kind="cumulative", ins=70_000, outs=69_000, from_ms=1_785_491_940_000,
            to_ms=1_785_492_000_000, seq=7, uptime_s=360.5, battery=0.4, tamper=True, received_ms=5, retained=True,
        )
    ]  # fmt: skip


def test_a_list_is_read_in_its_order():
    readings = read([{"in": 1, "out": 0}, {"kind": "heartbeat"}, {"kind": "state", "on": True}])
    assert [(reading.kind, reading.ins, reading.value) for reading in readings] == [
        ("delta", 1, None), ("heartbeat", 0, None), ("state", 0, 1.0),
    ]  # fmt: skip


def test_a_recount_is_an_absolute_reading_with_its_error():
    hall = SensorConfig(id="door-1", zone="hall")
    [reading] = read({"kind": "absolute", "value": 41, "error": 2.5, "zone": "hall"}, hall)
    assert (reading.kind, reading.value, reading.error, reading.zone) == ("absolute", 41.0, 2.5, "hall")


def test_numbers_may_come_as_strings_and_a_zero_may_be_left_out():
    [reading] = read({"in": "3"})
    assert (reading.ins, reading.outs) == (3, 0)


@pytest.mark.parametrize("time", [1_785_492_000, 1_785_492_000.0, "2026-07-31T12:00:00+02:00", "2026-07-31T10:00:00Z"])
def test_times_are_epoch_seconds_or_rfc_3339(time):
    assert read({"in": 1, "out": 0, "time": time})[0].to_ms == 1_785_492_000_000


def test_a_local_time_needs_the_timezone_of_the_sensor():
    body = {"in": 1, "out": 0, "time": "2026-07-31T12:00:00"}
    assert read(body, SensorConfig(id="door-1", timezone="Europe/Berlin"))[0].to_ms == 1_785_492_000_000
    with pytest.raises(ReadingError, match="time: time has no timezone"):
        read(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "kind: is missing"),
        ({"in": -1, "out": 0}, "in: -1 is negative"),
        ({"in": 1.5, "out": 0}, "in: 1.5 is not a whole number"),
        ({"in": True, "out": 0}, "in: True is not a number"),
        ({"in": 10**7, "out": 0}, "in: 10000000 is more than"),
        ({"in": [], "out": 0}, "in: a list is not a number"),
        ({"kind": "delta"}, "in: is missing"),
        ({"kind": "cumulative", "in": 4}, "out: is missing; a cumulative reading needs both totals"),
        ({"kind": "absolute"}, "value: is missing"),
        ({"kind": "absolute", "value": -2}, "value: -2 is negative"),
        ({"kind": "absolute", "value": 2, "zone": "attic"}, "zone: 'attic' is no zone of this sensor"),
        ({"kind": "state", "on": "perhaps"}, "on: 'perhaps' is neither on nor off"),
        ({"kind": "guess", "in": 1}, "kind: 'guess' is none of delta, cumulative"),
        ({"in": 1, "out": 0, "time": "yesterday"}, "time: 'yesterday' is not an RFC 3339 time"),
        ({"in": 1, "out": 0, "time": 1.7e15}, "time: time is not a number of seconds since 1970"),
        ({"in": 1, "out": 0, "seq": 2**63}, "seq: a huge number is more than"),
        ({"in": 1, "out": 0, "uptime_s": -1}, "uptime_s: -1 is negative"),
        ({"in": 1, "out": 0, "line": "a\nb"}, "line: must be a text of 1 to 64 printable characters"),
        ([{"in": 1, "out": 0}, {"in": -1}], r"\[1\].in: -1 is negative"),
        ("hello", "the body must be a list"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_its_field(body, reason):
    with pytest.raises(ReadingError, match=reason):
        read(body)


@given(ins=st.integers(0, 1_000_000), outs=st.integers(0, 1_000_000), seq=st.none() | st.integers(0, 2**63 - 1))
def test_any_true_count_comes_through_unchanged(ins, outs, seq):
    [reading] = read({"in": ins, "out": outs, "seq": seq})
    assert (reading.ins, reading.outs, reading.seq) == (ins, outs, seq)
