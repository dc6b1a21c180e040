"""Any JSON: `options` say where in the body the figures are.

```json
{"kind": "delta", "each": "$.lines", "line": "$.name", "in": "$.count.in", "out": "$.count.out",
 "time": "$.at", "from": "$.since", "seq": "$.n", "uptime_s": "$.uptime", "battery_percent": "$.bat"}
```
`each` (optional) is the place of a list; the other paths then start at each of its items, or, written with a `$` twice
(`$$.at`), still at the body. For `absolute` give `value`, for `state` give `on`. `scale`, `offset` and `error` are numbers
that turn a measure into people, `scale` times value plus `offset`, with `error` as standard error: how CO₂ or Wi-Fi becomes weak evidence.
`otherwise: "heartbeat"` takes a body without any of the figures for a sign of life instead of refusing it.
"""

from typing import Any

from sensors.errors import ReadingError
from sensors.formats.body import as_list, json_body
from sensors.formats.fields import (
    MAX_DELTA,
    MAX_TOTAL,
    charge,
    count,
    device_time_ms,
    flag,
    name_of,
    number,
)
from sensors.formats.json_path import JsonPath
from sensors.formats.message import Decoder, Message
from sensors.readings import Reading

_FIGURES = {"delta": ("in", "out"), "cumulative": ("in", "out"), "absolute": ("value",), "state": ("on",)}
_PATHS = ("each", "line", "in", "out", "value", "on", "time", "from", "seq", "uptime_s", "battery_percent", "tamper")
_NUMBERS = ("scale", "offset")
_MAX_SEQ = 2**63 - 1
_MAX_UPTIME_S = 10_000_000_000


def read(payload: bytes, message: Message) -> list[Reading]:
    """The readings at the configured places."""
    wrong = DECODER.problems(message.config.options)
    if wrong:
        raise ReadingError(wrong[0])
    body = json_body(payload)
    each = message.option("each")
    items = [body] if each is None else as_list(JsonPath.parse(each, "each").find(body), "each")
    readings = [reading for item in items for reading in _reading(Place(body, item, message.config.options), message)]
    if not readings and message.option("otherwise") != "heartbeat":
        raise ReadingError("holds none of the configured figures")
    return readings or message.heartbeat()


class Place:
    """An item of the body, and the body around it."""

    def __init__(self, body: Any, item: Any, options: dict[str, Any]) -> None:
        self._body, self._item, self.options = body, item, options

    def find(self, name: str) -> Any:
        """The value that the option `name` points to, None where there is no such option or value."""
        path = self.options.get(name)
        if path is None:
            return None
        whole = path.startswith("$$")
        return JsonPath.parse(path[whole:], f"options.{name}").find(self._body if whole else self._item)


def _reading(place: Place, message: Message) -> list[Reading]:
    kind = place.options["kind"]
    found = {name: place.find(name) for name in _FIGURES[kind]}
    if all(value is None for value in found.values()):
        return []
    fields: dict[str, Any] = {"kind": kind, **_figures(kind, found, place)}
    line, seq, uptime_s, tamper = (place.find(name) for name in ("line", "seq", "uptime_s", "tamper"))
    zone = message.config.timezone
    fields |= {"to_ms": device_time_ms(place.find("time"), zone), "from_ms": device_time_ms(place.find("from"), zone)}
    if line is not None:
        fields["line"] = name_of(line, "line")
    if seq is not None:
        fields["seq"] = count(seq, "seq", _MAX_SEQ)
    if uptime_s is not None:
        fields["uptime_s"] = _between(number(uptime_s, "uptime_s"), "uptime_s", _MAX_UPTIME_S)
    if tamper is not None:
        fields["tamper"] = flag(tamper, "tamper")
    fields["battery"] = charge(place.find("battery_percent"))
    return [message.reading(**fields)]


def _figures(kind: str, found: dict[str, Any], place: Place) -> dict[str, Any]:
    if kind == "state":
        return {"value": float(flag(found["on"], "on"))}
    if kind == "absolute":
        scale, offset = (place.options.get(name, otherwise) for name, otherwise in (("scale", 1), ("offset", 0)))
        people = number(found["value"], "value") * scale + offset
        # A measure below its zero (CO₂ of an empty room) is nobody.
        return {"value": _between(max(people, 0.0), "value", MAX_DELTA)}
    configured = [name for name in ("in", "out") if place.options.get(name) is not None]
    if kind == "cumulative":
        for name in configured:
            if found[name] is None:
                raise ReadingError(f"{name}: is missing; half a total would look like a counter that fell back")
    most = MAX_TOTAL if kind == "cumulative" else MAX_DELTA
    return {f"{name}s": count(found[name], name, most) for name in configured if found[name] is not None}


def _between(value: float, name: str, most: float) -> float:
    if not 0 <= value <= most:
        raise ReadingError(f"{name}: {value:g} is not between 0 and {most:g}")
    return value


def problems(options: dict[str, Any]) -> list[str]:
    """What is wrong with the options."""
    kind = options.get("kind")
    if not isinstance(kind, str) or kind not in _FIGURES:
        return [f"options.kind: must be one of {', '.join(_FIGURES)}"]
    found = []
    if not any(options.get(name) is not None for name in _FIGURES[kind]):
        found.append(f"options.{_FIGURES[kind][0]}: is missing; a JSON path is needed for kind {kind}")
    for name in _PATHS:
        path = options.get(name)
        if path is None:
            continue
        try:
            JsonPath.parse(path.removeprefix("$") if isinstance(path, str) else path, f"options.{name}")
        except ReadingError as error:
            found.append(error.reason)
    for name in _NUMBERS:
        value = options.get(name)
        usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e9
        if value is not None and not usable:
            found.append(f"options.{name}: must be a number")
    if options.get("otherwise") not in {None, "heartbeat"}:
        found.append('options.otherwise: may only be "heartbeat"')
    return found


DECODER = Decoder("mapping", read, own_problems=problems)
