"""Traces of a person: where an id stands in what is kept, whatever form that has.

A short id may be a word like any other (`near`), so it counts only where an id can stand: fields such as `kind` or `store`
never name a person. Topics and queries write an id in other ways; those count too.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from geo_service.people.border import spellings

NAMES_NOBODY = frozenset(
    (
        "campaign",
        "category",
        "change",
        "channel",
        "currency",
        "decision",
        "fence",
        "format",
        "id",
        "kind",
        "level",
        "name",
        "previous",
        "reason",
        "role",
        "sku",
        "state",
        "status",
        "store",
        "timezone",
        "title",
        "type",
        "zone",
    )
)
"""Fields of ours whose value is somebody else's id, or a word."""
_RESERVED = frozenset(("device", "gap", "store", "total", "budget", "cap", "coupon", "policy", "exclusive", "pacing"))
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
            return field not in NAMES_NOBODY and self.is_in_text(value)
        if isinstance(value, bytes):
            return self.is_in(value)
        if isinstance(value, dict):
            return any(key in self.spellings or self.is_in_value(each, key) for key, each in value.items())
        return isinstance(value, list | tuple) and any(self.is_in_value(each, field) for each in value)

    def is_in_text(self, text: str) -> bool:
        """Whether a text names the person: as a whole, as a part of a path, or among lines."""
        if text in self.spellings or self._within.search(text) is not None:
            return True
        return "\n" in text and self.person in text.split("\n")

    def is_in_name(self, name: str) -> bool:
        """Whether a key, field or counter is the person's: `word:…:id` or `word:…:id:…`, but not as what stands first after
        the word, which is a campaign's, store's or policy's own id, where more follows.
        """
        if name in self.spellings or self.is_in_text(name):
            return True
        if self.person in _RESERVED:
            return False
        word, _, rest = name.partition(":")
        if not word or rest == self.person:
            return rest == self.person
        rest = rest.removeprefix(f"{self.person}:")
        return f":{self.person}:" in f":{rest}:"

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
                if key in self.spellings:
                    yield path, plain(each)
                else:
                    yield from self.excerpts(each, f"{path}.{key}" if path else str(key))
        elif isinstance(value, list | tuple):
            if any(isinstance(each, str) and self.is_in_text(each) for each in value):
                yield path, plain(value)
                return
            for each in value:
                yield from self.excerpts(each, path)


def decoded(data: bytes) -> Any:
    """JSON or MessagePack as plain values; `_UNREADABLE` where it is neither."""
    for decode in (msgspec.json.decode, msgspec.msgpack.decode):
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
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def lines_about(trace: Trace, blob: bytes) -> Sequence[Any]:
    """The lines of JSON that mention the person, decoded."""
    return [msgspec.json.decode(line) for line in blob.split(b"\n") if trace.is_in(line)]
