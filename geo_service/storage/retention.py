"""What lives so long and no longer, whatever happens to the worker: raw pings a day, dead letters of webhooks a week."""

from typing import Any

from geo_service.storage.connection import Client, reaching
from geo_service.storage.keys import DAY_S, Keys
from geo_service.storage.scripts import Script

LONGEST_MS = DAY_S * 1000
DEAD_LETTERS_MS = 7 * DAY_S * 1000
_LOOKED_AT_ONCE = 500


class DeadLetterRetention:
    """Dead letters name people, too; a stream ends as a whole, and only a week after the newest came."""

    def __init__(self, client: Client, *, keys: Keys | None = None) -> None:
        """Sends nothing."""
        self._client = client
        self._keys = keys or Keys()

    def expire(self, now_ms: int) -> int:
        """Delete dead letters that were given up a week ago; returns how many.

        Raises:
            UnreachableError: no server.
        """
        oldest, deleted = str(now_ms - DEAD_LETTERS_MS), 0
        with reaching(self._client):
            endpoints: Any = self._client.hkeys(self._keys("webhook_endpoints"))
            for endpoint in endpoints:
                letters, state = (
                    self._keys(name, endpoint=endpoint.decode()) for name in ("webhook_dead", "webhook_state")
                )
                lost: Any = self._client.xtrim(letters, minid=oldest, approximate=False)
                if lost:
                    self._client.hincrby(state, "lost", lost)
                    deleted += lost
        return deleted


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
