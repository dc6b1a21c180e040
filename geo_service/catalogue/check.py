"""What is wrong with a site beyond its grammar: references, shapes, hours, and places that cannot be meant."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from geo_service.catalogue.check_campaigns import Reach, check_campaign, unknown_tags
from geo_service.catalogue.check_when_full import Found
from geo_service.catalogue.documents import (
    Campaign,
    Fence,
    Policy,
    PolicyCaps,
    Problem,
    Product,
    Sensitive,
    Sensor,
    StockLevel,
    Store,
    ZoneCapacity,
)
from geo_service.catalogue.hours import Hours
from geo_service.catalogue.site import FILES, Kind, Site
from geo_service.errors import InvalidInputError
from geo_service.geofences.shapes import read_geometry, read_shape
from geo_service.people.sensitive import SensitivePlaces
from sensors.errors import UnknownFormatError
from sensors.formats import decoder

# Legal time strays from the sun's by up to three hours and a half (western China); beyond it a sign was lost.
_SOLAR_HOURS_TOLERANCE = 3.6
# Cells of about 200 km; a chain's store with no other in its own or any neighbouring cell is likely a typing error.
_LONELY_DEGREES = 2.0
_LONELY_NEEDS = 50
"""Stores that a site must have before one of them can be called lonely."""
_WINTER = datetime(2026, 1, 1, tzinfo=UTC)


def check_site(site: Site) -> list[Problem]:
    """Every problem of a site that could be read, in the order of its documents."""
    around = _Around(site)
    return [problem for kind, key, _ in site.documents() for problem in _check(kind, key, around)]


def check_document(site: Site, kind: Kind, key: str) -> list[Problem]:
    """The problems of one document of a site."""
    return _check(kind, key, _Around(site))


def _check(kind: Kind, key: str, around: "_Around") -> list[Problem]:
    document = around.site.of(kind)[key]
    return [
        Problem(severity="error" if severity == "error" else "warning", file=FILES[kind], id=key, reason=reason)
        for severity, reason in _FINDERS[kind](document, around)
    ]


class _Around:
    """What a document is judged by; made once for a site, as far as it is asked for."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @cached_property
    def crowded(self) -> Counter[tuple[float, float]]:
        """Places that several stores have, and how many."""
        return _crowded(self.site)

    @cached_property
    def lonely(self) -> set[str]:
        """Stores that are far from every other one."""
        return _lonely(self.site)

    @cached_property
    def places(self) -> SensitivePlaces:
        """Where nobody may be followed."""
        return SensitivePlaces(self.site.sensitive.values())

    @cached_property
    def topics(self) -> Counter[str]:
        """How many sensors publish to each topic."""
        return Counter(sensor.published_topic for sensor in self.site.sensor.values())

    @cached_property
    def reach(self) -> Reach:
        """Which fences can make campaigns speak."""
        return Reach(self.site)


def _crowded(site: Site) -> Counter[tuple[float, float]]:
    counts = Counter((store.lat, store.lon) for store in site.store.values())
    return Counter({place: count for place, count in counts.items() if count > 1})


def _lonely(site: Site) -> set[str]:
    """The stores that stand hundreds of kilometres from every other one."""
    if len(site.store) < _LONELY_NEEDS:
        return set()
    cells = Counter(_cell(store) for store in site.store.values())
    around = [(north, east) for north in (-1, 0, 1) for east in (-1, 0, 1)]
    alone = {
        (north, east)
        for (north, east), count in cells.items()
        if count == 1 and sum(cells[north + up, east + right] for up, right in around) == 1
    }
    return {store.id for store in site.store.values() if _cell(store) in alone}


def _cell(store: Store) -> tuple[int, int]:
    return int(store.lat // _LONELY_DEGREES), int(store.lon // _LONELY_DEGREES)


def _store(store: Store, around: _Around) -> Found:
    try:
        hours = Hours(store.hours or {}, store.timezone)
    except ValueError as error:
        yield "error", f"hours: {error}"
    else:
        yield from _place(store, hours.zone)
    if (store.lat, store.lon) in around.crowded:
        others = around.crowded[store.lat, store.lon] - 1
        shared = f"shared with {others} other store{'s' * (others > 1)}"
        yield "warning", f"lat, lon: {shared}; a duplicate, or a geocoder's default?"
    if store.id in around.lonely:
        yield "warning", f"lat, lon: ({store.lat:g}, {store.lon:g}) is far from every other store; is it meant?"
    yield from _capacity(store.capacity)


def _capacity(capacity: ZoneCapacity | None) -> Found:
    if capacity is None:
        return
    if capacity.legal is not None and capacity.comfort > capacity.legal:
        yield "error", "capacity: comfort is above legal"
    if capacity.warn >= capacity.full:
        yield "error", f"capacity: warn ({capacity.warn:g}) is not below full ({capacity.full:g})"


def _place(store: Store, zone: ZoneInfo) -> Found:
    if abs(store.lat) <= 1 and store.lat == store.lon:
        yield "error", f"lat, lon: ({store.lat:g}, {store.lon:g}) is where unknown addresses are put, not a store"
        return
    if store.timezone == "UTC" or store.timezone.startswith("Etc/"):
        return  # of no place
    offset = zone.utcoffset(_WINTER)
    strayed = 0.0 if offset is None else abs((offset.total_seconds() / 3600 - store.lon / 15 + 12) % 24 - 12)
    if strayed > _SOLAR_HOURS_TOLERANCE:
        yield "warning", f"lon: {store.lon:g} is {strayed:.0f} hours of sun away from {store.timezone}; is a sign lost?"


def _sensitive(place: Sensitive, around: _Around) -> Found:
    try:
        _, faults = read_geometry(place.geometry, place.radius_m)
    except InvalidInputError as error:
        yield "error", f"geometry: {error}"
        return
    for fault in faults:
        yield "warning", f"geometry: {fault}"
    alone = SensitivePlaces([place])
    for fence in around.site.fence.values():
        if alone.overlapping(fence) is not None:
            yield "warning", f"geometry: the fence {fence.id!r} overlaps it, and hears nothing from inside it"


def _fence(fence: Fence, around: _Around) -> Found:
    yield from _references(around.site, [fence.store] if fence.store else [], [])
    if fence.role != "zone" and fence.store is None:
        yield "warning", f"store: a {fence.role!r} fence without a store starts no visit and no offer"
    yield from _capacity(fence.capacity)
    if fence.capacity is not None and (fence.role != "zone" or fence.store is None):
        yield "warning", "capacity: has no effect but for a zone of a store; a store's stands in stores.json"
    try:
        Hours(fence.hours or {}, fence.timezone)
    except ValueError as error:
        yield "error", f"hours: {error}"
    try:
        _, faults = read_shape(fence)
    except InvalidInputError as error:
        yield "error", f"geometry: {error}"
        return
    for fault in faults:
        yield "warning", f"geometry: {fault}"
    place = around.places.overlapping(fence)
    if place is not None:
        yield "error", f"geometry: it overlaps the sensitive place {place!r}, where nobody may be followed"


def _sensor(sensor: Sensor, around: _Around) -> Found:
    yield from _references(around.site, [sensor.store], [])
    if around.topics[sensor.published_topic] > 1:
        yield "error", f"topic: {sensor.published_topic!r} belongs to more than one sensor"
    if any(mark in sensor.published_topic for mark in "+#"):
        yield "error", "topic: a sensor publishes to one topic, without + or #"
    try:
        for problem in decoder(sensor.format).problems(sensor.options):
            yield "error", f"options: {problem}"
    except UnknownFormatError as error:
        yield "error", f"format: {error}"
    if sensor.timezone is not None:
        try:
            Hours({}, sensor.timezone)
        except ValueError as error:
            yield "error", f"timezone: {error}"


def _campaign(campaign: Campaign, around: _Around) -> Found:
    benefit_sku = campaign.benefit.get("sku")
    skus = [*campaign.skus, *([benefit_sku] if isinstance(benefit_sku, str) else [])]
    yield from _references(around.site, campaign.stores, skus if around.site.product else [])
    yield from check_campaign(campaign, around.reach)


def _policy(policy: Policy, around: _Around) -> Found:
    yield from _references(around.site, policy.stores, [])
    yield from unknown_tags(policy, around.reach)
    try:
        Hours(policy.quiet or {}, "UTC")
    except ValueError as error:
        yield "error", f"quiet: {error}"
    if policy.quiet is None and policy.caps == PolicyCaps():
        yield "warning", "it binds nothing: there are neither quiet hours nor caps"


def _stock(level: StockLevel, around: _Around) -> Found:
    yield from _references(around.site, [level.store], [level.sku] if around.site.product else [])


def _product(_: Product, __: _Around) -> Found:
    return iter(())


def _references(site: Site, stores: list[str], skus: list[str]) -> Found:
    for store in stores:
        if store not in site.store:
            yield "error", f"store: there is no store {store!r}"
    for sku in skus:
        if sku not in site.product:
            yield "error", f"sku: there is no product {sku!r}"


_FINDERS: dict[Kind, Callable[[Any, _Around], Found]] = {
    "store": _store,
    "fence": _fence,
    "sensitive": _sensitive,
    "sensor": _sensor,
    "campaign": _campaign,
    "policy": _policy,
    "product": _product,
    "stock": _stock,
}
