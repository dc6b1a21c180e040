"""What a campaign says about itself: where it runs, when it is live, what its caps claim of the ledger."""

from geo_service.catalogue.documents import Campaign, Store
from geo_service.catalogue.hours import Hours, local_day
from geo_service.flow.ledger import Claim
from geo_service.outputs import Crossing
from sensors.instants import millis

_TWO_DAYS_MS = 172_800_000


def runs_in(campaign: Campaign, store: Store) -> bool:
    """Whether the campaign takes this store in: by id, by tag, or because it names neither."""
    if not campaign.stores and not campaign.tags:
        return True
    return store.id in campaign.stores or not set(campaign.tags).isdisjoint(store.tags)


def is_triggered(campaign: Campaign, crossing: Crossing) -> bool:
    """Whether this crossing is the one that makes the campaign speak."""
    trigger = campaign.trigger
    if (trigger.role, trigger.type) != (crossing.role, crossing.type):
        return False
    return trigger.type != "dwell" or trigger.dwell_s is None or (crossing.duration_s or 0) >= trigger.dwell_s


def not_live(campaign: Campaign, now_ms: int) -> str | None:
    """Why the campaign is not live now; None if it is."""
    if campaign.state != "active":
        return f"the campaign is {campaign.state}"
    if campaign.starts is not None and now_ms < millis(campaign.starts):
        return f"the campaign starts {campaign.starts.isoformat()}"
    if campaign.ends is not None and now_ms >= millis(campaign.ends):
        return f"the campaign ended {campaign.ends.isoformat()}"
    return None


def outside_hours(campaign: Campaign, store: Store, now_ms: int) -> str | None:
    """Why it is not the hour for it: the campaign's own hours, then the store's; None if it is."""
    if campaign.hours is not None and not Hours(campaign.hours, store.timezone).is_open(now_ms):
        return "outside the campaign's hours"
    if store.hours is not None and not Hours(store.hours, store.timezone).is_open(now_ms):
        return "the store is closed"
    return None


def claims_of(campaign: Campaign, store: Store, device: str, now_ms: int) -> list[Claim]:
    """What one offer takes of the campaign's caps; each counter's last part names the cap."""
    caps, name = campaign.caps, f"cap:{campaign.id}"
    claims = []
    if caps.per_device is not None:
        claims.append(Claim(f"{name}:device:{device}:per_device", 1, caps.per_device))
    gap_ms = round((caps.min_gap_s or 0) * 1000)
    if gap_ms:
        claims.append(Claim(f"{name}:gap:{device}:min_gap_s", 1, 1, forget_after_ms=gap_ms))
    if caps.per_day is not None:
        day = local_day(now_ms, store.timezone).isoformat()
        claims.append(Claim(f"{name}:{day}:per_day", 1, caps.per_day, forget_after_ms=_TWO_DAYS_MS))
    if caps.total is not None:
        claims.append(Claim(f"{name}:total", 1, caps.total))
    cost = cost_of(campaign)
    if caps.budget is not None and cost:
        claims.append(Claim(f"{name}:budget", cost, caps.budget))
    return claims


def cost_of(campaign: Campaign) -> int:
    """What one offer can cost, in minor units: the benefit's `cost`, or its `amount` of money; at least 0."""
    for field in ("cost", "amount"):
        value = campaign.benefit.get(field)
        if isinstance(value, int) and value >= 0:
            return value
    return 0
