"""What a worker has counted, for the API to show."""

from collections.abc import Mapping

import msgspec

from geo_service.storage.connection import Client, reaching
from geo_service.storage.keys import Keys

_COUNTS_S = 10


class WorkerCounts:
    """Counters that a worker tells and the API shows."""

    def __init__(self, client: Client, *, keys: Keys | None = None) -> None:
        self._client = client
        self._keys = keys or Keys()

    def tell(self, counts: Mapping[str, int], worker: str = "worker") -> None:
        """Say where the counters stand."""
        with reaching(self._client):
            self._client.set(self._keys("worker_counts", worker=worker), msgspec.json.encode(counts), ex=_COUNTS_S)

    def all(self, worker: str = "worker") -> dict[str, int] | None:
        """The newest counters; None when the worker has said nothing for ten seconds."""
        with reaching(self._client):
            found = self._client.get(self._keys("worker_counts", worker=worker))
        return None if found is None else msgspec.json.decode(found, type=dict[str, int])
