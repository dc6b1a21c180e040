"""Tasmota: `tele/<topic>/SENSOR` and `stat/<topic>/…` with switches and radar sensors, `tele/<topic>/LWT`.

The `People` of an LD2410S is a state from 0 to 3, not a count.
"""

import re
from typing import Any

from sensors.errors import ReadingError
from sensors.formats.body import object_body
from sensors.formats.fields import count, device_time_ms, flag
from sensors.formats.message import Decoder, Message
from sensors.formats.zigbee2mqtt import availability
from sensors.readings import Reading

_SWITCH = re.compile(r"(?:Switch|PIR|Door)[0-9]{0,2}", re.IGNORECASE)
_RADAR = re.compile(r"LD24[0-9A-Z]{1,6}")
# Telemetry repeats every 300 s.
_HEARTBEAT_S = 300


def read(payload: bytes, message: Message) -> list[Reading]:
    """The states of a message; one without any is a sign of life."""
    if message.topic.endswith("/LWT"):
        return availability(payload, message)
    body = object_body(payload)
    inner = body.get("StatusSNS")
    if isinstance(inner, dict):
        body = inner
    # Local time without an offset: the sensor's timezone, else UTC.
    to_ms = device_time_ms(body.get("Time"), message.config.timezone)
    readings = []
    for name, value in body.items():
        on = _state(name, value)
        if on is not None:
            readings.append(message.reading(line=name, kind="state", value=float(on), to_ms=to_ms))
    return readings or message.heartbeat(to_ms=to_ms)


def _state(name: str, value: Any) -> bool | None:
    if _SWITCH.fullmatch(name):
        # With SetOption114 a switch says what it did: {"Action": "ON"}.
        said = value.get("Action", value.get("State")) if isinstance(value, dict) else value
        if isinstance(said, str) and said.strip().upper() in {"TOGGLE", "HOLD", "CLEAR", "DOUBLE", "TRIPLE"}:
            return None
        return flag(said, name)
    if _RADAR.fullmatch(name) and isinstance(value, dict):
        if "People" in value:
            people = count(value["People"], f"{name}.People", 1_000)
            return people > 0
        if "Distance" not in value:
            raise ReadingError(f"{name}: says neither People nor Distance")
    return None


DECODER = Decoder("tasmota", read, heartbeat_s=_HEARTBEAT_S)
