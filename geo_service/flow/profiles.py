"""What is known of people, in the half of a partition that knows devices: visits, interests, segments, language, orders.

Only of people who agree to offers, for offers are what it is for. A profile that nothing was added to for 13 months goes.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Self

import msgspec

from geo_service.catalogue.documents import Product
from geo_service.flow.entries import Action, Behaviour, OrderStanding, Traits
from geo_service.geofences.visits import Visit
from geo_service.offers.affinity import GONE, WEIGHTS, faded
from geo_service.offers.facts import Facts, OrderState
from geo_service.offers.searches import Shelves

KEPT_MS = 395 * 86_400_000
_DAY_MS = 86_400_000
_MOST_CATEGORIES = 64
_MOST_STORES = 500
_MOST_ORDERS = 50
_MOST_ACTIONS = 500
"""As many as one message may hold."""
_REPEATS_MS = _DAY_MS


class Profile(msgspec.Struct, array_like=True):
    """One person."""

    touched_ms: int
    visits: dict[str, tuple[int, int]] = {}
    """Store → confirmed visits, and the end of the newest (ms)."""
    weights: dict[str, tuple[float, int]] = {}
    """Category → weight of interest, and the instant (ms) as of which it is that."""
    segments: tuple[str, ...] = ()
    language: str | None = None
    orders: dict[str, tuple[str, bool]] = {}
    """Order in flight → its store, and whether it is ready there."""
    actions: dict[str, int] = {}
    """Fingerprints of what they did within a day, and when it was told (ms), so that a repeat counts once."""


class Profiles:
    """Profiles by device."""

    def __init__(self) -> None:
        self._of: dict[str, Profile] = {}
        self._swept_ms = 0
        self._shelves: Shelves | None = None

    def visited(self, visits: Iterable[Visit]) -> None:
        """Count confirmed visits."""
        for visit in visits:
            if not visit.confirmed:
                continue
            profile = self._touch(visit.device, visit.left_ms)
            count, last_ms = profile.visits.get(visit.store, (0, 0))
            profile.visits[visit.store] = (count + 1, max(last_ms, visit.left_ms))
            if len(profile.visits) > _MOST_STORES:
                del profile.visits[min(profile.visits, key=lambda store: (profile.visits[store][1], store))]

    def products_changed(self) -> None:
        """What a search is about may have changed."""
        self._shelves = None

    def behaved(self, behaviour: Behaviour, products: Mapping[str, Product], now_ms: int) -> None:
        """Let what somebody did online, or bought, add to their interests; what was told before adds nothing."""
        profile = self._touch(behaviour.device, now_ms)
        _forget_repeats(profile, now_ms)
        for action in behaviour.actions:
            if _is_repeat(profile, action, now_ms):
                continue
            at_ms = now_ms if action.time_ms is None else min(action.time_ms, now_ms)
            weight = faded(WEIGHTS[action.type] * min(action.quantity, 10), now_ms - at_ms)
            for category in self._categories_of(action, products):
                before, as_of_ms = profile.weights.get(category, (0.0, now_ms))
                profile.weights[category] = (faded(before, now_ms - as_of_ms) + weight, now_ms)
        if len(profile.weights) > _MOST_CATEGORIES:
            now = {category: faded(weight, now_ms - at_ms) for category, (weight, at_ms) in profile.weights.items()}
            for category in sorted(now, key=lambda category: (now[category], category))[:-_MOST_CATEGORIES]:
                del profile.weights[category]

    def _categories_of(self, action: Action, products: Mapping[str, Product]) -> list[str]:
        """The categories that something done is about: said, or the product's, or those that the words of a search name."""
        if action.category is not None:
            return [action.category]
        if action.sku is not None:
            product = products.get(action.sku)
            return [product.category] if product is not None and product.category else []
        if self._shelves is None:
            self._shelves = Shelves(products.values())
        return self._shelves.about(action.query or "")

    def told(self, traits: Traits, now_ms: int) -> None:
        """Take segments and language; what is not said stays as it was."""
        profile = self._touch(traits.device, now_ms)
        if traits.segments is not None:
            profile.segments = tuple(sorted(set(traits.segments)))
        if traits.language is not None:
            profile.language = traits.language or None

    def ordered(self, standing: OrderStanding, now_ms: int) -> bool:
        """Take note of how an order stands; True where it has just become ready."""
        profile = self._touch(standing.device, now_ms)
        was_ready = profile.orders.get(standing.order, ("", False))[1]
        if standing.state == "closed":
            profile.orders.pop(standing.order, None)
            return False
        profile.orders[standing.order] = (standing.store, standing.state == "ready")
        if len(profile.orders) > _MOST_ORDERS:
            del profile.orders[next(iter(profile.orders))]
        return standing.state == "ready" and not was_ready

    def _touch(self, device: str, now_ms: int) -> Profile:
        profile = self._of.get(device)
        if profile is None or now_ms - profile.touched_ms > KEPT_MS:
            profile = self._of[device] = Profile(now_ms)
        profile.touched_ms = max(profile.touched_ms, now_ms)
        return profile

    def facts(
        self, device: str, store: str, *, agrees: bool, now_ms: int, elsewhere: Sequence[Container[str]] = ()
    ) -> Facts:
        """The person as seen from a store; of somebody who does not agree, only that.

        `elsewhere` are the stores to which they may be redirected.
        """
        profile = self._of.get(device)
        if profile is None or not agrees or now_ms - profile.touched_ms > KEPT_MS:
            return Facts(agrees)
        here, last_here_ms = profile.visits.get(store, (0, None))
        faded_now = {
            category: round(weight, 4)
            for category, (before, at_ms) in profile.weights.items()
            if (weight := faded(before, now_ms - at_ms)) >= GONE
        }
        return Facts(
            agrees,
            sum(count for count, _ in profile.visits.values()),
            here,
            max((last_ms for _, last_ms in profile.visits.values()), default=None),
            last_here_ms,
            profile.segments,
            faded_now,
            profile.language,
            _order_at(profile, store),
            _known_elsewhere(profile, elsewhere) if elsewhere else {},
        )

    def forget(self, device: str) -> None:
        """Keep nothing about this person."""
        self._of.pop(device, None)

    def sweep(self, now_ms: int) -> None:
        """Once a day, let go of profiles that nothing was added to for 13 months."""
        if now_ms - self._swept_ms < _DAY_MS:
            return
        self._swept_ms = now_ms
        for device in [device for device, profile in self._of.items() if now_ms - profile.touched_ms > KEPT_MS]:
            del self._of[device]
        for profile in self._of.values():
            _forget_repeats(profile, now_ms)

    def export(self, device: str) -> dict[str, Any] | None:
        """All that is kept about a person, for them to read; None where that is nothing."""
        profile = self._of.get(device)
        return None if profile is None else {name: getattr(profile, name) for name in Profile.__struct_fields__}

    def dump(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {"of": self._of, "swept_ms": self._swept_ms}

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> Self:
        """What `dump` wrote; {} from before there were profiles."""
        profiles = cls()
        profiles._of = msgspec.convert(dumped.get("of", {}), dict[str, Profile])
        profiles._swept_ms = dumped.get("swept_ms", 0)
        return profiles


def _known_elsewhere(
    profile: Profile, elsewhere: Sequence[Container[str]]
) -> dict[str, tuple[int, int | None, OrderState]]:
    known = {*profile.visits, *(at for at, _ in profile.orders.values())}
    return {
        store: (*profile.visits.get(store, (0, None)), _order_at(profile, store))
        for store in sorted(known)
        if any(store in stores for stores in elsewhere)
    }


def _is_repeat(profile: Profile, action: Action, now_ms: int) -> bool:
    """Whether this was told before; if not, it has been now."""
    fingerprint = _fingerprint(action)
    if fingerprint is None:
        return False
    if fingerprint in profile.actions:
        return True
    profile.actions[fingerprint] = now_ms
    if len(profile.actions) > _MOST_ACTIONS:
        del profile.actions[next(iter(profile.actions))]
    return False


def _forget_repeats(profile: Profile, now_ms: int) -> None:
    """They are kept in the order in which they were told."""
    for fingerprint in [known for known, at_ms in profile.actions.items() if now_ms - at_ms >= _REPEATS_MS]:
        del profile.actions[fingerprint]


def _order_at(profile: Profile, store: str) -> OrderState:
    here = [ready for at, ready in profile.orders.values() if at == store]
    return "ready" if any(here) else "open" if here else "none"


def _fingerprint(action: Action) -> str | None:
    """By what a repeat is known: its id, or when it was; None where it has neither."""
    if action.id is None and action.time_ms is None:
        return None
    known = [action.id] if action.id is not None else [None, action.time_ms, action.quantity]
    said = msgspec.msgpack.encode([action.type, action.sku, action.category, action.query, *known])
    return blake2b(said, digest_size=8).hexdigest()
