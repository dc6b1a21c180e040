"""What will happen when: the queue of a discrete-event simulation."""

import heapq
from collections.abc import Callable


class Agenda:
    """Actions in the order of their time; those of one instant in the order in which they were put down."""

    def __init__(self) -> None:
        self._queue: list[tuple[int, int, Callable[[int], None]]] = []
        self._number = 0

    def at(self, time_ms: int, action: Callable[[int], None]) -> None:
        """Have `action(time_ms)` called once the time has come."""
        heapq.heappush(self._queue, (time_ms, self._number, action))
        self._number += 1

    def run_until(self, now_ms: int) -> None:
        """Do everything that is due by `now_ms`, what it leads to included."""
        while self._queue and self._queue[0][0] <= now_ms:
            time_ms, _, action = heapq.heappop(self._queue)
            action(time_ms)
