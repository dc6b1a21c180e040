"""A process's own copy of the documents, in key order, refreshed by what changed since it last looked."""

import threading
from bisect import bisect_right
from typing import TYPE_CHECKING

from geo_service.catalogue.site import TYPES, Kind

if TYPE_CHECKING:
    from geo_service.storage.catalogue import Catalogue


class CatalogueView:
    """Answers what a hash of Redis cannot: pages in order. Each asks for the version first, so none is stale."""

    def __init__(self, catalogue: "Catalogue") -> None:
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._version = 0
        self._documents: dict[Kind, dict[str, bytes]] = {kind: {} for kind in TYPES}
        self._sorted: dict[Kind, list[str]] = {}

    def page(self, kind: Kind, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        """Up to `limit` documents with keys above `after`, in key order."""
        with self._lock:
            self._refresh()
            documents = self._documents[kind]
            if kind not in self._sorted:
                self._sorted[kind] = sorted(documents)
            keys = self._sorted[kind]
            start = 0 if after is None else bisect_right(keys, after)
            return [(key, documents[key]) for key in keys[start : start + limit]]

    def _refresh(self) -> None:
        if self._catalogue.version() == self._version:
            return
        changed = self._catalogue.since(self._version)
        for (kind, key), stored in changed.documents.items():
            if (stored is None) != (key not in self._documents[kind]):
                self._sorted.pop(kind, None)
            if stored is None:
                self._documents[kind].pop(key, None)
            else:
                self._documents[kind][key] = stored.document
        self._version = changed.version
