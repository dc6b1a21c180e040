"""Readers of the outputs on Redis: by name with a kept position (delivery, history), or a stateless tail (streams to browsers)."""

import asyncio
from collections.abc import Mapping
from typing import Any

from redis.client import Pipeline

from geo_service.flow.entries import START, EntryId
from geo_service.storage.connection import LONGEST_WAIT_S, AsyncClient, Client, reaching
from geo_service.storage.keys import Keys
from geo_service.storage.scripts import Script, run_pipeline

# redis-py sends with `asyncio.wait_for`, which before Python 3.12 forgets a cancellation that comes in the instant in which
# the sending is done. The task still knows of it, and asks itself this often.
_SLICE_S = 1.0
Outputs = list[tuple[int, EntryId, bytes]]
"""(partition, id of the entry, its outputs as the fold committed them)"""


class RedisOutputReader:
    """One named reader of all partitions. One process at a time should use a name: two would both get everything."""

    def __init__(self, client: Client, keys: Keys, partitions: int, name: str) -> None:
        """Registers the name, so that from now on nothing it has not passed is trimmed.

        Raises:
            UnreachableError: no server.
        """
        self.name = name
        self._client = client
        self._advance = Script("advance")
        self._readers = [keys("readers", partition=partition) for partition in range(partitions)]
        self._streams = [keys("outputs", partition=partition) for partition in range(partitions)]
        with reaching(client), client.pipeline(transaction=False) as pipe:
            for readers in self._readers:
                pipe.hsetnx(readers, name, str(START))
                pipe.hget(readers, name)
            self._after = [EntryId.parse(position) for position in pipe.execute()[1::2]]

    def read(self, limit: int, wait_s: float) -> Outputs:
        """The next outputs of each partition; waits up to `wait_s` (ten seconds at the most) for a first one.

        Goes on where the last `read` ended; only `done` makes that last beyond this process.
        """
        streams: Any = {stream: str(after) for stream, after in zip(self._streams, self._after, strict=True)}
        with reaching(self._client):
            found = _outputs(self._streams, self._client.xread(streams, count=limit, block=_wait_ms(wait_s)))
        for partition, entry_id, _ in found:
            self._after[partition] = entry_id
        return found

    def done(self, positions: Mapping[int, EntryId]) -> None:
        """Keep these positions; one that lies behind the kept one changes nothing."""

        def queue(pipe: Pipeline) -> None:
            for partition, position in positions.items():
                self._advance.queue(pipe, [self._readers[partition]], [self.name, *position])

        with reaching(self._client):
            run_pipeline(self._client, queue, [self._advance], transaction=False)


class OutputTail:
    """Reads outputs from wherever the caller says, for asyncio; keeps nothing."""

    def __init__(self, client: AsyncClient, keys: Keys, partitions: int) -> None:
        self._client = client
        self._streams = [keys("outputs", partition=partition) for partition in range(partitions)]

    async def ends(self) -> dict[int, EntryId]:
        """The newest output of each partition: where somebody starts who wants only what comes."""
        with reaching(self._client):
            async with self._client.pipeline(transaction=False) as pipe:
                for stream in self._streams:
                    pipe.xrevrange(stream, count=1)
                newest = await pipe.execute()
        return {partition: EntryId.parse(rows[0][0]) if rows else START for partition, rows in enumerate(newest)}

    async def read(self, after: Mapping[int, EntryId], limit: int, wait_s: float) -> Outputs:
        """At most `limit` outputs of each partition after these positions; a partition that is not named starts at the
        oldest kept. Waits up to `wait_s` for a first one.
        """
        streams: Any = {stream: str(after.get(partition, START)) for partition, stream in enumerate(self._streams)}
        task = asyncio.current_task()
        while True:
            slice_s = min(wait_s, _SLICE_S)
            with reaching(self._client):
                found = await self._client.xread(streams, count=limit, block=_wait_ms(slice_s))
            if task is not None and task.cancelling():
                raise asyncio.CancelledError
            wait_s -= slice_s
            if found or wait_s <= 0:
                return _outputs(self._streams, found)

    async def close(self) -> None:
        """Give the connections back; an event loop that ends with one open waits for it."""
        await self._client.aclose()


def _wait_ms(wait_s: float) -> int | None:
    # BLOCK 0 would mean for ever.
    return round(min(wait_s, LONGEST_WAIT_S) * 1000) or None


def _outputs(streams: list[str], found: Any) -> Outputs:
    partitions = {stream.encode(): partition for partition, stream in enumerate(streams)}
    return [
        (partitions[stream], EntryId.parse(entry_id), fields[b"d"])
        for stream, rows in found
        for entry_id, fields in rows
    ]
