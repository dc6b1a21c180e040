"""Replay: the whole system on a recording, without a server, as fast as it goes.

The same code folds the same entries as in the live service; only the log is this loop and the clock is the recording's.
Ticks come at whole seconds when something is due, which gives the same outputs as a tick every second.
"""

from collections.abc import Iterable, Iterator

from geo_service.catalogue.site import Site, encode_document
from geo_service.flow.entries import Body, Change, Changes, Entry, EntryId, Refusal, Tick
from geo_service.flow.intake import Intake, Message, SensorDirectory, Taken, bodies_of, nothing_taken
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.partition import Partition, Rules
from geo_service.flow.recording import Line
from geo_service.outputs import AnyOutput
from geo_service.people.border import Border, Located
from geo_service.people.sensitive import SensitivePlaces

SECOND_MS = 1000


class Replay:
    """One run: feed lines, get outputs."""

    def __init__(self, site: Site, rules: Rules) -> None:
        self._site = site
        self._intake = Intake(SensorDirectory(site.sensor, site.store))
        self._ledger = MemoryLedger()
        self._partition = Partition(0, 1, self._ledger, rules)
        self._last = EntryId(0, 0)
        # The fold judges consent; sensitive places are the border's alone.
        self._border = Border(Located(assumed=True), SensitivePlaces(site.sensitive.values()))
        self._taken = nothing_taken()
        self._started = False

    def run(self, lines: Iterable[Line], until_ms: int | None = None) -> Iterator[AnyOutput]:
        """Every output of the recording, in order; with `until_ms` the clock runs on until then."""
        now_ms = 0
        for line in lines:
            at_ms = max(now_ms, line.time_ms if line.time_ms is not None else now_ms)
            if until_ms is not None and at_ms > until_ms:
                break
            if at_ms != now_ms:
                yield from self._flush(now_ms)
                yield from self._begin(at_ms)
                yield from self._tick_until(at_ms)
                now_ms = at_ms
            if line.fault is not None:
                self._taken.refusals.append(Refusal(line.topic, line.fault))
            else:
                self._intake.take(Message(line.topic, line.payload, at_ms, line.retained), self._taken)
        yield from self._flush(now_ms)
        if until_ms is not None:
            yield from self._tick_until(until_ms)

    def _begin(self, at_ms: int) -> Iterator[AnyOutput]:
        """The site, as of the recording's first instant."""
        if self._started:
            return
        self._started = True
        changes = [Change(kind, key, encode_document(document)) for kind, key, document in self._site.documents()]
        if changes:
            yield from self._advance(at_ms, Changes(changes))

    def _flush(self, at_ms: int) -> Iterator[AnyOutput]:
        """Messages of one instant are one entry a kind, as they would be in one batch of the live service."""
        taken: Taken = self._taken
        self._taken = nothing_taken()
        self._border.turn_away(taken.rows)
        for _, body in bodies_of(taken, 1):
            yield from self._advance(at_ms, body)

    def _tick_until(self, at_ms: int) -> Iterator[AnyOutput]:
        while (due := self._partition.next_due_ms()) is not None:
            tick_ms = max(-(-due // SECOND_MS) * SECOND_MS, self._last.ms)
            if tick_ms > at_ms:
                return
            yield from self._advance(tick_ms, Tick())

    def _advance(self, at_ms: int, body: Body) -> list[AnyOutput]:
        """Append and fold one entry; like Redis, time in ids never runs backwards."""
        last = self._last
        self._last = EntryId(at_ms, 0) if at_ms > last.ms else EntryId(last.ms, last.seq + 1)
        step = self._partition.advance(Entry(self._last, body))
        if step.to_commit:
            self._ledger.commit(step.to_commit, self._last.ms)
        return step.outputs
