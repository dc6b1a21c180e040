"""From messages to the log: decode a batch, append it, and let go of it only then.

A broker that did not hear our acknowledgement sends a message again. Pings do not mind; what counts (a door's "two came
in") is remembered by message id and checksum in the very append that holds it, and a redelivery is recognised by both.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from zlib import crc32

from geo_service.delivery.mqtt_packets import Message as MqttMessage
from geo_service.flow.entries import Behaviour, Body, Forget, OrderStanding, Refusal, Traits
from geo_service.flow.intake import Intake, Message, Problem, SensorDirectory, Taken, bodies_of, nothing_taken
from geo_service.flow.log import Log, Receipt
from geo_service.people.border import Border, device_of
from geo_service.pings import native, owntracks

REFUSALS_A_SECOND = 10
"""So many refusals a second reach the log as `rejected` outputs; all are counted."""


class Accepted(NamedTuple):
    """What became of one message."""

    accepted: int
    problems: list[Problem]
    dropped: int = 0
    """Pings and actions that were understood and not kept: their person does not agree, or nobody may be followed there."""


class Ingest:
    """The border's shell; one per process, used from several threads."""

    def __init__(
        self,
        log: Log,
        client_id: str,
        now_ms: Callable[[], int],
        count: Callable[[str, int], None],
        seen: Callable[[str, float, float], None] | None = None,
        border: Callable[[], Border] | None = None,
    ) -> None:
        """`count(name, n)` is told how many pings, readings and refusals came in.

        `border()` is asked before each append what may not be stored; None: everything may.

        `seen(topic, lat, lon)` is told where an OwnTracks phone last was in each batch, once the log has it.
        """
        self._log = log
        self._client_id = client_id
        self._now_ms = now_ms
        self._count = count
        self._seen = seen
        self._border = border
        self._intake = Intake(SensorDirectory({}, {}))
        self._receipts = log.receipts(client_id)
        self._allowance = float(REFUSALS_A_SECOND)
        self._allowed_at = time.monotonic()
        self._lock = threading.Lock()

    def use(self, directory: SensorDirectory) -> None:
        """The sensors changed."""
        self._intake.directory = directory

    def take_batch(self, messages: Sequence[MqttMessage]) -> None:
        """A batch from the broker; returns once the log has it, so that it may be acknowledged.

        Raises:
            UnreachableError: the log cannot be reached; nothing was appended, the same batch may come again.
        """
        taken, counted, now_ms = nothing_taken(), [], self._now_ms()
        fixes: dict[str, tuple[float, float]] = {}
        take_ping = self._intake.take_ping
        for message in messages:
            if not message.retained and take_ping(message.topic, message.payload, taken):
                continue
            if message.qos and not message.topic.startswith(native.TOPIC):
                checksum = crc32(message.payload, crc32(message.topic.encode()))
                # Also of what came again: it still is unacknowledged.
                counted.append((message.mid, checksum))
                if message.dup and self._receipts.hold(message.mid, checksum):
                    self._count("redelivered", 1)
                    continue
            before = len(taken.rows)
            self._intake.take(Message(message.topic, message.payload, now_ms, message.retained), taken)
            if len(taken.rows) > before and message.topic.startswith(owntracks.TOPIC):
                fixes[message.topic] = taken.rows[-1][2:4]
        self._append(taken, Receipt(self._client_id, counted, self._receipts.passed + len(messages)))
        if self._seen is not None and fixes:
            kept = {row[0] for row in taken.rows}
            for topic, (lat, lon) in fixes.items():
                if device_of(topic) in kept:
                    self._seen(topic, lat, lon)

    def take_one(self, topic: str, payload: bytes, device: str | None) -> Accepted:
        """A body received over HTTP; returns once the log has it.

        Raises:
            UnreachableError: the log cannot be reached.
        """
        taken = nothing_taken()
        problems = self._intake.take(Message(topic, payload, self._now_ms(), device=device), taken)
        dropped = self._append(taken, None)
        return Accepted(len(taken.rows) + len(taken.readings) + len(taken.others), problems, dropped)

    def refused(self, topic: str, reason: str) -> None:
        """Something that could not even be handed over, such as a packet too large."""
        taken = nothing_taken()
        taken.refusals.append(Refusal(topic, reason))
        self._append(taken, None)

    def _append(self, taken: Taken, receipt: Receipt | None) -> int:
        """Returns how many pings and actions were dropped for their person's sake."""
        rejected = len(taken.refusals)
        dropped = self._turn_away(taken)
        if rejected:
            del taken.refusals[self._allowed(rejected) :]
        items = bodies_of(taken, self._log.partitions)
        if items:
            self._log.append(items, receipt=receipt)
            if receipt is not None:
                self._receipts.add(receipt)
        self._count("pings", len(taken.rows))
        self._count("readings", len(taken.readings))
        self._count("rejected", rejected)
        return dropped

    def _turn_away(self, taken: Taken) -> int:
        """Leave out what may not be stored."""
        if self._border is None or not (taken.rows or taken.refusals or taken.others):
            return 0
        border = self._border()
        with self._lock:
            turned = border.turn_away(taken.rows)
        taken.refusals[:] = [refusal for refusal in taken.refusals if border.may_name(refusal.topic)]
        kept = [each for each in taken.others if _may_keep(border, each[1])]
        left_out = sum(_parts(body) for _, body in taken.others) - sum(_parts(body) for _, body in kept)
        taken.others[:] = kept
        self._count("no_consent", turned.no_consent)
        self._count("sensitive", turned.sensitive)
        return sum(turned) + left_out

    def _allowed(self, wanted: int) -> int:
        """How many of these refusals may reach the log now: a bucket that fills by ten a second."""
        with self._lock:
            now = time.monotonic()
            filled = self._allowance + (now - self._allowed_at) * REFUSALS_A_SECOND
            self._allowance, self._allowed_at = min(filled, float(REFUSALS_A_SECOND)), now
            granted = min(wanted, int(self._allowance))
            self._allowance -= granted
            return granted


_FOR_OFFERS = (Behaviour, Traits, OrderStanding)
"""Entries that the fold takes note of only for people who agree to offers."""


def _parts(body: Body) -> int:
    return len(body.actions) if isinstance(body, Behaviour) else 1


def _may_keep(border: Border, body: Body) -> bool:
    """Whether an entry that is no ping may be stored. That somebody be forgotten always may."""
    device = getattr(body, "device", None)
    return (
        device is None or isinstance(body, Forget) or border.may_keep(device, for_offers=isinstance(body, _FOR_OFFERS))
    )
