"""SenML (RFC 8428), JSON: a pack of records with base fields.

Records are resolved as section 4.6 says: names are joined to the base name, values and sums added to the base value and
sum, times below 2^28 are relative to the arrival. A record counts by the last part of its name: `in`, `out`, `people`
(absolute), `on` (state), `seq`, `uptime`, `battery`, or as `options.names` says. A value (`v`) of `in` is a delta, a sum
(`s`) a running total. What comes before that part in `n` is the line; in a pack with several base names, the base name is.
"""

import re
from typing import Any, NamedTuple

from sensors.errors import ReadingError
from sensors.formats.body import as_object, json_body, objects
from sensors.formats.fields import MAX_DELTA, MAX_TOTAL, charge, count, flag, name_of, number
from sensors.formats.message import MAX_READINGS, Decoder, Message
from sensors.instants import millis
from sensors.readings import Reading

_VERSION = 10
# Section 4.5.3: below this a time is seconds from now.
_ABSOLUTE_FROM_S = 2**28
# Section 4.5.1: a letter or digit, then these.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")
_LAST = re.compile(r"(?:(.*)[:/.\-_])?([A-Za-z0-9]+)")
_WORDS = {
    "in": "in",
    "out": "out",
    "people": "people",
    "on": "on",
    "seq": "seq",
    "uptime": "uptime",
    "battery": "battery",
}
_MAX_SEQ = 2**63 - 1
_MAX_UPTIME_S = 10_000_000_000


class Record(NamedTuple):
    """One resolved record."""

    base: str
    own: str
    """`n`: the name without the base name."""
    at_ms: int | None
    value: float | None
    sum: float | None
    on: bool | None


def read(payload: bytes, message: Message) -> list[Reading]:
    """Readings per line and time, in the order of the pack."""
    pack = json_body(payload)
    if not isinstance(pack, list):
        raise ReadingError("a SenML pack must be a list")
    if len(pack) > 4 * MAX_READINGS:
        raise ReadingError(f"holds {len(pack)} records; at most {4 * MAX_READINGS} are taken")
    groups: dict[tuple[str, int | None], dict[str, Record]] = {}
    records = resolve(objects(pack, "the pack"), message.received_ms)
    several = len({record.base for record in records}) > 1
    for record in records:
        line, word = _place(record, message, several=several)
        if word is not None:
            groups.setdefault((line, record.at_ms), {})[word] = record
    readings = [
        reading for (line, at_ms), words in groups.items() for reading in _readings(line, at_ms, words, message)
    ]
    return readings or message.heartbeat()


def resolve(pack: list[dict[str, Any]], received_ms: int) -> list[Record]:
    """Records with their base fields applied; a time of zero with no base time is the arrival, given as None.

    Raises:
        ReadingError: a field or a name that RFC 8428 does not allow, or a later version of it.
    """
    base: dict[str, Any] = {"bn": "", "bt": 0.0, "bv": None, "bs": None}
    records = []
    for place, record in enumerate(pack):
        must = [name for name in record if name.endswith("_")]
        if must:
            raise ReadingError(f"[{place}]: has a field that must be understood and is not: {must[0][:20]!a}")
        if number(record.get("bver", _VERSION), "bver") > _VERSION:
            raise ReadingError(f"[{place}].bver: is a later version than {_VERSION}")
        for name in ("bt", "bv", "bs"):
            if name in record:
                base[name] = number(record[name], name)
        if "bn" in record:
            base["bn"] = name_text(record["bn"], f"[{place}].bn")
        if any(name in record for name in ("n", "v", "vb", "vs", "vd", "s", "t")):
            records.append(_resolved(record, base, received_ms, f"[{place}]"))
    return records


def _resolved(record: dict[str, Any], base: dict[str, Any], received_ms: int, where: str) -> Record:
    name = base["bn"] + name_text(record.get("n", ""), f"{where}.n")
    if not _NAME.fullmatch(name):
        raise ReadingError(f"{where}.n: the name {name[:40]!a} is not one of RFC 8428")
    value = number(record["v"], f"{where}.v") if "v" in record else None
    if base["bv"] is not None and not any(kind in record for kind in ("vs", "vb", "vd")):
        value = base["bv"] + (value or 0.0)
    total = number(record["s"], f"{where}.s") if "s" in record else None
    if base["bs"] is not None:
        total = base["bs"] + (total or 0.0)
    on = flag(record["vb"], f"{where}.vb") if "vb" in record else None
    time_s = base["bt"] + (number(record["t"], f"{where}.t") if "t" in record else 0.0)
    return Record(base["bn"], record.get("n", ""), _time_ms(time_s, received_ms, where), value, total, on)


def _time_ms(time_s: float, received_ms: int, where: str) -> int | None:
    if time_s == 0:
        return None
    try:
        at_ms = millis(time_s) if time_s >= _ABSOLUTE_FROM_S else received_ms + millis(time_s)
    except ValueError as error:
        raise ReadingError(f"{where}.t: {error}") from error
    # Relative to an arrival that nobody knows.
    return at_ms if at_ms >= 0 and (received_ms or time_s >= _ABSOLUTE_FROM_S) else None


def name_text(value: Any, where: str) -> str:
    """A part of a name.

    Raises:
        ReadingError: it is no text, or a very long one.
    """
    if not isinstance(value, str) or len(value) > 200:
        raise ReadingError(f"{where}: must be a text of at most 200 characters")
    return value


def _place(record: Record, message: Message, *, several: bool) -> tuple[str, str | None]:
    """The line and the figure that a name speaks of."""
    words = {**_WORDS, **_options(message)}
    base = record.base.strip(":/.-_")[-64:] if several else ""
    name = record.own or record.base
    found = _LAST.fullmatch(name)
    if name in words or found is None:
        return base or "door", words.get(name)
    line = found[1].strip(":/.-_") if found[1] and record.own else ""
    return name_of(line[-64:] or base or "door", "line"), words.get(found[2])


def _options(message: Message) -> dict[str, str]:
    """`{"in": "count_a"}` as it is looked up: `{"count_a": "in"}`."""
    names = message.option("names")
    return {name: word for word, name in names.items() if isinstance(name, str)} if isinstance(names, dict) else {}


def _readings(line: str, at_ms: int | None, words: dict[str, Record], message: Message) -> list[Reading]:
    fields: dict[str, Any] = {"line": line, "to_ms": at_ms}
    marks = {word: words[word].value for word in ("seq", "uptime", "battery") if word in words}
    if marks.get("seq") is not None:
        fields["seq"] = count(marks["seq"], "seq", _MAX_SEQ)
    if marks.get("uptime") is not None:
        fields["uptime_s"] = min(max(number(marks["uptime"], "uptime"), 0.0), _MAX_UPTIME_S)
    fields["battery"] = charge(marks.get("battery"))
    sides = [words[word] for word in ("in", "out") if word in words]
    readings = []
    # Sums where there are any: a pack with both tells of the same people twice.
    if any(side.sum is not None for side in sides):
        counts = {f"{word}s": count(words[word].sum or 0, word, MAX_TOTAL) for word in ("in", "out") if word in words}
        readings.append(message.reading(kind="cumulative", **counts, **fields))
    elif any(side.value is not None for side in sides):
        counts = {f"{word}s": count(words[word].value or 0, word, MAX_DELTA) for word in ("in", "out") if word in words}
        readings.append(message.reading(kind="delta", **counts, **fields))
    if "people" in words and words["people"].value is not None:
        people = count(words["people"].value, "people", MAX_DELTA)
        readings.append(message.reading(kind="absolute", value=float(people), **fields))
    state = words["on"].on if "on" in words else None
    if state is not None:
        readings.append(message.reading(kind="state", value=float(state), **fields))
    return readings


def problems(options: dict[str, Any]) -> list[str]:
    """What is wrong with the options."""
    names = options.get("names")
    if names is None:
        return []
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        return ['options.names: must be an object such as {"in": "count_a"}']
    return [
        f"options.names: {word!r} is none of {', '.join(_WORDS)}"
        for word in as_object(names, "names")
        if word not in _WORDS
    ]


DECODER = Decoder("senml", read, own_problems=problems)
