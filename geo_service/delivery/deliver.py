"""The delivery loop: outputs of the fold to the broker, and only then a note of how far we got.

At least once, each with its id: after a crash the last few go out again, and whoever counts, counts ids.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from geo_service.delivery.mqtt_publisher import Outgoing
from geo_service.delivery.outbox import outgoing
from geo_service.flow.entries import EntryId

BATCH = 500


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
) -> None:
    """Deliver until stopped; `keep_offers` stores decided offers where phones that pull will find them."""
    while not stop.is_set():
        batch = outputs.read(BATCH, 0.5)
        if not batch:
            continue
        lines = [line for _, _, blob in batch for line in blob.split(b"\n")]
        offers = [line for line in lines if line.startswith(b'{"kind":"offer"')]
        if offers:
            keep_offers(offers)
        at_ms = now_ms()
        publisher.publish([message for line in lines if (message := outgoing(line, at_ms)) is not None])
        outputs.done({partition: entry_id for partition, entry_id, _ in batch})
