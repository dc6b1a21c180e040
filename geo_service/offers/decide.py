"""From a crossing to at most one offer, and for every campaign that stays silent the reason why.

The questions, in order, each with its own reason when the answer is no:
consent → fresh → live → hours → audience → caps → stock → pacing → holdout → best.

`plan` asks what needs no ledger and puts the campaigns in order, the best first; `settle` asks the ledger about all plans
of a log entry in one call, and says what came of it. Of one crossing's campaigns the first with room holds what it
claims; the others are only looked at. The claims are atomic, so that a thousand triggers at once never send one too many.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from geo_service.catalogue.documents import StockLevel
from geo_service.flow.ledger import Answer, Claim, Ledger, Reservation
from geo_service.offers.affinity import affinity
from geo_service.offers.audience import Person
from geo_service.offers.campaigns import Placement
from geo_service.offers.choice import Acceptance, Worth, crowding_of, worth
from geo_service.offers.coupons import REPLAY_SECRET, code_of
from geo_service.offers.facts import Facts
from geo_service.offers.holdout import is_held_out
from geo_service.offers.texts import words_of
from geo_service.outputs import Crossing, Occupancy, Offer
from sensors.instants import instant, millis

FRESH_MS = 120_000
"""An offer answers where the shopper is, not where the phone was before it went offline."""
HELD_MS = 47 * 3_600_000
"""How long the ledger holds a claim that nobody commits: longer than the log keeps what could lead to it, so that a worker
comes back in time however long it was away, and shorter than the ledger remembers a refusal. An hour would not do: entries
that came while no worker ran are folded in batches, and committed by the batch.
"""
QUESTIONS = ("consent", "fresh", "live", "hours", "audience", "caps", "stock", "pacing", "holdout", "best")
AFTER_CAPS = frozenset(("stock", "pacing"))
"""Questions that come after the caps: a campaign that ran into both is told of its caps."""

Withheld = tuple[str, str]
"""`(question, reason)`"""


class Paced(NamedTuple):
    """Whether one more may be invited: how pacing answers, before the ledger is asked."""

    refusal: str | None = None
    """Why not."""
    claims: Sequence[Claim] = ()
    """What an invitation takes of what there is room for; counters begin with `pacing:`."""
    evidence: Mapping[str, Any] = {}
    """What stands beside the decision, under `pacing`."""


class World(NamedTuple):
    """What a decision looks at; all of it as of the log entry being folded."""

    placements: Iterable[Placement]
    """The campaigns that such a crossing triggers in this store."""
    stock: Mapping[str, StockLevel] = {}
    facts: Facts = Facts(agrees=True)
    """What is known of the person."""
    occupancy: Occupancy | None = None
    """The store's occupancy now; None where nothing measures it."""
    acceptance: Mapping[str, Acceptance] = {}
    """By campaign, how its offers fared here."""
    pace: Callable[[Placement, Crossing, int], Paced] | None = None
    """The pacing question about a campaign, a crossing and now; None: a store that is full or blind takes nobody."""
    secret: bytes | None = REPLAY_SECRET
    """What coupon codes are made with; None: whoever delivers the offers makes them."""
    beside: Mapping[str, Any] = {}
    """What else is to stand in the evidence."""
    because: str = ""
    """Why, where an admission has a reason of its own."""


class Option(NamedTuple):
    """One campaign, as far as it can be judged without the ledger."""

    placement: Placement
    withheld: Withheld | None
    claims: list[Claim]
    """What it would take; of one that is withheld, only what comes before the question that stopped it."""
    worth: Worth | None
    pacing: Mapping[str, Any]


class Plan(NamedTuple):
    """One crossing and its campaigns, in the order in which they may speak."""

    crossing: Crossing
    world: World
    options: list[Option]


class Decisions(NamedTuple):
    """What triggers came to."""

    offers: list[Offer]
    to_commit: list[str]
    """Ledger keys to commit once the offers are written."""


def plan(crossing: Crossing, world: World, now_ms: int) -> Plan:
    """Judge the campaigns that a crossing triggers. Pure."""
    options: list[Option] = []
    silent = _silent(crossing, world, now_ms)
    person, crowding = None, crowding_of(None if world.occupancy is None else world.occupancy.rate)
    for placement in world.placements:
        if placement.campaign.state != "draft" and placement.is_triggered(crossing):
            if silent is not None:
                options.append(Option(placement, silent, [], None, {}))
                continue
            person = person or Person(world.facts, crossing, placement.store, now_ms)
            options.append(_option(placement, person, world, crowding))
    options.sort(key=_rank)
    return Plan(crossing, world, options)


def _rank(option: Option) -> tuple[int, float, str]:
    campaign = option.placement.campaign
    return -campaign.priority, -(option.worth.expected if option.worth is not None else 0.0), campaign.id


def _option(placement: Placement, person: Person, world: World, crowding: float) -> Option:
    crossing, now_ms = person.crossing, person.now_ms
    withheld = _refuse(placement, person, world)
    if withheld is not None and withheld[0] not in AFTER_CAPS:
        return Option(placement, withheld, [], None, {})
    claims = placement.claims(crossing.device, now_ms)
    if withheld is not None:
        return Option(placement, withheld, claims, None, {})
    paced = pace(placement, crossing, world, now_ms)
    if paced.refusal is not None:
        return Option(placement, ("pacing", paced.refusal), claims, None, paced.evidence)
    terms = placement.terms
    share = world.acceptance.get(terms.campaign.id, _UNKNOWN).draw(crossing.id, terms.campaign.id)
    value = worth(affinity(world.facts.affinities, terms.categories), terms.margin, share, crowding)
    return Option(placement, None, [*claims, *paced.claims], value, paced.evidence)


_UNKNOWN = Acceptance()


def _silent(crossing: Crossing, world: World, now_ms: int) -> Withheld | None:
    """Why this crossing is answered by no campaign at all."""
    if not world.facts.agrees:
        return "consent", "this person has not agreed to offers"
    if now_ms - millis(crossing.time) > FRESH_MS:
        return "fresh", "the phone was there too long ago"
    return None


def _refuse(placement: Placement, person: Person, world: World) -> Withheld | None:
    """The first question about the campaign whose answer is no, caps and pacing aside."""
    now_ms = person.now_ms
    if (reason := placement.not_live(now_ms)) is not None:
        return "live", reason
    if (reason := placement.outside_hours(now_ms)) is not None:
        return "hours", reason
    if (reason := placement.not_meant(person)) is not None:
        return "audience", reason
    if (reason := placement.out_of_stock(world.stock)) is not None:
        return "stock", reason
    return None


def pace(placement: Placement, crossing: Crossing, world: World, now_ms: int) -> Paced:
    """Whether one more may come."""
    if world.pace is not None:
        return world.pace(placement, crossing, now_ms)
    return Paced(too_full(world.occupancy))


def too_full(occupancy: Occupancy | None) -> str | None:
    """Why nobody more may be invited; None where there is room, or where nothing ever measured the store."""
    if occupancy is None:
        return None
    if occupancy.status == "blind":
        return "how full the store is, is not known right now"
    if occupancy.level == "full":
        return f"the store is full ({occupancy.mean:.0f} people, {occupancy.rate:.0%} of comfort)"
    return None


def settle(plans: Sequence[Plan], ledger: Ledger, *, now_ms: int) -> Decisions:
    """Claim for all plans at once, and say what each came to. Deterministic for the same log and ledger."""
    wanted = [reservation for plan in plans for reservation in _reservations(plan)]
    answers = dict(zip((key for key, *_ in wanted), ledger.reserve(wanted, now_ms) if wanted else (), strict=True))
    offers: list[Offer] = []
    to_commit: list[str] = []
    for each in plans:
        chosen: Option | None = None
        for number, option in enumerate(each.options):
            offer_id = f"{each.crossing.id}.{number}"
            answer = answers.get(offer_id, _GRANTED)
            withheld = _withheld(option, answer, chosen)
            if withheld is None:
                chosen = option
                if option.claims:
                    to_commit.append(offer_id)
            offers.append(_offer(offer_id, each, option, withheld, now_ms))
    return Decisions(offers, to_commit)


_GRANTED = Answer(True)


def _reservations(plan: Plan) -> Iterator[Reservation]:
    """Of the options that are admitted so far the first with room holds; behind one that claims nothing, none does."""
    hold = True
    for number, option in enumerate(plan.options):
        admitted = option.withheld is None
        if option.claims:
            yield Reservation(
                f"{plan.crossing.id}.{number}", option.claims, HELD_MS, plan.crossing.id, hold and admitted
            )
        elif admitted:
            hold = False


def _withheld(option: Option, answer: Answer, chosen: Option | None) -> Withheld | None:
    """Why an option does not speak, now that the ledger has answered."""
    if not answer.granted and not has_taken(chosen, answer.refused):
        return used_up(answer.refused or "")
    if option.withheld is not None:
        return option.withheld
    if chosen is not None:
        return "best", f"{chosen.placement.campaign.name} was the better offer"
    return None


def has_taken(chosen: Option | None, counter: str | None) -> bool:
    """Whether there was room on this counter until the better offer of the same moment took it: a shared cap is then no
    reason against the others, they are not the best.
    """
    return chosen is not None and any(claim.counter == counter for claim in chosen.claims)


def used_up(counter: str) -> Withheld:
    """The reason, where this counter has no room."""
    cap = counter.rpartition(":")[2]
    if counter.startswith("pacing:"):
        return "pacing", f"as many as may come are invited ({cap})"
    if counter.startswith("exclusive:"):
        return "caps", "an offer that excludes this one is still good"
    return "caps", f"{cap} is used up"


def decide(crossing: Crossing, world: World, ledger: Ledger, *, now_ms: int) -> Decisions:
    """Plan and settle one crossing."""
    return settle([plan(crossing, world, now_ms)], ledger, now_ms=now_ms)


def _offer(offer_id: str, plan: Plan, option: Option, withheld: Withheld | None, now_ms: int) -> Offer:
    crossing, world, placement = plan.crossing, plan.world, option.placement
    campaign, terms = placement.campaign, placement.terms
    now, evidence = instant(now_ms), evidence_of(crossing, world, option)
    words = words_of(campaign, world.facts.language)
    decision: Literal["sent", "withheld", "held_out"] = "withheld"
    reason, code, expires = ": ".join(withheld or ()), None, None
    if withheld is None and is_held_out(crossing.device, campaign.id, campaign.holdout):
        # Held out only now, after everything admitted it: the two arms differ in nothing but the offer.
        decision, reason = "held_out", "holdout: kept back to measure the effect"
    elif withheld is None:
        decision, expires = "sent", now + timedelta(seconds=campaign.expires_s)
        reason = f"admitted: {world.because}" if world.because else "admitted"
        code = code_of(world.secret, offer_id) if terms.has_coupon and world.secret is not None else None
        if campaign.benefit:
            evidence["benefit"] = campaign.benefit
    return Offer(
        id=offer_id,
        campaign=campaign.id,
        device=crossing.device,
        store=placement.store.id,
        decision=decision,
        reason=reason,
        code=code,
        title=words.title,
        body=words.body,
        language=words.language,
        time=now,
        expires=expires,
        evidence=evidence,
    )


def evidence_of(crossing: Crossing, world: World, option: Option) -> dict[str, Any]:
    """What a decision was made on."""
    evidence: dict[str, Any] = {"crossing": crossing.id, "confidence": crossing.confidence}
    occupancy, facts = world.occupancy, world.facts
    if occupancy is not None:
        evidence["occupancy"] = {
            "mean": occupancy.mean,
            "low": occupancy.low,
            "high": occupancy.high,
            "rate": occupancy.rate,
            "level": occupancy.level,
            "status": occupancy.status,
        }
    if option.placement.terms.audience.rule is not None and facts.agrees:
        evidence["person"] = {
            "visits": facts.visits,
            "visits_here": facts.visits_here,
            "segments": facts.segments,
            "order": facts.order,
        }
    if option.worth is not None:
        evidence["worth"] = option.worth
    if option.pacing:
        evidence["pacing"] = option.pacing
    evidence.update(world.beside)
    return evidence
