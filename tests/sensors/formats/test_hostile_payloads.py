"""Whatever arrives, a decoder answers with readings or with one clear refusal."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.config import SensorConfig
from sensors.errors import ReadingError, UnknownFormatError
from sensors.formats import decoder, formats
from sensors.formats.message import MAX_PAYLOAD_BYTES, MAX_READINGS
from sensors.readings import Reading

CONFIG = SensorConfig(id="door-1")
TOPIC = "geo/v1/sensor/door-1"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def must_answer(name: str, payload: bytes, config: SensorConfig = CONFIG) -> list[Reading]:
    """Decode; anything but readings or a refusal fails the test."""
    readings = []
    try:
        readings = decoder(name).decode(payload, TOPIC, config, received_ms=1_700_000_000_000)
    except ReadingError as error:
        refusal = error.reason
    else:
        refusal = "-"
    assert 0 < len(refusal) < 300
    assert refusal.isprintable()
    for reading in readings:
        assert reading.ins >= 0
        assert reading.outs >= 0
        assert reading.value is None or math.isfinite(reading.value)
        # The log stores readings as msgpack; one that does not survive that would stop the worker.
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(reading), type=Reading) == reading
    return readings


def test_an_unknown_format_is_refused_with_the_names_that_exist():
    with pytest.raises(UnknownFormatError, match=r"unknown sensor format 'nonsense'; known: .*native"):
        decoder("nonsense")


@pytest.mark.parametrize("name", formats())
@given(payload=st.binary(max_size=200))
@settings(max_examples=30, deadline=None)
def test_arbitrary_bytes_never_escape_as_another_error(name, payload):
    must_answer(name, payload)


@pytest.mark.parametrize("name", formats())
@given(body=json_values)
@settings(max_examples=50, deadline=None)
def test_arbitrary_json_never_escapes_as_another_error(name, body):
    must_answer(name, msgspec.json.encode(body))


@pytest.mark.parametrize("name", formats())
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b'"\xed\xa0\x80"',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"1" * 6_000,
        b"-" + b"9" * 6_000,
        b'{"in":' + b"9" * 6_000 + b',"out":0}',
        b'{"in":NaN,"out":0}',
        b'{"in":1e999,"out":0}',
        b"\x00",
        b"null",
        b"[null]",
        b"[]",
    ],
    ids=lambda payload: repr(payload[:12]),
)
def test_hostile_bodies_never_escape_as_another_error(name, payload):
    must_answer(name, payload)


@pytest.mark.parametrize("name", formats())
def test_ten_megabytes_are_refused_unread(name):
    with pytest.raises(ReadingError, match=f"at most {MAX_PAYLOAD_BYTES}"):
        decoder(name).decode(b" " * 10_000_000, TOPIC, CONFIG)


def test_too_many_readings_in_one_message_are_refused():
    body = msgspec.json.encode([{"in": 1, "out": 0}] * (MAX_READINGS + 1))
    with pytest.raises(ReadingError, match=f"at most {MAX_READINGS}"):
        decoder("native").decode(body, TOPIC, CONFIG)
