"""Recordings and the truth beside them."""

import gzip
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from geo_service.errors import InvalidInputError
from geo_service.simulator import record
from geo_service.simulator.scenario import DEMO
from geo_service.simulator.town import Town

START = datetime(2026, 1, 9, 11, tzinfo=UTC)


def lines_of(path):
    data = path.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()]


def write(path, **options):
    return record.write(path, **{"seed": 2, "hours": 0.25, "phones": 20, "start": START, **options})


@pytest.mark.parametrize("name", ["town.jsonl", "town.jsonl.gz"])
def test_a_recording_holds_what_the_town_sent_in_the_contracts_form(tmp_path, plan, noon_ms, name):
    path = tmp_path / name
    written = write(path)
    messages = Town(2, plan, start_ms=noon_ms, phones=20).step(noon_ms + 900_000)
    assert written.messages == len(messages) > 200
    for line, message in zip(lines_of(path), messages, strict=True):
        assert set(line) == {"time", "topic", "payload", "qos"}
        assert round(line["time"] * 1000) == message.time_ms
        assert (line["topic"], line["payload"], line["qos"]) == (message.topic, json.loads(message.payload), 1)


def test_the_truth_beside_it_is_the_towns_truth(tmp_path, plan, noon_ms):
    written = write(tmp_path / "town.jsonl.gz", site=Path(__file__).resolve().parents[2] / "fixtures" / "town")
    truth = Town(2, plan, start_ms=noon_ms, phones=20).truth(noon_ms + 900_000)
    lines = lines_of(Path(written.truth))
    assert lines[0] == {
        "kind": "town",
        "seed": 2,
        "start": "2026-01-09T11:00:00Z",
        "end": "2026-01-09T11:15:00Z",
        "phones": 20,
        "speed": 1.0,
        "scenario": "day",
    }
    occupancy = [line for line in lines if line["kind"] == "occupancy"]
    assert [line["time"][11:16] for line in occupancy] == [f"11:{minute:02}" for minute in range(15)]
    assert set(occupancy[-1]["inside"]) == set(plan.site.store)
    stays = [line for line in lines if line["kind"] == "stay"]
    assert [(stay["device"], stay["fence"]) for stay in stays] == [(stay.device, stay.fence) for stay in truth.stays]
    assert len(stays) == written.stays > 20
    doors = {(line["sensor"], line["line"]): (line["ins"], line["outs"]) for line in lines if line["kind"] == "door"}
    assert doors == {(sensor, line): pair for sensor, by_line in truth.doors.items() for line, pair in by_line.items()}


def test_the_same_arguments_give_the_same_bytes_whatever_the_file_is_called(tmp_path):
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write(tmp_path / name, scenario=DEMO, speed=10)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert (tmp_path / "a.truth.jsonl.gz").read_bytes() == (tmp_path / "b.truth.jsonl.gz").read_bytes()


@pytest.mark.parametrize(
    ("path", "truth"),
    [
        ("a/town.jsonl.gz", "a/town.truth.jsonl.gz"),
        ("a.b/v1.2.jsonl", "a.b/v1.2.truth.jsonl"),
        ("town", "town.truth"),
        ("town.gz", "town.truth.gz"),
    ],
)
def test_the_truth_is_found_by_name(path, truth):
    assert record.truth_path(Path(path)) == Path(truth)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"hours": 0}, "hours"),
        ({"hours": float("nan")}, "hours"),
        ({"hours": 10_000}, "hours"),
        ({"start": START.replace(tzinfo=None)}, "start"),
        ({"phones": -1}, "phones"),
    ],
)
def test_arguments_out_of_range_are_refused_before_a_file_is_made(tmp_path, wrong, field):
    with pytest.raises(InvalidInputError) as refused:
        write(tmp_path / "town.jsonl", **wrong)
    assert refused.value.field == field
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(InvalidInputError, match=r"nowhere/town\.jsonl cannot be written: No such file"):
        write(tmp_path / "nowhere" / "town.jsonl")


def test_the_example_in_the_docs_runs():
    root = Path(__file__).resolve().parents[2]
    (example,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "simulator.md").read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", example], cwd=root, capture_output=True, text=True, check=True)
    people, phones, fence = done.stdout.split()
    assert int(people) > 10
    assert int(phones) > 5
    assert "." in fence
