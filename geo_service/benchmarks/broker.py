"""What a process costs, read from /proc: the broker's share beside ours. Linux only."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Cost:
    """What processes cost while they were measured."""

    cpu_s: float = 0.0
    wall_s: float = 0.0

    def us_per(self, count: int) -> float:
        """CPU microseconds for each of `count` things."""
        return round(self.cpu_s / count * 1e6, 3) if count else 0.0


@contextmanager
def measure(pids: Iterable[int]) -> Iterator[Cost]:
    """CPU time of these processes, their threads and what they started, between begin and end of the context.

    A process that they start and that ends in between counts only where its parent has waited for it.
    """
    pids = tuple(pids)
    cost = Cost()
    before, began = sum(map(cpu_s, pids)), time.perf_counter()
    yield cost
    cost.cpu_s, cost.wall_s = sum(map(cpu_s, pids)) - before, time.perf_counter() - began


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, of its threads, of its children, and of those it has waited for."""
    # The name in parentheses may hold anything; what follows it is numbers. proc(5): utime, stime, cutime, cstime.
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(map(int, numbers[11:15])) / _TICKS_PER_S
    return own + sum(cpu_s(child) for child in children(pid))


def children(pid: int) -> list[int]:
    """Processes that this one has started and that run."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]
