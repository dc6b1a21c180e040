"""The ledger: everything scarce, counted in one place.

Caps, budgets, coupons, stock, slots, seats and pacing tokens are all the same thing: claim some of several counters, or
none of them; then commit or release. A claim that is neither is released by itself when its time is up. The idempotency
key makes every call safe to repeat: the same key gets the same answer, which is what lets a fold run again after a crash.

Time is given, never read: the log's clock decides what has expired, so a replay decides the same.
`MemoryLedger` here is for tests and replay; `storage/redis_ledger.py` is its twin in Lua, and a property test holds them equal.
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, Self

import msgspec

from geo_service.errors import InvalidInputError

WINDOW_MS = 48 * 3_600_000
"""A key is remembered this long after its last change (and always while it is reserved)."""
LOOKED_MS = 3_600_000
"""What was only looked at is remembered for so long at the most: it holds nothing, and there is much of it."""
LARGEST = 2**52
"""Of an amount, a limit, a sum or a time: up to twice this, numbers are exact in Lua as in Python."""


class Claim(NamedTuple):
    """`amount` (1 or more) of one counter, if its claimed sum stays at or below `limit` (None: no limit)."""

    counter: str
    amount: int
    limit: int | None
    forget_after_ms: int | None = None
    """The counter starts again from zero this long after the first claim on it (a daily cap, a minimum gap).

    The claim that finds the counter at zero decides; on a counter that holds something it has no effect.
    """


class Reservation(NamedTuple):
    """All claims or none, under an idempotency key, held for `ttl_ms` unless committed.

    Several claims on one counter are added up before each of their limits is looked at.
    """

    key: str
    claims: Sequence[Claim]
    ttl_ms: int
    group: str = ""
    """Alternatives: of neighbours in one call with the same group, the first that is granted holds; whatever comes after it
    is only looked at."""
    hold: bool = True
    """False: only look whether there is room, and hold nothing. The answer is remembered for `ttl_ms`, an hour at the most."""


class Answer(NamedTuple):
    """Whether the claims were granted; if not, the first counter that had no room."""

    granted: bool
    refused: str | None = None
    looked: bool = False
    """There was room, but nothing is held: it was only looked at."""


class Ledger(Protocol):
    """Reserve several counters or none, then commit or release.

    Every method repeats its first answer when it is called again for the same key, and then changes nothing: a fold that
    runs again after a crash decides what it decided before. A reservation that is neither committed nor released
    expires when any call brings a `now_ms` at or past its end, before that call decides anything.
    """

    def reserve(self, reservations: Sequence[Reservation], now_ms: int) -> list[Answer]:
        """Decide each reservation in order; a key seen before gets its first answer and changes nothing.

        Raises:
            InvalidInputError: an amount or a time below 1, a negative limit, or an empty name; nothing was reserved.
        """
        ...

    def commit(self, keys: Sequence[str], now_ms: int) -> list[bool]:
        """Make reservations permanent; False where the key is unknown, was refused, or was over before it was committed."""
        ...

    def release(self, keys: Sequence[str], now_ms: int) -> list[bool]:
        """Give back what a reservation holds, committed or not; False where there never was anything to give back."""
        ...

    def total(self, counters: Sequence[str], now_ms: int) -> list[int]:
        """Reserved plus committed, per counter."""
        ...


def check(reservations: Iterable[Reservation]) -> None:
    """Refuse what no ledger can mean.

    Raises:
        InvalidInputError: says which field, and why.
    """
    for key, claims, ttl_ms, _, _ in reservations:
        if not key:
            raise InvalidInputError("is empty", field="key")
        _check_number("ttl_ms", ttl_ms, 1)
        for claim in claims:
            counter, amount, limit, forget_after_ms = claim
            # One look at all of it, for the thousands of claims that there is nothing to say about.
            if not (
                counter
                and 1 <= amount <= LARGEST
                and (limit is None or 0 <= limit <= LARGEST)
                and (forget_after_ms is None or 1 <= forget_after_ms <= LARGEST)
            ):
                _refuse(claim)


def _refuse(claim: Claim) -> None:
    if not claim.counter:
        raise InvalidInputError("is empty", field="counter")
    _check_number("amount", claim.amount, 1)
    if claim.limit is not None:
        _check_number("limit", claim.limit, 0)
    if claim.forget_after_ms is not None:
        _check_number("forget_after_ms", claim.forget_after_ms, 1)


def _check_number(field: str, number: int, least: int) -> None:
    if not least <= number <= LARGEST:
        raise InvalidInputError(f"must be from {least} to {LARGEST}, not {number}", field=field)


class _Counter(msgspec.Struct):
    total: int
    forget_ms: int
    """When it starts again from zero; 0 for never. Tells one life of the counter from the next."""


class _Record(msgspec.Struct):
    """What became of a key. Its claims are (counter, amount, forget_ms of the counter's life they belong to)."""

    state: str
    """`reserved`, `over` (refused, expired, released) or `committed`"""
    refused: str | None
    claims: list[tuple[str, int, int]]
    drop_ms: int
    expires_ms: int = 0
    committed: bool = False
    released: bool = False
    looked: bool = False

    def due(self) -> int:
        return self.expires_ms if self.state == "reserved" else self.drop_ms


class _Dump(msgspec.Struct):
    window_ms: int
    counters: dict[str, _Counter]
    records: dict[str, _Record]


class MemoryLedger:
    """The ledger in memory, for replay and tests; `dump` and `load` carry it from one process to the next."""

    def __init__(self, window_ms: int = WINDOW_MS) -> None:
        self.window_ms = window_ms
        self._counters: dict[str, _Counter] = {}
        self._records: dict[str, _Record] = {}
        # What may be over, and when; an entry that no longer says what is so is passed over.
        self._due: list[tuple[int, str, str]] = []

    def reserve(self, reservations: Sequence[Reservation], now_ms: int) -> list[Answer]:
        """Decide each reservation in order."""
        check(reservations)
        self._sweep(now_ms)
        answers, group, taken = [], "", False
        for reservation in reservations:
            if not reservation.group or reservation.group != group:
                group, taken = reservation.group, False
            answer = self._reserve(reservation, reservation.hold and not taken, now_ms)
            taken = taken or (bool(group) and answer.granted and not answer.looked)
            answers.append(answer)
        return answers

    def _reserve(self, reservation: Reservation, hold: bool, now_ms: int) -> Answer:
        record = self._records.get(reservation.key)
        if record is None:
            record = self._decide(reservation, hold, now_ms)
            self._records[reservation.key] = record
            self._queue(record.due(), "record", reservation.key)
        return Answer(record.refused is None, record.refused, record.looked)

    def _decide(self, reservation: Reservation, hold: bool, now_ms: int) -> _Record:
        sums: dict[str, int] = {}
        for claim in reservation.claims:
            sums[claim.counter] = sums.get(claim.counter, 0) + claim.amount
        for claim in reservation.claims:
            held = self._counters.get(claim.counter)
            total = (held.total if held else 0) + sums[claim.counter]
            if total > (LARGEST if claim.limit is None else claim.limit):
                return _Record("over", claim.counter, [], now_ms + self.window_ms)
        if not hold:
            return _Record("over", None, [], now_ms + min(reservation.ttl_ms, LOOKED_MS), looked=True)
        claims = [(claim.counter, claim.amount, self._claim(claim, now_ms)) for claim in reservation.claims]
        expires_ms = now_ms + reservation.ttl_ms
        return _Record("reserved", None, claims, expires_ms + self.window_ms, expires_ms)

    def _claim(self, claim: Claim, now_ms: int) -> int:
        """Add to the counter; returns the `forget_ms` of its present life."""
        counter = self._counters.get(claim.counter)
        if counter is None:
            forget_ms = 0 if claim.forget_after_ms is None else now_ms + claim.forget_after_ms
            counter = self._counters[claim.counter] = _Counter(0, forget_ms)
            if forget_ms:
                self._queue(forget_ms, "counter", claim.counter)
        counter.total += claim.amount
        return counter.forget_ms

    def _give_back(self, record: _Record) -> None:
        record.state = "over"
        for name, amount, forget_ms in record.claims:
            counter = self._counters.get(name)
            if counter is not None and counter.forget_ms == forget_ms:
                counter.total -= amount
                if counter.total == 0:
                    del self._counters[name]
        record.claims = []

    def commit(self, keys: Sequence[str], now_ms: int) -> list[bool]:
        """Make reservations permanent."""
        self._sweep(now_ms)
        return [self._commit(key, now_ms) for key in keys]

    def _commit(self, key: str, now_ms: int) -> bool:
        record = self._records.get(key)
        if record is None:
            return False
        if record.state == "reserved":
            record.state, record.committed = "committed", True
            self._keep(key, record, now_ms)
        return record.committed

    def release(self, keys: Sequence[str], now_ms: int) -> list[bool]:
        """Give back what reservations hold."""
        self._sweep(now_ms)
        return [self._release(key, now_ms) for key in keys]

    def _release(self, key: str, now_ms: int) -> bool:
        record = self._records.get(key)
        if record is None:
            return False
        if record.state != "over":
            self._give_back(record)
            record.released = True
            self._keep(key, record, now_ms)
        return record.released

    def total(self, counters: Sequence[str], now_ms: int) -> list[int]:
        """Reserved plus committed, per counter."""
        self._sweep(now_ms)
        return [self._counters[name].total if name in self._counters else 0 for name in counters]

    def _keep(self, key: str, record: _Record, now_ms: int) -> None:
        record.drop_ms = now_ms + self.window_ms
        self._queue(record.drop_ms, "record", key)

    def _queue(self, due_ms: int, kind: str, name: str) -> None:
        heapq.heappush(self._due, (due_ms, kind, name))

    def _sweep(self, now_ms: int) -> None:
        """End what is over by `now_ms`."""
        while self._due and self._due[0][0] <= now_ms:
            _, kind, name = heapq.heappop(self._due)
            if kind == "counter":
                counter = self._counters.get(name)
                if counter is not None and 0 < counter.forget_ms <= now_ms:
                    del self._counters[name]
            else:
                self._end(name, now_ms)

    def _end(self, key: str, now_ms: int) -> None:
        record = self._records.get(key)
        if record is None or record.due() > now_ms:
            return
        if record.state == "reserved":
            self._give_back(record)
            self._queue(record.drop_ms, "record", key)
        else:
            del self._records[key]

    def dump(self) -> bytes:
        """All of it, as bytes for `load`."""
        return msgspec.msgpack.encode(_Dump(self.window_ms, self._counters, self._records))

    @classmethod
    def load(cls, data: bytes) -> Self:
        """The ledger that `dump` wrote.

        Raises:
            msgspec.DecodeError: no dump of a ledger.
        """
        dump = msgspec.msgpack.decode(data, type=_Dump)
        ledger = cls(dump.window_ms)
        ledger._counters, ledger._records = dump.counters, dump.records
        for name, counter in dump.counters.items():
            if counter.forget_ms:
                ledger._queue(counter.forget_ms, "counter", name)
        for key, record in dump.records.items():
            ledger._queue(record.due(), "record", key)
        return ledger
