"""Stores and fences by their ids: which fences cover a place, and which stores are nearest to it.

A store is as far away as the edge of its `store` fence, or the nearest of them; one without such a fence is the point in
its document. One thread at a time: whoever shares it holds a lock.
"""

from collections.abc import Callable

from geo_service.catalogue.documents import Fence, Store
from geo_service.geofences.nearby import Nearby
from geo_service.geofences.shapes import read_shape

Accept = Callable[[str], bool]


class Places:
    """What a site holds, to be searched by place."""

    def __init__(self) -> None:
        self._nearby = Nearby()
        self._slot_of: dict[tuple[str, str], int] = {}
        """By `("store", id)` of a store's point, or `("fence", id)`."""
        self._fence: dict[int, str] = {}
        self._store: dict[int, str] = {}
        """By slot: whose distance it is, for points and for fences of the role `store`."""
        self._shapes: dict[str, set[int]] = {}
        """By store: the slots of its fences of the role `store`."""
        self._points: dict[str, tuple[float, float]] = {}
        self._free: list[int] = []

    def put_store(self, store: Store) -> None:
        """Take a store, new or changed."""
        self._points[store.id] = (store.lat, store.lon)
        self._settle_point(store.id)

    def remove_store(self, store_id: str) -> None:
        """Forget a store; its fences stay, but are no store's distance any more."""
        self._points.pop(store_id, None)
        self._settle_point(store_id)

    def put_fence(self, fence: Fence) -> None:
        """Take a fence, new or changed; a disabled one is as good as removed.

        Raises:
            ShapeError: its geometry cannot be used; what was there stays.
        """
        shape = None if fence.disabled else read_shape(fence)[0]
        self._drop_fence(fence.id)
        if shape is None:
            return
        slot = self._take("fence", fence.id)
        self._fence[slot] = fence.id
        self._nearby.put_shape(slot, shape)
        if fence.role == "store" and fence.store is not None:
            self._store[slot] = fence.store
            self._shapes.setdefault(fence.store, set()).add(slot)
            self._settle_point(fence.store)

    def remove_fence(self, fence_id: str) -> None:
        """Forget a fence."""
        self._drop_fence(fence_id)

    def covering(self, lat: float, lon: float) -> list[str]:
        """Ids of the fences that cover the place (degrees), in order."""
        return sorted(self._fence[slot] for slot in self._nearby.covering(lat, lon))

    def nearest(
        self, lat: float, lon: float, radius_m: float, limit: int, accept: Accept | None = None
    ) -> list[tuple[str, float]]:
        """Up to `limit` of `(store, metres to its edge)` within the radius, nearest first; 0.0 inside.

        `accept` is asked about stores, nearest first or nearly so, until there are enough.
        """

        def wanted(slot: int) -> bool:
            store_id = self._store.get(slot)
            return store_id in self._points and (accept is None or accept(store_id))

        asked = limit
        while True:
            found = self._nearby.nearest(lat, lon, radius_m, asked, wanted)
            stores: dict[str, float] = {}
            for slot, distance_m in found:
                stores.setdefault(self._store[slot], distance_m)
            # A store with several shapes takes several places.
            if len(stores) >= limit or len(found) < asked:
                return list(stores.items())[:limit]
            asked *= 2

    def _settle_point(self, store_id: str) -> None:
        """A store's point counts while the store is there and no shape stands for it."""
        slot = self._slot_of.get(("store", store_id))
        if store_id not in self._points or self._shapes.get(store_id):
            if slot is not None:
                self._give_back("store", store_id)
            return
        if slot is None:
            slot = self._take("store", store_id)
        self._store[slot] = store_id
        self._nearby.put_point(slot, *self._points[store_id])

    def _drop_fence(self, fence_id: str) -> None:
        slot = self._slot_of.get(("fence", fence_id))
        if slot is None:
            return
        store_id = self._store.get(slot)
        self._give_back("fence", fence_id)
        if store_id is not None:
            self._shapes[store_id].discard(slot)
            self._settle_point(store_id)

    def _take(self, kind: str, key: str) -> int:
        slot = self._free.pop() if self._free else len(self._slot_of)
        self._slot_of[kind, key] = slot
        return slot

    def _give_back(self, kind: str, key: str) -> None:
        slot = self._slot_of.pop((kind, key))
        self._nearby.remove(slot)
        self._fence.pop(slot, None)
        self._store.pop(slot, None)
        self._free.append(slot)
