"""Timers as data: what is due when, by the log's clock.

```
second      due_ms   dev   slot   stamp           a timer belongs to what was true when it was set:
17000…01 →  …01250    4     17    1700…           `stamp` is the time of that enter (or of that doubt),
            …01900    9      3    1700…           and a timer whose stamp no longer holds is ignored
17000…31 →  …
```

Nothing is ever cancelled: to look a timer's pair up when it is due costs less than to find the timer when the pair changes.
"""

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Timer(NamedTuple):
    """Timers as columns of equal length."""

    due_ms: Ints
    dev: Ints
    slot: Ints
    stamp: Ints


_NONE = np.empty((4, 0), np.int64)


class Timers:
    """Timers by the second in which they are due."""

    def __init__(self) -> None:
        self._seconds: dict[int, list[Ints]] = {}
        self._heap: list[int] = []
        self._next_ms: int | None = None

    def add(self, timer: Timer) -> None:
        """Set timers."""
        if not len(timer.due_ms):
            return
        rows = np.array(timer, np.int64)
        seconds = rows[0] // 1000
        for second in np.unique(seconds).tolist():
            if second not in self._seconds:
                self._seconds[second] = []
                heapq.heappush(self._heap, second)
            self._seconds[second].append(rows[:, seconds == second])
        first = int(rows[0].min())
        self._next_ms = first if self._next_ms is None else min(first, self._next_ms)

    def next_ms(self) -> int | None:
        """When the earliest timer is due."""
        return self._next_ms

    def take(self, until_ms: int) -> Timer:
        """Remove and return every timer due at or before this instant."""
        taken = []
        while self._heap and self._heap[0] <= until_ms // 1000:
            rows = np.concatenate(self._seconds.pop(heapq.heappop(self._heap)), axis=1)
            due = rows[0] <= until_ms
            taken.append(rows[:, due])
            if not due.all():
                self._next_ms = None
                self.add(Timer(*rows[:, ~due]))
                break
        else:
            self._next_ms = self._first()
        return Timer(*np.concatenate(taken, axis=1)) if taken else Timer(*_NONE)

    def drop_slot(self, slot: int) -> None:
        """Remove the timers of one fence."""
        rows = self.rows()
        self.__init__()  # type: ignore[misc]
        self.add(Timer(*rows[:, rows[2] != slot]))

    def _first(self) -> int | None:
        return min(int(rows[0].min()) for rows in self._seconds[self._heap[0]]) if self._heap else None

    def rows(self) -> Ints:
        """All timers, as four rows: due, device, slot, stamp."""
        chunks = [rows for second in sorted(self._seconds) for rows in self._seconds[second]]
        return np.concatenate(chunks, axis=1) if chunks else _NONE.copy()

    def dump(self) -> bytes:
        """All timers, for a checkpoint."""
        return self.rows().tobytes()

    @classmethod
    def load(cls, data: bytes) -> "Timers":
        """What `dump` wrote."""
        timers = cls()
        timers.add(Timer(*np.frombuffer(data, np.int64).reshape(4, -1)))
        return timers
