"""The ledger: everything scarce, counted in one place.

Caps, budgets, coupons, stock, slots, seats and pacing tokens are all the same thing: claim some of several counters, or
none of them; then commit or release. A claim that is neither is released by itself when its time is up. The idempotency
key makes every call safe to repeat: the same key gets the same answer, which is what lets a fold run again after a crash.

Time is given, never read: the log's clock decides what has expired, so a replay decides the same.
`MemoryLedger` here is for tests and replay; `storage/redis_ledger.py` is its twin in Lua, and a property test holds them equal.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Claim(NamedTuple):
    """`amount` of one counter, if its reserved and committed sum stays at or below `limit` (None: no limit)."""

    counter: str
    amount: int
    limit: int | None
    forget_after_ms: int | None = None
    """The counter starts again from zero this long after it was first claimed (a daily cap, a minimum gap)."""


class Reservation(NamedTuple):
    """All claims or none, under an idempotency key, held for `ttl_ms` unless committed."""

    key: str
    claims: Sequence[Claim]
    ttl_ms: int


class Answer(NamedTuple):
    """Whether the claims were granted; if not, the first counter that had no room."""

    granted: bool
    refused: str | None = None


class Ledger(Protocol):
    """Reserve several counters or none, then commit or release."""

    def reserve(self, reservations: Sequence[Reservation], now_ms: int) -> list[Answer]:
        """Decide each reservation in order; a key seen before gets its first answer and changes nothing."""
        ...

    def commit(self, keys: Sequence[str], now_ms: int) -> list[bool]:
        """Make reservations permanent; False where the key is unknown, refused, released or expired."""
        ...

    def release(self, keys: Sequence[str], now_ms: int) -> list[bool]:
        """Give back what a reservation holds, committed or not; False where there is nothing to give back."""
        ...

    def total(self, counters: Sequence[str], now_ms: int) -> list[int]:
        """Reserved plus committed, per counter."""
        ...
