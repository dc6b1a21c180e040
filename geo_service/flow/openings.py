"""When the stores of one partition open and close."""

from typing import Any, NamedTuple, Self

from geo_service.catalogue.documents import Store
from geo_service.catalogue.hours import Hours
from geo_service.catalogue.site import Site


class _Opening(NamedTuple):
    """The hours of a store that has any, and when they next begin or end."""

    hours: Hours
    changes_ms: int


class Openings:
    """The hours of the stores that have any; a store without is always open."""

    def __init__(self) -> None:
        self._by_store: dict[str, _Opening] = {}
        self.due_ms: int | None = None
        """When the next store may open or close."""

    def put(self, store: Store, now_ms: int) -> bool:
        """A store is new or changed; returns whether it had or has hours.

        Raises:
            ValueError: hours or a timezone that are none; nothing changed.
        """
        hours = Hours(store.hours or {}, store.timezone)
        if store.hours is None:
            return self.remove(store.id)
        self._by_store[store.id] = _Opening(hours, hours.next_change(now_ms))
        self._look()
        return True

    def remove(self, store_id: str) -> bool:
        """Forget a store's hours; returns whether it had any."""
        had = self._by_store.pop(store_id, None) is not None
        self._look()
        return had

    def hours(self, store_id: str) -> Hours | None:
        """The store's hours; None is always open."""
        opening = self._by_store.get(store_id)
        return None if opening is None else opening.hours

    def is_open(self, store_id: str, now_ms: int) -> bool:
        """Whether a store is open."""
        hours = self.hours(store_id)
        return hours is None or hours.is_open(now_ms)

    def passed(self, now_ms: int) -> list[str]:
        """The stores that may have opened or closed by now, once each."""
        if self.due_ms is None or self.due_ms > now_ms:
            return []
        stores = [store for store, opening in self._by_store.items() if opening.changes_ms <= now_ms]
        for store in stores:
            hours = self._by_store[store].hours
            self._by_store[store] = _Opening(hours, hours.next_change(now_ms))
        self._look()
        return stores

    def _look(self) -> None:
        self.due_ms = min((opening.changes_ms for opening in self._by_store.values()), default=None)

    def dump(self) -> dict[str, Any]:
        """When each store's hours next change."""
        return {store: opening.changes_ms for store, opening in self._by_store.items()}

    @classmethod
    def load(cls, dumped: dict[str, Any], site: Site) -> Self:
        """What `dump` wrote."""
        openings = cls()
        for store_id, changes_ms in dumped.items():
            store = site.store[store_id]
            openings._by_store[store_id] = _Opening(Hours(store.hours or {}, store.timezone), changes_ms)
        openings._look()
        return openings
