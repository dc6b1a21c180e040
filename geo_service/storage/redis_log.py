"""The log on Redis Streams: one stream of entries and one of outputs per partition, both ordered by the same ids.

Redis gives an entry its id (its own clock, never backwards). A commit is one transaction under a fencing epoch; outputs
are added under their entry's id, so an entry that is folded twice cannot be heard twice. An append is remembered for ten
minutes by a token, so a retry after a lost connection cannot append twice.
"""

import hashlib
import secrets
import struct
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Self

from redis.client import Pipeline

from geo_service.errors import FencedOffError, GeoServiceError, InvalidInputError, UnreachableError
from geo_service.flow.entries import START, Body, Consent, Entry, EntryId, decode_body, encode_body
from geo_service.flow.log import Checkpoint, Commit, Receipt, Receipts
from geo_service.storage.connection import LONGEST_WAIT_S, Client, reaching
from geo_service.storage.consents import Consents
from geo_service.storage.current import CurrentValues
from geo_service.storage.keys import DAY_S, Keys
from geo_service.storage.redis_outputs import RedisOutputReader
from geo_service.storage.scripts import Script, run_pipeline

TAIL_S = 600
"""Outputs stay at least this long, whoever has passed them: a browser that lost its stream resumes from here."""
_APPEND_REMEMBERED_S = 600
_UNSURE_KEPT = 64
_RECEIPT = struct.Struct("<IQ")
_PASSED = "passed"
_OLDEST_SERVER = 7


class RedisLog:
    """One handle on the log; its epochs are its own, so two workers need two.

    Every method raises UnreachableError once the client's retries are used up.
    """

    def __init__(self, client: Client, partitions: int = 1, *, keys: Keys | None = None, tail_s: int = TAIL_S) -> None:
        """Sends nothing; `open` also checks that the server fits."""
        self.partitions = partitions
        self.keys = keys or Keys()
        self.current_values = CurrentValues(client, self.keys, partitions)
        self._client = client
        self._tail_ms = tail_s * 1000
        self._epochs: dict[int, int] = {}
        # Appends that failed without an answer may have been carried out all the same: whoever tries the same again,
        # a broker's batch or a phone's request, goes under the same token and so is appended once.
        self._unsure: dict[bytes, str] = {}
        self._consents = Consents(client, keys=self.keys)
        self._append = Script("append")
        self._commit = Script("commit")

    @classmethod
    def open(cls, client: Client, partitions: int = 1, *, keys: Keys | None = None, tail_s: int = TAIL_S) -> Self:
        """The log of this server, after checking that both fit together.

        Raises:
            InvalidInputError: the log was made with another number of partitions: devices would change places.
            GeoServiceError: the server is too old.
            UnreachableError: no server.
        """
        log = cls(client, partitions, keys=keys, tail_s=tail_s)
        with reaching(client):
            version = str(client.info("server")["redis_version"])
            if int(version.split(".", maxsplit=1)[0]) < _OLDEST_SERVER:
                raise GeoServiceError(f"Redis {version} is too old: 7.0 or newer is needed")
            made_with = client.set(log.keys("partitions"), partitions, nx=True, get=True)
        if made_with is not None and int(made_with) != partitions:
            raise InvalidInputError(f"this log has {int(made_with)} of them, not {partitions}", field="partitions")
        return log

    def append(self, items: Sequence[tuple[int, Body]], *, receipt: Receipt | None = None) -> list[EntryId]:
        """Append in one transaction; ids in the order of `items`."""
        shares: dict[int, list[int]] = {}
        bodies = []
        for row, (partition, body) in enumerate(items):
            self._check(partition)
            shares.setdefault(partition, []).append(row)
            bodies.append(encode_body(body))
        consents = [body for _, body in items if isinstance(body, Consent)]
        token = (self._unsure and self._unsure.get(_digest(items, bodies, receipt))) or secrets.token_hex(8)

        def queue(pipe: Pipeline) -> None:
            for partition, rows in shares.items():
                keys = [self.keys("log", partition=partition), self.keys("append", partition=partition, token=token)]
                self._append.queue(pipe, keys, [_APPEND_REMEMBERED_S, *(part for row in rows for part in bodies[row])])
            for consent in consents:
                self._consents.queue(pipe, token, consent)
            if receipt is not None:
                self._queue_receipt(pipe, receipt)

        try:
            with reaching(self._client):
                replies = run_pipeline(self._client, queue, [self._append], transaction=True)
        except UnreachableError:
            self._remember_unsure(_digest(items, bodies, receipt), token)
            raise
        if self._unsure:
            self._unsure.pop(_digest(items, bodies, receipt), None)
        ids = [START] * len(items)
        for rows, reply in zip(shares.values(), replies, strict=False):
            # A second try may hold a row more or less than the first, which is the one that counts.
            for row, entry_id in zip_longest(rows, reply[: len(rows)], fillvalue=reply[-1]):
                ids[row] = EntryId.parse(entry_id)
        return ids

    def _remember_unsure(self, digest: bytes, token: str) -> None:
        self._unsure[digest] = token
        while len(self._unsure) > _UNSURE_KEPT:
            self._unsure.pop(next(iter(self._unsure)), None)

    def _queue_receipt(self, pipe: Pipeline, receipt: Receipt) -> None:
        key, passed = self.keys("receipts", client=receipt.client_id), receipt.passed
        kept: dict[Any, Any] = {mid: _RECEIPT.pack(checksum, passed) for mid, checksum in receipt.messages}
        pipe.hset(key, mapping=kept | {_PASSED: passed})
        pipe.expire(key, 7 * DAY_S)

    def receipts(self, client_id: str) -> Receipts:
        """What the client has appended lately."""
        with reaching(self._client):
            kept: Any = self._client.hgetall(self.keys("receipts", client=client_id))
        passed = int(kept.pop(_PASSED.encode(), 0))
        return Receipts(passed, {int(mid): _RECEIPT.unpack(record) for mid, record in kept.items()})

    def read(self, after: Mapping[int, EntryId], *, limit: int, wait_s: float) -> dict[int, list[Entry]]:
        """Entries after the given positions; waits ten seconds at the most, however large `wait_s` is."""
        if not after:
            return {}
        streams: Any = {self.keys("log", partition=partition): str(position) for partition, position in after.items()}
        partitions = dict(zip((stream.encode() for stream in streams), after, strict=True))
        wait_ms = round(min(wait_s, LONGEST_WAIT_S) * 1000)
        with reaching(self._client):
            found: Any = self._client.xread(streams, count=limit, block=wait_ms or None)
        return {
            partitions[stream]: [
                Entry(EntryId.parse(entry_id), decode_body(fields[b"k"].decode(), fields[b"d"]))
                for entry_id, fields in rows
            ]
            for stream, rows in found
        }

    def acquire(self, partition: int) -> int:
        """Take the partition over."""
        self._check(partition)
        with reaching(self._client), self._client.pipeline() as pipe:
            pipe.incr(self.keys("epoch", partition=partition))
            pipe.delete(self.keys("staged", partition=partition))
            epoch = int(pipe.execute()[0])
        self._epochs[partition] = epoch
        return epoch

    def load(self, partition: int) -> Checkpoint | None:
        """The newest checkpoint."""
        self._check(partition)
        with reaching(self._client):
            found: Any = self._client.hmget(self.keys("checkpoint", partition=partition), ["position", "state"])
        position, state = found
        return None if position is None else Checkpoint(EntryId.parse(position), state)

    def commit(self, partition: int, commit: Commit) -> None:
        """Write one step in one transaction, or raise FencedOffError and write nothing."""
        epoch = self._epochs.get(partition, 0)
        names = ("epoch", "outputs", "current", "staged", "checkpoint", "names")
        keys = [self.keys(name, partition=partition) for name in names]
        arguments = _commit_arguments(epoch, commit)
        checkpoint = commit.checkpoint

        def queue(pipe: Pipeline) -> None:
            if checkpoint is not None:
                pipe.hset(keys[3], mapping={"position": str(checkpoint.position), "state": checkpoint.state})
            self._commit.queue(pipe, keys, arguments)

        with reaching(self._client):
            if checkpoint is None:
                done = self._commit.run(self._client, keys, arguments)
            else:
                done = run_pipeline(self._client, queue, [self._commit], transaction=True)[-1]
        if not done:
            raise FencedOffError(partition, epoch)

    def trim(self, partition: int) -> None:
        """Drop entries up to the checkpoint, and outputs older than ten minutes that every reader has passed."""
        self._check(partition)
        log, outputs = self.keys("log", partition=partition), self.keys("outputs", partition=partition)
        with reaching(self._client):
            with self._client.pipeline(transaction=False) as pipe:
                pipe.hget(self.keys("checkpoint", partition=partition), "position")
                pipe.hvals(self.keys("readers", partition=partition))
                pipe.xrevrange(outputs, count=1)
                position, readers, newest = pipe.execute()
            if position is not None:
                passed = EntryId.parse(position)
                self._client.xtrim(log, minid=str(EntryId(passed.ms, passed.seq + 1)), approximate=False)
            if newest:
                tail = EntryId(max(EntryId.parse(newest[0][0]).ms - self._tail_ms, 0), 0)
                passed = min((EntryId.parse(reader) for reader in readers), default=tail)
                keep_from = min(tail, EntryId(passed.ms, passed.seq + 1))
                self._client.xtrim(outputs, minid=str(keep_from), approximate=False)

    def reader(self, name: str) -> RedisOutputReader:
        """The reader of this name, behind what it was done with; a new one starts with the oldest output kept."""
        return RedisOutputReader(self._client, self.keys, self.partitions, name)

    def current(self, name: str) -> bytes | None:
        """The current value of this name."""
        return self.current_values.get(name)

    def current_all(self, prefix: str) -> dict[str, bytes]:
        """Every current value whose name begins so, by name."""
        return self.current_values.having(prefix)

    def _check(self, partition: int) -> None:
        if not 0 <= partition < self.partitions:
            raise IndexError(f"partition {partition} of {self.partitions}")


def _commit_arguments(epoch: int, commit: Commit) -> list[Any]:
    """What `commit.lua` takes, in its order."""
    values = {name: value for name, value in commit.current.items() if value is not None}
    return [
        epoch,
        int(commit.checkpoint is not None),
        len(commit.outputs),
        *(part for entry_id, outputs in commit.outputs for part in (str(entry_id), outputs)),
        len(values),
        *(part for item in values.items() for part in item),
        *(name for name, value in commit.current.items() if value is None),
    ]


def _digest(items: Sequence[tuple[int, Body]], bodies: Sequence[tuple[str, bytes]], receipt: Receipt | None) -> bytes:
    """Equal for two tries of one append: by its receipt, which names its messages; else by all it holds."""
    if receipt is not None and receipt.messages:
        return hashlib.sha256(repr((receipt.client_id, receipt.messages)).encode()).digest()
    content = hashlib.sha256()
    for (partition, _), (kind, data) in zip(items, bodies, strict=True):
        content.update(f"{partition} {kind} {len(data)} ".encode())
        content.update(data)
    return content.digest()
