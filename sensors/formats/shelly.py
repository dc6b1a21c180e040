"""Shelly Gen2 and later: `<id>/events/rpc` notifications and `<prefix>/status/input:0`.

A notification holds only what changed, so what is not in it stays as it was.
"""

import re
from typing import Any

from sensors.errors import ReadingError
from sensors.formats.body import as_object, object_body
from sensors.formats.fields import charge, device_time_ms, flag, number
from sensors.formats.message import Decoder, Message
from sensors.formats.zigbee2mqtt import availability
from sensors.readings import Reading

_INPUT = re.compile(r"(?:input|presence|presencezone|motion|window|smoke):[0-9]{1,4}")
_METHODS = ("NotifyStatus", "NotifyFullStatus", "NotifyEvent")
_MAX_UPTIME_S = 10_000_000_000


def read(payload: bytes, message: Message) -> list[Reading]:
    """The states of inputs; a notification about anything else is a sign of life."""
    last = message.topic.rsplit("/", 1)[-1]
    if last == "online":
        return availability(payload, message)
    body = object_body(payload)
    if _INPUT.fullmatch(last):
        return _states({last: body}, message, {})
    if body.get("method") not in _METHODS:
        raise ReadingError("is neither a notification nor the status of an input")
    params = as_object(body.get("params") or {}, "params")
    fields: dict[str, Any] = {"to_ms": device_time_ms(params.get("ts"))}
    power = params.get("devicepower:0")
    battery = power.get("battery") if isinstance(power, dict) else None
    fields["battery"] = charge(battery.get("percent")) if isinstance(battery, dict) else None
    fields["uptime_s"] = _uptime_s(params.get("sys"))
    # An event (a push, a toggle) is followed by the status it led to.
    return _states({} if body["method"] == "NotifyEvent" else params, message, fields)


def _states(components: dict[str, Any], message: Message, fields: dict[str, Any]) -> list[Reading]:
    readings = []
    for name, component in components.items():
        if not _INPUT.fullmatch(name) or not isinstance(component, dict):
            continue
        value = component.get("state", component.get("value"))
        if value is not None:  # null: a button, or not known yet
            readings.append(message.reading(line=name, kind="state", value=float(flag(value, name)), **fields))
    return readings or message.heartbeat(**fields)


def _uptime_s(system: Any) -> float | None:
    if not isinstance(system, dict) or "uptime" not in system:
        return None
    uptime_s = number(system["uptime"], "sys.uptime")
    return uptime_s if 0 <= uptime_s <= _MAX_UPTIME_S else None


DECODER = Decoder("shelly", read)
