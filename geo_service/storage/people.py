"""Everything that is kept about a person, found by walking every key that is declared `personal`: to tell it, or to erase it.

A key that nobody has thought of here is walked like any other: whatever in it mentions the person is told, and taken out.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from geo_service.flow.entries import Pings, decode_body
from geo_service.people.state import kept_in_state
from geo_service.people.traces import Trace, decoded, lines_about, plain
from geo_service.pings.batch import PingBatch, said
from geo_service.storage.connection import Client, reaching
from geo_service.storage.keys import KEYS, Declarations, Key, Keys
from geo_service.storage.outputs_rewrite import rewrite_outputs
from geo_service.storage.scripts import Script

_CHUNK = 500
_PART = re.compile(r"<(\w+)>")
_BY_DEVICE = frozenset(("consents", "devices", "located", "located_changed", "names"))
"""Their fields or members are devices, or else nobody; what stands in a field is about its own device alone."""
_TOLD = frozenset(("mention", "fold", "rewrite", "ledger", "border"))


class Found(NamedTuple):
    """One mention: what to take out of a key (None: all of it), and what it says."""

    what: Any
    content: Any


class Place(NamedTuple):
    """A key, its declaration, and what varies in its name."""

    declaration: Key
    key: str
    parts: list[str]

    def is_named(self, trace: Trace) -> bool:
        """Whether the key itself is the person's: what else varies in names may be called as they are."""
        theirs = {"device": trace.person, "subject": f"http:device:{trace.person}"}
        names = [name for name in _PART.findall(self.declaration.pattern) if name != "partition"]
        return any(theirs.get(name) == part for name, part in zip(names, self.parts, strict=True))


class PersonalData:
    """Every method raises UnreachableError once the client's retries are used up."""

    def __init__(self, client: Client, partitions: int, *, keys: Keys | None = None) -> None:
        """Sends nothing."""
        self._client = client
        self._keys = keys or Keys()
        self._partitions = partitions
        self._forget, self._mentioning = Script("ledger_forget"), Script("mentioning")
        self._declarations = Declarations(KEYS)

    # --- walking -----------------------------------------------------------------------------------------------------

    def personal_keys(self, goes: Iterable[str], trace: Trace) -> Iterator[Place]:
        """Every key that is declared personal, goes so, and may hold something about the person."""
        wanted, prefix = frozenset(goes), self._keys.prefix
        cursor: Any = 0
        while True:
            arguments = [cursor, f"{prefix}*", _CHUNK, *trace.spellings]
            cursor, names = self._mentioning.run(self._client, [], arguments)
            for raw in names:
                name = raw.decode("utf-8", "surrogateescape")
                found = self._declarations.find(name[len(prefix) :])
                if found is not None and found[0].personal and found[0].goes in wanted:
                    yield Place(found[0], name, found[1])
            if int(cursor) == 0:
                return

    def _found(self, place: Place, trace: Trace) -> Iterator[Found]:
        """What in a key mentions the person."""
        declaration, key, parts = place
        if declaration.goes == "ledger":
            yield from self._found_in_ledger(declaration.kind, key, trace)
        elif place.is_named(trace):
            yield Found(None, self._whole_of(declaration.kind, key))
        elif declaration.kind == "hash" and parts:
            whole: Any = self._client.hgetall(key)
            if any(trace.is_in_value(value, _text(name)) for name, value in whole.items()):
                yield Found(None, whole)
        elif declaration.kind == "stream":
            for entry, fields in self._entries(key):
                if any(trace.is_in_value(value, _text(name)) for name, value in fields.items()):
                    yield Found(entry, fields)
        else:
            yield from self._found_in_members(declaration, key, trace)

    def _found_in_members(self, declaration: Key, key: str, trace: Trace) -> Iterator[Found]:
        client: Any = self._client
        kind, by_device = declaration.kind, declaration.name in _BY_DEVICE
        if kind == "hash":
            pairs = client.hscan_iter(key, count=_CHUNK)
            yield from (
                Found(name, {_text(name): value})
                for name, value in pairs
                if _text(name) == trace.person or (not by_device and trace.is_in(value))
            )
        elif kind == "string":
            value = client.get(key)
            if value is not None and trace.is_in(value):
                yield Found(None, value)
        else:
            members = client.zscan_iter(key, count=_CHUNK) if kind == "zset" else self._whole_of(kind, key)
            for member in (member[0] if kind == "zset" else member for member in members):
                if _text(member) == trace.person or (not by_device and trace.is_in(member)):
                    yield Found(member, member)

    def _found_in_ledger(self, kind: str, key: str, trace: Trace) -> Iterator[Found]:
        client: Any = self._client
        rows = client.hscan_iter(key, count=_CHUNK) if kind == "hash" else client.zscan_iter(key, count=_CHUNK)
        for name, held in rows:
            counters = _texts(decoded(held)) if kind == "hash" and trace.may_be_in(held) else ()
            if trace.is_counter(_text(name)) or any(trace.is_counter(counter) for counter in counters):
                yield Found(name, {_text(name): held} if kind == "hash" else name)

    def _whole_of(self, kind: str, key: str) -> Any:
        client: Any = self._client
        match kind:
            case "hash":
                return client.hgetall(key)
            case "zset":
                return client.zrange(key, 0, -1)
            case "list":
                return client.lrange(key, 0, -1)
            case "set":
                return list(client.smembers(key))
            case "stream":
                return [fields for _, fields in self._entries(key)]
            case _:
                return client.get(key)

    def _entries(self, key: str) -> Iterator[tuple[bytes, Mapping[bytes, bytes]]]:
        start = "-"
        while True:
            rows: Any = self._client.xrange(key, min=start, count=_CHUNK)
            yield from rows
            if len(rows) < _CHUNK:
                return
            start = f"({rows[-1][0].decode()}"

    # --- telling -----------------------------------------------------------------------------------------------------

    def export(self, person: str) -> dict[str, list[Any]]:
        """All that is kept about a person, by the name of the key that it is in; see `storage/keys.py`."""
        trace = Trace(person)
        told: dict[str, list[Any]] = {}
        with reaching(self._client):
            for place in self.personal_keys(_TOLD, trace):
                found = list(self._told(place, trace))
                if found:
                    told.setdefault(place.declaration.name, []).extend(found)
        return dict(sorted(told.items()))

    def _told(self, place: Place, trace: Trace) -> Iterator[Any]:
        declaration, key, _ = place
        if declaration.name == "log":
            for _, fields in self._entries(key):
                yield from _told_of_entry(fields, trace)
        elif declaration.kind == "hash" and declaration.goes == "fold":
            state: Any = self._client.hget(key, "state")
            yield from kept_in_state(state or b"", trace)
        elif declaration.goes == "rewrite":
            for _, fields in self._entries(key):
                yield from lines_about(trace, fields.get(b"d", b""))
        else:
            yield from (plain(found.content) for found in self._found(place, trace))

    # --- erasing -----------------------------------------------------------------------------------------------------

    def erase(self, person: str) -> Counter[str]:
        """Take out what the fold does not: by the name of the key, how many fields, members, entries, keys or lines."""
        trace, removed = Trace(person), Counter[str]()
        with reaching(self._client):
            for place in list(self.personal_keys(("mention",), trace)):
                removed[place.declaration.name] += self._take_out(place, trace)
            removed["ledger_counters"] += self._erase_from_ledger(trace)
            for partition in range(self._partitions):
                removed["outputs"] += rewrite_outputs(self._client, self._keys, partition, trace)
        return +removed

    def _take_out(self, place: Place, trace: Trace) -> int:
        client: Any = self._client
        declaration, key, _ = place
        found = [found.what for found in self._found(place, trace)]
        if not found:
            return 0
        if None in found:
            return int(client.unlink(key))
        remove = {"hash": client.hdel, "zset": client.zrem, "set": client.srem, "stream": client.xdel}
        if declaration.kind == "list":
            return sum(client.lrem(key, 0, item) for item in found)
        return sum(remove[declaration.kind](key, *found[at : at + _CHUNK]) for at in range(0, len(found), _CHUNK))

    def _erase_from_ledger(self, trace: Trace) -> int:
        client: Any = self._client
        keys = [self._keys(name) for name in ("ledger_counters", "ledger_records", "ledger_due")]
        counters = {
            _text(name) for name, _ in client.hscan_iter(keys[0], count=_CHUNK) if trace.is_counter(_text(name))
        }
        claiming = []
        for name, packed in client.hscan_iter(keys[1], count=_CHUNK):
            if trace.may_be_in(packed):
                mentioned = {text for text in _texts(decoded(packed)) if trace.is_counter(text)}
                if mentioned:
                    counters |= mentioned
                    claiming.append(_text(name))
        if counters:
            pack = msgspec.msgpack.encode
            self._forget.run(self._client, keys, [pack(sorted(counters)), pack(claiming)])
        return len(counters)

    def left(self, person: str) -> list[str]:
        """The names of keys that still mention a person: none, once they are erased (but for the border's own)."""
        trace, left = Trace(person), set()
        with reaching(self._client):
            for place in self.personal_keys(("mention", "fold", "rewrite"), trace):
                if next(iter(self._told(place, trace)), None) is not None:
                    left.add(place.declaration.name)
        return sorted(left)

    def forget_at_border(self, person: str) -> None:
        """Drop what tells copies of the border that there is nothing to know any more."""
        with reaching(self._client):
            self._client.zrem(self._keys("located_changed"), person)


_ABOUT_NOBODY = frozenset(("tick", "readings", "recount", "override", "changes", "undelivered"))
"""Entries that name stores, sensors and those who work there."""


def _told_of_entry(fields: Mapping[bytes, bytes], trace: Trace) -> Iterator[Any]:
    """What one entry of the log says about a person."""
    kind, data = fields[b"k"].decode(), fields[b"d"]
    if kind in _ABOUT_NOBODY or not trace.may_be_in(data):
        return
    body = decode_body(kind, data)
    if isinstance(body, Pings):
        yield from ({"kind": "ping", **ping} for ping in _pings_of(body.batch, trace.person))
        return
    for path, content in trace.excerpts(msgspec.msgpack.decode(data)):
        yield {"kind": kind, "part": path, "holds": content}


def _pings_of(batch: PingBatch, person: str) -> Iterator[dict[str, Any]]:
    for row, device in enumerate(batch.devices):
        if device == person:
            yield {
                "time_ms": int(batch.time_ms[row]),
                "lat": float(batch.lat[row]),
                "lon": float(batch.lon[row]),
                "accuracy_m": said(batch.accuracy_m[row]),
                "speed_mps": said(batch.speed_mps[row]),
                "heading_deg": said(batch.heading_deg[row]),
            }


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield _text(value)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
