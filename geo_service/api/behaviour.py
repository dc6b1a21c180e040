"""What shoppers do online, and what the retailer knows of them: it decides which offer is the best for whom."""

import asyncio

import msgspec
from litestar import Router, post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, RawBody, SkipValidation

from geo_service.api.access import Asked, Requires, asker
from geo_service.api.bodies import json_body
from geo_service.api.ingest import Taken, answer
from geo_service.api.problems import Problem, forbidden
from geo_service.api.services import Services
from geo_service.decoding import decode_json
from geo_service.ids import require_id
from geo_service.offers.behaviour import MOST, items_of
from geo_service.principals import Action

Ports = NamedDependency[SkipValidation[Services]]
_REFUSED = {400: ResponseSpec(Problem, description="nothing of it could be used; `errors` says why")}


@post(
    "/behaviour",
    guards=[Requires(Action.PING)],
    status_code=202,
    summary="Send what shoppers did online",
    responses=_REFUSED,
    operation_class=json_body(
        f"One action, or a list of up to {MOST}: `type` is viewed, searched, listed, cart or bought; what it is about is a "
        "`sku`, a `category` or a `query`. A back end names the `device`; with a device's token it may be left out. With an "
        "`id`, or a `time`, it may be sent again and counts once for a day.",
        {"type": "viewed", "sku": "loaf-rye", "device": "phone-1", "time": "2026-03-01T12:00:00Z"},
    ),
)
async def post_behaviour(request: Asked, body: RawBody, services: Ports) -> Taken:
    """202 once it is in the log. It counts only of people who agree to offers; of others it is not kept."""
    principal = asker(request)
    device = principal.id if principal.kind == "device" else None
    said, _ = items_of(body)
    taken = answer(await asyncio.to_thread(services.intake.take, "http:/v1/behaviour", body, device=device))
    return Taken(len(said) - len(taken.rejected) - taken.dropped, taken.rejected, taken.dropped)


@put(
    "/people/{person:str}/traits",
    guards=[Requires(Action.PING)],
    status_code=202,
    summary="Say what is known of a person",
    responses=_REFUSED,
    operation_class=json_body(
        "`segments` replaces all of them; `language` is a tag, empty to forget it. What is left out stays.",
        {"segments": ["members"], "language": "fi"},
    ),
)
async def put_traits(request: Asked, body: RawBody, services: Ports, person: FromPath[str]) -> Taken:
    """202 once it is in the log. A device may say its own language; segments are the retailer's to give."""
    require_id(person, "person")
    principal = asker(request)
    if principal.kind == "device":
        if principal.id != person:
            raise forbidden(f"this token speaks for {principal.id!r} only")
        if decode_json(_segmented, body).segments is not msgspec.UNSET:
            raise forbidden("a device may not choose its segments")
    return answer(await asyncio.to_thread(services.intake.take, f"http:/v1/people/{person}/traits", body))


class _Segmented(msgspec.Struct):
    segments: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_segmented = msgspec.json.Decoder(_Segmented)


def router() -> Router:
    """The routes."""
    return Router("/", route_handlers=[post_behaviour, put_traits], tags=["offers"])
