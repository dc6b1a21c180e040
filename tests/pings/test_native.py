import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.errors import InvalidInputError
from geo_service.pings import native
from geo_service.pings.batch import MOCK, PingBatch

GOOD = {"device": "d1", "time": 1_732_270_000.5, "lat": 60.1, "lon": 24.9}


def body(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode()


def refusal(payload: bytes) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        native.decode(payload, "d1")
    return caught.value


def test_a_ping_becomes_one_row_in_milliseconds_and_degrees():
    rows, refused = native.decode(
        body(accuracy_m=12.5, speed_mps=1.2, heading_deg=90, mock=True, battery="unread"), "d1"
    )
    assert rows == [("d1", 1_732_270_000_500, 60.1, 24.9, 12.5, 1.2, 90.0, MOCK)]
    assert refused == []


@pytest.mark.parametrize("time", [1_732_270_000.5, "2024-11-22T10:06:40.5Z", "2024-11-22T12:06:40.500+02:00"])
def test_time_is_read_as_epoch_seconds_or_rfc_3339(time):
    assert native.decode(body(time=time), "d1")[0][0][1] == 1_732_270_000_500


def test_what_the_phone_does_not_know_is_nan_however_it_says_so():
    for unknown in ({}, {"accuracy_m": 0, "speed_mps": -1, "heading_deg": -1}, {"accuracy_m": None}):
        _, _, _, _, accuracy, speed, heading, _ = native.decode(body(**unknown), "d1")[0][0]
        assert math.isnan(accuracy)
        assert math.isnan(speed)
        assert math.isnan(heading)


def test_standing_still_is_a_speed():
    assert native.decode(body(speed_mps=0), "d1")[0][0][5] == 0.0


@pytest.mark.parametrize(
    ("payload", "field", "reason"),
    [
        (body(lat=200), "lat", "<= 90"),
        (body(lon=-181), "lon", ">= -180"),
        (body(lat="60.1"), "lat", "Expected `float`"),
        (b'{"time": 1, "lon": 2}', "lat", "missing"),
        (body(time="2024-11-22T10:06:40"), "time", "timezone"),
        (body(time=1e300), "time", "seconds since 1970"),
        (body(device="somebody-else"), "device", "'somebody-else'"),
        (b'{"time": 1, "lat": NaN, "lon": 2}', None, "malformed"),
        (b'{"time": 1, "lat": 1e999, "lon": 2}', "lat", "out of range"),
        (b'{"device": "\xff\xfe"}', None, "UTF-8"),
        (b"[" * 10_000, None, "nested too deeply"),
        (b'{"a":' * 10_000, None, "nested too deeply"),
        (b"", None, "truncated"),
        (b"[]", None, "empty list"),
        (b"[" + b"1," * 500 + b"1]", None, "501 pings"),
    ],
)
def test_a_ping_that_cannot_be_used_says_which_field_and_why(payload, field, reason):
    found = refusal(payload)
    assert found.field == field
    assert reason in found.reason


def test_one_bad_fix_in_a_list_does_not_cost_the_others():
    payload = b"[" + body() + b"," + body(lat=91) + b"," + body(lat=-90) + b"]"
    rows, refused = native.decode(payload, "d1")
    assert [row[2] for row in rows] == [60.1, -90.0]
    assert [(index, error.field) for index, error in refused] == [(1, "lat")]


def test_a_back_office_names_the_device_in_the_body():
    assert native.decode(body(), None)[0][0][0] == "d1"
    with pytest.raises(InvalidInputError, match="device"):
        native.decode(b'{"time": 1, "lat": 1, "lon": 2}', None)
    with pytest.raises(InvalidInputError, match="device"):
        native.decode(body(device="d1\n"), None)


@given(st.binary(max_size=200))
def test_no_bytes_get_past_as_anything_but_rows_or_a_refusal(payload):
    try:
        rows, _ = native.decode(payload, "d1")
    except InvalidInputError:
        return
    assert all(-90 <= row[2] <= 90 and -180 <= row[3] <= 180 for row in rows)


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Za-z0-9_.:-]{1,64}", fullmatch=True),
            st.integers(0, 2**52),
            st.floats(-90, 90),
            st.floats(-180, 180),
            st.floats(0, 1e6) | st.just(float("nan")),
            st.floats(0, 100) | st.just(float("nan")),
            st.floats(0, 360) | st.just(float("nan")),
            st.integers(0, 1),
        ),
        max_size=20,
    )
)
def test_a_batch_survives_the_log_to_the_bit(rows):
    batch = PingBatch.from_rows(rows)
    again = PingBatch.decode(batch.encode())
    assert again.devices == batch.devices
    for name in ("time_ms", "lat", "lon", "accuracy_m", "speed_mps", "heading_deg", "flags"):
        assert getattr(again, name).tobytes() == getattr(batch, name).tobytes()
