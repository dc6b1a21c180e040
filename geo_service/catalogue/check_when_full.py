"""What is wrong with what a campaign says of full stores: nobody to send elsewhere, nowhere to send them, nowhere to wait."""

from collections.abc import Iterator
from typing import Any

from geo_service.catalogue.documents import Campaign, Fence, Store
from geo_service.errors import InvalidInputError
from geo_service.offers.audience import metres_between
from geo_service.offers.redirect import Reach, read_when_full

Found = Iterator[tuple[str, str]]
"""`(severity, reason)` of one document."""
_NAMED = 3
"""Stores that a warning names."""


def check_when_full(campaign: Campaign, stores: list[Store], fences: list[Fence]) -> Found:
    """Everything about `when_full`: `stores` are the campaign's, as far as they are known, `fences` those that trigger it."""
    try:
        when = read_when_full(campaign)
    except InvalidInputError as error:
        yield "error", str(error)
        return
    if when is None:
        return
    if when.wait_s is not None and fences and not any("exit" in fence.detect for fence in fences):
        yield (
            "warning",
            "when_full.wait_s: no fence that triggers it has 'exit' in its detect, so nobody can wait there",
        )
    if when.redirect_m is None or not stores:
        return
    alone = _alone(stores, fences, when.redirect_m)
    if len(stores) == 1:
        yield "warning", f"when_full.redirect_m: {stores[0].id!r} is its only store, so there is none to be sent to"
    elif alone:
        named = ", ".join(alone[:_NAMED]) + (f" and {len(alone) - _NAMED} more" if len(alone) > _NAMED else "")
        place = "any of its stores" if len(alone) == len(stores) else named
        yield (
            "warning",
            f"when_full.redirect_m: {when.redirect_m:g} m reach no other store of the campaign from {place}",
        )


def _alone(stores: list[Store], fences: list[Fence], redirect_m: float) -> list[str]:
    """Stores of which no shopper in their fences has another within reach."""
    reach, extents = Reach(stores), {store.id: 0.0 for store in stores}
    by_id = {store.id: store for store in stores}
    for fence in fences:
        store = by_id.get(fence.store or "")
        if store is not None:
            extents[store.id] = max(extents[store.id], _extent_m(fence, store))
    return [
        store.id
        for store in stores
        if all(other.id == store.id for _, other in reach.around(store.lat, store.lon, redirect_m + extents[store.id]))
    ]


def _extent_m(fence: Fence, store: Store) -> float:
    """How far from the store's point somebody in the fence may be."""
    corners = _positions(fence.geometry.get("coordinates"))
    farthest = max((metres_between(store.lat, store.lon, lat, lon) for lon, lat in corners), default=0.0)
    return farthest + (fence.radius_m or 0)


def _positions(coordinates: Any) -> Iterator[tuple[float, float]]:
    """The positions in a GeoJSON geometry; whatever is none is somebody else's to complain of."""
    if not isinstance(coordinates, list):
        return
    if len(coordinates) > 1 and all(isinstance(each, int | float) for each in coordinates):
        yield coordinates[0], coordinates[1]
        return
    for part in coordinates:
        yield from _positions(part)
