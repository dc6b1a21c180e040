"""How far everything has come: the ends of the logs, their checkpoints, and the readers of outputs."""

from typing import Any

from geo_service.flow.entries import START, EntryId
from geo_service.storage.connection import Client, reaching
from geo_service.storage.keys import Keys


class Positions:
    """Every method raises UnreachableError once the client's retries are used up."""

    def __init__(self, client: Client, partitions: int, *, keys: Keys | None = None) -> None:
        """Sends nothing."""
        self._client = client
        self._keys = keys or Keys()
        self._partitions = range(partitions)

    def ends(self) -> dict[int, EntryId]:
        """The newest entry that each partition's log ever had."""
        return self._last("log")

    def checkpoints(self) -> dict[int, EntryId]:
        """The position of each partition's checkpoint; `START` where there is none."""
        with reaching(self._client), self._client.pipeline(transaction=False) as pipe:
            for partition in self._partitions:
                pipe.hget(self._keys("checkpoint", partition=partition), "position")
            found: Any = pipe.execute()
        return {partition: START if at is None else EntryId.parse(at) for partition, at in enumerate(found)}

    def unheard(self) -> bool:
        """Whether some reader has not passed every output."""
        ends = self._last("outputs")
        with reaching(self._client), self._client.pipeline(transaction=False) as pipe:
            for partition in self._partitions:
                pipe.hvals(self._keys("readers", partition=partition))
            readers: Any = pipe.execute()
        return any(EntryId.parse(at) < ends[partition] for partition in self._partitions for at in readers[partition])

    def _last(self, name: str) -> dict[int, EntryId]:
        """The last id that was given in each partition's stream, trimmed since or not."""
        with reaching(self._client):
            found = {}
            for partition in self._partitions:
                key = self._keys(name, partition=partition)
                info: Any = self._client.xinfo_stream(key) if self._client.exists(key) else {}
                found[partition] = EntryId.parse(info["last-generated-id"]) if info else START
        return found
