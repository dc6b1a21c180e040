"""From a crossing to at most one offer, and for every campaign that stays silent the reason why.

The questions, in order, each with its own reason when the answer is no:
consent → fresh → live → hours → audience → caps → stock → pacing → holdout → best. The caps are looked at in their
place and claimed from the ledger at the end, for the one offer that is made: atomically, so that a thousand triggers at
once never send one too many.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from geo_service.catalogue.documents import Campaign, StockLevel, Store
from geo_service.flow.ledger import Claim, Ledger, Reservation
from geo_service.offers.campaigns import claims_of, is_triggered, not_live, outside_hours, runs_in
from geo_service.offers.holdout import is_held_out
from geo_service.outputs import Crossing, Occupancy, Offer
from sensors.instants import instant, millis

FRESH_MS = 120_000
"""An offer answers where the shopper is, not where the phone was before it went offline."""
HELD_MS = 3_600_000
"""How long the ledger holds a claim that nobody commits: far longer than a worker takes to come back."""

AFTER_CAPS = frozenset(("stock", "pacing"))
"""Questions that come after the caps: a campaign that ran into both is told of its caps."""

Withheld = tuple[str, str]
"""`(question, reason)`"""


class World(NamedTuple):
    """What a decision looks at; all of it as of the log entry being folded."""

    stores: Mapping[str, Store]
    campaigns: Iterable[Campaign]
    stock: Mapping[str, StockLevel]
    agrees: bool
    """Whether this person agrees to offers."""
    occupancy: Occupancy | None
    """The store's occupancy now; None where nothing measures it."""


class Decisions(NamedTuple):
    """What a trigger came to."""

    offers: list[Offer]
    to_commit: list[str]
    """Ledger keys to commit once the offers are written."""


def decide(crossing: Crossing, world: World, ledger: Ledger, *, now_ms: int) -> Decisions:
    """Decide what this crossing leads to. Deterministic for the same log and ledger; writes nothing but ledger claims."""
    store = world.stores.get(crossing.store or "")
    if store is None:
        return Decisions([], [])
    triggered = [
        campaign
        for campaign in world.campaigns
        if campaign.state != "draft" and is_triggered(campaign, crossing) and runs_in(campaign, store)
    ]
    if not triggered:
        return Decisions([], [])
    occupancy = world.occupancy
    triggered.sort(key=lambda campaign: (-campaign.priority, campaign.id))
    offers: list[Offer] = []
    chosen: Campaign | None = None
    keys: list[str] = []
    for number, campaign in enumerate(triggered):
        make = _Maker(f"{crossing.id}.{number}", campaign, crossing, now_ms, evidence_of(crossing, occupancy))
        withheld = _refuse(campaign, crossing, store, world, now_ms)
        claims = claims_of(campaign, store, crossing.device, now_ms)
        if withheld is not None and withheld[0] in AFTER_CAPS:
            withheld = _used_up(claims, ledger, now_ms, make.id) or withheld
        if withheld is None and chosen is not None:
            withheld = ("best", f"{chosen.name} was the better offer")
        if withheld is None and claims:
            withheld = _claim(claims, ledger, now_ms, make.id)
        if withheld is not None:
            offers.append(make.offer("withheld", withheld))
            continue
        chosen = campaign
        if claims:
            keys.append(make.id)
        # Held out only now, after everything admitted it: the two arms differ in nothing but the offer.
        held_out = is_held_out(crossing.device, campaign.id, campaign.holdout)
        offers.append(
            make.offer("held_out", ("holdout", "kept back to measure the effect")) if held_out else make.sent()
        )
    return Decisions(offers, keys)


def _refuse(campaign: Campaign, crossing: Crossing, store: Store, world: World, now_ms: int) -> Withheld | None:
    """The first question whose answer is no, caps aside."""
    if not world.agrees:
        return "consent", "this person has not agreed to offers"
    if now_ms - millis(crossing.time) > FRESH_MS:
        return "fresh", "the phone was there too long ago"
    if (reason := not_live(campaign, now_ms)) is not None:
        return "live", reason
    if (reason := outside_hours(campaign, store, now_ms)) is not None:
        return "hours", reason
    if crossing.mock and campaign.audience.get("mock") is not True:
        return "audience", "the phone's location is simulated"
    if (reason := out_of_stock(campaign, store, world.stock)) is not None:
        return "stock", reason
    if (reason := too_full(world.occupancy)) is not None:
        return "pacing", reason
    return None


def out_of_stock(campaign: Campaign, store: Store, stock: Mapping[str, StockLevel]) -> str | None:
    """Why there is nothing to sell: every product that the campaign names and whose stock is known has run out."""
    known = [level for sku in campaign.skus if (level := stock.get(f"{store.id}/{sku}")) is not None]
    if known and all(level.on_hand - level.safety <= 0 for level in known):
        return "nothing of it is left in this store"
    return None


def too_full(occupancy: Occupancy | None) -> str | None:
    """Why nobody more may be invited; None where there is room, or where nothing ever measured the store."""
    if occupancy is None:
        return None
    if occupancy.status == "blind":
        return "how full the store is, is not known right now"
    if occupancy.level == "full":
        return f"the store is full ({occupancy.mean:.0f} people, {occupancy.rate:.0%} of comfort)"
    return None


def _used_up(claims: list[Claim], ledger: Ledger, now_ms: int, key: str) -> Withheld | None:
    """The first cap that has no room. Claimed and given back rather than read, because the ledger remembers its answer: an
    entry folded again after a crash hears what it heard, not what later entries have used up since.
    """
    if not claims:
        return None
    withheld = _claim(claims, ledger, now_ms, key)
    if withheld is None:
        ledger.release([key], now_ms)
    return withheld


def _claim(claims: list[Claim], ledger: Ledger, now_ms: int, key: str) -> Withheld | None:
    answer = ledger.reserve([Reservation(key, claims, HELD_MS)], now_ms)[0]
    return None if answer.granted else _cap_reached(answer.refused or "")


def _cap_reached(counter: str) -> Withheld:
    return "caps", f"{counter.rpartition(':')[2]} is used up"


def evidence_of(crossing: Crossing, occupancy: Occupancy | None) -> dict[str, Any]:
    """What the decision was made on."""
    evidence: dict[str, Any] = {"crossing": crossing.id, "confidence": crossing.confidence}
    if occupancy is not None:
        evidence["occupancy"] = {
            "mean": occupancy.mean,
            "low": occupancy.low,
            "high": occupancy.high,
            "rate": occupancy.rate,
            "level": occupancy.level,
            "status": occupancy.status,
        }
    return evidence


class _Maker(NamedTuple):
    """One campaign's decision in the making."""

    id: str
    campaign: Campaign
    crossing: Crossing
    now_ms: int
    evidence: dict[str, Any]

    def sent(self) -> Offer:
        return self._offer("sent", "admitted")

    def offer(self, decision: Any, why: Withheld) -> Offer:
        return self._offer(decision, ": ".join(why))

    def _offer(self, decision: Any, reason: str) -> Offer:
        now = instant(self.now_ms)
        sent = decision == "sent"
        return Offer(
            id=self.id,
            campaign=self.campaign.id,
            device=self.crossing.device,
            store=self.crossing.store or "",
            decision=decision,
            reason=reason,
            title=self.campaign.name,
            time=now,
            expires=now + timedelta(seconds=self.campaign.expires_s) if sent else None,
            evidence=self.evidence | ({"benefit": self.campaign.benefit} if sent and self.campaign.benefit else {}),
        )
