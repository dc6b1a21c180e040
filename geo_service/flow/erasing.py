"""Erasing people: what was asked for is carried out, step by step, each of which may be repeated after a crash.

```
asked for ──► the fold forgets them, checkpoints pass ──► traces are taken out, until none is left
                                                                    │
receipt  ◄── the store's files are written anew  ◄── the border forgets them too
```

From the first to the last but one of these the border keeps their pings out, so nothing comes after.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec
import structlog

from geo_service.flow.entries import Body, EntryId, Forget
from geo_service.people.erasure import Erasure

_log = structlog.get_logger(__name__)
LOOK_S = 1.0
_AT_ONCE = 100
_FOLD_WITHIN_S = 40.0
"""Longer than any checkpoint should take; what is not through by then is gone about again."""
_HEARD_WITHIN_S = 5.0
"""So long readers of outputs may take to hear that somebody left, before the lines about it are taken out."""
_SETTLE_S = 5.0
"""Every copy of the border has looked, or will read everything anew."""
_AGAIN_S = 5.0
_POLL_S = 0.05


class Erasures(Protocol):
    """Those under way."""

    def pending(self, limit: int) -> Sequence[tuple[str, Erasure]]:
        """The oldest, by name."""
        ...

    def note(self, name: str, erasure: Erasure) -> None:
        """How far one has come."""
        ...


class Log(Protocol):
    """What is needed of the log."""

    partitions: int

    def append(self, items: Sequence[tuple[int, Body]]) -> list[EntryId]:
        """Append."""
        ...

    def trim(self, partition: int) -> None:
        """Drop entries up to the checkpoint."""
        ...


class Positions(Protocol):
    """How far everything has come."""

    def ends(self) -> Mapping[int, EntryId]:
        """The newest entry of each partition."""
        ...

    def checkpoints(self) -> Mapping[int, EntryId]:
        """The position of each partition's checkpoint."""
        ...

    def unheard(self) -> bool:
        """Whether some reader of outputs has not passed them all."""
        ...


class Place(Protocol):
    """Somewhere else where people are kept, such as history."""

    def erase(self, person: str) -> Mapping[str, int]:
        """Take every trace out; how much was where. A second time finds nothing."""
        ...

    def left(self, person: str) -> Sequence[str]:
        """Where there still is one."""
        ...


class Borders(Protocol):
    """What the border knows."""

    def set_answer(self, person: str, answer: Literal["erased"] | None) -> None:
        """Keep the person out, or forget them."""
        ...


class Erasing:
    """Carries erasures out. One thread."""

    def __init__(
        self,
        erasures: Erasures,
        log: Log,
        positions: Positions,
        places: Sequence[Place],
        borders: Borders,
        forget_at_border: Callable[[str], None],
        rewrite_files: Callable[[threading.Event], str],
        now_ms: Callable[[], int],
        count: Callable[[str, int], None],
    ) -> None:
        """`places` are asked in order; the store itself is one of them."""
        self._erasures = erasures
        self._log = log
        self._positions = positions
        self._places = places
        self._borders = borders
        self._forget_at_border = forget_at_border
        self._rewrite_files = rewrite_files
        self._now_ms = now_ms
        self._count = count

    def run(self, stop: threading.Event) -> None:
        """Look for erasures every second until stopped."""
        while not stop.wait(LOOK_S):
            pending = self._erasures.pending(_AT_ONCE)
            if pending and not self.carry_out(pending, stop):
                stop.wait(_AGAIN_S)

    def carry_out(self, pending: Sequence[tuple[str, Erasure]], stop: threading.Event) -> bool:
        """Go about these together; False where not all could be brought to an end now."""
        people = sorted({erasure.person for _, erasure in pending if erasure.person is not None})
        if people:
            for person in people:
                # Whoever died in the middle of this may have let them in already, and others were let in meanwhile.
                self._borders.set_answer(person, "erased")
            if not self._fold(people, stop):
                _log.warning("an erasure waits for the fold", erasures=len(pending))
                return False
            self._wait(lambda: not self._positions.unheard(), _HEARD_WITHIN_S, stop)
            removed = {person: self._remove(person) for person in people}
            left = {person: [each for place in self._places for each in place.left(person)] for person in people}
            clean = [person for person in people if not left[person]]
            for person in clean:
                self._borders.set_answer(person, None)
            if clean and stop.wait(_SETTLE_S):
                return False
            for person in clean:
                self._forget_at_border(person)
            pending = [self._noted(name, erasure, removed, left) for name, erasure in pending]
        return self._finish(pending, stop)

    def _fold(self, people: Sequence[str], stop: threading.Event) -> bool:
        """Have the fold forget them, and every checkpoint pass all that was there before.

        Every partition is told: each may have a store where somebody waits for room.
        """
        forgotten: dict[int, EntryId] = {}
        items = [(partition, Forget(person)) for partition in range(self._log.partitions) for person in people]
        for (partition, _), entry in zip(items, self._log.append(items), strict=True):
            forgotten[partition] = max(entry, forgotten.get(partition, entry))
        if not self._wait(lambda: self._passed(forgotten), _FOLD_WITHIN_S, stop):
            return False
        # By now whatever they did at stores of other partitions lies in those logs too.
        ends = self._positions.ends()
        if not self._wait(lambda: self._passed(ends), _FOLD_WITHIN_S, stop):
            return False
        for partition in range(self._log.partitions):
            self._log.trim(partition)
        return True

    def _passed(self, positions: Mapping[int, EntryId]) -> bool:
        checkpoints = self._positions.checkpoints()
        return all(checkpoints[partition] >= position for partition, position in positions.items())

    def _remove(self, person: str) -> Counter[str]:
        removed: Counter[str] = Counter()
        for place in self._places:
            removed.update(place.erase(person))
        return removed

    def _noted(
        self,
        name: str,
        erasure: Erasure,
        removed: Mapping[str, Counter[str]],
        left: Mapping[str, list[str]],
    ) -> tuple[str, Erasure]:
        if erasure.person is None:
            return name, erasure
        more = removed[erasure.person] + Counter(erasure.removed)
        person = erasure.person if left[erasure.person] else None
        noted = msgspec.structs.replace(erasure, removed=dict(more), left=left[erasure.person], person=person)
        self._erasures.note(name, noted)
        return name, noted

    def _finish(self, pending: Sequence[tuple[str, Erasure]], stop: threading.Event) -> bool:
        """The files last: until then they hold the commands that took everything out."""
        ready = [(name, erasure) for name, erasure in pending if erasure.person is None]
        if ready:
            files = self._rewrite_files(stop)
            if stop.is_set():
                return False
            for name, erasure in ready:
                done = msgspec.structs.replace(erasure, files=files, done_ms=self._now_ms())
                self._erasures.note(name, done)
            self._count("erased", len(ready))
        return len(ready) == len(pending)

    def _wait(self, question: Callable[[], bool], longest_s: float, stop: threading.Event) -> bool:
        deadline = time.monotonic() + longest_s
        while not question():
            if time.monotonic() > deadline or stop.wait(_POLL_S):
                return False
        return True
