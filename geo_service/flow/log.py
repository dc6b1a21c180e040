"""The seam to the log: partitioned, ordered, and the one truth about what happened.

Implementations: `MemoryLog` here (replay, tests) and `storage/redis_log.py`. Kafka fits the same
methods: append is a produce, read a fetch, commit an atomic write of outputs, position and state beside it.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, Self

from geo_service.errors import FencedOffError
from geo_service.flow.entries import START, Body, Entry, EntryId, decode_body, encode_body


class Checkpoint(NamedTuple):
    """A partition's state after the entry at `position`, as bytes that only the fold can read."""

    position: EntryId
    state: bytes


class Commit(NamedTuple):
    """What one step of the fold writes, at once or not at all."""

    outputs: Sequence[tuple[EntryId, bytes]]
    """Each entry's outputs under that entry's id, ascending. One that is there already is refused: it was done."""
    current: Mapping[str, bytes | None]
    """Current values by name (`occupancy:{store}` and such), for readers that want only the latest; None removes one."""
    checkpoint: Checkpoint | None
    """Set once in a while; entries up to its position may then be trimmed."""


class Receipt(NamedTuple):
    """MQTT messages whose effect is in the batch that is being appended, and which would count twice if delivered again.

    A broker that loses our acknowledgement sends a message a second time under the same message id. For pings that does
    no harm; a door that says "two came in" would be counted as four. The checksum tells a redelivery from a later
    message that was given the same id.
    """

    client_id: str
    messages: Sequence[tuple[int, int]]
    """(message id 0..65535, CRC-32 of topic and payload) in the order of arrival."""
    passed: int
    """How many messages of every kind this client has appended in all, those of this batch included."""


UNACKNOWLEDGED = 16_000
"""A client of ours lets a broker have at most so many messages under way without acknowledgement."""


class Receipts:
    """What one client has appended lately.

    A door often says the very same thing again ("one came in"), so in time a later message has both id and checksum of
    an earlier one. Brokers give ids in turn, 65 535 of them: a receipt that more than `UNACKNOWLEDGED` messages have
    passed since belongs to a message that was acknowledged long ago, and proves nothing about one that comes now.
    """

    def __init__(self, passed: int = 0, messages: Mapping[int, tuple[int, int]] | None = None) -> None:
        """`messages`: by id the checksum, and `passed` as of its batch."""
        self.passed = passed
        self.messages = dict(messages or {})

    def add(self, receipt: Receipt) -> None:
        """Take note of an append."""
        self.passed = receipt.passed
        for mid, checksum in receipt.messages:
            self.messages[mid] = checksum, receipt.passed

    def hold(self, mid: int, checksum: int) -> bool:
        """Whether a message that the broker delivers again was appended before."""
        known = self.messages.get(mid)
        return known is not None and known[0] == checksum and self.passed - known[1] <= UNACKNOWLEDGED


class Log(Protocol):
    """A partitioned log with checkpoints."""

    partitions: int

    def append(self, items: Sequence[tuple[int, Body]], *, receipt: Receipt | None = None) -> list[EntryId]:
        """Append `(partition, body)` items in order; returns once they would survive a crash of this process.

        `receipt` is stored in the same instant as the items, or neither is.
        """
        ...

    def receipts(self, client_id: str) -> Receipts:
        """What the client has appended lately."""
        ...

    def read(self, after: Mapping[int, EntryId], *, limit: int, wait_s: float) -> dict[int, list[Entry]]:
        """At most `limit` entries of each partition after the given positions; partitions without one are left out.

        Waits up to `wait_s` for a first one; {} if none came.
        """
        ...

    def acquire(self, partition: int) -> int:
        """Take the partition over and return its new epoch; whoever held it before can commit no more.

        Acquire first and load afterwards: a checkpoint loaded before could still be overtaken.
        """
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
        """Drop entries up to the checkpoint, and outputs that every registered reader has passed."""
        ...


class _Partition:
    """One partition's share; ids stand beside what they name, so that a position is found by bisection."""

    def __init__(self) -> None:
        self.entry_ids: list[EntryId] = []
        self.entries: list[tuple[str, bytes]] = []
        self.last_entry = START
        self.output_ids: list[EntryId] = []
        self.outputs: list[bytes] = []
        self.last_output = START
        self.current: dict[str, bytes] = {}
        self.checkpoint: Checkpoint | None = None
        self.epoch = 0
        self.readers: dict[str, EntryId] = {}


class MemoryLog:
    """A log in memory, for `replay` and tests: the rules of `storage/redis_log.py`, held so by one test for both.

    Entries carry `now_ms`, which whoever feeds the log sets before it appends: the time at which a recorded message
    was received. Ids never move back, whatever `now_ms` says.
    """

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = partitions
        self.now_ms = 0
        self._shares = [_Partition() for _ in range(partitions)]
        self._receipts: dict[str, Receipts] = {}
        self._epochs: dict[int, int] = {}

    def another_worker(self) -> Self:
        """The same log as another worker sees it: shared content, its own epochs."""
        other = type(self)(self.partitions)
        other.now_ms = self.now_ms
        other._shares = self._shares  # noqa: SLF001 - another one of us
        other._receipts = self._receipts  # noqa: SLF001
        return other

    def append(self, items: Sequence[tuple[int, Body]], *, receipt: Receipt | None = None) -> list[EntryId]:
        """Append at `now_ms`; bodies are kept encoded, as any log would, so that nobody can change them afterwards."""
        encoded = [(self._share(partition), encode_body(body)) for partition, body in items]
        ids = []
        for share, body in encoded:
            last = share.last_entry
            entry_id = EntryId(self.now_ms, 0) if self.now_ms > last.ms else EntryId(last.ms, last.seq + 1)
            share.last_entry = entry_id
            share.entry_ids.append(entry_id)
            share.entries.append(body)
            ids.append(entry_id)
        if receipt is not None:
            self._receipts.setdefault(receipt.client_id, Receipts()).add(receipt)
        return ids

    def _share(self, partition: int) -> _Partition:
        if not 0 <= partition < self.partitions:
            raise IndexError(f"partition {partition} of {self.partitions}")
        return self._shares[partition]

    def receipts(self, client_id: str) -> Receipts:
        """A copy of what is known."""
        kept = self._receipts.get(client_id, Receipts())
        return Receipts(kept.passed, kept.messages)

    def read(self, after: Mapping[int, EntryId], *, limit: int, wait_s: float) -> dict[int, list[Entry]]:
        """Entries that are there; nobody else can append while this call waits, so it does not wait."""
        del wait_s
        found = {}
        for partition, position in after.items():
            share = self._shares[partition]
            start = bisect_right(share.entry_ids, position)
            rows = range(start, min(start + limit, len(share.entry_ids)))
            if rows:
                found[partition] = [Entry(share.entry_ids[row], decode_body(*share.entries[row])) for row in rows]
        return found

    def acquire(self, partition: int) -> int:
        """Take the partition over."""
        share = self._share(partition)
        share.epoch += 1
        self._epochs[partition] = share.epoch
        return share.epoch

    def load(self, partition: int) -> Checkpoint | None:
        """The newest checkpoint."""
        return self._shares[partition].checkpoint

    def commit(self, partition: int, commit: Commit) -> None:
        """Write one step, or raise FencedOffError and write nothing."""
        share = self._shares[partition]
        epoch = self._epochs.get(partition, 0)
        if epoch == 0 or epoch != share.epoch:
            raise FencedOffError(partition, epoch)
        for entry_id, outputs in commit.outputs:
            if entry_id > share.last_output:
                share.last_output = entry_id
                share.output_ids.append(entry_id)
                share.outputs.append(outputs)
        for name, value in commit.current.items():
            if value is None:
                share.current.pop(name, None)
            else:
                share.current[name] = value
        if commit.checkpoint is not None:
            share.checkpoint = commit.checkpoint

    def trim(self, partition: int) -> None:
        """Drop entries up to the checkpoint and outputs that every registered reader has passed."""
        share = self._shares[partition]
        if share.checkpoint is not None:
            passed = bisect_right(share.entry_ids, share.checkpoint.position)
            del share.entry_ids[:passed], share.entries[:passed]
        passed = bisect_right(share.output_ids, min(share.readers.values(), default=share.last_output))
        del share.output_ids[:passed], share.outputs[:passed]

    def reader(self, name: str) -> "MemoryOutputReader":
        """The reader of this name, behind what it was done with; a new one starts with the oldest output kept."""
        for share in self._shares:
            share.readers.setdefault(name, START)
        return MemoryOutputReader(self._shares, name)

    def current(self, name: str) -> bytes | None:
        """The current value of this name."""
        return next((share.current[name] for share in self._shares if name in share.current), None)

    def current_all(self, prefix: str) -> dict[str, bytes]:
        """Every current value whose name begins so."""
        return {
            name: value for share in self._shares for name, value in share.current.items() if name.startswith(prefix)
        }


class MemoryOutputReader:
    """A named reader of all partitions' outputs, whose position is kept; what it has not passed is not trimmed."""

    def __init__(self, shares: list[_Partition], name: str) -> None:
        self._shares = shares
        self._name = name
        self._after = [share.readers[name] for share in shares]

    def read(self, limit: int, wait_s: float) -> list[tuple[int, EntryId, bytes]]:
        """The next `(partition, id, outputs of that entry)`, at most `limit` of each partition; without waiting."""
        del wait_s
        found = []
        for partition, share in enumerate(self._shares):
            start = bisect_right(share.output_ids, self._after[partition])
            for row in range(start, min(start + limit, len(share.output_ids))):
                self._after[partition] = share.output_ids[row]
                found.append((partition, share.output_ids[row], share.outputs[row]))
        return found

    def done(self, positions: Mapping[int, EntryId]) -> None:
        """Keep these positions; one that lies behind the kept one changes nothing."""
        for partition, position in positions.items():
            readers = self._shares[partition].readers
            readers[self._name] = max(position, readers[self._name])
