"""The ledger on Redis: one Lua function, so that a thousand callers at once never get one too many."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from redis.client import Pipeline

from geo_service.flow.ledger import WINDOW_MS, Answer, Reservation, check
from geo_service.storage.connection import Client, reaching
from geo_service.storage.keys import Keys
from geo_service.storage.scripts import Script, run_pipeline

# One call of the script holds up everybody else on the server; this many decisions take a few milliseconds.
_SLICE = 250
_encode = msgspec.msgpack.Encoder().encode


class RedisLedger:
    """`flow/ledger.py` says what the methods mean. Each is one round trip, however many items it is given.

    A retry after a lost connection is as harmless as any repeat: same key, same answer. Every method raises
    UnreachableError once the client's retries are used up.
    """

    def __init__(self, client: Client, *, keys: Keys | None = None, window_ms: int = WINDOW_MS) -> None:
        """Sends nothing."""
        keys = keys or Keys()
        self._client = client
        self._window_ms = window_ms
        self._keys = [keys("ledger_counters"), keys("ledger_records"), keys("ledger_due")]
        self._script = Script("ledger")

    def reserve(self, reservations: Sequence[Reservation], now_ms: int) -> list[Answer]:
        """Decide each reservation in order."""
        check(reservations)
        return [_answer(refused) for refused in self._call("reserve", reservations, now_ms)]

    def commit(self, keys: Sequence[str], now_ms: int) -> list[bool]:
        """Make reservations permanent."""
        return [bool(done) for done in self._call("commit", keys, now_ms)]

    def release(self, keys: Sequence[str], now_ms: int) -> list[bool]:
        """Give back what reservations hold."""
        return [bool(done) for done in self._call("release", keys, now_ms)]

    def total(self, counters: Sequence[str], now_ms: int) -> list[int]:
        """Reserved plus committed, per counter."""
        return self._call("total", counters, now_ms)

    def _call(self, command: str, items: Sequence[Any], now_ms: int) -> list[Any]:
        calls = [[command, now_ms, self._window_ms, _encode(part)] for part in _slices(items)]
        if not calls:
            return []

        def queue(pipe: Pipeline) -> None:
            for arguments in calls:
                self._script.queue(pipe, self._keys, arguments)

        with reaching(self._client):
            if len(calls) == 1:
                # A pipeline of one costs a fifth more than the command alone.
                return list(self._script.run(self._client, self._keys, calls[0]))
            replies = run_pipeline(self._client, queue, [self._script], transaction=False)
        return [answer for reply in replies for answer in reply]


def _slices(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Of `_SLICE` items, or a few more: alternatives stay together."""
    start = 0
    while start < len(items):
        stop = start + _SLICE
        while stop < len(items) and _are_alternatives(items[stop - 1], items[stop]):
            stop += 1
        yield items[start:stop]
        start = stop


def _are_alternatives(one: str | Reservation, other: str | Reservation) -> bool:
    return (
        isinstance(one, Reservation) and isinstance(other, Reservation) and bool(one.group) and one.group == other.group
    )


_GRANTED, _LOOKED = Answer(True), Answer(True, None, True)


def _answer(refused: bytes | int) -> Answer:
    """What the script says of a reservation: the counter without room, or nothing; 1 where it only looked."""
    if isinstance(refused, int):
        return _LOOKED
    return Answer(False, refused.decode()) if refused else _GRANTED
