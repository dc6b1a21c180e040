from pathlib import Path

import pytest

from geo_service.simulator.plan import read_plan

TOWN = Path(__file__).resolve().parents[2] / "fixtures" / "town"
FRIDAY_NOON_MS = 1_767_956_400_000
"""2026-01-09 11:00 UTC, noon in Quillmere: every store but the record bar is open."""


@pytest.fixture(scope="session")
def folder():
    """The site folder of the made town."""
    return TOWN


@pytest.fixture(scope="session")
def plan():
    return read_plan(TOWN)


@pytest.fixture(scope="session")
def noon_ms():
    return FRIDAY_NOON_MS
