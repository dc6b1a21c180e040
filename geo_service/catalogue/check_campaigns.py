"""What is wrong with a campaign beyond its grammar: what would have no effect, and what would keep it silent for good."""

from collections import defaultdict

from geo_service.catalogue.check_when_full import Found, check_when_full
from geo_service.catalogue.documents import Campaign, Fence, Policy, Store
from geo_service.catalogue.hours import Hours
from geo_service.catalogue.site import Site
from geo_service.catalogue.strays import strays_of_struct
from geo_service.errors import InvalidInputError
from geo_service.offers.audience import read_audience
from geo_service.offers.benefits import Benefit, Text, cost_of, read_benefit, spelt_out
from geo_service.offers.campaigns import concerns
from geo_service.offers.texts import words_of

CHANNELS = ("push",)
"""What a campaign's `channel` may be: its offers go to the phone, which may fetch them too."""


class Reach:
    """Which fences of a site can make which campaigns speak."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.tags = {tag for store in site.store.values() for tag in store.tags}
        """All that any store has."""
        self._found: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[Fence] | None] = {}
        """Many campaigns are for the same stores."""
        self._fences: dict[tuple[str | None, str], list[Fence]] = defaultdict(list)
        for fence in site.fence.values():
            if not fence.disabled:
                self._fences[fence.store, fence.role].append(fence)

    def fences(self, campaign: Campaign) -> list[Fence] | None:
        """The fences of its stores and its trigger's role; None where it has no store at all."""
        role = campaign.trigger.role
        named = role, tuple(campaign.stores), tuple(campaign.tags)
        if named not in self._found:
            stores = self.stores(campaign)
            fences = [fence for store in stores for fence in self._fences.get((store.id, role), ())]
            self._found[named] = fences if stores else None
        return self._found[named]

    def stores(self, campaign: Campaign) -> list[Store]:
        """Its stores, as far as the site has them."""
        return [store for store in self.site.store.values() if concerns(campaign, store)]


def check_campaign(campaign: Campaign, reach: Reach) -> Found:
    """Everything about one campaign but the stores and products that it names."""
    try:
        Hours(campaign.hours or {}, "UTC")
    except ValueError as error:
        yield "error", f"hours: {error}"
    try:
        read_audience(campaign.audience)
    except InvalidInputError as error:
        yield "error", str(error)
    try:
        benefit = read_benefit(campaign.benefit)
    except InvalidInputError as error:
        yield "error", str(error)
    else:
        yield from _benefit(campaign, benefit)
    if campaign.channel not in CHANNELS:
        yield "error", f"channel: {campaign.channel[:40]!r} is none; offers go by {', '.join(CHANNELS)}"
    if campaign.starts and campaign.ends and campaign.ends <= campaign.starts:
        yield "error", "ends: is not after starts"
    yield from _texts(campaign)
    yield from unknown_tags(campaign, reach)
    yield from _trigger(campaign, reach)
    yield from check_when_full(campaign, reach.stores(campaign), reach.fences(campaign) or [])


def _benefit(campaign: Campaign, benefit: Benefit | None) -> Found:
    if benefit is not None:
        for reason in strays_of_struct(spelt_out(campaign.benefit), type(benefit), "benefit."):
            yield "warning", reason
    if campaign.caps.budget is not None and not cost_of(benefit):
        yield "error", "caps.budget: limits nothing as long as benefit.cost does not say what one offer takes of it"
    if campaign.caps.redemptions is not None and isinstance(benefit, Text):
        yield "warning", "caps.redemptions: has no effect, for no coupon goes with mere words"


def _texts(campaign: Campaign) -> Found:
    own, first = campaign.language.lower(), words_of(campaign, None).language
    if first is not None and own != first.lower() and not own.startswith(f"{first.lower()}-"):
        yield (
            "warning",
            f"texts: none is in {campaign.language!r}, so who speaks none of them gets {first!r}; set language",
        )


def unknown_tags(document: Campaign | Policy, reach: Reach) -> Found:
    """Tags that no store has."""
    for tag in document.tags:
        if tag not in reach.tags:
            yield "warning", f"tags: no store has the tag {tag[:64]!r}"


def _trigger(campaign: Campaign, reach: Reach) -> Found:
    trigger, fences = campaign.trigger, reach.fences(campaign)
    if trigger.dwell_s is not None and trigger.type != "dwell":
        yield "warning", f"trigger.dwell_s: has no effect on {trigger.type!r}, only on 'dwell'"
    if fences is None:
        return
    where = f"{trigger.role!r} fence of its stores"
    silent = "so the campaign never speaks"
    if not fences:
        yield "warning", f"trigger: there is no {where}, {silent}"
    elif trigger.type == "dwell":
        dwells = [fence.dwell_s for fence in fences if "dwell" in fence.detect and fence.dwell_s is not None]
        if not dwells:
            yield "warning", f"trigger: no {where} has a dwell_s, {silent}"
        elif max(dwells) < (trigger.dwell_s or 0):
            yield "warning", f"trigger.dwell_s: the longest dwell_s of a {where} is {max(dwells):g}, {silent}"
    elif trigger.type != "order_ready" and not any(trigger.type in fence.detect for fence in fences):
        yield "warning", f"trigger: no {where} has {trigger.type!r} in its detect, {silent}"
