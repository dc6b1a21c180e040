"""What a person agreed to, and forgetting them. A person is known by their device's id."""

import asyncio

import msgspec
from litestar import Router, delete, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, SkipValidation

from geo_service.api.access import Requires
from geo_service.api.ingest import Taken, answer
from geo_service.api.services import Services
from geo_service.flow.intake import ConsentBody
from geo_service.ids import require_id
from geo_service.principals import Action

Ports = NamedDependency[SkipValidation[Services]]


@put(
    "/people/{person:str}/consent",
    guards=[Requires(Action.PEOPLE)],
    status_code=202,
    summary="Record what a person agrees to",
)
async def put_consent(services: Ports, person: FromPath[str], data: JSONBody[ConsentBody]) -> Taken:
    """By purpose: `location`, `offers`, `analytics`. A purpose that is not named stays as it was. `version` says
    which text the person saw; it is kept with the time.
    """
    topic = f"http:/v1/people/{require_id(person, 'person')}/consent"
    return answer(await asyncio.to_thread(services.intake.take, topic, msgspec.json.encode(data)))


@delete("/people/{person:str}", guards=[Requires(Action.PEOPLE)], status_code=202, summary="Forget a person")
async def delete_person(services: Ports, person: FromPath[str]) -> Taken:
    """202 once it is in the log: the device leaves every fence, its token and its offers end, and its state is dropped."""
    topic = f"http:/v1/people/{require_id(person, 'person')}"

    def forget() -> Taken:
        taken = answer(services.intake.take(topic, b""))
        services.accounts.forget_device(person)
        if services.offers is not None:
            services.offers.forget(person)
        if services.coupons is not None:
            services.coupons.forget(person)
        return taken

    return await asyncio.to_thread(forget)


def router() -> Router:
    """The routes."""
    return Router("/", route_handlers=[put_consent, delete_person], tags=["people"])
