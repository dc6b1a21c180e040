"""The pictures of the manager's page are what the benchmark draws today."""

import re
from pathlib import Path

import pytest

from geo_service.benchmarks import pictures

DOCS = Path(__file__).resolve().parents[2] / "docs"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
NAMES = ("occupancy-day.svg", "occupancy-silence.svg")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    pictures.main(folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_pictures_in_the_documents_are_current(drawn, name):
    """To a pixel: another processor may add up in another order. Draw them anew with `python -m ….pictures docs`."""
    now, kept = (drawn / name).read_text(), (DOCS / name).read_text()
    assert NUMBER.sub("#", now) == NUMBER.sub("#", kept)
    pairs = zip(NUMBER.findall(now), NUMBER.findall(kept), strict=True)
    assert all(abs(float(one) - float(other)) <= 1 for one, other in pairs)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_says_what_it_shows_and_stays_small(drawn, name):
    text = (drawn / name).read_text()
    assert "<title>" in text
    assert "nine times in ten within" in text
    assert len(text) < 20_000


def test_the_page_shows_both():
    page = (DOCS / "occupancy.md").read_text()
    assert all(f"]({name})" in page for name in NAMES)
