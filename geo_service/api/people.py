"""What a person agreed to, all that is kept of them, and forgetting it. A person is known by their device's id."""

import asyncio
from typing import Any

import msgspec
from litestar import Router, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, SkipValidation

from geo_service.api.access import Requires
from geo_service.api.hub import Hub
from geo_service.api.ingest import Taken, answer
from geo_service.api.problems import ProblemError, not_found
from geo_service.api.services import People, Services
from geo_service.flow.intake import ConsentBody
from geo_service.ids import require_id
from geo_service.people.erasure import Erasure
from geo_service.principals import Action
from sensors.instants import rfc3339

Ports = NamedDependency[SkipValidation[Services]]
Streams = NamedDependency[SkipValidation[Hub]]
_MAY = [Requires(Action.PEOPLE)]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure, and how far it has come."""

    receipt: str | None
    """Proof of it; null where erasures are not followed up here."""
    state: str
    """`under way` or `done`"""
    requested: str
    done: str | None = None
    removed: dict[str, int] = {}
    """What was taken out, by the name of the key that it was in, and how much."""
    left: list[str] = []
    """Where the id still was when it was last looked for; it is gone about again."""
    files: str | None = None
    """What became of the store's files on disk, which hold deleted things until they are written anew."""


class ConsentSaid(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said once."""

    time: str
    purposes: dict[str, bool]
    version: str | None


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """All that is kept of a person."""

    person: str
    time: str
    consents: list[ConsentSaid]
    kept: dict[str, list[Any]]
    """By the name of the key that it is in, as docs/people.md explains them."""


def _people(services: Services) -> People:
    if services.people is None:
        raise ProblemError(503, "what is kept of people is not looked after here")
    return services.people


def _shown(receipt: str, erasure: Erasure) -> Receipt:
    return Receipt(
        receipt=receipt,
        state="under way" if erasure.done_ms is None else "done",
        requested=rfc3339(erasure.requested_ms),
        done=None if erasure.done_ms is None else rfc3339(erasure.done_ms),
        removed=erasure.removed,
        left=erasure.left,
        files=erasure.files,
    )


@put("/people/{person:str}/consent", guards=_MAY, status_code=202, summary="Record what a person agrees to")
async def put_consent(services: Ports, person: FromPath[str], data: JSONBody[ConsentBody]) -> Taken:
    """By purpose: `location`, `offers`, `analytics`. A purpose that is not named stays as it was. `version` says
    which text the person saw; it is kept with the time. 409 while the person is being erased.
    """
    topic = f"http:/v1/people/{require_id(person, 'person')}/consent"

    def say() -> Taken:
        if services.people is not None and services.people.erasures.is_under_way(person):
            raise ProblemError(409, "this person is being erased; say it again when that is done")
        return answer(services.intake.take(topic, msgspec.json.encode(data)))

    return await asyncio.to_thread(say)


@get("/people/{person:str}/export", guards=_MAY, summary="All that is kept of a person")
async def get_export(services: Ports, person: FromPath[str]) -> Export:
    """From every place that may hold something about a person; what there is nothing of is not listed."""
    require_id(person, "person")

    def look() -> Export:
        people = _people(services)
        said = [
            ConsentSaid(time=rfc3339(each.at_ms), purposes=each.purposes, version=each.version)
            for each in people.consents.history(person)
        ]
        kept = {name: list(found) for name, found in people.data.export(person).items()}
        return Export(person=person, time=rfc3339(services.now_ms()), consents=said, kept=kept)

    return await asyncio.to_thread(look)


@delete("/people/{person:str}", guards=_MAY, status_code=202, summary="Erase a person")
async def delete_person(services: Ports, hub: Streams, person: FromPath[str]) -> Receipt:
    """202 at once: their pings are kept out, the device leaves every fence, its token and offers end. Every trace of the id
    is gone within a minute; ask for that under `/v1/people/{person}/erasure/{receipt}`.
    """
    topic = f"http:/v1/people/{require_id(person, 'person')}"

    def forget() -> Receipt:
        people, now = services.people, rfc3339(services.now_ms())
        # First of all, so that nothing new comes in while the rest is done.
        receipt = people.erasures.request(person) if people is not None else None
        answer(services.intake.take(topic, b""))
        services.accounts.forget_device(person)
        if services.offers is not None:
            services.offers.forget(person)
        if services.coupons is not None:
            services.coupons.forget(person)
        return Receipt(receipt=receipt, state="under way", requested=now)

    said = await asyncio.to_thread(forget)
    hub.forget(person)
    return said


@get("/people/{person:str}/erasure/{receipt:str}", guards=_MAY, summary="How far an erasure has come")
async def get_erasure(services: Ports, hub: Streams, person: FromPath[str], receipt: FromPath[str]) -> Receipt:
    """The receipt proves the erasure of this very person; it is known for 400 days."""
    hub.forget(person)

    def look() -> Receipt:
        erasure = _people(services).erasures.find(person, receipt)
        if erasure is None:
            raise not_found("erasure", receipt[:64])
        return _shown(receipt, erasure)

    return await asyncio.to_thread(look)


def router() -> Router:
    """The routes."""
    return Router("/", route_handlers=[put_consent, get_export, delete_person, get_erasure], tags=["people"])
