"""What is around a place. Nothing about who asks is kept."""

import asyncio
from collections.abc import Callable
from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.params import QueryParameter

from geo_service.api.access import Requires
from geo_service.api.services import Nearby, Services
from geo_service.catalogue.documents import Role, Store
from geo_service.catalogue.hours import Hours
from geo_service.principals import Action

Lat = Annotated[float, QueryParameter(ge=-90, le=90)]
Lon = Annotated[float, QueryParameter(ge=-180, le=180)]
_AROUND_M = 1_000.0
_AROUND = 10
Wanted = Callable[[Store], bool]


class NearStore(msgspec.Struct, frozen=True):
    """A store near the place."""

    id: str
    name: str
    distance_m: float
    """To its edge; 0 inside."""
    lat: float
    lon: float
    address: str | None
    open: bool
    """Now, by its hours; a store without hours is always open."""
    services: list[str]
    tags: list[str]


class FenceHere(msgspec.Struct, frozen=True):
    """A fence that covers the place."""

    id: str
    store: str | None
    role: Role


class Context(msgspec.Struct, frozen=True):
    """What is here, and what is near."""

    fences: list[FenceHere]
    stores: list[NearStore]


class NearStores(msgspec.Struct, frozen=True):
    """Nearest first."""

    items: list[NearStore]


def _stores(
    nearby: Nearby, place: tuple[float, float], radius_m: float, limit: int, wanted: Wanted, now_ms: int
) -> list[NearStore]:
    def accept(key: str) -> bool:
        store = nearby.store(key)
        return store is not None and wanted(store)

    found = []
    for key, distance_m in nearby.nearest(*place, radius_m, limit, accept):
        store = nearby.store(key)
        if store is not None:  # removed in this very moment
            found.append(_near(store, distance_m, now_ms))
    return found


def _near(store: Store, distance_m: float, now_ms: int) -> NearStore:
    return NearStore(
        id=store.id,
        name=store.name,
        distance_m=round(distance_m, 1),
        lat=store.lat,
        lon=store.lon,
        address=store.address,
        open=_is_open(store, now_ms),
        services=store.services,
        tags=store.tags,
    )


def _wanted(nearby: Nearby, tag: str | None, sku: str | None, open_at_ms: int | None) -> Wanted:
    def wanted(store: Store) -> bool:
        return (
            (tag is None or tag in store.tags)
            and (sku is None or nearby.has(store.id, sku))
            and (open_at_ms is None or _is_open(store, open_at_ms))
        )

    return wanted


def _everything(_: Store) -> bool:
    return True


def _is_open(store: Store, at_ms: int) -> bool:
    return store.hours is None or Hours(store.hours, store.timezone).is_open(at_ms)


def _look_around(nearby: Nearby, lat: float, lon: float, now_ms: int) -> Context:
    fences = [fence for key in nearby.covering(lat, lon) if (fence := nearby.fence(key)) is not None]
    here = [FenceHere(fence.id, fence.store, fence.role) for fence in fences]
    return Context(here, _stores(nearby, (lat, lon), _AROUND_M, _AROUND, _everything, now_ms))


def router(services: Services) -> Router | None:
    """The routes, where there is an index to ask."""
    nearby = services.nearby
    if nearby is None:
        return None

    @get("/context", guards=[Requires(Action.CONTEXT)], summary="Fences and stores here")
    async def get_context(lat: Lat, lon: Lon) -> Context:
        """The fences that cover the place, and the nearest stores within a kilometre. Nothing is kept."""
        return await asyncio.to_thread(_look_around, nearby, lat, lon, services.now_ms())

    @get("/stores/nearby", guards=[Requires(Action.CONTEXT)], summary="The nearest stores")
    async def get_nearby(
        lat: Lat,
        lon: Lon,
        radius_m: Annotated[float, QueryParameter(gt=0, le=100_000)] = 5_000,
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
        tag: Annotated[str | None, QueryParameter(max_length=64, description="stores with this tag only")] = None,
        sku: Annotated[
            str | None, QueryParameter(min_length=1, max_length=200, description="stores that have this product only")
        ] = None,
        is_open: Annotated[bool, QueryParameter(name="open", description="stores that are open now only")] = False,
    ) -> NearStores:
        """By distance to the store's edge, nearest first.

        With `sku`, those that have more of it on hand than is kept for safety; a store that has not said how much it has of
        it is left out.
        """
        now_ms = services.now_ms()
        wanted = _wanted(nearby, tag, sku, now_ms if is_open else None)
        return NearStores(await asyncio.to_thread(_stores, nearby, (lat, lon), radius_m, limit, wanted, now_ms))

    return Router("/", route_handlers=[get_context, get_nearby], tags=["places"])
