"""When a store is full: the other stores of the campaign to which a shopper may be sent, and how the question is put there.

She is judged at each as if she had triggered the campaign there, from outside and from where she is; so every question is
asked anew, with the longer way in it.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from geo_service.catalogue.documents import Campaign, Store, WhenFull
from geo_service.errors import InvalidInputError
from geo_service.geofences.earth import MEAN_M
from geo_service.offers.audience import metres_between
from geo_service.outputs import Crossing

MOST_STORES: Final = 3
"""That one shopper is tried at."""
FOLLOWS: Final = "~"
"""Between a crossing's id and what tells later decisions about it from the first; in no id of ours."""
_DEGREE_M: Final = MEAN_M * math.pi / 180
_WIDER: Final = 1.001
"""So that rounding loses nobody at the edge of the window."""


def read_when_full(campaign: Campaign) -> WhenFull | None:
    """What the campaign says of full stores.

    Raises:
        InvalidInputError: its trigger leaves nobody to be redirected, or to wait; `field` says which.
    """
    when, trigger = campaign.when_full, campaign.trigger
    if when is None:
        return None
    if when.redirect_m is not None and trigger.type == "order_ready":
        reason = "an order is ready in one store only, so nobody can be sent to another"
        raise InvalidInputError(reason, field="when_full.redirect_m")
    if when.wait_s is not None and trigger.type in ("exit", "cross"):
        reason = f"a trigger of type {trigger.type!r} leaves nobody in the fence who could wait"
        raise InvalidInputError(reason, field="when_full.wait_s")
    return when


class Reach:
    """The stores of one campaign, to be found by where they are."""

    def __init__(self, stores: Iterable[Store]) -> None:
        """Sorts them by latitude, so that a chain is not walked for one shopper."""
        self._stores = sorted(stores, key=lambda store: (store.lat, store.id))
        self._lat = [store.lat for store in self._stores]
        self.ids = frozenset(store.id for store in self._stores)

    def around(self, lat: float, lon: float, within_m: float) -> list[tuple[float, Store]]:
        """Stores within so many metres of a point, with their distance, nearest first."""
        window = within_m / _DEGREE_M * _WIDER
        near = self._stores[bisect_left(self._lat, lat - window) : bisect_right(self._lat, lat + window)]
        measured = [(metres_between(lat, lon, store.lat, store.lon), store) for store in near]
        found = [(metres, store) for metres, store in measured if metres <= within_m]
        return sorted(found, key=lambda each: (each[0], each[1].id))

    def instead(self, crossing: Crossing, within_m: float) -> list[str]:
        """The stores to try instead of the one that somebody crossed a fence of, nearest to her first."""
        if crossing.lat is None or crossing.lon is None:
            return []
        found = self.around(crossing.lat, crossing.lon, within_m)
        return [store.id for _, store in found if store.id != crossing.store][:MOST_STORES]


def as_there(crossing: Crossing, store: str, number: int) -> Crossing:
    """The crossing as another store sees it: somebody outside. With an id of its own, and so with keys of its own."""
    return msgspec.structs.replace(crossing, id=f"{crossing.id}{FOLLOWS}{number}", store=store, role="near")


def moment_of(offer_id: str) -> str:
    """The crossing that a decision is about, or that it follows up."""
    return offer_id.rpartition(".")[0].partition(FOLLOWS)[0]


def redirected_from(crossing: Crossing, home: Store | None, there: Store, offer: str, reason: str) -> dict[str, Any]:
    """What stands in the evidence of a decision about somebody who was sent on."""
    said: dict[str, Any] = {"store": crossing.store, "offer": offer, "reason": reason}
    if home is not None:
        said["name"] = home.name
    if crossing.lat is not None and crossing.lon is not None:
        said["metres"] = round(metres_between(crossing.lat, crossing.lon, there.lat, there.lon))
    return said
