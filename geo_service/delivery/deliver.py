"""The delivery loop: outputs of the fold to the broker, and only then a note of how far we got.

At least once, each with its id: after a crash the last few go out again, and whoever counts, counts ids.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

from geo_service.delivery.mqtt_publisher import Outgoing
from geo_service.delivery.outbox import head_of, outgoing
from geo_service.flow.entries import EntryId

BATCH = 500
Fate = Literal["acknowledged", "expired"]


class Outputs(Protocol):
    """A named reader of outputs with a kept position."""

    def read(self, limit: int, wait_s: float) -> list[tuple[int, EntryId, bytes]]:
        """Outputs not read yet."""
        ...

    def done(self, positions: dict[int, EntryId]) -> None:
        """Keep the positions."""
        ...


class Publisher(Protocol):
    """Sends and waits for the broker's word."""

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Returns once the broker has them all."""
        ...


def deliver(
    outputs: Outputs,
    publisher: Publisher,
    keep_offers: Callable[[list[bytes]], None],
    now_ms: Callable[[], int],
    stop: threading.Event,
    fared: Callable[[Mapping[str, Fate], int], None] | None = None,
) -> None:
    """Deliver until stopped; `keep_offers` stores decided offers where phones that pull will find them, before any is sent.

    `fared` is told what became of each offer, by its id, and when.
    """
    while not stop.is_set():
        batch = outputs.read(BATCH, 0.5)
        if not batch:
            continue
        lines = [line for _, _, blob in batch for line in blob.split(b"\n")]
        offers = [line for line in lines if line.startswith(b'{"kind":"offer"')]
        if offers:
            keep_offers(offers)
        at_ms = now_ms()
        messages = [(line, outgoing(line, at_ms)) for line in lines]
        publisher.publish([message for _, message in messages if message is not None])
        if offers and fared is not None:
            fared(_fates(messages), now_ms())
        outputs.done({partition: entry_id for partition, entry_id, _ in batch})


def _fates(messages: Iterable[tuple[bytes, Outgoing | None]]) -> dict[str, Fate]:
    """Of offers that were to be sent: the broker has it, or it was too late for that."""
    fates: dict[str, Fate] = {}
    for line, message in messages:
        if line.startswith(b'{"kind":"offer"'):
            head = head_of(line)
            if head.decision == "sent" and head.id is not None:
                fates[head.id] = "expired" if message is None else "acknowledged"
    return fates
