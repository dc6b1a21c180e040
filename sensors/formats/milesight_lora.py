"""Milesight over LoRaWAN, as its published decoders name the fields: one flat object an uplink.

VS133 and VS135 send `line_1_total_in` and `line_1_period_in` in uplinks of their own, VS132 `total_counter_in` and
`periodic_counter_in`, VS350 `total_in`, `period_in` and, after an outage, `history`. VS350 totals have 16 bits.
"""

import re
from typing import Any

from sensors.errors import ReadingError
from sensors.formats.body import objects
from sensors.formats.fields import MAX_DELTA, MAX_TOTAL, charge, count, device_time_ms
from sensors.formats.message import Message
from sensors.readings import Reading

_REGION = re.compile(r"region_([0-9]{1,2})_count")
_LINE = re.compile(r"line_([0-9]{1,2})_(?:total|period)_(?:in|out)")
# How a device's field names say (total in, total out, period in, period out), where it has one nameless line.
_ONE_LINE = (
    ("total_in", "total_out", "period_in", "period_out"),
    ("total_counter_in", "total_counter_out", "periodic_counter_in", "periodic_counter_out"),
)
_OTHER = frozenset({
    "battery", "device_status", "firmware_version", "hardware_version", "history", "ipso_version", "lorawan_class",
    "people_count_max", "people_in", "people_out", "period_count_alarm", "power", "protocol_version", "region_count",
    "region_mask", "reset_event", "sn", "temperature", "temperature_alarm", "timestamp", "total_count_alarm", "tsl_version",
})  # fmt: skip
_DWELL = re.compile(r"region_[0-9]{1,2}_(?:avg|max)_dwell")


def is_flat(body: dict[str, Any]) -> bool:
    """Whether this object has fields of Milesight's LoRaWAN decoders."""
    return any(
        _LINE.fullmatch(name) or _REGION.fullmatch(name) or _DWELL.fullmatch(name) or name in _KNOWN for name in body
    )


_KNOWN = _OTHER | {name for names in _ONE_LINE for name in names} | {"people_count_all"}


def flat_readings(body: dict[str, Any], message: Message) -> list[Reading]:
    """The readings of one uplink: what the device stored first, then what is now."""
    fields: dict[str, Any] = {"to_ms": device_time_ms(body.get("timestamp"), message.config.timezone)}
    battery = charge(body.get("battery"))
    if battery is not None:
        fields["battery"] = battery
    readings = [
        reading
        for stored in objects(body.get("history"), "history")
        for reading in _line(stored, "door", _ONE_LINE[0], message, _stored_fields(stored, message))
    ]
    for names in _ONE_LINE:
        readings += _line(body, "door", names, message, fields)
    for number in sorted({found[1] for found in map(_LINE.fullmatch, body) if found}):
        total, period = f"line_{number}_total", f"line_{number}_period"
        names = (f"{total}_in", f"{total}_out", f"{period}_in", f"{period}_out")
        readings += _line(body, number, names, message, fields)
    readings += _regions(body, message, fields)
    return readings or message.heartbeat(**fields)


def _stored_fields(stored: dict[str, Any], message: Message) -> dict[str, Any]:
    to_ms = device_time_ms(stored.get("timestamp"), message.config.timezone)
    if to_ms is None:
        # Nothing would tell it from the same people in a live uplink.
        raise ReadingError("history: an entry has no timestamp")
    return {"to_ms": to_ms}


def _line(
    body: dict[str, Any], line: str, names: tuple[str, ...], message: Message, fields: dict[str, Any]
) -> list[Reading]:
    """Period before total: the first total is only a base, and its period is from before it."""
    total_in, total_out, period_in, period_out = names
    readings = []
    # An alarm repeats the period so far; the period itself will come.
    if (period_in in body or period_out in body) and "period_count_alarm" not in body:
        ins, outs = (count(body.get(name, 0), name, MAX_DELTA) for name in (period_in, period_out))
        readings.append(message.reading(line=line, kind="delta", ins=ins, outs=outs, **fields))
    if total_in in body and total_out in body:
        ins, outs = (count(body[name], name, MAX_TOTAL) for name in (total_in, total_out))
        readings.append(message.reading(line=line, kind="cumulative", ins=ins, outs=outs, **fields))
    return readings


def _regions(body: dict[str, Any], message: Message, fields: dict[str, Any]) -> list[Reading]:
    found = {f"region-{match[1]}": name for name in body if (match := _REGION.fullmatch(name))}
    values = {line: count(body[name], name, MAX_DELTA) for line, name in found.items()}
    if "people_count_all" in body:
        values["all"] = count(body["people_count_all"], "people_count_all", MAX_DELTA)
    return region_readings(values, message, fields)


def region_readings(values: dict[str, int], message: Message, fields: dict[str, Any]) -> list[Reading]:
    """People seen per region: `all`, regions that the owner named, or the only one a camera has.

    A region that nobody said anything about is a part of the store, and no evidence about the whole of it.
    """
    alone = message.config.role == "camera" and len(values) == 1
    return [
        message.reading(line=line, kind="absolute", value=float(value), **fields)
        for line, value in values.items()
        if alone or line == "all" or message.is_configured(line)
    ]
