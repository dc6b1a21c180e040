"""Current values: the newest of whatever has one, for readers that want no history."""

from collections.abc import Collection, Iterator
from typing import Any

from geo_service.storage.connection import Client, reaching
from geo_service.storage.keys import Keys

# Values of one reply: small enough that nobody else on the server has to wait long.
_SLICE = 5000


class CurrentValues:
    """Reads what commits wrote; names of one partition never occur in another."""

    def __init__(self, client: Client, keys: Keys, partitions: int) -> None:
        """Sends nothing."""
        self._client = client
        self._values = [keys("current", partition=partition) for partition in range(partitions)]
        self._names = [keys("names", partition=partition) for partition in range(partitions)]

    def get(self, name: str) -> bytes | None:
        """The value of one name.

        Raises:
            UnreachableError: no server; so do the others.
        """
        with reaching(self._client), self._client.pipeline(transaction=False) as pipe:
            for values in self._values:
                pipe.hget(values, name)
            return next((value for value in pipe.execute() if value is not None), None)

    def having(self, *prefixes: str) -> dict[str, bytes]:
        """Every value whose name begins with one of these, by name, in order within a partition."""
        with reaching(self._client):
            with self._client.pipeline(transaction=False) as pipe:
                for names in self._names:
                    for prefix in prefixes:
                        low = b"[" + prefix.encode()
                        # 0xff occurs in no UTF-8: above every name that begins with the prefix.
                        pipe.zrangebylex(names, low if prefix else b"-", low + b"\xff" if prefix else b"+")
                replies = pipe.execute()
            found: dict[str, bytes] = {}
            for at, values in enumerate(self._values):
                share = replies[at * len(prefixes) : (at + 1) * len(prefixes)]
                found |= self._look_up(values, [name for names in share for name in names])
        return found

    def _look_up(self, values: str, names: list[bytes]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for part in _slices(names):
            replies: Any = self._client.hmget(values, part)
            found |= {name.decode(): value for name, value in zip(part, replies, strict=True) if value is not None}
        return found

    def occupancy(self, stores: Collection[str] | None = None) -> dict[str, list[bytes]]:
        """Newest occupancy (JSON) by store, the store's own before its zones'; None: of every store."""
        if stores is None:
            found = self.having("occupancy:")
        else:
            # "/" stands in no id: `a` does not find what belongs to `ab`.
            found = self.having(*(f"occupancy:{store}/" for store in stores))
            found |= self._exactly([f"occupancy:{store}" for store in stores])
        by_store: dict[str, list[bytes]] = {}
        for name in sorted(found):
            by_store.setdefault(name.removeprefix("occupancy:").partition("/")[0], []).append(found[name])
        return by_store

    def alerts(self, stores: Collection[str] | None = None) -> list[bytes]:
        """The alerts (JSON) that stand, by store; None: of every store."""
        found = self.having(*(["alert:"] if stores is None else [f"alert:{store}/" for store in stores]))
        return [found[name] for name in sorted(found)]

    def named(self, names: Collection[str]) -> dict[str, bytes]:
        """The values of these names, as far as they have any."""
        return self._exactly(list(names)) if names else {}

    def _exactly(self, names: list[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        with reaching(self._client):
            for values in self._values:
                found |= self._look_up(values, [name.encode() for name in names])
        return found


def _slices(names: list[bytes]) -> Iterator[list[bytes]]:
    for at in range(0, len(names), _SLICE):
        yield names[at : at + _SLICE]
