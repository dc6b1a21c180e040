"""Zigbee2MQTT: `zigbee2mqtt/<name>` with contact, occupancy, presence, battery and tamper; `…/availability`.

A contact sensor says `contact: true` while the door is closed; the reading says whether it is open.
"""

from sensors.errors import ReadingError
from sensors.formats.body import json_body, text_body
from sensors.formats.fields import charge, device_time_ms, flag
from sensors.formats.message import Decoder, Message
from sensors.readings import Reading

_STATES = ("contact", "occupancy", "presence", "vibration", "moving")
# Zigbee2MQTT itself calls a battery device gone after 25 hours: two of these.
_HEARTBEAT_S = 45_000


def read(payload: bytes, message: Message) -> list[Reading]:
    """The device's whole state as JSON, or one attribute by topic where Zigbee2MQTT is set to that."""
    last = message.topic.rsplit("/", 1)[-1]
    if last == "availability":
        return availability(payload, message)
    body = json_body(payload)
    if last in _STATES and not isinstance(body, dict):
        body = {last: body}
    if not isinstance(body, dict):
        raise ReadingError("the body must be an object")
    fields = {
        "to_ms": device_time_ms(body.get("last_seen"), message.config.timezone),
        "battery": charge(body.get("battery")),
        "tamper": None if body.get("tamper") is None else flag(body["tamper"], "tamper"),
    }
    readings = []
    for name in _STATES:
        if body.get(name) is not None:
            on = flag(body[name], name)
            value = float(not on if name == "contact" else on)
            readings.append(message.reading(line=name, kind="state", value=value, **fields))
    return readings or message.heartbeat(**fields)


def availability(payload: bytes, message: Message) -> list[Reading]:
    """`online` is a sign of life, as text or as `{"state": "online"}`; `offline` is none, and silence will tell."""
    body = text_body(payload)
    if body.startswith("{"):
        inner = json_body(payload)
        body = str(inner.get("state")) if isinstance(inner, dict) and isinstance(inner.get("state"), str) else ""
    word = body.strip('"').lower()
    if word in {"online", "true", "connected"}:
        return message.heartbeat()
    if word in {"offline", "false", "stopped", "disconnected", "unavailable", "unknown", ""}:
        return []
    raise ReadingError(f"is neither online nor offline: {word[:20]!a}")


DECODER = Decoder("zigbee2mqtt", read, heartbeat_s=_HEARTBEAT_S)
