"""docs/sensors.md: its snippets are valid sites, and its tables name what exists."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from geo_service.catalogue.documents import Sensor
from sensors.formats import decoder, formats
from sensors.formats.native import KINDS
from sensors.vitals import STATES

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs/sensors.md").read_text()
SNIPPETS = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
ENTRIES = [
    entry for snippet in SNIPPETS for entry in (json.loads(snippet) if snippet[0] == "[" else [json.loads(snippet)])
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["id"])
def test_a_snippet_is_a_sensor_that_a_site_takes_as_it_is(entry):
    sensor = msgspec.convert(entry, Sensor)
    assert entry.keys() <= set(Sensor.__struct_fields__), "a misspelt field would be ignored"
    assert decoder(sensor.format).problems(sensor.options) == []


def test_every_format_has_a_snippet_and_a_row_of_the_table():
    assert {entry["format"] for entry in ENTRIES} == set(formats())
    rows = re.findall(r"^\| \[(`.*?`)\]\(#", DOCUMENT, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(formats())


def test_every_kind_and_every_state_is_explained():
    explained = set(re.findall(r"^\| `(\w+)`", DOCUMENT, re.MULTILINE))
    assert {*KINDS, *STATES, "live"} <= explained


def test_the_documents_own_anchors_lead_somewhere():
    headings = {
        re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", DOCUMENT, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#(.*?)\)", DOCUMENT)) <= headings


def test_snippets_with_a_mistake_are_found():
    assert decoder("frigate").problems({"crossing": {"from": "a"}}) == [
        'options.crossing: must be {"from": zone, "to": zone}'
    ]
    assert decoder("frigate").problems({"crossing": {"from": "a", "to": "a"}}) == [
        "options.crossing: from and to are the same zone"
    ]
    assert decoder("home_assistant").problems({"path": "$["}) != []
    common = {"aliases": ["a"], "ignore_lines": "3", "invert_states": [1], "error": -1, "heartbeat_s": True}
    assert [problem.split(":")[0] for problem in decoder("native").problems(common)] == [
        "options.aliases", "options.invert_states", "options.ignore_lines", "options.error", "options.heartbeat_s",
    ]  # fmt: skip
