"""The delivery loop: outputs of the fold to the broker, and only then a note of how far we got.

At least once, each with its id: after a crash the last few go out again, and whoever counts, counts ids.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from geo_service.delivery.fates import Fared, Fate
from geo_service.delivery.mqtt_publisher import Missed, Outgoing
from geo_service.delivery.outbox import head_of, outgoing
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

    def publish(self, messages: Sequence[Outgoing]) -> Mapping[int, Missed]:
        """Returns once the broker has answered for all of them, with those that will reach nobody, by place."""
        ...


def deliver(
    outputs: Outputs,
    publisher: Publisher,
    keep_offers: Callable[[list[bytes]], None],
    now_ms: Callable[[], int],
    stop: threading.Event,
    fared: Callable[[Mapping[str, Fared], int], None] | None = None,
    count: Callable[[str, int], None] = lambda *_: None,
) -> None:
    """Deliver until stopped; `keep_offers` stores decided offers where phones that pull will find them, before any is sent.

    `fared` is told what became of each offer, by its id, and when; `count` how many messages the broker refused.
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
        missed = publisher.publish([message for _, message in messages if message is not None])
        count("mqtt_refused", sum(how == "refused" for how in missed.values()))
        if offers and fared is not None:
            fared(_fates(messages, missed), now_ms())
        outputs.done({partition: entry_id for partition, entry_id, _ in batch})


def _fates(messages: Iterable[tuple[bytes, Outgoing | None]], missed: Mapping[int, Missed]) -> dict[str, Fared]:
    """Of offers that were to be sent."""
    fates: dict[str, Fared] = {}
    place = 0
    for line, message in messages:
        if line.startswith(b'{"kind":"offer"'):
            head = head_of(line)
            if head.decision == "sent" and head.id is not None:
                taken: Fate = missed.get(place, "acknowledged")
                fates[head.id] = Fared(head.store or "", taken if message is not None else "expired")
        place += message is not None
    return fates
