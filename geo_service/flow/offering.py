"""The part of a partition that answers crossings: which campaigns one triggers, and what they decide."""

from geo_service import outputs
from geo_service.catalogue.documents import Campaign
from geo_service.catalogue.site import Site
from geo_service.flow.ledger import Ledger
from geo_service.offers.decide import Decisions, World, decide


class Offering:
    """Offers of the stores that one partition owns. `site` belongs to the partition and is only read."""

    def __init__(self, site: Site, ledger: Ledger) -> None:
        self._site = site
        self._ledger = ledger
        self._by_trigger: dict[tuple[str, str], list[Campaign]] | None = None

    def campaigns_changed(self) -> None:
        """Look the campaigns up anew when the next trigger comes."""
        self._by_trigger = None

    def triggers(self, crossing: outputs.Crossing) -> list[Campaign]:
        """Campaigns that such a crossing could make speak."""
        if self._by_trigger is None:
            self._by_trigger = {}
            for campaign in self._site.campaign.values():
                trigger = (campaign.trigger.role, campaign.trigger.type)
                self._by_trigger.setdefault(trigger, []).append(campaign)
        return self._by_trigger.get((crossing.role, crossing.type), [])

    def offer(
        self, crossing: outputs.Crossing, agrees: bool, occupancy: outputs.Occupancy | None, now_ms: int
    ) -> Decisions:
        """What a crossing at one of these stores leads to."""
        campaigns = self.triggers(crossing)
        if not campaigns:
            return Decisions([], [])
        world = World(self._site.store, campaigns, self._site.stock, agrees, occupancy)
        return decide(crossing, world, self._ledger, now_ms=now_ms)
