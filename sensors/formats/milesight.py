"""Milesight people counters: VS125, VS133, VS135 and VS121 over MQTT or HTTP, and their decoded LoRaWAN uplinks.

A VS13x sends each crossing (`line_trigger_data`), each period (`line_periodic_data`) and running totals
(`line_total_data`), in one body or in several; `counters` sees to it that a person counts once.
"""

import re
from datetime import timedelta
from typing import Any

from sensors.errors import ReadingError
from sensors.formats.body import as_object, json_body, objects
from sensors.formats.fields import MAX_DELTA, MAX_TOTAL, count, device_time_ms, name_of, number
from sensors.formats.message import Decoder, Message
from sensors.formats.milesight_lora import flat_readings, is_flat, region_readings
from sensors.readings import Reading

_OFFSET = re.compile(r"UTC\s*([+-])([0-9]{1,2})(?::?([0-9]{2}))?")
# Sent beside or without counts; says that the sensor lives.
_ALIVE = ("device_info", "time_info", "dwell_time_data", "event", "region_trigger_data")
_MAX_UPTIME_S = 10_000_000_000


def read(payload: bytes, message: Message) -> list[Reading]:
    """One report or a list of them."""
    return [reading for body in objects(json_body(payload), "the body") for reading in _report(body, message)]


def _report(body: dict[str, Any], message: Message) -> list[Reading]:
    if is_flat(body):
        return flat_readings(body, message)
    times = as_object(body.get("time_info") or {}, "time_info")
    device = as_object(body.get("device_info") or {}, "device_info")
    fields: dict[str, Any] = {"uptime_s": _uptime_s(device.get("running_time"))}
    to_ms = next(
        (at for name in ("time", "end_time", "start_time") if (at := _time(times, name, message)) is not None), None
    )
    fields["to_ms"] = to_ms
    readings = _lines(body, "line_trigger_data", message, {**fields, "kind": "delta", "trigger": True})
    window = {"from_ms": _time(times, "start_time", message), "kind": "delta"}
    # Period before total: the first total is only a base, and its period is from before it.
    readings += _lines(body, "line_periodic_data", message, {**fields, **window})
    readings += _lines(body, "line_total_data", message, {**fields, "kind": "cumulative"})
    readings += region_readings(_regions(body), message, fields)
    if readings:
        return readings
    if not any(name in body for name in (*_ALIVE, "line_trigger_data", "line_periodic_data", "line_total_data")):
        raise ReadingError("holds no field of a Milesight people counter")
    return message.heartbeat(**fields)


def _lines(body: dict[str, Any], name: str, message: Message, fields: dict[str, Any]) -> list[Reading]:
    most = MAX_TOTAL if fields["kind"] == "cumulative" else MAX_DELTA
    readings = []
    for place, item in enumerate(objects(body.get(name), name)):
        where = f"{name}[{place}]"
        # Some firmware has no level `total`: the counts stand beside the line's number.
        counts = as_object(item.get("total") or item, f"{where}.total")
        ins, outs = (_people(counts, way, where, most) for way in ("in", "out"))
        line = name_of(item.get("line", 1), f"{where}.line")
        readings.append(message.reading(line=line, ins=ins, outs=outs, **fields))
    return readings


def _people(counts: dict[str, Any], way: str, where: str, most: int) -> int:
    """`in` of periods and triggers, `in_counted` of totals; never `capacity_counted`, which goes below zero."""
    value = counts.get(f"{way}_counted", counts.get(way))
    if value is None:
        raise ReadingError(f"{where}.{way}: is missing")
    return count(value, f"{where}.{way}", most)


def _regions(body: dict[str, Any]) -> dict[str, int]:
    """People per region now, in the words of VS13x and of VS121."""
    values: dict[str, int] = {}
    data = as_object(body.get("region_data") or {}, "region_data")
    for place, item in enumerate(objects(data.get("region_count_data"), "region_count_data")):
        where = f"region_count_data[{place}]"
        counts = as_object(item.get("total") or item, f"{where}.total")
        line = f"region-{name_of(item.get('region', place + 1), f'{where}.region')}"[:64]
        values[line] = count(counts.get("current_total"), f"{where}.current_total", MAX_DELTA)
    if "current_total" in body:
        values["all"] = count(body["current_total"], "current_total", MAX_DELTA)
        numbers, counted = body.get("numbering_regions"), body.get("current_counted")
        if isinstance(numbers, list) and isinstance(counted, list) and len(numbers) == len(counted):
            for region, value in zip(numbers, counted, strict=True):
                line = f"region-{name_of(region, 'numbering_regions')}"[:64]
                values[line] = count(value, "current_counted", MAX_DELTA)
    return values


def _time(times: dict[str, Any], name: str, message: Message) -> int | None:
    """A time of `time_info`; a VS121 writes local time with its offset beside it (`UTC+8:00`)."""
    said = times.get("timezone")
    offset = _OFFSET.fullmatch(said.strip()) if isinstance(said, str) else None
    at_ms = device_time_ms(times.get(name), "UTC" if offset else message.config.timezone)
    if at_ms is None or offset is None or _has_offset(times[name]):
        return at_ms
    sign, hours, minutes = offset.groups()
    ahead = timedelta(hours=int(hours), minutes=int(minutes or 0))
    utc_ms = at_ms - (1 if sign == "+" else -1) * (ahead // timedelta(milliseconds=1))
    return utc_ms if utc_ms >= 0 else None


def _has_offset(value: Any) -> bool:
    """Whether a time stands for itself: a number of seconds, or a text that ends in an offset."""
    if not isinstance(value, str) or ":" not in value:
        return True
    return re.search(r"(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})\Z", value.strip()) is not None


def _uptime_s(value: Any) -> float | None:
    try:
        uptime_s = number(value, "running_time")
    except ReadingError:
        return None
    return uptime_s if 0 <= uptime_s <= _MAX_UPTIME_S else None


DECODER = Decoder("milesight", read)
