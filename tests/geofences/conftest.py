"""Make `fence_geometry.py`, beside this, importable by the tests here; and what they share."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=["strict", "steady"])
def mode(request):
    """Both ways of presence."""
    return request.param
