"""The seam to the log: partitioned, ordered, and the one truth about what happened.

Implementations: `MemoryLog` here (replay, tests) and `storage/redis_log.py`. Kafka fits the same methods: append is a
produce, read a fetch, commit an atomic write of outputs, position and state beside it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from geo_service.flow.entries import Body, Entry, EntryId


class Checkpoint(NamedTuple):
    """A partition's state after the entry at `position`, as bytes that only the fold can read."""

    position: EntryId
    state: bytes


class Commit(NamedTuple):
    """What one step of the fold writes, at once or not at all."""

    outputs: Sequence[tuple[EntryId, bytes]]
    """Each entry's outputs under that entry's id, ascending. One that is there already is refused: it was done."""
    current: Mapping[str, bytes]
    """Current values by name (`occupancy:{store}` and such), for readers that want only the latest."""
    checkpoint: Checkpoint | None
    """Set once in a while; entries up to its position may then be trimmed."""


class Log(Protocol):
    """A partitioned log with checkpoints."""

    partitions: int

    def append(self, items: Sequence[tuple[int, Body]]) -> list[EntryId]:
        """Append `(partition, body)` items in order; returns once they would survive a crash of this process."""
        ...

    def read(self, after: Mapping[int, EntryId], *, limit: int, wait_s: float) -> dict[int, list[Entry]]:
        """Entries after the given positions, per partition; waits up to `wait_s` for a first one, {} if none came."""
        ...

    def load(self, partition: int) -> Checkpoint | None:
        """The newest checkpoint."""
        ...

    def commit(self, partition: int, commit: Commit) -> None:
        """Write one step.

        Raises:
            FencedOffError: another worker took the partition over; nothing was written.
        """
        ...

    def trim(self, partition: int) -> None:
        """Drop entries that every reader's checkpoint has passed."""
        ...
