"""Raw pings live a day, whatever happens to the worker: this deletes them from the log even if no checkpoint passes them."""

from geo_service.storage.connection import Client, reaching
from geo_service.storage.keys import DAY_S, Keys
from geo_service.storage.scripts import Script

LONGEST_MS = DAY_S * 1000
_LOOKED_AT_ONCE = 500


class PingRetention:
    """Normally the log is trimmed every few seconds and there is nothing to do."""

    def __init__(self, client: Client, partitions: int, *, keys: Keys | None = None) -> None:
        """Sends nothing."""
        keys = keys or Keys()
        self._client = client
        self._logs = [keys("log", partition=partition) for partition in range(partitions)]
        self._script = Script("expire_pings")

    def expire(self, now_ms: int) -> int:
        """Delete entries of pings that are a day old by the log's time; returns how many. Whatever else is as old (a door's
        count, a consent) stays for the fold.

        Raises:
            UnreachableError: no server.
        """
        newest = f"{now_ms - LONGEST_MS}-{2**63 - 1}"
        deleted = 0
        with reaching(self._client):
            for log in self._logs:
                start = "-"
                while start:
                    found, last = self._script.run(self._client, [log], [start, newest, _LOOKED_AT_ONCE])
                    deleted += found
                    start = f"({last.decode()}" if last else ""
        return deleted
