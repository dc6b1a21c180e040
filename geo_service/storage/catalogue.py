"""The documents of the site on Redis, and the one way to change them.

A change of documents and the log's entry that tells of it are one transaction: what the API shows and what the fold
works with cannot drift apart. Writing what is there already changes nothing and tells nobody.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import redis
from redis.client import Pipeline

from geo_service.catalogue.site import TYPES, Kind, encode_document, key_of
from geo_service.decoding import decode_json
from geo_service.errors import InvalidInputError, UnreachableError, VersionConflictError
from geo_service.flow.entries import Change, Changes, encode_body
from geo_service.storage.catalogue_view import CatalogueView
from geo_service.storage.connection import Client, reaching, server_name
from geo_service.storage.keys import Keys

CHANGES_PER_ENTRY = 1000
"""Of a large import: each entry of the log, and each transaction, holds at most so many."""
# Every try but the last found that somebody else had changed the site in the same millisecond.
_TRIES = 100
_DECODERS: dict[Kind, msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(type_) for kind, type_ in TYPES.items()}
Name = tuple[Kind, str]


class Stored(NamedTuple):
    """A document as it is kept. Versions rise with every change of the site, so none is ever used twice."""

    version: int
    document: bytes
    """Canonical JSON."""


class Documents(NamedTuple):
    """Documents as of a version of the site; None for one that was removed."""

    version: int
    documents: dict[Name, Stored | None]


class Applied(NamedTuple):
    """What came of a change."""

    versions: list[int]
    """Of each document afterwards; 0 where there is none."""
    changed: int


class Written(NamedTuple):
    """A document as it is kept now."""

    version: int
    is_new: bool


class Catalogue:
    """Documents by kind and key (`catalogue/site.py: key_of`). Methods may be called from several threads.

    Every method raises UnreachableError once the client's retries are used up.
    """

    def __init__(self, client: Client, partitions: int = 1, *, keys: Keys | None = None) -> None:
        """Sends nothing. `partitions` is the log's: each is told of every change."""
        self._client = client
        self._keys = keys or Keys()
        self._logs = [self._keys("log", partition=partition) for partition in range(partitions)]
        self._view = CatalogueView(self)

    # --- reading -----------------------------------------------------------------------------------------------------

    def version(self) -> int:
        """Rises with every change of any document; cheap to ask for."""
        with reaching(self._client):
            return int(self._client.get(self._keys("catalogue_version")) or 0)

    def find(self, kind: Kind, key: str) -> Stored | None:
        """One document with its version."""
        with reaching(self._client):
            packed: Any = self._client.hget(self._keys("catalogue", kind=kind), key)
        return None if packed is None else _unpack(packed)

    def load(self) -> Documents:
        """All documents."""
        version, documents = self.since(0)
        return Documents(version, {name: stored for name, stored in documents.items() if stored is not None})

    def since(self, version: int) -> Documents:
        """What was changed or removed after this version; ask with the returned one next time."""
        with reaching(self._client):
            # The version first: a change that comes in between is then found twice, and not never.
            reached = self.version()
            members: Any = self._client.zrangebyscore(self._keys("catalogue_changed"), f"({version}", "+inf")
            names = [_name_of(member) for member in members]
            documents: dict[Name, Stored | None] = {}
            for part in _slices(names):
                documents |= self._look_up(self._client, part)
        return Documents(reached, documents)

    def _look_up(self, source: Client, names: Sequence[Name]) -> dict[Name, Stored | None]:
        by_kind: dict[Kind, list[str]] = {}
        for kind, key in names:
            by_kind.setdefault(kind, []).append(key)
        found: dict[Name, Stored | None] = {}
        for kind, keys in by_kind.items():
            packed: Any = source.hmget(self._keys("catalogue", kind=kind), keys)
            found |= {
                (kind, key): None if value is None else _unpack(value) for key, value in zip(keys, packed, strict=True)
            }
        return found

    def get(self, kind: Kind, key: str) -> bytes | None:
        """One document as canonical JSON."""
        stored = self.find(kind, key)
        return None if stored is None else stored.document

    def page(self, kind: Kind, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        """Up to `limit` documents with keys above `after`, in key order."""
        return self._view.page(kind, after, limit)

    # --- changing ----------------------------------------------------------------------------------------------------

    def put(self, kind: Kind, key: str, document: bytes, *, expected: int | None = None) -> Written:
        """Write one and tell the log. `expected` as in `apply`."""
        wanted = None if expected is None else {(kind, key): expected}
        while True:
            before = self.find(kind, key)
            guard = wanted or {(kind, key): before.version if before else 0}
            try:
                applied = self.apply([Change(kind, key, document)], expected=guard)
            except VersionConflictError:
                if wanted is not None:
                    raise
                continue
            return Written(applied.versions[0], before is None)

    def remove(self, kind: Kind, key: str, *, expected: int | None = None) -> bool:
        """Remove one and tell the log; False where there was none."""
        wanted = None if expected is None else {(kind, key): expected}
        return self.apply([Change(kind, key, None)], expected=wanted).changed > 0

    def apply(self, changes: Sequence[Change], *, expected: Mapping[Name, int] | None = None) -> Applied:
        """Make changes in order and tell every partition of the log, at once or not at all.

        More than `CHANGES_PER_ENTRY` go in several such steps; importing the same again completes what was broken off.

        Args:
            changes: documents may be written in any way; they are kept in canonical form.
            expected: versions that documents must have now (0: not be there), or nothing is changed.

        Raises:
            InvalidInputError: a document that is none of its kind, or has another key than the change; nothing was changed.
            VersionConflictError: a document has another version than expected; nothing was changed.
        """
        if expected and len(changes) > CHANGES_PER_ENTRY:
            raise ValueError(f"with expected versions at most {CHANGES_PER_ENTRY} changes go at once")
        canonical = [_canonical(change) for change in changes]
        versions: list[int] = []
        changed = 0
        for part in _slices(canonical, CHANGES_PER_ENTRY):
            step = self._apply_step(part, expected or {})
            versions += step.versions
            changed += step.changed
        return Applied(versions, changed)

    def _apply_step(self, changes: Sequence[Change], expected: Mapping[Name, int]) -> Applied:
        """One transaction, tried again when another one came between its reading and its writing."""
        with reaching(self._client):
            for _ in range(_TRIES):
                with self._client.pipeline() as pipe:
                    try:
                        return self._try_step(pipe, changes, expected)
                    except redis.WatchError:
                        continue
        raise UnreachableError(server_name(self._client), f"the site changed under us {_TRIES} times in a row")

    def _try_step(self, pipe: Pipeline, changes: Sequence[Change], expected: Mapping[Name, int]) -> Applied:
        pipe.watch(self._keys("catalogue_version"))  # type: ignore[no-untyped-call]
        version = int(pipe.get(self._keys("catalogue_version")) or 0) + 1
        names: list[Name] = [(change.kind, change.id) for change in changes]
        before = self._look_up(pipe, list(dict.fromkeys([*names, *expected])))
        _check_expected(changes, before, expected)
        after = dict(before)
        effective = []
        for change, name in zip(changes, names, strict=True):
            stored = after[name]
            if change.document != (stored.document if stored else None):
                after[name] = None if change.document is None else Stored(version, change.document)
                effective.append(change)
        if effective:
            self._write(pipe, version, effective, {(c.kind, c.id): after[c.kind, c.id] for c in effective})
        return Applied([stored.version if (stored := after[name]) else 0 for name in names], len(effective))

    def _write(self, pipe: Pipeline, version: int, changes: list[Change], after: Mapping[Name, Stored | None]) -> None:
        kind_of_entry, body = encode_body(Changes(changes))
        pipe.multi()
        for kind in TYPES:
            kept = {key: _pack(stored) for (of, key), stored in after.items() if of == kind and stored is not None}
            gone = [key for (of, key), stored in after.items() if of == kind and stored is None]
            if kept:
                pipe.hset(self._keys("catalogue", kind=kind), mapping=kept)  # type: ignore[arg-type]  # bytes are fine
            if gone:
                pipe.hdel(self._keys("catalogue", kind=kind), *gone)
        pipe.zadd(self._keys("catalogue_changed"), {f"{kind}:{key}": version for kind, key in after})
        pipe.set(self._keys("catalogue_version"), version)
        for log in self._logs:
            pipe.xadd(log, {"k": kind_of_entry, "d": body})
        pipe.execute()


def _check_expected(
    changes: Sequence[Change], before: Mapping[Name, Stored | None], expected: Mapping[Name, int]
) -> None:
    """Raise on a conflict. A document that is already as it should become is none (RFC 9110, 13.1.1): this is how a
    change looks that is tried again because its answer was lost.
    """
    wanted = {(change.kind, change.id): change.document for change in changes}
    for name, version in expected.items():
        stored = before[name]
        found = stored.version if stored else 0
        is_done = name in wanted and wanted[name] == (stored.document if stored else None)
        if found != version and not is_done:
            raise VersionConflictError(*name, version, found)


def _canonical(change: Change) -> Change:
    if change.kind not in TYPES:
        raise InvalidInputError(f"is none of {', '.join(TYPES)}", field="kind")
    if change.document is None:
        return change
    try:
        document = decode_json(_DECODERS[change.kind], change.document)
    except InvalidInputError as error:
        where = f"{change.kind} {change.id}"
        raise InvalidInputError(error.reason, field=f"{where}: {error.field}" if error.field else where) from error
    key = key_of(change.kind, document)
    if key != change.id:
        raise InvalidInputError(f"is kept under {change.id!r}, but says that it is {key!r}", field=change.kind)
    return Change(change.kind, change.id, encode_document(document))


def _pack(stored: Stored) -> bytes:
    return b"%d %b" % stored


def _unpack(packed: bytes) -> Stored:
    version, _, document = packed.partition(b" ")
    return Stored(int(version), document)


def _name_of(member: bytes) -> Name:
    kind, _, key = member.decode().partition(":")
    return kind, key  # type: ignore[return-value]  # only kinds were written


def _slices(items: Sequence[Any], size: int = 5000) -> Iterator[Sequence[Any]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
