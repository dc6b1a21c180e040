"""How a town lives: the pace of its people, the rhythm of its day, and what is going on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from geo_service.catalogue.documents import Store
from geo_service.catalogue.hours import Hours
from geo_service.errors import InvalidInputError

MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000
_BRISKEST_WALK: Final = 6.0
_BRISKEST_DRIVE: Final = 1.5
_DENSEST_PINGS: Final = 4.0
_FASTEST: Final = 60.0
_SLOWEST: Final = 0.1

# Share of the busiest hour, by hour of the day; Saturdays as they are, other days a little less, Sundays much less.
_BY_HOUR: Final = (
    *(0.05, 0.03, 0.02, 0.02, 0.04, 0.08, 0.18, 0.35, 0.50, 0.65, 0.78, 0.90),
    *(1.00, 0.92, 0.82, 0.82, 0.90, 1.00, 0.98, 0.80, 0.55, 0.38, 0.24, 0.12),
)
_BY_WEEKDAY: Final = (0.80, 0.80, 0.82, 0.85, 0.95, 1.00, 0.60)


@dataclass(frozen=True, slots=True)
class Pace:
    """How much faster than life people behave, while clocks go on as they are.

    Whatever takes time (a stay, a rest at home, a wait) is divided by `speed`. Walking cannot be sped up as much without
    becoming flight, so it grows to six times at most, the pace of a fast bicycle, and driving to one and a half times;
    phones ping up to four times as often. Even at the fastest nobody exceeds 15 m/s.
    """

    speed: float = 1.0

    def __post_init__(self) -> None:
        if not _SLOWEST <= self.speed <= _FASTEST:
            raise InvalidInputError(f"must be from {_SLOWEST:g} to {_FASTEST:g}", field="speed")

    def minutes_ms(self, minutes: float) -> int:
        """So many minutes of behaviour, as milliseconds of the clock."""
        return max(1, round(minutes * MINUTE_MS / self.speed))

    def walking(self, metres_per_second: float) -> float:
        """The speed of somebody who would walk that fast."""
        return metres_per_second * min(self.speed, _BRISKEST_WALK)

    def driving(self, metres_per_second: float) -> float:
        """The speed of somebody who would drive that fast."""
        return metres_per_second * min(self.speed, _BRISKEST_DRIVE)

    def between_pings(self, milliseconds: float) -> float:
        """The time between two things a phone does."""
        return milliseconds / min(max(self.speed, 1.0), _DENSEST_PINGS)


@dataclass(frozen=True, slots=True)
class Crowd:
    """More people than a store takes, all at once: how they gather, how long they stay; in minutes of the clock."""

    gathers: float
    stays: float
    first: float
    every: float
    """On average; `regular` says whether exactly so."""
    regular: bool = False
    times_legal: float = 1.12
    """How full they fill it: times the legal capacity."""
    store: str | None = None
    """Where; None is any store that is open."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a town is asked to do."""

    name: str
    follows_the_day: bool
    """Whether people keep the hours of the day; if not, it is always the busiest hour (but closed stores are closed)."""
    load: float
    """Mean number of people without our app in a store at the busiest hour, as a share of its comfort capacity."""
    crowd: Callable[[Pace, list[Store]], Crowd]
    conversion: float = 0.35
    """Probability that a shopper who gets an offer goes there."""


def _now_and_then(pace: Pace, _: list[Store]) -> Crowd:
    return Crowd(gathers=10 / pace.speed, stays=20 / pace.speed, first=30 / pace.speed, every=90 / pace.speed)


def _soon(_: Pace, stores: list[Store]) -> Crowd:
    """A coach party at the always open store of about thirty seats: full after a good minute, passable again after four."""
    open_always = [store for store in stores if store.hours is None] or stores
    store = min(open_always, key=lambda store: (abs(_comfort(store) - 30), store.id))
    return Crowd(gathers=0.7, stays=1.5, first=0.75, every=6.0, regular=True, store=store.id)


def _comfort(store: Store) -> int:
    return store.capacity.comfort if store.capacity else 30


DAY: Final = Scenario("day", follows_the_day=True, load=0.45, crowd=_now_and_then)
"""Days as they are: a rhythm, closing times, now and then a crowd."""
DEMO: Final = Scenario("demo", follows_the_day=False, load=0.42, crowd=_soon)
"""Lively at any hour, and one store runs full within two minutes, empties, and runs full again every six."""
SCENARIOS: Final = {scenario.name: scenario for scenario in (DAY, DEMO)}


class Rhythm:
    """How lively it is: 1 in the busiest hour of a Saturday, nearly 0 at night."""

    def __init__(self, timezone: str, *, follows_the_day: bool) -> None:
        self._zone = ZoneInfo(timezone)
        self._follows = follows_the_day
        self._hour = -1
        self._ends = (1.0, 1.0)

    def at(self, now_ms: int) -> float:
        """The share of the busiest hour's activity, linear between full hours."""
        if not self._follows:
            return 1.0
        hour, into = divmod(now_ms, _HOUR_MS)
        if hour != self._hour:
            self._hour = hour
            self._ends = self._of_hour(hour), self._of_hour(hour + 1)
        return self._ends[0] + (self._ends[1] - self._ends[0]) * into / _HOUR_MS

    def _of_hour(self, hour: int) -> float:
        local = datetime.fromtimestamp(hour * 3600, self._zone)
        return _BY_HOUR[local.hour] * _BY_WEEKDAY[local.weekday()]


class Opening:
    """A store's hours, asked often: the answer is kept until it may change."""

    def __init__(self, store: Store) -> None:
        self._hours = None if store.hours is None else Hours(store.hours, store.timezone)
        self._open = True
        self._from_ms = self._until_ms = 0

    def is_open(self, now_ms: int) -> bool:
        """Whether it is open now."""
        if self._hours is not None and not self._from_ms <= now_ms < self._until_ms:
            self._open, self._from_ms = self._hours.is_open(now_ms), now_ms
            self._until_ms = self._hours.next_change(now_ms)
        return self._open

    def closes_ms(self, now_ms: int) -> int | None:
        """When it closes, if it is open; None if it never does."""
        self.is_open(now_ms)
        return None if self._hours is None else self._until_ms
