"""The documents of a site, as a retailer writes them; unknown fields are ignored, absent ones have the defaults here."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

Id = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,64}\Z", description="1 to 64 of A-Z a-z 0-9 _ . : -")]
Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]
Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=31_536_000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
Role = Literal["near", "store", "curbside", "zone"]
Change = Literal["enter", "dwell", "exit", "cross"]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
HoursDocument = dict[str, Any]


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Anything a site holds."""


People = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
ShareOfComfort = Annotated[float, msgspec.Meta(gt=0.05, le=2)]


class ZoneCapacity(Document, frozen=True, kw_only=True):
    """How many people a part of a store takes: in comfort, and by law where a law says so."""

    comfort: People
    legal: People | None = None
    warn: ShareOfComfort = 0.8
    """From this share of `comfort` on the alert `warn` stands; `full` likewise."""
    full: ShareOfComfort = 0.95


class Capacity(ZoneCapacity, frozen=True, kw_only=True):
    """How many people a store takes: in comfort, and by law."""

    legal: People


class Promise(Document, frozen=True, kw_only=True):
    """How promotions are paced at a store."""

    overshoot_minutes: Annotated[float, msgspec.Meta(ge=0, le=240)] = 5.0
    """Minutes a day, on average, that it may hold more people than its comfort capacity although some of them were invited."""


class Store(Document, frozen=True, kw_only=True):
    """A physical store."""

    id: Id
    name: str
    timezone: str = "UTC"
    lat: Latitude
    lon: Longitude
    address: str | None = None
    hours: HoursDocument | None = None
    reset_hour: Annotated[int, msgspec.Meta(ge=0, le=23)] = 4
    """Local hour at which its day begins: when even late stores have closed."""
    area_m2: Annotated[float, msgspec.Meta(gt=0)] | None = None
    capacity: Capacity | None = None
    pacing: Promise = Promise()
    services: list[str] = []
    tags: list[str] = []


class Fence(Document, frozen=True, kw_only=True):
    """A geofence: a GeoJSON Polygon or MultiPolygon, or a Point with a radius.

    `geometry` stays the GeoJSON as written; `geofences/shapes.py` judges it.
    """

    id: Id
    geometry: dict[str, Any]
    radius_m: Annotated[float, msgspec.Meta(gt=0, le=100_000)] | None = None
    store: Id | None = None
    role: Role = "zone"
    dwell_s: Seconds | None = None
    exit_after_s: Seconds = 60
    silence_s: Annotated[float, msgspec.Meta(ge=1, le=31_536_000)] = 1800
    detect: tuple[Change, ...] = ("enter", "dwell", "exit")
    hours: HoursDocument | None = None
    timezone: str = "UTC"
    """Of `hours`; a fence of a store takes the store's when a site is read."""
    disabled: bool = False
    capacity: ZoneCapacity | None = None
    """Of a zone that sensors count, by this fence's id or what follows its store's in it (`hall` of `harbour.hall`)."""


class Sensitive(Document, frozen=True, kw_only=True):
    """A place where nobody may be followed: a clinic, a place of worship, a shelter. Pings from it are dropped before
    anything is stored, and no fence may overlap it. Draw it with a margin for the error of a fix.
    """

    id: Id
    geometry: dict[str, Any]
    radius_m: Annotated[float, msgspec.Meta(gt=0, le=100_000)] | None = None
    name: str = ""


class Line(Document, frozen=True, kw_only=True):
    """What crossing a sensor's line means."""

    in_is: Literal["forward", "backward"] = "forward"
    zone: Id | None = None
    from_zone: Id | None = None


class Sensor(Document, frozen=True, kw_only=True):
    """A sensor in a store and how to read it."""

    id: Id
    store: Id
    zone: Id | None = None
    format: str = "native"
    topic: str | None = None
    """The topic it publishes to; `geo/v1/sensor/{id}` when not said."""
    lines: dict[str, Line] = {}
    role: Literal["door", "camera", "presence", "co2"] = "door"
    timezone: str | None = None
    options: dict[str, Any] = {}
    """What a format needs beyond this, such as the paths of the `mapping` format."""

    @property
    def published_topic(self) -> str:
        """The topic that it publishes to."""
        return self.topic or f"geo/v1/sensor/{self.id}"

    @property
    def zones(self) -> set[str]:
        """The zones whose people it counts."""
        named = {self.zone, *(zone for line in self.lines.values() for zone in (line.zone, line.from_zone))}
        return {zone for zone in named if zone is not None}


class Caps(Document, frozen=True, kw_only=True):
    """How often a campaign may speak."""

    per_device: Count | None = None
    """Ever, to one device."""
    per_store: Count | None = None
    """Ever, at one store."""
    per_day: Count | None = None
    """Of the whole campaign, by the store's local day."""
    min_gap_s: Seconds | None = None
    """Between two offers of this campaign to one device."""
    total: Count | None = None
    budget: Count | None = None
    """Minor units of money; each sent offer reserves the benefit's `cost`."""
    redemptions: Count | None = None
    """Coupons that may be redeemed in all; who comes later is told that they are used up."""


class Trigger(Document, frozen=True, kw_only=True):
    """The crossing that makes a campaign speak."""

    role: Role = "near"
    type: Change | Literal["order_ready"] = "enter"
    """`order_ready`: the shopper's order is ready while they are in a fence of this role, or when they enter it."""
    dwell_s: Seconds | None = None
    """For `dwell`: at least this long."""


class Text(Document, frozen=True, kw_only=True):
    """What an offer says in one language."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    body: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class CouponTerms(Document, frozen=True, kw_only=True):
    """Where the coupons of a campaign are good."""

    channel: Literal["store", "online", "any"] = "store"
    stores: Literal["same", "campaign"] = "same"
    """Only where it was offered, or in every store of the campaign."""


class WhenFull(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of a shopper whom nothing but pacing keeps from an offer: one of these, or first the one and then the
    other.
    """

    redirect_m: Annotated[float, msgspec.Meta(gt=0, le=100_000)] | None = None
    """She may be invited to another store of the campaign that has room, within so many metres of her."""
    wait_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] | None = None
    """She may be invited later, for so long and while she stays in the fence."""

    def __post_init__(self) -> None:
        """Raises ValueError where it says neither."""
        if self.redirect_m is None and self.wait_s is None:
            raise ValueError("needs redirect_m or wait_s")


class Campaign(Document, frozen=True, kw_only=True):
    """An offer and when it may be made."""

    id: Id
    name: str
    state: Literal["draft", "active", "paused", "ended"] = "active"
    starts: Instant | None = None
    ends: Instant | None = None
    stores: list[Id] = []
    tags: list[str] = []
    """Stores with any of these tags take part too; neither stores nor tags means all."""
    trigger: Trigger = Trigger()
    hours: HoursDocument | None = None
    """Local time of the store."""
    audience: dict[str, Any] = {}
    """Rules over what is known of a person, see `offers/audience.py`."""
    benefit: dict[str, Any] = {}
    """`percentage`, `amount`, `gift` or `text`, see `offers/benefits.py`."""
    texts: dict[Id, Text] = {}
    """By language tag; who speaks none of them gets `language`, and without texts the campaign's name."""
    language: Id = "en"
    skus: list[str] = []
    categories: list[str] = []
    """What it is about, beside the categories of its products."""
    margin: Count | None = None
    """Minor units that an accepted offer earns, the benefit paid for; campaigns that say nothing count alike."""
    exclusive: Id | None = None
    """Campaigns with the same word: while one's offer to a person is good, none of the others speaks to them."""
    coupon: CouponTerms = CouponTerms()
    caps: Caps = Caps()
    channel: str = "push"
    priority: int = 0
    holdout: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    expires_s: Annotated[float, msgspec.Meta(gt=0, le=31_536_000)] = 3600
    when_full: WhenFull | None = None


class PolicyCaps(Document, frozen=True, kw_only=True):
    """How often all campaigns together may speak to one device."""

    per_device_day: Count | None = None
    """By the store's local day."""
    min_gap_s: Seconds | None = None


class Policy(Document, frozen=True, kw_only=True):
    """What binds every campaign in the stores it is for (all, where it names none)."""

    id: Id
    stores: list[Id] = []
    tags: list[str] = []
    quiet: HoursDocument | None = None
    """Hours, in the store's local time, at which nobody is spoken to."""
    caps: PolicyCaps = PolicyCaps()


class StockLevel(Document, frozen=True, kw_only=True):
    """How much of one product a store has, and how much of it is never sold online."""

    store: Id
    sku: str
    on_hand: Count
    safety: Count = 0


class Product(Document, frozen=True, kw_only=True):
    """What is sold."""

    sku: str
    name: str
    category: str | None = None
    price: Any = None


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a site: where, and why."""

    severity: Literal["error", "warning"]
    file: str
    id: str
    reason: str
