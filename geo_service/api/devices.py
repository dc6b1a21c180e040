"""Devices: how a phone gets its token, and what was offered to it."""

import asyncio
from typing import Annotated

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter, SkipValidation

from geo_service.api.access import Asked, Requires, asker
from geo_service.api.problems import ProblemError, forbidden, too_many
from geo_service.api.services import Services
from geo_service.catalogue.documents import Id
from geo_service.ids import require_id
from geo_service.offers.behaviour import Language
from geo_service.principals import Action, Principal

Ports = NamedDependency[SkipValidation[Services]]
_REGISTRATIONS_PER_HOUR = 60


class NewDevice(msgspec.Struct, frozen=True):
    """What an app asks for."""

    device: Id | None = None
    """An id of your own choice; only with a secret key, since an id names somebody."""
    language: Language | None = None
    """What offers are to be written in: a tag such as `fi` or `pt-BR`."""


class Registered(msgspec.Struct, frozen=True):
    """A device and the token that speaks for it. The token is told this once."""

    device: str
    token: str


@post("/devices", guards=[Requires(Action.REGISTER)], summary="Register a device")
async def post_device(request: Asked, services: Ports, data: JSONBody[NewDevice | None] = None) -> Registered:
    """A new device with an id made here, or, with a secret key, with yours; 409 where the id is taken."""
    principal = asker(request)
    wanted = data.device if data is not None else None
    if wanted is not None and principal.kind == "publishable":
        raise forbidden("a publishable key may not choose the device's id")

    def register() -> Registered:
        if principal.kind == "publishable":
            # The key is in an app that anybody can unpack, so the limit is on the place that asks.
            where = request.client.host if request.client else "unknown"
            wait_s = services.limits.take(f"register:{where}", limit=_REGISTRATIONS_PER_HOUR, window_s=3600)
            if wait_s > 0:
                raise too_many(wait_s)
        made = services.accounts.register(wanted)
        if made is None:
            raise ProblemError(409, f"device {wanted!r} is registered already")
        if data is not None and data.language is not None:
            topic = f"http:/v1/people/{made.device}/traits"
            services.intake.take(topic, msgspec.json.encode({"language": data.language}))
        return Registered(made.device, made.token)

    return await asyncio.to_thread(register)


@get("/devices/{device:str}/offers", guards=[Requires(Action.PING)], summary="Recent offers of a device")
async def get_offers(
    request: Asked,
    services: Ports,
    device: FromPath[str],
    limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
) -> Response[bytes]:
    """Newest first. A device sees what was sent to it; a back office also what was withheld, and why."""
    principal = asker(request)
    require_id(device, "device")
    if principal.kind == "device" and principal.id != device:
        raise forbidden(f"this token speaks for {principal.id!r} only")
    if services.offers is None:
        raise ProblemError(503, "offers are not kept here")
    offers = await asyncio.to_thread(services.offers.of, device, limit)
    shown = [offer for offer in offers if _shows(principal, _offer.decode(offer))]
    if principal.kind == "device":
        shown = await asyncio.to_thread(_pulled, services, shown)
    return Response(b'{"items":[' + b",".join(shown) + b"]}", media_type="application/json")


def _pulled(services: Services, offers: list[bytes]) -> list[bytes]:
    """Offers as the phone gets them, each with its code; that it asked is noted."""
    if services.offers is not None:
        ids = [_offer.decode(offer).id for offer in offers]
        services.offers.fared(dict.fromkeys(ids, "pulled"), services.now_ms())
    return offers if services.coupons is None else [services.coupons.with_code(offer) for offer in offers]


class _Offer(msgspec.Struct):
    id: str
    store: str
    decision: str


_offer = msgspec.json.Decoder(_Offer)


def _shows(principal: Principal, offer: _Offer) -> bool:
    """A shopper sees what was sent; who is in the holdout or was passed over is the back office's to know."""
    return offer.decision == "sent" if principal.kind == "device" else principal.sees(offer.store)


def router(services: Services) -> Router:
    """The routes that have their port."""
    handlers = [post_device] if services.offers is None else [post_device, get_offers]
    return Router("/", route_handlers=handlers, tags=["devices"])
