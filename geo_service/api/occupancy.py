"""How full a store is now, and what somebody counted."""

import asyncio
from typing import Annotated

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, SkipValidation

from geo_service.api.access import Asked, Requires, asker, require_store
from geo_service.api.ingest import Taken, take_of_store
from geo_service.api.problems import Problem, not_found
from geo_service.api.services import Services
from geo_service.catalogue.documents import Id
from geo_service.ids import require_id
from geo_service.outputs import Alert, Occupancy
from geo_service.principals import Action

Ports = NamedDependency[SkipValidation[Services]]


class StoreOccupancy(msgspec.Struct, frozen=True, kw_only=True):
    """A store's occupancy, that of its zones, and the alerts that stand."""

    store: Occupancy | None
    """null: nothing has been counted there yet."""
    zones: list[Occupancy]
    alerts: list[Alert]
    """Those that stand, of the store and of its zones."""


class NewCount(msgspec.Struct, frozen=True):
    """People counted by eye."""

    count: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    zone: Id | None = None


@get(
    "/stores/{key:str}/occupancy",
    guards=[Requires(Action.READ)],
    summary="How full a store is",
    responses={200: ResponseSpec(StoreOccupancy, description="the newest values")},
)
async def get_occupancy(request: Asked, services: Ports, key: FromPath[str]) -> Response[bytes]:
    """The newest value with its 90 % interval, as it also stands in the event stream."""
    require_store(asker(request), require_id(key, "store"))

    def read() -> tuple[list[bytes], list[bytes]]:
        if services.catalogue.get("store", key) is None:
            raise not_found("store", key)
        return list(services.current.occupancy([key]).get(key, ())), list(services.current.alerts([key]))

    outputs, alerts = await asyncio.to_thread(read)
    own = [output for output in outputs if _zone.decode(output).zone is None]
    zones = [output for output in outputs if output not in own]
    body = b'{"store":' + (own[0] if own else b"null") + b',"zones":[' + b",".join(zones) + b'],"alerts":['
    body += b",".join(alerts) + b"]}"
    return Response(body, media_type="application/json")


class _Zone(msgspec.Struct):
    zone: str | None = None


_zone = msgspec.json.Decoder(_Zone)


@post(
    "/stores/{key:str}/occupancy/recount",
    guards=[Requires(Action.COUNT)],
    status_code=202,
    summary="Say how many people are in a store",
    responses={400: ResponseSpec(Problem, description="not a count")},
)
async def post_recount(request: Asked, services: Ports, key: FromPath[str], data: JSONBody[NewCount]) -> Taken:
    """202 once it is in the log; the occupancy that follows from it comes within the second."""
    principal = asker(request)
    require_store(principal, require_id(key, "store"))
    payload = msgspec.json.encode({"count": data.count, "zone": data.zone, "by": principal.id})

    return await take_of_store(services, key, "occupancy/recount", payload)


def router() -> Router:
    """The routes."""
    return Router("/", route_handlers=[get_occupancy, post_recount], tags=["occupancy"])
