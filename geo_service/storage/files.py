"""The files that the store keeps on disk: an append-only file still holds what was deleted, until it is written anew."""

import threading
import time
from typing import Any

import redis

from geo_service.storage.connection import Client, reaching

_LOOK_S = 0.1
_LONGEST_S = 120.0
REWRITTEN = "written anew"


class StoreFiles:
    """Redis' own persistence."""

    def __init__(self, client: Client) -> None:
        """Sends nothing."""
        self._client = client

    def rewrite(self, stop: threading.Event) -> str:
        """Have append-only file and snapshot written anew, and wait until they are; returns what became of it.

        Where the server forbids that (a managed one), it says so: then what was deleted goes with the server's own next
        rewrite.

        Raises:
            UnreachableError: no server.
        """
        with reaching(self._client):
            try:
                return self._rewrite(stop)
            except redis.ResponseError as error:
                return f"left to the server, which says: {error}"[:200]

    def _rewrite(self, stop: threading.Event) -> str:
        done = []
        if self._persistence()["aof_enabled"]:
            # One that is under way may have begun before the deletions.
            if not self._wait("aof_rewrite_in_progress", "aof_rewrite_scheduled", stop=stop):
                return "not yet"
            self._client.bgrewriteaof()
            if not self._wait("aof_rewrite_in_progress", "aof_rewrite_scheduled", stop=stop):
                return "not yet"
            if self._persistence()["aof_last_bgrewrite_status"] != "ok":
                return "the append-only file could not be written anew"
            done.append("append-only file")
        if self._has_snapshot():
            if not self._wait("rdb_bgsave_in_progress", stop=stop):
                return "not yet"
            self._client.bgsave()
            if not self._wait("rdb_bgsave_in_progress", stop=stop):
                return "not yet"
            if self._persistence()["rdb_last_bgsave_status"] != "ok":
                return "the snapshot could not be written anew"
            done.append("snapshot")
        return f"{' and '.join(done)} {REWRITTEN}" if done else "none: the store is in memory"

    def _has_snapshot(self) -> bool:
        config: Any = self._client.config_get("save")
        return bool(config.get("save"))

    def _persistence(self) -> dict[str, Any]:
        found: Any = self._client.info("persistence")
        return dict(found)

    def _wait(self, *fields: str, stop: threading.Event) -> bool:
        deadline = time.monotonic() + _LONGEST_S
        while any(self._persistence()[field] for field in fields):
            if time.monotonic() > deadline or stop.wait(_LOOK_S):
                return False
        return True
