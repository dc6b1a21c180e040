"""Captured-style payloads of every make read as their fixtures say; damaged ones are refused, never more."""

import json
import math
import random
from copy import deepcopy
from pathlib import Path

import msgspec
import pytest

from geo_service.catalogue.documents import Sensor
from sensors.config import LineConfig, SensorConfig
from sensors.errors import ReadingError
from sensors.formats import decoder, formats
from sensors.formats.fields import instant_ms
from sensors.readings import Reading

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures/sensors"
CASES = sorted(FIXTURES.glob("*/*.json"))
ODD_VALUES = [
    None, True, False, 0, -1, 1, 1.5, -1.5, 10**9, 2**63, 10**30, 1e300, "", "x", "-1", "9" * 400, "NaN", "1e999", " 7 ",
    [], {}, [[]], [None], {"": None}, {"total": []}, "\x00", "\u2028" * 5, "2026-99-99T00:00:00Z", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00", -62135596800, 253402300799, 1e18, "$", "ON",
]  # fmt: skip


def load(path):
    case = json.loads(path.read_text())
    # As a site describes it, so that a snippet from here works there.
    sensor = msgspec.convert(case["sensor"], Sensor)
    lines = {name: msgspec.convert(msgspec.to_builtins(line), LineConfig) for name, line in sensor.lines.items()}
    case["config"] = SensorConfig(
        id=sensor.id, zone=sensor.zone, lines=lines, role=sensor.role, timezone=sensor.timezone, options=sensor.options
    )
    case["received_ms"] = instant_ms(case["received"], "received")
    return case


def decode(case, payload):
    raw = payload.encode() if isinstance(payload, str) else msgspec.json.encode(payload)
    return decoder(case["sensor"]["format"]).decode(
        raw, case["topic"], case["config"], received_ms=case["received_ms"], retained=case.get("retained", False)
    )


def name_of(path):
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", CASES, ids=name_of)
def test_a_payload_reads_as_its_fixture_says(path):
    case = load(path)
    sensor, received_ms = case["config"].id, case["received_ms"]
    expected = [
        msgspec.convert({**reading, "sensor": sensor, "received_ms": received_ms}, Reading)
        for reading in case["readings"]
    ]
    assert decode(case, case["payload"]) == expected
    assert decoder(case["sensor"]["format"]).problems(case["config"].options) == []


def test_every_format_has_fixtures():
    assert {path.parent.name for path in CASES} == set(formats())


@pytest.mark.parametrize("path", CASES, ids=name_of)
def test_a_damaged_payload_never_escapes_as_another_error(path):
    case = load(path)
    rng = random.Random(path.stem)
    for _ in range(150):
        damaged = json.loads(json.dumps(case["payload"]))
        for _ in range(rng.choice([1, 1, 2, 4])):
            damaged = damage(damaged, rng)
        try:
            raw = json.dumps(damaged).encode() if not isinstance(damaged, str) else damaged.encode()
            readings = decoder(case["sensor"]["format"]).decode(
                raw, case["topic"], case["config"], received_ms=case["received_ms"]
            )
        except ReadingError:
            continue
        for reading in readings:
            assert 0 <= reading.ins <= 2**53
            assert 0 <= reading.outs <= 2**53
            assert reading.value is None or (math.isfinite(reading.value) and reading.value >= 0)
            assert reading.battery is None or 0 <= reading.battery <= 1
            assert all(at is None or 0 <= at < 2**53 for at in (reading.from_ms, reading.to_ms))
            assert 0 < len(reading.line) <= 64
            assert msgspec.msgpack.decode(msgspec.msgpack.encode(reading), type=Reading) == reading


def damage(value, rng):
    """Replace, drop or repeat one place somewhere inside."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(sorted(value))
        if rng.random() < 0.15:
            del value[name]
        else:
            value[name] = damage(value[name], rng)
        return value
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        if rng.random() < 0.15:
            value.append(value[place])
        else:
            value[place] = damage(value[place], rng)
        return value
    return deepcopy(rng.choice(ODD_VALUES))
