"""Moved to `geo_service/principals.py`."""

from geo_service.principals import *  # noqa: F403 - for imports of before
