"""Webhooks: who is told what, with which secret, and what became of it."""

import asyncio
import secrets
from typing import Annotated

import msgspec
from litestar import Router, delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter, SkipValidation

from geo_service.api.access import Asked, Requires, asker
from geo_service.api.judging import require_stores
from geo_service.api.problems import Problem, forbidden, not_found
from geo_service.api.services import Services, Webhooks
from geo_service.delivery.webhook_endpoints import Endpoint, EndpointBody, check_body, made, replaced, rotated
from geo_service.delivery.webhook_records import WebhookDelivery, WebhookFate, WebhookState
from geo_service.delivery.webhook_signing import new_secret
from geo_service.principals import Action, Principal
from sensors.instants import rfc3339

Ports = NamedDependency[SkipValidation[Services]]
_MAY = [Requires(Action.WEBHOOKS)]
_REFUSED = {400: ResponseSpec(Problem, description="refused; `errors` says which field and why")}
_WAITING_SHOWN = 100


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint fares."""

    waiting: int
    dead_letters: int
    next_try: str | None
    """When the first of the queue is tried again; null: as soon as there is something."""
    failures_in_a_row: int
    last_result: str | None
    last_tried: str | None
    delivered: int
    failed: int
    """Attempts that came to nothing."""
    dead: int
    """Deliveries that were given up."""
    overflowed: int
    """Deliveries that found the queue full and became dead letters."""
    lost: int
    """Dead letters that made room for newer ones, or were older than a week."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint, without its secrets."""

    id: str
    url: str
    kinds: list[str]
    stores: list[str] | None
    identities: bool
    occupancy_s: float
    note: str
    created: str
    disabled: str | None
    """Why nothing is sent; null where it is."""
    standing: Standing


class Made(msgspec.Struct, frozen=True):
    """A new secret. It is told this once."""

    id: str
    secret: str


class WebhookList(msgspec.Struct, frozen=True):
    """All that the asker may see, oldest first."""

    items: list[Webhook]


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that has not arrived."""

    id: str
    """The header `webhook-id`."""
    entry: str
    """Its place among those that wait, or among the dead letters."""
    kind: str
    queued: str
    attempts: int
    last_result: str | None
    output: msgspec.Raw | None
    """What is sent; null for an asker who may see no device ids where it names some."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is over."""

    id: str
    kind: str
    outcome: str
    attempts: int
    result: str
    time: str


class Deliveries(msgspec.Struct, frozen=True):
    """What waits, first of the queue first; and what is over, newest first."""

    waiting: list[Waiting]
    ended: list[Ended]


class DeadLetters(msgspec.Struct, frozen=True):
    """Deliveries that were given up, oldest first."""

    items: list[Waiting]
    next: str | None


class ResendBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which dead letters; all of them where none are named."""

    entries: Annotated[list[str], msgspec.Meta(max_length=10_000)] | None = None


class Resent(msgspec.Struct, frozen=True):
    """How many are queued again."""

    queued: int


def _ports(services: Services) -> Webhooks:
    if services.webhooks is None:
        raise not_found("resource", "webhooks")
    return services.webhooks


def may_see(principal: Principal, endpoint: Endpoint) -> bool:
    """Whether all that the endpoint hears is within the asker's stores."""
    if principal.stores is None:
        return True
    return endpoint.stores is not None and endpoint.stores <= principal.stores


def _find(webhooks: Webhooks, principal: Principal, key: str) -> Endpoint:
    endpoint = webhooks.endpoints.get(key)
    if endpoint is None or not may_see(principal, endpoint):
        raise not_found("webhook", key)
    return endpoint


def _wanted(services: Services, principal: Principal, body: EndpointBody, before: Endpoint | None) -> EndpointBody:
    """The body within the asker's rights. Stores that it named `before` may be gone by now, and yet it can be changed.

    Raises:
        ProblemError: 403.
        InvalidInputError: it cannot be had, or names a store that does not exist and would be heard of in vain.
    """
    named = body.stores or []
    if principal.stores is not None:
        if body.stores is not None and not set(body.stores) <= principal.stores:
            raise forbidden("not all of these stores are yours")
        body = msgspec.structs.replace(body, stores=sorted(principal.stores if body.stores is None else body.stores))
    if body.identities and not principal.may(Action.IDENTITIES):
        raise forbidden("who may not see device ids cannot have them sent")
    check_body(body)
    known = before.stores if before is not None and before.stores is not None else frozenset()
    require_stores([store for store in named if store not in known], services.catalogue)
    _ports(services).check_url(body.url)
    return body


def _time(at_ms: int | None) -> str | None:
    return rfc3339(at_ms) if at_ms else None


def _standing(state: WebhookState) -> Standing:
    return Standing(
        waiting=state.waiting,
        dead_letters=state.dead_letters,
        next_try=_time(state.next_ms),
        failures_in_a_row=state.failures,
        last_result=state.reason,
        last_tried=_time(state.tried_ms),
        delivered=state.delivered,
        failed=state.failed,
        dead=state.dead,
        overflowed=state.overflowed,
        lost=state.lost,
    )


def _shown(endpoint: Endpoint, state: WebhookState) -> Webhook:
    return Webhook(
        id=endpoint.id,
        url=endpoint.url,
        kinds=sorted(endpoint.kinds),
        stores=None if endpoint.stores is None else sorted(endpoint.stores),
        identities=endpoint.identities,
        occupancy_s=endpoint.occupancy_s,
        note=endpoint.note,
        created=_time(endpoint.created_ms) or "",
        disabled=endpoint.disabled,
        standing=_standing(state),
    )


def _waiting(principal: Principal, endpoint: Endpoint, delivery: WebhookDelivery) -> Waiting:
    readable = principal.may(Action.IDENTITIES) or not endpoint.identities
    return Waiting(
        id=delivery.id,
        entry=delivery.entry,
        kind=delivery.kind,
        queued=_time(delivery.queued_ms) or "",
        attempts=delivery.attempts,
        last_result=delivery.reason,
        output=msgspec.Raw(delivery.body) if readable else None,
    )


def _ended(fate: WebhookFate) -> Ended:
    at = _time(fate.at_ms) or ""
    return Ended(id=fate.id, kind=fate.kind, outcome=fate.outcome, attempts=fate.attempts, result=fate.reason, time=at)


@post("/webhooks", guards=_MAY, summary="Make a webhook", responses=_REFUSED)
async def post_webhook(request: Asked, services: Ports, data: JSONBody[EndpointBody]) -> Made:
    """Outputs of these kinds, from now on, as POST requests signed after the Standard Webhooks specification."""
    webhooks, principal = _ports(services), asker(request)

    def make() -> Made:
        body = _wanted(services, principal, data, None)
        endpoint = made(body, f"wh-{secrets.token_hex(8)}", new_secret(), services.now_ms())
        webhooks.endpoints.add(endpoint)
        return Made(endpoint.id, endpoint.secrets[0].secret)

    return await asyncio.to_thread(make)


@get("/webhooks", guards=_MAY, summary="List webhooks")
async def get_webhooks(request: Asked, services: Ports) -> WebhookList:
    """Those that hear of your stores only."""
    webhooks, principal = _ports(services), asker(request)

    def look() -> WebhookList:
        endpoints = [endpoint for endpoint in webhooks.endpoints.all() if may_see(principal, endpoint)]
        states = webhooks.queues.states([endpoint.id for endpoint in endpoints])
        return WebhookList([_shown(endpoint, states[endpoint.id]) for endpoint in endpoints])

    return await asyncio.to_thread(look)


@get("/webhooks/{key:str}", guards=_MAY, summary="One webhook")
async def get_webhook(request: Asked, services: Ports, key: FromPath[str]) -> Webhook:
    """What it hears, and how it fares."""
    webhooks, principal = _ports(services), asker(request)

    def look() -> Webhook:
        endpoint = _find(webhooks, principal, key)
        return _shown(endpoint, webhooks.queues.states([key])[key])

    return await asyncio.to_thread(look)


@put("/webhooks/{key:str}", guards=_MAY, summary="Replace a webhook", responses=_REFUSED)
async def put_webhook(request: Asked, services: Ports, key: FromPath[str], data: JSONBody[EndpointBody]) -> Webhook:
    """Its secret stays. `enabled` switches one on that was disabled, or off; what waits then goes to the dead letters."""
    webhooks, principal = _ports(services), asker(request)

    def change() -> Webhook:
        body = _wanted(services, principal, data, _find(webhooks, principal, key))
        endpoint = webhooks.endpoints.change(key, lambda found: replaced(found, body))
        if endpoint is None:
            raise not_found("webhook", key)
        if endpoint.disabled is not None:
            webhooks.queues.give_up_all(key, endpoint.disabled, services.now_ms())
        return _shown(endpoint, webhooks.queues.states([key])[key])

    return await asyncio.to_thread(change)


@delete("/webhooks/{key:str}", guards=_MAY, summary="Remove a webhook")
async def delete_webhook(request: Asked, services: Ports, key: FromPath[str]) -> None:
    """With all that waits for it."""
    webhooks, principal = _ports(services), asker(request)

    def remove() -> None:
        _find(webhooks, principal, key)
        webhooks.endpoints.remove(key)

    await asyncio.to_thread(remove)


@post("/webhooks/{key:str}/rotate", guards=_MAY, status_code=200, summary="Change the secret")
async def post_rotate(request: Asked, services: Ports, key: FromPath[str]) -> Made:
    """A new secret; for a day the old one signs beside it, so that the receiver can change over in between."""
    webhooks, principal = _ports(services), asker(request)

    def rotate() -> Made:
        _find(webhooks, principal, key)
        secret, now_ms = new_secret(), services.now_ms()
        if webhooks.endpoints.change(key, lambda found: rotated(found, secret, now_ms)) is None:
            raise not_found("webhook", key)
        return Made(key, secret)

    return await asyncio.to_thread(rotate)


@get("/webhooks/{key:str}/deliveries", guards=_MAY, summary="What became of the deliveries")
async def get_deliveries(request: Asked, services: Ports, key: FromPath[str]) -> Deliveries:
    """The first hundred that wait, with their attempts; and how the last two hundred ended."""
    webhooks, principal = _ports(services), asker(request)

    def look() -> Deliveries:
        endpoint = _find(webhooks, principal, key)
        waiting = webhooks.queues.waiting(key, _WAITING_SHOWN)
        return Deliveries(
            [_waiting(principal, endpoint, delivery) for delivery in waiting],
            [_ended(fate) for fate in webhooks.queues.fates(key, 2 * _WAITING_SHOWN)],
        )

    return await asyncio.to_thread(look)


@get("/webhooks/{key:str}/dead-letters", guards=_MAY, summary="Deliveries that were given up")
async def get_dead_letters(
    request: Asked,
    services: Ports,
    key: FromPath[str],
    cursor: Annotated[str | None, QueryParameter(pattern=r"\A\d{1,15}-\d{1,9}\Z")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
) -> DeadLetters:
    """Oldest first."""
    webhooks, principal = _ports(services), asker(request)

    def look() -> DeadLetters:
        endpoint = _find(webhooks, principal, key)
        found = webhooks.queues.dead(key, cursor, limit)
        shown = [_waiting(principal, endpoint, delivery) for delivery in found]
        return DeadLetters(shown, found[-1].entry if len(found) == limit else None)

    return await asyncio.to_thread(look)


@post("/webhooks/{key:str}/dead-letters/resend", guards=_MAY, status_code=200, summary="Send dead letters again")
async def post_resend(
    request: Asked, services: Ports, key: FromPath[str], data: JSONBody[ResendBody | None] = None
) -> Resent:
    """They are queued behind what waits, under the ids they had."""
    webhooks, principal = _ports(services), asker(request)

    def resend() -> Resent:
        _find(webhooks, principal, key)
        entries = data.entries if data is not None else None
        return Resent(webhooks.queues.resend(key, entries, services.now_ms()))

    return await asyncio.to_thread(resend)


def router(services: Services) -> Router | None:
    """The routes, where there are webhooks."""
    if services.webhooks is None:
        return None
    handlers = [
        post_webhook,
        get_webhooks,
        get_webhook,
        put_webhook,
        delete_webhook,
        post_rotate,
        get_deliveries,
        get_dead_letters,
        post_resend,
    ]
    return Router("/", route_handlers=handlers, tags=["webhooks"])
