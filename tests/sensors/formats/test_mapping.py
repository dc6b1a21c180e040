"""The generic format: where the figures are, and what is said when they are not there."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.config import SensorConfig
from sensors.errors import ReadingError
from sensors.formats import decoder
from sensors.formats.json_path import JsonPath


def read(body, **options):
    config = SensorConfig(id="door-1", options=options)
    return decoder("mapping").decode(msgspec.json.encode(body), "t", config, received_ms=1_785_492_300_000)


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$.a.b[0].in", ("a", "b", 0, "in")),
        ("a.b", ("a", "b")),
        ("$", ()),
        ("$['odd name'][-1]", ("odd name", -1)),
        ('$["x"].y', ("x", "y")),
        ("[2]", (2,)),
    ],
)
def test_paths_name_members_and_places(path, steps):
    assert JsonPath.parse(path, "here").steps == steps


@pytest.mark.parametrize("path", ["", "$.a..b", "$.a[", "$[*]", "$.a b", "$..a", "$.a\n", 5, None, "$" + ".a" * 200])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ReadingError, match=r"here: .*JSON path such as"):
        JsonPath.parse(path, "here")


keys = st.text(min_size=1, max_size=6).filter(lambda key: "'" not in key)


@given(steps=st.lists(keys | st.integers(0, 3), max_size=6), leaf=st.integers())
def test_a_path_finds_what_it_names(steps, leaf):
    body = leaf
    for step in reversed(steps):
        body = {step: body} if isinstance(step, str) else [*[None] * step, body]
    path = "$" + "".join(f"['{step}']" if isinstance(step, str) else f"[{step}]" for step in steps)
    assert JsonPath.parse(path, "here").find(body) == leaf
    assert JsonPath.parse(path + "['none']", "here").find(body) is None


def test_a_missing_half_of_a_delta_is_zero_and_of_a_total_an_error():
    assert read({"a": 3}, kind="delta", **{"in": "a", "out": "b"})[0].ins == 3
    with pytest.raises(ReadingError, match="out: is missing; half a total"):
        read({"a": 3}, kind="cumulative", **{"in": "a", "out": "b"})


def test_a_counter_of_one_direction_may_have_one_path():
    [reading] = read({"a": 3}, kind="cumulative", **{"in": "a"})
    assert (reading.ins, reading.outs) == (3, 0)


def test_a_body_without_any_figure_is_refused_unless_told_otherwise():
    with pytest.raises(ReadingError, match="holds none of the configured figures"):
        read({"status": "ok"}, kind="delta", **{"in": "a"})
    assert read({"status": "ok"}, kind="delta", otherwise="heartbeat", **{"in": "a"})[0].kind == "heartbeat"


def test_a_measure_below_its_zero_is_nobody():
    [reading] = read({"ppm": 400}, kind="absolute", value="ppm", scale=0.1, offset=-60, error=20)
    assert (reading.value, reading.error) == (0.0, 20.0)


def test_a_state_reads_the_words_that_devices_use():
    assert [read({"d": word}, kind="state", on="d")[0].value for word in ("open", "closed", 1, False)] == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "options.kind: must be one of delta, cumulative, absolute, state"),
        ({"kind": "delta"}, "options.in: is missing; a JSON path is needed for kind delta"),
        ({"kind": "absolute", "in": "a"}, "options.value: is missing"),
        ({"kind": "delta", "in": "a[*]"}, "options.in: 'a[*]' is not a JSON path"),
        ({"kind": "delta", "in": 4}, "options.in: must be a JSON path"),
        ({"kind": "absolute", "value": "a", "scale": "2"}, "options.scale: must be a number"),
        ({"kind": "delta", "in": "a", "otherwise": "ignore"}, 'options.otherwise: may only be "heartbeat"'),
    ],
)
def test_wrong_options_are_named_in_the_check_and_by_the_decoder(options, problem):
    assert decoder("mapping").problems(options)[0].startswith(problem)
    with pytest.raises(ReadingError, match=r"^options"):
        read({"a": 1}, **options)


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
bodies = st.recursive(
    values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner)
)
paths = st.sampled_from(["$", "$$", "a", "$.a.b", "$.a[0]", "$$.b", "$['c']", "$.", "$$$", "x y"]) | values
options = st.fixed_dictionaries(
    {"kind": st.sampled_from(["delta", "cumulative", "absolute", "state"]) | values},
    optional=dict.fromkeys(
        ("each", "line", "in", "out", "value", "on", "time", "from", "seq", "uptime_s", "scale", "offset", "error"),
        paths,
    ),
)


@given(body=bodies, chosen=options)
@settings(max_examples=150, deadline=None)
def test_any_options_and_any_body_give_readings_or_a_refusal(body, chosen):
    try:
        payload = msgspec.json.encode(body)
    except (OverflowError, msgspec.MsgspecError):
        return
    config = SensorConfig(id="door-1", options=chosen)
    try:
        readings = decoder("mapping").decode(payload, "t", config, received_ms=1)
    except ReadingError as error:
        readings = []
        refusal = error.reason
        assert refusal
    for reading in readings:
        assert msgspec.msgpack.encode(reading)
        assert all(figure is None or 0 <= figure <= 1e9 for figure in (reading.value, reading.error))
