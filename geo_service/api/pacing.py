"""How a store's promotions are paced, and what a manager decides about that."""

import asyncio
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, SkipValidation

from geo_service.api.access import Asked, Requires, asker, require_store
from geo_service.api.ingest import Taken, take_of_store
from geo_service.api.problems import Problem, not_found
from geo_service.api.services import Services
from geo_service.flow.pacers import Pacing, pacing_name
from geo_service.ids import require_id
from geo_service.principals import Action

Ports = NamedDependency[SkipValidation[Services]]
_pacing = msgspec.json.Decoder(Pacing)


class StorePacing(msgspec.Struct, frozen=True):
    """A store's pacing."""

    pacing: Pacing | None
    """null: nothing measures the store, so its promotions are not paced."""


class NewOverride(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a manager decides."""

    action: Literal["pause", "resume", "ceiling", "force"]
    """pause: invite nobody. ceiling: pace to this many people. force: invite everybody. resume: pace as usual."""
    until: datetime | float | None = None
    """RFC 3339 or epoch seconds; without it, until somebody says otherwise."""
    ceiling: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None


@get("/stores/{key:str}/pacing", guards=[Requires(Action.READ)], summary="How a store's promotions are paced")
async def get_pacing(request: Asked, services: Ports, key: FromPath[str]) -> StorePacing:
    """Whether somebody ten minutes away would be invited and why, the minutes ahead, and the managers' last decisions.

    Renewed every ten seconds while anything happens in the store.
    """
    require_store(asker(request), require_id(key, "store"))

    def read() -> StorePacing:
        if services.catalogue.get("store", key) is None:
            raise not_found("store", key)
        found = services.current.named([pacing_name(key)]).get(pacing_name(key))
        return StorePacing(None if found is None else _pacing.decode(found))

    return await asyncio.to_thread(read)


@post(
    "/stores/{key:str}/pacing",
    guards=[Requires(Action.CONFIGURE)],
    status_code=202,
    summary="Pause, force or limit a store's promotions",
    responses={400: ResponseSpec(Problem, description="not a decision")},
)
async def post_pacing(request: Asked, services: Ports, key: FromPath[str], data: JSONBody[NewOverride]) -> Taken:
    """202 once it is in the log, with who decided. It replaces what was decided before."""
    principal = asker(request)
    require_store(principal, require_id(key, "store"))
    payload = msgspec.json.encode(
        {"action": data.action, "by": principal.id, "until": data.until, "ceiling": data.ceiling}
    )

    return await take_of_store(services, key, "pacing", payload)


def router() -> Router:
    """The routes."""
    return Router("/", route_handlers=[get_pacing, post_pacing], tags=["pacing"])
