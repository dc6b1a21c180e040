"""Why somebody got an offer, or did not; and who would get one now."""

import asyncio
from collections import Counter
from typing import Annotated, Any

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, SkipValidation

from geo_service.api.access import Asked, Requires, asker, require_store
from geo_service.api.problems import ProblemError, forbidden, not_found
from geo_service.api.services import Services
from geo_service.api.webhooks import may_see
from geo_service.catalogue.documents import Campaign
from geo_service.catalogue.site import decode_document
from geo_service.errors import InvalidInputError
from geo_service.flow.intake import partition_of
from geo_service.flow.previewing import (
    Follow,
    Followed,
    Judge,
    People,
    Present,
    Question,
    Reply,
    Verdict,
    Verdicts,
    decode_reply,
    encode,
)
from geo_service.ids import is_id
from geo_service.offers.campaigns import concerns
from geo_service.offers.decide import QUESTIONS
from geo_service.offers.redirect import MOST_STORES, moment_of
from geo_service.principals import Action, Principal
from sensors.instants import rfc3339

Ports = NamedDependency[SkipValidation[Services]]
_ANSWER_S = 5.0
_offer = msgspec.json.Decoder(dict[str, Any])


class Asking(msgspec.Struct, frozen=True):
    """What to preview."""

    stores: list[str] | None = None
    """Only these; all of the campaign's if not said."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 200
    """People to look at."""


class Preview(msgspec.Struct, frozen=True):
    """Who would get a campaign's offer now, and why not the others. Nothing was sent or reserved."""

    campaign: str
    as_of: str
    """The log's time of the state that was asked."""
    considered: int
    """People who are in the fences that trigger it."""
    more: bool
    """There are more than were looked at."""
    would_get: list[dict[str, Any]]
    held_out: list[dict[str, Any]]
    others: list[dict[str, Any]]
    reasons: dict[str, int]
    """How many of the others fell at which question."""


@get("/offers/{offer:str}", guards=[Requires(Action.READ)], summary="Explain an offer")
async def get_offer(request: Asked, services: Ports, offer: FromPath[str]) -> dict[str, Any]:
    """The decision in full: which questions were asked and answered, on what evidence, how its delivery fared, and what was
    decided about the other campaigns of the same moment, and later or at other stores because of it. Kept for 30 days, of the
    newest hundred a device.
    """
    if services.offers is None:
        raise ProblemError(503, "offers are not kept here")
    kept = await asyncio.to_thread(services.offers.find, offer) if len(offer) <= 200 else None
    if kept is None:
        raise not_found("offer", offer)
    principal, found = asker(request), _offer.decode(kept.offer)
    require_store(principal, found["store"])
    beside = await asyncio.to_thread(services.offers.of, kept.device, 100)
    moment = moment_of(offer)
    others = [
        {name: other[name] for name in ("id", "campaign", "store", "decision", "reason")}
        for other in map(_offer.decode, beside)
        if other["id"] != offer and moment_of(other["id"]) == moment and principal.sees(other["store"])
    ]
    delivery = _delivery(kept.fate) | {"webhooks": await asyncio.to_thread(_told, services, principal, offer)}
    explained = found | {"questions": questions_of(found), "delivery": delivery, "others": others}
    if not principal.may(Action.IDENTITIES):
        explained.pop("device")
    return explained


def questions_of(offer: dict[str, Any]) -> list[dict[str, str]]:
    """Every question in its order: `yes`, `no` with the reason, or not asked any more."""
    decision, (stopped_at, _, reason) = offer["decision"], str(offer["reason"]).partition(": ")
    last = {"sent": "best", "held_out": "holdout"}.get(decision, stopped_at)
    told = []
    for place, question in enumerate(QUESTIONS):
        if place < QUESTIONS.index(last) or decision == "sent":
            told.append({"question": question, "answer": "yes"})
        elif question == last:
            told.append({"question": question, "answer": "no", "reason": reason})
        else:
            told.append({"question": question, "answer": "not asked"})
    return told


def _delivery(fate: Any) -> dict[str, str]:
    said = {"fate": fate.get("fate", "none")}
    for name, field in (("fate_ms", "since"), ("pulled_ms", "pulled")):
        if name in fate:
            said[field] = rfc3339(int(fate[name]))
    return said


def _told(services: Services, principal: Principal, offer: str) -> list[dict[str, Any]]:
    """How its delivery stands to each webhook that is still there and within the asker's stores."""
    if services.webhooks is None:
        return []
    told = services.webhooks.queues.told_of(offer)
    endpoints = services.webhooks.endpoints.all() if told else []
    return [
        {"webhook": endpoint.id, "state": each.state, "attempts": each.attempts, "since": rfc3339(each.at_ms)}
        for endpoint in endpoints
        if may_see(principal, endpoint) and (each := told.get(endpoint.id)) is not None
    ]


@post(
    "/campaigns/{key:str}/preview",
    guards=[Requires(Action.READ)],
    status_code=200,
    summary="Who would get this campaign's offer now",
)
async def post_preview(
    request: Asked, services: Ports, key: FromPath[str], data: JSONBody[Asking | None] = None
) -> Preview:
    """Asks the running worker about everybody who is in the fences that trigger the campaign, as if they entered now.

    Looks at the live state; sends and reserves nothing. A draft is judged as if it were active.
    """
    principal, asking = asker(request), data or Asking()
    if services.questions is None:
        raise ProblemError(503, "there is no worker to ask")
    document = await asyncio.to_thread(services.catalogue.get, "campaign", key) if is_id(key) else None
    if document is None:
        raise not_found("campaign", key)
    campaign = decode_document("campaign", document)
    stores = _stores_of(principal, asking, campaign.stores)
    for store in asking.stores or ():
        await asyncio.to_thread(_require_part, services, campaign, store)
    people = await _gather(
        services, [(n, Present(key, stores, asking.limit)) for n in range(services.questions.partitions)]
    )
    found = [person for reply in people if isinstance(reply, People) for person in reply.people]
    more = len(found) > asking.limit or any(reply.more for reply in people if isinstance(reply, People))
    by_owner: dict[int, list[Any]] = {}
    for crossing, facts in sorted(found, key=lambda person: (person[0].device, person[0].fence))[: asking.limit]:
        owner = partition_of(crossing.store or "", services.questions.partitions)
        by_owner.setdefault(owner, []).append((crossing, facts))
    judged = await _gather(services, [(owner, Judge(key, asked)) for owner, asked in by_owner.items()])
    verdicts = [verdict for reply in judged if isinstance(reply, Verdicts) for verdict in reply.verdicts]
    verdicts = await _sent_on(services, services.questions.partitions, key, verdicts)
    as_of_ms = min(reply.as_of_ms for reply in (*people, *judged))
    return _previewed(key, as_of_ms, verdicts, more=more, named=principal.may(Action.IDENTITIES))


async def _sent_on(services: Services, partitions: int, key: str, verdicts: list[Verdict]) -> list[Verdict]:
    """Where those would go whom a full store stops: ask the stores on their way, one after the other."""
    ways = {place: verdict.pursuit for place, verdict in enumerate(verdicts) if verdict.pursuit is not None}
    for _ in range(MOST_STORES):
        by_owner: dict[int, list[int]] = {}
        for place, way in ways.items():
            if way.stores:
                by_owner.setdefault(partition_of(way.goes_to, partitions), []).append(place)
        asked: list[tuple[int, Question]] = [
            (owner, Follow(key, [ways[place] for place in places])) for owner, places in by_owner.items()
        ]
        for places, reply in zip(by_owner.values(), await _gather(services, asked), strict=True):
            if isinstance(reply, Followed):
                ways.update(zip(places, reply.pursuits, strict=True))
    return [
        verdict
        if (gone := ways.get(place)) is None
        else msgspec.structs.replace(
            verdict, pursuit=None, redirected_to=gone.admitted, waits=gone.waits and gone.admitted is None
        )
        for place, verdict in enumerate(verdicts)
    ]


def _require_part(services: Services, campaign: Campaign, key: str) -> None:
    """A store that is none, or takes no part in the campaign, would be answered with nobody, and nobody would know why."""
    document = services.catalogue.get("store", key) if is_id(key) else None
    if document is None:
        raise InvalidInputError(f"there is no store {key[:64]!r}", field="stores")
    if not concerns(campaign, decode_document("store", document)):
        raise InvalidInputError(f"{key!r} is none of the campaign's", field="stores")


def _stores_of(principal: Principal, asking: Asking, of_campaign: list[str]) -> list[str] | None:
    """The stores to look at: as asked, within what the asker may see."""
    if asking.stores is not None:
        for store in asking.stores:
            require_store(principal, store)
        return asking.stores
    if principal.stores is None:
        return None
    seen = [store for store in sorted(principal.stores) if not of_campaign or store in of_campaign]
    if not seen:
        raise forbidden("this campaign is outside your stores")
    return seen


async def _gather(services: Services, questions: list[tuple[int, Question]]) -> list[Reply]:
    ports = services.questions
    if ports is None:
        return []
    answers = await asyncio.gather(
        *(asyncio.to_thread(ports.ask, partition, encode(question), _ANSWER_S) for partition, question in questions)
    )
    if any(answer is None for answer in answers):
        raise ProblemError(503, "the worker has not answered within five seconds", headers={"Retry-After": "5"})
    return [decode_reply(answer) for answer in answers if answer is not None]


def _previewed(key: str, as_of_ms: int, verdicts: list[Verdict], *, more: bool, named: bool) -> Preview:
    groups: dict[str, list[dict[str, Any]]] = {"sent": [], "held_out": [], "withheld": []}
    for verdict in verdicts:
        said = msgspec.to_builtins(verdict)
        if not named:
            del said["device"]
        groups[said.pop("decision")].append(said)
    return Preview(
        campaign=key,
        as_of=rfc3339(as_of_ms),
        considered=len(verdicts),
        more=more,
        would_get=groups["sent"],
        held_out=groups["held_out"],
        others=groups["withheld"],
        reasons=dict(Counter(str(said["reason"]).partition(":")[0] for said in groups["withheld"])),
    )


def router(services: Services) -> Router | None:
    """The routes that have their port."""
    if services.offers is None and services.questions is None:
        return None
    return Router("/", route_handlers=[get_offer, post_preview], tags=["offers"])
