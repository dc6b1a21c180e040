"""A campaign in a store: what its document says, made ready once, so that a decision only has to look.

`Placement` answers the questions that need no ledger, and says what one offer claims of it. Nothing here changes with
what is decided; what is kept between calls (whether it is open, and until when) is a memory of a pure answer.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from geo_service.catalogue.documents import Campaign, Caps, Policy, Product, StockLevel, Store
from geo_service.catalogue.hours import Hours, local_day
from geo_service.flow.ledger import Claim
from geo_service.offers.audience import Audience, Person, read_audience, why_not
from geo_service.offers.benefits import Benefit, Gift, Text, cost_of, read_benefit
from geo_service.offers.choice import NEUTRAL_MARGIN
from geo_service.offers.redirect import read_when_full
from geo_service.outputs import Crossing
from sensors.instants import millis

_TWO_DAYS_MS = 172_800_000


class OpenHours:
    """Hours that remember their last answer until it may change: most questions fall into the same stretch."""

    def __init__(self, document: dict[str, Any], timezone: str) -> None:
        """Raises ValueError where the hours cannot be read."""
        self._hours = Hours(document, timezone)
        self._from_ms = self._until_ms = 0
        self._open = False

    def is_open(self, at_ms: int) -> bool:
        """Whether it is open at this instant."""
        if not self._from_ms <= at_ms < self._until_ms:
            self._open = self._hours.is_open(at_ms)
            self._from_ms, self._until_ms = at_ms, self._hours.next_change(at_ms)
        return self._open


class Terms:
    """A campaign as it was meant: its rule tree, its benefit, its instants."""

    def __init__(self, campaign: Campaign, products: Mapping[str, Product]) -> None:
        """Read the document.

        Raises:
            InvalidInputError: audience, benefit or `when_full` cannot be read; `field` says where.
        """
        self.campaign = campaign
        self.audience: Audience = read_audience(campaign.audience)
        self.benefit: Benefit | None = read_benefit(campaign.benefit)
        self.when_full = read_when_full(campaign)
        self.cost = cost_of(self.benefit)
        self.has_coupon = not isinstance(self.benefit, Text)
        self.starts_ms = None if campaign.starts is None else millis(campaign.starts)
        self.ends_ms = None if campaign.ends is None else millis(campaign.ends)
        of_products = (products[sku].category for sku in campaign.skus if sku in products)
        self.categories = frozenset((*campaign.categories, *(category for category in of_products if category)))
        self.margin = NEUTRAL_MARGIN if campaign.margin is None else campaign.margin


class StoreRules:
    """What binds every campaign in a store: its hours, and the policies that concern it."""

    def __init__(self, store: Store, policies: Iterable[Policy]) -> None:
        """Of all policies, those that concern the store are taken."""
        self.store = store
        self._policies = [policy for policy in policies if concerns(policy, store)]
        self._hours = None if store.hours is None else OpenHours(store.hours, store.timezone)
        self._quiet = [OpenHours(policy.quiet, store.timezone) for policy in self._policies if policy.quiet is not None]
        self._day, self._day_hour = "", -1
        self._claimed: tuple[str, int, list[Claim]] = ("", -1, [])

    def closed(self, now_ms: int) -> str | None:
        """Why nobody is spoken to now; None if they are."""
        if self._hours is not None and not self._hours.is_open(now_ms):
            return "the store is closed"
        if any(quiet.is_open(now_ms) for quiet in self._quiet):
            return "quiet hours"
        return None

    def day(self, now_ms: int) -> str:
        """The store's local day; it begins on a quarter of an hour everywhere."""
        quarter = now_ms // 900_000
        if quarter != self._day_hour:
            self._day, self._day_hour = local_day(now_ms, self.store.timezone).isoformat(), quarter
        return self._day

    def claims(self, device: str, now_ms: int) -> list[Claim]:
        """What one offer of whichever campaign takes of the policies' caps."""
        if not self._policies:
            return []
        if self._claimed[:2] != (device, now_ms):
            found = [claim for policy in self._policies for claim in self._claims(policy, device, now_ms)]
            self._claimed = (device, now_ms, found)
        return self._claimed[2]

    def _claims(self, policy: Policy, device: str, now_ms: int) -> list[Claim]:
        caps, name, claims = policy.caps, f"policy:{policy.id}/{device}", []
        if caps.per_device_day is not None:
            counter = f"{name}:{self.day(now_ms)}:policy.per_device_day"
            claims.append(Claim(counter, 1, caps.per_device_day, _TWO_DAYS_MS))
        if gap_ms := round((caps.min_gap_s or 0) * 1000):
            claims.append(Claim(f"{name}:gap:policy.min_gap_s", 1, 1, gap_ms))
        return claims


class Placement:
    """A campaign in one of its stores."""

    def __init__(self, terms: Terms, rules: StoreRules) -> None:
        """The campaign of these terms in the store of these rules."""
        campaign, store = terms.campaign, rules.store
        self.terms, self.campaign, self.store = terms, campaign, store
        self._rules = rules
        self._hours = None if campaign.hours is None else OpenHours(campaign.hours, store.timezone)
        self._stock_keys = [f"{store.id}/{sku}" for sku in campaign.skus]
        gift = terms.benefit.sku if isinstance(terms.benefit, Gift) else None
        self._gift_key = None if gift is None else f"{store.id}/{gift}"
        self._name = f"cap:{campaign.id}"
        self._gap_ms = round((campaign.caps.min_gap_s or 0) * 1000)
        self._good_ms = max(1, round(campaign.expires_s * 1000))
        self._fixed = self._claims_of_all(campaign.caps)

    def _claims_of_all(self, caps: Caps) -> list[Claim]:
        """What is the same for everybody, at any time."""
        claims = []
        if caps.per_store is not None:
            claims.append(Claim(f"{self._name}:store:{self.store.id}:per_store", 1, caps.per_store))
        if caps.total is not None:
            claims.append(Claim(f"{self._name}:total", 1, caps.total))
        if caps.budget is not None and self.terms.cost:
            claims.append(Claim(f"{self._name}:budget", self.terms.cost, caps.budget))
        return claims

    def is_triggered(self, crossing: Crossing) -> bool:
        """Whether a crossing of the right role and type is enough of one."""
        wanted_s = self.campaign.trigger.dwell_s
        return self.campaign.trigger.type != "dwell" or wanted_s is None or (crossing.duration_s or 0) >= wanted_s

    def not_live(self, now_ms: int) -> str | None:
        """Why the campaign is not live now; None if it is."""
        campaign = self.campaign
        if campaign.state != "active":
            return f"the campaign is {campaign.state}"
        return self.out_of_time(now_ms)

    def out_of_time(self, now_ms: int) -> str | None:
        """Why now is before or after its time; None if it is not."""
        campaign = self.campaign
        if campaign.starts is not None and now_ms < (self.terms.starts_ms or 0):
            return f"the campaign starts {campaign.starts.isoformat()}"
        if campaign.ends is not None and now_ms >= (self.terms.ends_ms or 0):
            return f"the campaign ended {campaign.ends.isoformat()}"
        return None

    def outside_hours(self, now_ms: int) -> str | None:
        """Why it is not the hour for it: the campaign's own hours, the store's, then quiet hours; None if it is."""
        if self._hours is not None and not self._hours.is_open(now_ms):
            return "outside the campaign's hours"
        return self._rules.closed(now_ms)

    def not_meant(self, person: Person) -> str | None:
        """Why this person is not in the audience; None if they are."""
        return why_not(self.terms.audience, person)

    def out_of_stock(self, stock: Mapping[str, StockLevel]) -> str | None:
        """Why there is nothing to sell or to give: every product that the campaign names has run out, or its gift has. What
        nobody has told the stock of may be there.
        """
        if self._gift_key is not None and _is_out(stock.get(self._gift_key)):
            return "the gift has run out in this store"
        if self._stock_keys and all(_is_out(stock.get(key)) for key in self._stock_keys):
            return "nothing of it is left in this store"
        return None

    def claims(self, device: str, now_ms: int) -> list[Claim]:
        """What one offer takes of the caps; each counter's last part names the cap.

        Before a device stands a `/`, which no id has, so that an erasure can tell whose a counter is.
        """
        campaign, name = self.campaign, self._name
        caps, claims = campaign.caps, self._fixed.copy()
        if caps.per_device is not None:
            claims.append(Claim(f"{name}/{device}:per_device", 1, caps.per_device))
        if self._gap_ms:
            claims.append(Claim(f"{name}:gap/{device}:min_gap_s", 1, 1, self._gap_ms))
        if caps.per_day is not None:
            claims.append(Claim(f"{name}:{self._rules.day(now_ms)}:per_day", 1, caps.per_day, _TWO_DAYS_MS))
        if campaign.exclusive is not None:
            claims.append(Claim(f"exclusive:{campaign.exclusive}/{device}:exclusive", 1, 1, self._good_ms))
        claims += self._rules.claims(device, now_ms)
        return claims


def _is_out(level: StockLevel | None) -> bool:
    return level is not None and level.on_hand <= level.safety


def concerns(document: Campaign | Policy, store: Store) -> bool:
    """Whether a campaign or policy takes this store in: by id, by tag, or because it names neither."""
    if not document.stores and not document.tags:
        return True
    return store.id in document.stores or not set(document.tags).isdisjoint(store.tags)
