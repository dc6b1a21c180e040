"""Traces of a person: where an id stands in what is kept, whatever form that has.

A device may be called as anything else is (`near`, `store`, or as a store), and what is kept of others must stay. So an id counts
only where one can stand: our own fields are known, and but for a few none of them names a person, nor is one. Topics and
queries write an id in other ways; those count too. A field that is not known here counts.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from geo_service.people.border import spellings

NAMES_NOBODY = frozenset(
    (
        "a", "accepted", "accuracy_m", "action", "actions", "admitted", "affinities", "affinity", "agrees", "alert",
        "altitude_m", "amount", "analytics", "at", "at_ms", "attempts", "battery", "before", "benefit", "binding",
        "body", "by", "campaign", "capacity", "catalogue", "category", "ceiling", "change", "changes", "channel",
        "code", "comfort", "confidence", "confirmed", "consents", "conversion", "count", "crossing", "crossings",
        "currency", "d", "decision", "detail", "document", "duration_s", "elsewhere", "entered", "entry", "error",
        "evidence", "exclusive", "expires", "expires_ms", "facts", "fate", "fate_ms", "fence", "format", "from_ms",
        "heading_deg", "high", "i", "id", "in_flight", "in_total", "ins", "invited", "issued_ms", "k", "key", "kind",
        "language", "last_visit_here_ms", "last_visit_ms", "lat", "left", "legal", "level", "line", "location", "lock",
        "logged", "lon", "low", "margin", "mean", "minutes", "mock", "name", "now", "o", "offer", "offers", "order",
        "out_total", "outs", "p_over", "pacing", "parts", "previous", "pulled_ms", "purposes", "pursuits", "quantity",
        "query", "r", "rate", "readings", "received_ms", "redeemed", "refusals", "refused", "retained", "role", "room",
        "segments", "sensor", "seq", "sigma", "since", "since_ms", "sku", "source", "state", "status", "store",
        "stores", "t", "tamper", "text", "time", "time_ms", "timezone", "title", "to_ms", "tried", "trigger", "type",
        "until", "until_ms", "uptime_s", "value", "verdict", "version", "visit", "visits", "visits_here", "waits",
        "whole_sensor", "worth", "z", "zone",
    )
)  # fmt: skip
"""Fields of ours: none is a person, and what stands in one is none either, but for what stands in fields within it."""
_NAMES_SOMEBODY = frozenset(("device", "devices", "person", "topic"))
"""Fields of ours that do name people; they are no person's name themselves."""
_QUOTING = frozenset(("reason",))
"""Fields of sentences, which may quote an id."""
_CAPS = re.compile(r"per_device|min_gap_s|exclusive|[^:/]*:policy\.per_device_day|gap:policy\.min_gap_s")
"""What follows a device in a counter of `offers/campaigns.py`."""
_BAD = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)
_UNREADABLE = object()


class Trace:
    """One person's id in all its spellings."""

    def __init__(self, person: str) -> None:
        self.person = person
        self.spellings = spellings(person)
        self._bytes = [spelling.encode() for spelling in self.spellings]
        either = "|".join(re.escape(spelling) for spelling in self.spellings)
        # What stands around an id in a topic, a path or a query.
        self._within = re.compile(rf"(?:^|[/?=&\s'\"]|:/)(?:{either})(?:$|[/?&\s'\"])")

    def may_be_in(self, data: bytes) -> bool:
        """Whether a closer look is worth it."""
        return any(spelling in data for spelling in self._bytes)

    def is_in(self, data: bytes) -> bool:
        """Whether these bytes (JSON, MessagePack or text) mention the person."""
        if not self.may_be_in(data):
            return False
        if data in self._bytes:
            return True
        value = decoded(data)
        if value is not _UNREADABLE and not isinstance(value, int | float):
            return self.is_in_value(value)
        return self.is_in_text(data.decode("utf-8", "replace"))

    def is_in_value(self, value: Any, field: Any = None) -> bool:
        """The same of a decoded value."""
        if isinstance(value, str):
            if field in _QUOTING:
                return f"'{self.person}'" in value
            return field not in NAMES_NOBODY and self.is_in_text(value)
        if isinstance(value, bytes):
            return self.is_in(value) and not (field in NAMES_NOBODY and value in self._bytes)
        if isinstance(value, dict):
            return any(self._is_key(key) or self.is_in_value(each, key) for key, each in value.items())
        return isinstance(value, list | tuple) and any(self.is_in_value(each, field) for each in value)

    def is_in_text(self, text: str) -> bool:
        """Whether a text names the person: as a whole, as a part of a path, or among lines."""
        if text in self.spellings or self._within.search(text) is not None:
            return True
        return "\n" in text and self.person in text.split("\n")

    def _is_key(self, key: Any) -> bool:
        return key == self.person and key not in NAMES_NOBODY and key not in _NAMES_SOMEBODY

    def is_counter(self, name: str) -> bool:
        """Whether a counter of the ledger is the person's: `…/{device}:{cap}`."""
        tail = name.rpartition("/")[2] if "/" in name else ""
        mine = f"{self.person}:"
        return tail.startswith(mine) and _CAPS.fullmatch(tail, len(mine)) is not None

    def without(self, lines: bytes) -> bytes:
        """Lines of JSON without those that mention the person."""
        return b"\n".join(line for line in lines.split(b"\n") if not self.is_in(line))

    def excerpts(self, value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
        """The smallest parts of a decoded value that mention the person, each with its path."""
        if isinstance(value, bytes):
            inner = decoded(value) if self.may_be_in(value) else None
            if isinstance(inner, dict | list):
                yield from self.excerpts(inner, path)
        elif isinstance(value, dict):
            flat = {key: each for key, each in value.items() if not isinstance(each, dict | list | bytes)}
            if self.is_in_value(flat):
                yield path, plain(value)
                return
            for key, each in value.items():
                if self._is_key(key):
                    yield path, plain(each)
                else:
                    yield from self.excerpts(each, f"{path}.{_name(key)}" if path else _name(key))
        elif isinstance(value, list | tuple):
            field = path.rpartition(".")[2]
            if any(isinstance(each, str) and self.is_in_value(each, field) for each in value):
                yield path, plain(value)
                return
            for each in value:
                yield from self.excerpts(each, path)


def decoded(data: bytes) -> Any:
    """JSON or MessagePack as plain values; `_UNREADABLE` where it is neither."""
    # A lone byte is a letter, though MessagePack would take it for a number.
    decoders = (msgspec.json.decode, msgspec.msgpack.decode) if len(data) > 1 else (msgspec.json.decode,)
    for decode in decoders:
        try:
            return decode(data)
        except _BAD:
            continue
    return _UNREADABLE


def plain(value: Any) -> Any:
    """A value that JSON can hold; bytes are read if they can be, else left out."""
    if isinstance(value, bytes):
        inner = decoded(value)
        return value.decode("utf-8", "replace") if inner is _UNREADABLE else plain(inner)
    if isinstance(value, dict):
        return {_name(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, msgspec.msgpack.Ext):
        return plain(bytes(value.data))
    return value


def _name(key: Any) -> str:
    """A field's name; Redis tells its own as bytes."""
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)


def lines_about(trace: Trace, blob: bytes) -> Sequence[Any]:
    """The lines of JSON that mention the person, decoded."""
    return [msgspec.json.decode(line) for line in blob.split(b"\n") if trace.is_in(line)]
