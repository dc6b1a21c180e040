"""Stores and fences around a place, as the catalogue has them now.

The index lies in this process. It is made by the first request that asks, and brought up to date by what changed since
the last one: one question to the catalogue for each request.
"""

import threading
from collections.abc import Mapping
from typing import Protocol

import structlog

from geo_service.catalogue.documents import Fence, StockLevel, Store
from geo_service.catalogue.site import Kind, decode_document
from geo_service.errors import InvalidInputError
from geo_service.geofences.places import Accept, Places

_log = structlog.get_logger(__name__)


class Stored(Protocol):
    """A document as it is kept."""

    @property
    def document(self) -> bytes:
        """Canonical JSON."""
        ...


class Changed(Protocol):
    """Documents as of a version; None for one that was removed."""

    @property
    def version(self) -> int:
        """Ask with it next time."""
        ...

    @property
    def documents(self) -> Mapping[tuple[Kind, str], Stored | None]:
        """By kind and id."""
        ...


class Changing(Protocol):
    """What a catalogue must say for this."""

    def version(self) -> int:
        """Rises with every change."""
        ...

    def since(self, version: int) -> Changed:
        """What was changed or removed after a version."""
        ...


class LivePlaces:
    """`services.Nearby` over a catalogue. Any thread may ask."""

    def __init__(self, catalogue: Changing) -> None:
        """Asks nothing yet."""
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._version = 0
        self._places = Places()
        self._stores: dict[str, Store] = {}
        self._fences: dict[str, Fence] = {}
        self._stock: dict[str, bytes] = {}
        """As it is kept: of many only a few are ever asked about."""

    def nearest(
        self, lat: float, lon: float, radius_m: float, limit: int, accept: Accept | None = None
    ) -> list[tuple[str, float]]:
        """`(store, metres to its edge)`, nearest first."""
        with self._lock:
            self._refresh()
            return self._places.nearest(lat, lon, radius_m, limit, accept)

    def covering(self, lat: float, lon: float) -> list[str]:
        """Ids of the fences that cover the place."""
        with self._lock:
            self._refresh()
            return self._places.covering(lat, lon)

    def store(self, key: str) -> Store | None:
        """The store, as of the last question about a place."""
        return self._stores.get(key)

    def fence(self, key: str) -> Fence | None:
        """The fence, likewise."""
        return self._fences.get(key)

    def has(self, store: str, sku: str) -> bool:
        """Whether a store has a product to sell: more of it on hand than is kept for safety. False where nobody has said."""
        document = self._stock.get(f"{store}/{sku}")
        if document is None:
            return False
        level: StockLevel = decode_document("stock", document)
        return level.on_hand > level.safety

    def _refresh(self) -> None:
        if self._catalogue.version() == self._version:
            return
        changed = self._catalogue.since(self._version)
        for (kind, key), stored in changed.documents.items():
            if kind == "store":
                self._take_store(key, stored)
            elif kind == "fence":
                self._take_fence(key, stored)
            elif kind == "stock" and stored is not None:
                self._stock[key] = stored.document
            elif kind == "stock":
                self._stock.pop(key, None)
        self._version = changed.version

    def _take_store(self, key: str, stored: Stored | None) -> None:
        if stored is None:
            self._stores.pop(key, None)
            self._places.remove_store(key)
        else:
            self._stores[key] = decode_document("store", stored.document)
            self._places.put_store(self._stores[key])

    def _take_fence(self, key: str, stored: Stored | None) -> None:
        fence: Fence | None = None if stored is None else decode_document("fence", stored.document)
        try:
            if fence is not None:
                self._places.put_fence(fence)
                self._fences[key] = fence
                return
        except InvalidInputError as error:  # written before this version judged it so
            _log.warning("a fence has no usable shape", fence=key, reason=str(error))
        self._fences.pop(key, None)
        self._places.remove_fence(key)
