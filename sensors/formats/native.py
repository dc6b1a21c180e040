"""Our own format: `{line?, time?, kind, in, out, …}`, one or a list (docs/sensors.md)."""

from typing import Any

from sensors.errors import ReadingError
from sensors.formats.body import json_body, objects
from sensors.formats.fields import MAX_DELTA, MAX_TOTAL, count, flag, instant_ms, name_of, number, shown
from sensors.formats.message import MAX_READINGS, Decoder, Message
from sensors.readings import Reading

KINDS = ("delta", "cumulative", "absolute", "state", "heartbeat")
_MAX_PEOPLE = 1_000_000
_MAX_SEQ = 2**63 - 1
_MAX_UPTIME_S = 10_000_000_000


def read(payload: bytes, message: Message) -> list[Reading]:
    """One reading or a list; a list counts as a whole or, with one bad reading in it, not at all."""
    body = json_body(payload)
    if isinstance(body, dict):
        return [_reading(body, message)]
    if isinstance(body, list) and len(body) > MAX_READINGS:
        raise ReadingError(f"holds {len(body)} readings; at most {MAX_READINGS} are taken")
    readings = []
    for place, item in enumerate(objects(body, "the body")):
        try:
            readings.append(_reading(item, message))
        except ReadingError as error:
            raise ReadingError(f"[{place}].{error.reason}") from error
    return readings


def _reading(item: dict[str, Any], message: Message) -> Reading:
    fields: dict[str, Any] = {"kind": _kind(item)}
    if item.get("line") is not None:
        fields["line"] = name_of(item["line"], "line")
    if item.get("zone") is not None:
        fields["zone"] = _zone(item["zone"], message)
    if item.get("time") is not None:
        fields["to_ms"] = instant_ms(item["time"], "time", message.config.timezone)
    if item.get("from") is not None:
        fields["from_ms"] = instant_ms(item["from"], "from", message.config.timezone)
    if item.get("seq") is not None:
        fields["seq"] = count(item["seq"], "seq", _MAX_SEQ)
    if item.get("uptime_s") is not None:
        fields["uptime_s"] = _measure(item["uptime_s"], "uptime_s", _MAX_UPTIME_S)
    if item.get("battery") is not None:
        fields["battery"] = _measure(item["battery"], "battery", 1)
    if item.get("tamper") is not None:
        fields["tamper"] = flag(item["tamper"], "tamper")
    return message.reading(**fields, **_content(item, fields["kind"]))


def _zone(value: Any, message: Message) -> str:
    """A zone that the sensor is configured with: zones are the owner's to name, not the sender's."""
    name = name_of(value, "zone")
    known = {message.config.zone, *(line.zone for line in message.config.lines.values())}
    if name not in known:
        raise ReadingError(f"zone: {shown(name)} is no zone of this sensor")
    return name


def _kind(item: dict[str, Any]) -> str:
    kind = item.get("kind")
    if kind is None:
        if item.get("in") is None and item.get("out") is None:
            raise ReadingError(f"kind: is missing (one of {', '.join(KINDS)}, or just in and out)")
        return "delta"
    if kind not in KINDS:
        raise ReadingError(f"kind: {shown(kind)} is none of {', '.join(KINDS)}")
    return str(kind)


def _content(item: dict[str, Any], kind: str) -> dict[str, Any]:
    if kind == "delta":
        if item.get("in") is None and item.get("out") is None:
            raise ReadingError("in: is missing")
        return {name + "s": _people(item, name, MAX_DELTA) for name in ("in", "out")}
    if kind == "cumulative":
        for name in ("in", "out"):
            # Half a total would look like a counter that fell back to zero.
            if item.get(name) is None:
                raise ReadingError(f"{name}: is missing; a cumulative reading needs both totals")
        return {name + "s": _people(item, name, MAX_TOTAL) for name in ("in", "out")}
    if kind == "absolute":
        content = {"value": _measure(item.get("value"), "value", _MAX_PEOPLE)}
        if item.get("error") is not None:
            content["error"] = _measure(item["error"], "error", _MAX_PEOPLE)
        return content
    if kind == "state":
        return {"value": float(flag(item.get("on"), "on"))}
    return {}


def _people(item: dict[str, Any], name: str, most: int) -> int:
    return 0 if item.get(name) is None else count(item[name], name, most)


def _measure(value: Any, name: str, most: float) -> float:
    if value is None:
        raise ReadingError(f"{name}: is missing")
    measure = number(value, name)
    if measure < 0:
        raise ReadingError(f"{name}: {shown(value)} is negative")
    if measure > most:
        raise ReadingError(f"{name}: {shown(value)} is more than {most}")
    return measure


DECODER = Decoder("native", read)
