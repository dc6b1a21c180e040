"""What of an output names a person, and the output without it: one rule for the event stream and for webhooks."""

import re
from typing import Any

import msgspec

from geo_service.people.traces import NAMES_NOBODY

NAMING = ("device", "code", "person")
"""Fields that are somebody's, or for somebody alone."""


_PLAIN = NAMES_NOBODY - {"body", "detail", "reason", "title"}
"""What stands plainly in these is no device's id, though it may look like one: a store may be called as a device is."""
_PLACE_IN_LOG = re.compile(r"[0-9.-]+")


def without_identity(line: bytes, device: str) -> bytes:
    """The output without the device, whatever is for the device alone, and whatever else mentions it (evidence, sentences)."""
    fields: dict[str, Any] = msgspec.json.decode(line)
    name = device.encode()
    kept = {
        key: value
        for key, value in fields.items()
        if key not in NAMING and (_is_plain(key, value) or name not in msgspec.json.encode(value))
    }
    return msgspec.json.encode(kept)


def _is_plain(key: str, value: Any) -> bool:
    if key == "id":
        return isinstance(value, str) and _PLACE_IN_LOG.fullmatch(value) is not None
    return key in _PLAIN and not isinstance(value, dict | list)
