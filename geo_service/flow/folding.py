"""The loop that folds: entries of the log into outputs, position and state, each step written at once or not at all.

A crash between two checkpoints costs nothing but time: the entries since then are folded again, give the same outputs
(the ledger answers a known key as before), and the log refuses what it already has.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from geo_service import outputs
from geo_service.errors import GeoServiceError
from geo_service.flow.alarms import alert_name
from geo_service.flow.entries import START, Entry, EntryId, Forget, Tick
from geo_service.flow.ledger import Ledger
from geo_service.flow.log import Checkpoint, Commit, Log
from geo_service.flow.partition import Partition, Rules
from geo_service.flow.previewing import decode_question, reply_to
from geo_service.flow.previewing import encode as encode_reply

_log = structlog.get_logger(__name__)
READ_ENTRIES = 256
TICK_S = 1.0
FORGET_S = 1.0
"""A checkpoint follows a person who is forgotten after so long."""
QUESTIONS_S = 0.25
"""How often somebody who asks beside the log is heard."""
# A checkpoint of a large state may take long: it never gets more than this share of the worker's time.
_CHECKPOINT_SHARE = 0.05


class Questions(Protocol):
    """Questions that come beside the log."""

    def waiting(self, partitions: Sequence[int]) -> list[tuple[int, str, bytes]]:
        """A few `(partition, number, question)` that nobody has taken yet."""
        ...

    def answer(self, partition: int, number: str, answer: bytes) -> None:
        """Give the answer to whoever asked."""
        ...


class Folding:
    """Folds some partitions until told to stop. One thread; everything it owns is its own."""

    def __init__(
        self,
        log: Log,
        ledger: Ledger,
        rules: Rules,
        *,
        partitions: Sequence[int],
        checkpoint_s: float,
        count: Callable[[str, int], None],
        questions: Questions | None = None,
    ) -> None:
        """`count(name, n)` is told what happened to pings and outputs, for the operator's counters."""
        self._log = log
        self._ledger = ledger
        self._rules = rules
        self._numbers = list(partitions)
        self._checkpoint_s = checkpoint_s
        self._count = count
        self._partitions: dict[int, Partition] = {}
        self._positions: dict[int, EntryId] = {}
        self._saved: dict[int, EntryId] = {}
        self._questions = questions
        self._next_checkpoint = 0.0
        self._next_tick = 0.0
        self._next_questions = 0.0

    def run(self, stop: threading.Event) -> None:
        """Take the partitions over, go on where their checkpoints end, and fold.

        Raises:
            FencedOffError: another worker took one over.
            UnreachableError: the log cannot be reached.
        """
        for number in self._numbers:
            self._take_over(number)
        while not stop.is_set():
            self._tick()
            self._answer()
            for number, entries in self._log.read(self._positions, limit=READ_ENTRIES, wait_s=self._wait_s()).items():
                self._step(number, entries)
            if time.monotonic() >= self._next_checkpoint:
                self._checkpoint()
        self._checkpoint()

    def _take_over(self, number: int) -> None:
        self._log.acquire(number)
        checkpoint = self._log.load(number)
        if checkpoint is None:
            partition, position = Partition(number, self._log.partitions, self._ledger, self._rules), START
        else:
            position = checkpoint.position
            partition = Partition.load(checkpoint.state, number, self._log.partitions, self._ledger, self._rules)
        self._partitions[number], self._positions[number] = partition, position
        self._saved[number] = position
        _log.info("partition taken over", partition=number, position=str(position))

    def _wait_s(self) -> float:
        due = [self._next_tick, self._next_checkpoint]
        if self._questions is not None:
            due.append(self._next_questions)
        return max(0.001, min(due) - time.monotonic())

    def _tick(self) -> None:
        """Once a second the log is told that a second has passed; the log's time says which."""
        now = time.monotonic()
        if now >= self._next_tick:
            self._next_tick = max(self._next_tick + TICK_S, now + TICK_S / 2)
            self._log.append([(number, Tick()) for number in self._numbers])

    def _answer(self) -> None:
        """Answer what was asked beside the log, from the state as it is."""
        now = time.monotonic()
        if self._questions is None or now < self._next_questions:
            return
        self._next_questions = now + QUESTIONS_S
        for number, which, packed in self._questions.waiting(self._numbers):
            try:
                reply = reply_to(decode_question(packed), self._partitions[number], self._ledger)
            except (GeoServiceError, msgspec.MsgspecError, ValueError) as error:
                _log.warning("a question could not be answered", partition=number, reason=str(error))
                continue
            self._questions.answer(number, which, encode_reply(reply))

    def _step(self, number: int, entries: Sequence[Entry]) -> None:
        partition = self._partitions[number]
        written: list[tuple[EntryId, bytes]] = []
        current: dict[str, bytes | None] = {}
        to_commit: list[str] = []
        for entry in entries:
            step = partition.advance(entry)
            if isinstance(entry.body, Forget):
                # What the log still holds of them goes with the next checkpoint: soon, but once for many.
                self._next_checkpoint = min(self._next_checkpoint, time.monotonic() + FORGET_S)
            for fate, pings in step.counts.items():
                self._count(fate, pings)
            if step.handovers:
                # Before the commit: twice does no harm there, never would.
                self._log.append(step.handovers)
            if step.outputs:
                written.append((entry.id, self._encode(step.outputs, current)))
                to_commit += step.to_commit
            current |= step.values
        if written or current:
            self._log.commit(number, Commit(written, current, None))
        if to_commit:
            self._ledger.commit(to_commit, entries[-1].id.ms)
        self._positions[number] = entries[-1].id

    def _encode(self, said: Sequence[outputs.AnyOutput], current: dict[str, bytes | None]) -> bytes:
        """One JSON object a line; the newest of what has a current value is kept aside."""
        for kind, told in Counter(map(type, said)).items():
            # `rejected` counts what the border refused; only some of that is told.
            self._count("told_rejected" if kind is outputs.Rejected else kind.__name__.lower(), told)
        for output in said:
            if isinstance(output, outputs.Occupancy):
                name = f"occupancy:{output.store}" + (f"/{output.zone}" if output.zone else "")
                current[name] = outputs.encode(output)
            elif isinstance(output, outputs.Sensor):
                current[f"sensor:{output.id}"] = outputs.encode(output)
            elif isinstance(output, outputs.Alert):
                name = alert_name(output.store, output.zone or "", output.alert)
                current[name] = outputs.encode(output) if output.state == "raised" else None
        return outputs.encode_lines(said).removesuffix(b"\n")

    def _checkpoint(self) -> None:
        began = time.monotonic()
        for number, position in self._positions.items():
            if position == self._saved[number]:
                continue
            state = self._partitions[number].dump()
            self._log.commit(number, Commit([], {}, Checkpoint(position, state)))
            self._saved[number] = position
            self._log.trim(number)
        took_s = time.monotonic() - began
        self._next_checkpoint = time.monotonic() + max(self._checkpoint_s, took_s / _CHECKPOINT_SHARE)
