"""Questions to a running partition: who would get a campaign's offer now, and why not the others.

They come beside the log, not through it: they change nothing, so nothing needs to be folded again, and the answer is
made of the live state itself. Several steps, because people and stores may belong to different partitions: who is in the
campaign's fences (asked of every partition, with what is known of them), then how each of them would fare (asked of
the partition that owns the store), then whether the other stores would take those whom pacing stops. The ledger is only read.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from geo_service.catalogue.documents import Campaign
from geo_service.flow.entries import Pursuit
from geo_service.flow.ledger import Claim, Ledger
from geo_service.flow.partition import Partition
from geo_service.flow.pursuing import PACING, would_go_on
from geo_service.flow.telling import crossings_of
from geo_service.offers.campaigns import concerns
from geo_service.offers.decide import Option, Plan, has_taken, used_up
from geo_service.offers.facts import Facts
from geo_service.offers.holdout import is_held_out
from geo_service.outputs import Crossing
from sensors.instants import instant

MOST = 1_000
"""People that one question is about."""


class Present(msgspec.Struct, tag="present", frozen=True):
    """Who is in the fences that trigger this campaign?"""

    campaign: str
    stores: list[str] | None
    limit: int


class Judge(msgspec.Struct, tag="judge", frozen=True):
    """How would these fare?"""

    campaign: str
    people: list[tuple[Crossing, Facts]]


class Follow(msgspec.Struct, tag="follow", frozen=True):
    """Would the store that is next on their way take these, whom pacing would stop?"""

    campaign: str
    pursuits: list[Pursuit]


class People(msgspec.Struct, tag="people", frozen=True):
    """People in the fences, and whether there were more than asked for."""

    people: list[tuple[Crossing, Facts]]
    more: bool
    as_of_ms: int


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one person would fare."""

    device: str
    store: str
    decision: Literal["sent", "held_out", "withheld"]
    reason: str
    instead: str | None = None
    """The campaign whose offer they would get."""
    redirected_to: str | None = None
    """The store whose offer they would get instead."""
    waits: bool = False
    """They would wait until there is room."""
    pursuit: Pursuit | None = None
    """Their way to other stores, which are yet to be asked."""


class Verdicts(msgspec.Struct, tag="verdicts", frozen=True):
    """One for each person asked about."""

    verdicts: list[Verdict]
    as_of_ms: int


class Followed(msgspec.Struct, tag="followed", frozen=True):
    """The same people in the same order: admitted, or with one store less to ask."""

    pursuits: list[Pursuit]
    as_of_ms: int


Question = Present | Judge | Follow
Reply = People | Verdicts | Followed
encode = msgspec.msgpack.Encoder().encode
decode_question = msgspec.msgpack.Decoder(Question).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode


def reply_to(question: Question, partition: Partition, ledger: Ledger) -> Reply:
    """Answer from the state as it is; changes nothing."""
    campaign = partition.site.campaign.get(question.campaign)
    if isinstance(question, Present):
        if campaign is None:
            return People([], False, partition.now_ms)
        return _people(partition, campaign, question)
    if isinstance(question, Follow):
        return Followed(_followed(partition, campaign, question.pursuits, ledger), partition.now_ms)
    if campaign is None:
        return Verdicts([], partition.now_ms)
    people = [person for person in question.people if person[0].store in partition.site.store]
    plans = partition.offering.preview(people, campaign, partition.stores.occupancy, partition.now_ms)
    return Verdicts(_verdicts(plans, campaign, ledger, partition), partition.now_ms)


def _people(partition: Partition, campaign: Campaign, question: Present) -> People:
    site, now_ms, trigger = partition.site, partition.now_ms, campaign.trigger
    stores = {
        store.id
        for store in site.store.values()
        if concerns(campaign, store) and (question.stores is None or store.id in question.stores)
    }
    fences = [fence.id for fence in site.fence.values() if fence.role == trigger.role and fence.store in stores]
    limit = min(question.limit, MOST)
    events = partition.devices.presence.present(fences, limit=limit + 1)
    people: list[tuple[Crossing, Facts]] = []
    for number, event in enumerate(events[:limit]):
        facts = partition.facts(event.device, event.store or "", now_ms)
        if trigger.type == "order_ready" and facts.order != "ready":
            continue
        now = instant(now_ms)
        [crossing] = crossings_of([event], now, "preview-", number)
        of_type = "enter" if trigger.type == "order_ready" else trigger.type
        # As if it happened now, and for as long as the campaign asks.
        people.append((msgspec.structs.replace(crossing, type=of_type, time=now, duration_s=trigger.dwell_s), facts))
    return People(people, len(events) > limit, now_ms)


def _followed(
    partition: Partition, campaign: Campaign | None, pursuits: Sequence[Pursuit], ledger: Ledger
) -> list[Pursuit]:
    """One store on: those for whom it has room have it."""
    known = [each for each in pursuits if campaign is not None and each.stores[0] in partition.site.store]
    admitted: list[bool] = []
    if campaign is not None and known:
        now_ms = partition.now_ms
        plans = partition.offering.preview_there(known, campaign, partition.stores.occupancy, now_ms)
        totals = _totals(plans, ledger, now_ms)
        verdicts = [_verdict(plan, campaign, totals)[0] for plan in plans]
        admitted = [verdict is not None and verdict.decision != "withheld" for verdict in verdicts]
    has_room = dict(zip(map(id, known), admitted, strict=True))
    return [
        msgspec.structs.replace(each, stores=[], admitted=each.stores[0])
        if has_room.get(id(each))
        else msgspec.structs.replace(each, stores=each.stores[1:], tried=each.tried + 1)
        for each in pursuits
    ]


def _totals(plans: Sequence[Plan], ledger: Ledger, now_ms: int) -> dict[str, int]:
    counters = sorted({claim.counter for plan in plans for option in plan.options for claim in option.claims})
    return dict(zip(counters, ledger.total(counters, now_ms), strict=True))


def _verdicts(plans: Sequence[Plan], campaign: Campaign, ledger: Ledger, partition: Partition) -> list[Verdict]:
    totals, pursuing = _totals(plans, ledger, partition.now_ms), partition.offering.pursuing
    verdicts = []
    for plan in plans:
        verdict, goes_on = _verdict(plan, campaign, totals)
        if verdict is not None and goes_on is not None and goes_on.placement.campaign.id == campaign.id:
            pursuit = would_go_on(plan, goes_on, verdict.reason.removeprefix(PACING), pursuing)
            verdict = msgspec.structs.replace(verdict, pursuit=pursuit)
        if verdict is not None:
            verdicts.append(verdict)
    return verdicts


def _verdict(plan: Plan, campaign: Campaign, totals: dict[str, int]) -> tuple[Verdict | None, Option | None]:
    """Go down the options as the ledger would; what the first with room claims is taken from those who come after.

    Beside the verdict the campaign that would go on where nobody spoke, as in `stopped_by_pacing`.
    """
    best: Option | None = None
    goes_on: Option | None = None
    verdict, device = None, plan.crossing.device
    for option in plan.options:
        is_asked = option.placement.campaign.id == campaign.id
        full = _full(option.claims, totals)
        withheld = used_up(full) if full is not None and not has_taken(best, full) else option.withheld
        if withheld is None and best is not None:
            withheld = ("best", f"{best.placement.campaign.name} would be the better offer")
        if withheld is not None and withheld[0] == "pacing" and option.placement.terms.when_full is not None:
            goes_on = goes_on or option
        if withheld is None:
            best = option
            for claim in option.claims:
                totals[claim.counter] += claim.amount
        if is_asked:
            held_out = withheld is None and is_held_out(device, campaign.id, campaign.holdout)
            decision: Literal["sent", "held_out", "withheld"] = (
                "withheld" if withheld is not None else "held_out" if held_out else "sent"
            )
            reason = ": ".join(withheld or ("holdout", "kept back to measure the effect")) if decision != "sent" else ""
            verdict = Verdict(device, option.placement.store.id, decision, reason or "admitted")
    if verdict is None or best is None or best.placement.campaign.id == campaign.id:
        return verdict, goes_on if best is None else None
    return msgspec.structs.replace(verdict, instead=best.placement.campaign.id), None


def _full(claims: Sequence[Claim], totals: Mapping[str, int]) -> str | None:
    """The first counter without room."""
    for claim in claims:
        if claim.limit is not None and totals[claim.counter] + claim.amount > claim.limit:
            return claim.counter
    return None
