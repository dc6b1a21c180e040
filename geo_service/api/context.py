"""What is around a place. Nothing about who asks is kept."""

import asyncio
from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter, SkipValidation

from geo_service.api.access import Requires
from geo_service.api.principals import Action
from geo_service.api.services import Nearby, Services
from geo_service.catalogue.documents import Role
from geo_service.catalogue.site import decode_document

Ports = NamedDependency[SkipValidation[Services]]
Lat = Annotated[float, QueryParameter(ge=-90, le=90)]
Lon = Annotated[float, QueryParameter(ge=-180, le=180)]
_AROUND_M = 1_000.0
_AROUND = 10


class NearStore(msgspec.Struct, frozen=True):
    """A store near the place."""

    id: str
    name: str
    distance_m: float
    """To its edge; 0 inside."""
    lat: float
    lon: float


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


def _stores(services: Services, nearby: Nearby, lat: float, lon: float, radius_m: float, limit: int) -> list[NearStore]:
    found = []
    for store_id, distance_m in nearby.nearest(lat, lon, radius_m, limit):
        document = services.catalogue.get("store", store_id)
        if document is not None:  # removed since the index was read
            store = decode_document("store", document)
            found.append(NearStore(store.id, store.name, round(distance_m, 1), store.lat, store.lon))
    return found


def router(services: Services) -> Router | None:
    """The routes, where there is an index to ask."""
    nearby = services.nearby
    if nearby is None:
        return None

    @get("/context", guards=[Requires(Action.CONTEXT)], summary="Fences and stores here")
    async def get_context(lat: Lat, lon: Lon) -> Context:
        """The fences that cover the place, and the nearest stores within a kilometre. Nothing is kept."""

        def look() -> Context:
            fences = []
            for fence_id in nearby.covering(lat, lon):
                document = services.catalogue.get("fence", fence_id)
                if document is not None:
                    fence = decode_document("fence", document)
                    fences.append(FenceHere(fence.id, fence.store, fence.role))
            return Context(fences, _stores(services, nearby, lat, lon, _AROUND_M, _AROUND))

        return await asyncio.to_thread(look)

    @get("/stores/nearby", guards=[Requires(Action.CONTEXT)], summary="The nearest stores")
    async def get_nearby(
        lat: Lat,
        lon: Lon,
        radius_m: Annotated[float, QueryParameter(gt=0, le=100_000)] = 5_000,
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
    ) -> NearStores:
        """By distance to the store's edge, nearest first."""
        return NearStores(await asyncio.to_thread(_stores, services, nearby, lat, lon, radius_m, limit))

    return Router("/", route_handlers=[get_context, get_nearby], tags=["places"])
