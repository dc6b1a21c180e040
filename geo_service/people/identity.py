"""What of an output names a person, and the output without it: one rule for the event stream and for webhooks."""

from typing import Any

import msgspec

NAMING = ("device", "code", "person")
"""Fields that are somebody's, or for somebody alone."""


def without_identity(line: bytes, device: str) -> bytes:
    """The output without the device, whatever is for the device alone, and whatever else mentions it (an id, evidence)."""
    fields: dict[str, Any] = msgspec.json.decode(line)
    name = device.encode()
    kept = {key: value for key, value in fields.items() if key not in NAMING and name not in msgspec.json.encode(value)}
    return msgspec.json.encode(kept)
