"""What is known of deliveries, in the words that storage, the sending loop and the API share."""

from typing import Literal, NamedTuple

import msgspec


class WebhookDelivery(NamedTuple):
    """One delivery in a queue, or among the dead letters."""

    entry: str
    id: str
    kind: str
    queued_ms: int
    body: bytes
    attempts: int
    reason: str | None
    """What the last attempt came to."""
    offer: str = ""
    """Id of the offer that it is about; "" of anything else."""


class WebhookState(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint fares."""

    waiting: int
    dead_letters: int
    next_ms: int
    """No attempt before this; 0: at once."""
    failures: int
    """In a row, up to now."""
    entry: str | None
    attempts: int
    """Of that entry, which is the queue's first."""
    reason: str | None
    tried_ms: int | None
    delivered: int
    failed: int
    dead: int
    overflowed: int
    lost: int


class OfferTold(msgspec.Struct, frozen=True, array_like=True):
    """How one offer's delivery to one endpoint stands."""

    state: Literal["queued", "retrying", "delivered", "dead"]
    attempts: int
    at_ms: int


class WebhookFate(msgspec.Struct, frozen=True, kw_only=True):
    """How a delivery ended."""

    id: str
    kind: str
    outcome: str
    """`delivered` or `dead`"""
    attempts: int
    reason: str
    at_ms: int
