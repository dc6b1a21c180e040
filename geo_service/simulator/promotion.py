"""Days of a made store with a promotion: who comes by themselves, who passes by with a phone, and what the doors make of it.

A shopper's fate is drawn before anybody decides about her: whether she would come if invited, after how long, and for how
long she would stay. So every policy meets the same people, and one that knows the future can be asked. Times are minutes
since opening; a store is open for twelve hours.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MINUTES: Final = 720
LATEST: Final = MINUTES - 30
"""Nobody is invited in the last half-hour."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PARTIES: Final = ((1, 0.62), (2, 0.27), (3, 0.07), (4, 0.04))
PARTIES: Final = sum(size * size * share for size, share in _PARTIES) / sum(size * share for size, share in _PARTIES)
"""Variance of a number of arrivals over its mean."""
DWELL_SIGMA: Final = 0.7
_DELAY_SIGMA: Final = 0.45
_SEEN: Final = 0.95
"""Share of crossings that the doors notice."""
_LOOK_EVERY: Final = 5
_LOOK_ERROR: Final = 0.10
"""Standard error of the stayers as a measurement, as a share of the capacity."""


@dataclass(frozen=True)
class Setting:
    """What the world is like; the pacer is told of `capacity`, `eta` and `assumed_conversion` only."""

    capacity: int = 120
    eta: float = 10.0
    """Minutes that the way takes on average."""
    assumed_conversion: float = 0.25
    conversion: float = 0.25
    dwell: float = 25.0
    """Mean minutes; arrivals are such that organic occupancy does not depend on it."""
    organic: float = 0.40
    """Mean share of the capacity taken by people who come by themselves."""
    surge: float = 0.28
    """What comes on top of it at the daily surge, around half past five."""
    demand: float = 0.5
    """Share of the capacity that the invited would take if everybody were."""
    outage: bool = False
    """The sensors are silent for 30 minutes a day."""

    @property
    def median_stay(self) -> float:
        """Minutes."""
        return float(self.dwell * np.exp(-(DWELL_SIGMA**2) / 2))

    def changed(self, **changes: float | bool) -> "Setting":
        """The same but for these."""
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Days:
    """Several days, one a row. `come`, `delay` and `stay` have a column for each shopper of a minute, `passing` says how many."""

    setting: Setting
    ins: Ints
    outs: Ints
    """Shape (days, 720): people who come by themselves, and the same when they leave."""
    usual: Floats
    """Shape (720,): people a minute who come by themselves on an average day."""
    rates: Floats
    """Shape (days, 720): the same of this very day; who really comes is chance."""
    passing: Ints
    come: NDArray[np.bool_]
    delay: NDArray[np.int16]
    stay: NDArray[np.int16]
    outage: Ints
    """First minute of each day's outage; beyond the day where there is none."""
    seed: int

    def __len__(self) -> int:
        return len(self.passing)


def make_days(setting: Setting, seed: int, first: int, count: int) -> Days:
    """Days `first` to `first + count` of this seed; the same whichever are asked for."""
    made = [_day(setting, np.random.default_rng([seed, first + number])) for number in range(count)]
    most = max(int(day.passing.max()) for day in made)

    def padded(columns: list[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
        block = np.zeros((count, MINUTES, most), dtype)
        for number, column in enumerate(columns):
            block[number][np.arange(most) < made[number].passing[:, None]] = column
        return block

    return Days(
        setting,
        np.stack([day.ins for day in made]),
        np.stack([day.outs for day in made]),
        _shape(setting, 0.0, 1.0) / setting.dwell,
        np.stack([day.rates for day in made]),
        np.stack([day.passing for day in made]),
        padded([day.come for day in made], np.bool_),
        padded([day.delay for day in made], np.int16),
        padded([day.stay for day in made], np.int16),
        np.array([day.outage for day in made]),
        seed * 100_003 + first,
    )


def side_by_side(several: list[Days]) -> Days:
    """Days of one setting as one block."""
    most = max(days.come.shape[2] for days in several)

    def joined(name: str) -> NDArray[Any]:
        blocks = [getattr(days, name) for days in several]
        if blocks[0].ndim == 3:
            blocks = [np.pad(block, ((0, 0), (0, 0), (0, most - block.shape[2]))) for block in blocks]
        return np.concatenate(blocks)

    names = ("ins", "outs", "rates", "passing", "come", "delay", "stay", "outage")
    first = several[0]
    return Days(first.setting, usual=first.usual, seed=first.seed, **{name: joined(name) for name in names})


class _Day(NamedTuple):
    """One day; `come`, `delay` and `stay` have an element for each shopper, in the order in which they pass."""

    rates: Floats
    ins: NDArray[Any]
    outs: NDArray[Any]
    passing: NDArray[Any]
    come: NDArray[np.bool_]
    delay: NDArray[Any]
    stay: NDArray[Any]
    outage: int


def _day(setting: Setting, random: np.random.Generator) -> _Day:
    shape = _shape(setting, random.normal(0, 12), np.exp(random.normal(0, 0.2)))
    rates = shape / setting.dwell * np.exp(random.normal(-0.01, 0.14)) * _mood(random)
    sizes, chances = (np.array(column) for column in zip(*_PARTIES, strict=True))
    parties = random.poisson(rates / float(sizes @ chances))
    size = random.choice(sizes, int(parties.sum()), p=chances)
    comes = np.repeat(np.repeat(np.arange(MINUTES), parties), size)
    leaves = np.repeat(_stays(setting, random, size.size), size) + comes
    leaves = np.minimum(leaves, np.maximum(MINUTES - random.integers(1, 12, leaves.size), comes + 1))
    passing = random.poisson(setting.demand * setting.capacity / setting.dwell / setting.conversion * _passers(shape))
    passing[LATEST:] = 0
    total = int(passing.sum())
    delay = np.exp(random.normal(-(_DELAY_SIGMA**2) / 2, _DELAY_SIGMA, total))
    delay = np.clip(np.rint(setting.eta * delay), 1, 300).astype(np.int64)
    closes = MINUTES - random.integers(1, 12, total) - np.repeat(np.arange(MINUTES), passing) - delay
    return _Day(
        rates,
        np.bincount(comes, minlength=MINUTES),
        np.bincount(leaves[leaves < MINUTES], minlength=MINUTES),
        passing,
        random.random(total) < setting.conversion,
        delay,
        np.minimum(_stays(setting, random, total), np.maximum(closes, 1)),
        int(random.uniform(120, 600)) if setting.outage else 2 * MINUTES,
    )


def _stays(setting: Setting, random: np.random.Generator, people: int) -> Ints:
    """Minutes, at least 1."""
    stays: Ints = np.maximum(np.rint(setting.median_stay * np.exp(random.normal(0, DWELL_SIGMA, people))), 1).astype(
        np.int64
    )
    return stays


def _shape(setting: Setting, late: float, height: float) -> Floats:
    """Organic occupancy by the minute, as if people did not stay: noon, a broad afternoon, and the surge."""
    minutes = np.arange(MINUTES)
    noon = np.exp(-(((minutes - 210) / 70) ** 2))
    surge = np.exp(-(((minutes - 510 - late) / 35) ** 2))
    base = 0.75 + 0.45 * noon
    people: Floats = setting.capacity * (setting.organic * base / base.mean() + setting.surge * height * surge)
    return people * np.minimum(1.0, (minutes + 15) / 60)


def _mood(random: np.random.Generator) -> Floats:
    """What the day is like from minute to minute: weather, buses, chance; mean 1, forgotten within three quarters of an hour."""
    kept = np.exp(-1 / 45)
    steps = random.normal(0, 0.15 * np.sqrt(1 - kept**2), MINUTES)
    steps[0] = random.normal(0, 0.15)
    level = np.empty(MINUTES)
    level[0] = steps[0]
    for minute in range(1, MINUTES):
        level[minute] = kept * level[minute - 1] + steps[minute]
    return np.exp(level - 0.15**2 / 2)


def _passers(shape: Floats) -> Floats:
    """Phones that pass, by the minute: more when the store is busy; mean 1."""
    flow = 0.6 + 0.4 * shape / shape.mean()
    passers: Floats = flow / flow.mean()
    return passers


class Doors:
    """What is known of several stores at once: an honest filter of what their doors count.

    The doors miss one crossing in twenty; every five minutes the stayers serve as a measurement. Mean and variance are those
    of a Kalman filter, so the truth scatters around the mean as the variance says, which is what `occupancy/` gives.
    """

    def __init__(self, days: Days, day: Ints) -> None:
        """`day`: the row of `days` that each store lives through."""
        self._setting, self._usual, self._outage = days.setting, days.usual, days.outage[day]
        self._random = np.random.default_rng([days.seed, 7])
        self.people: Floats = np.zeros(len(day))
        self.variance: Floats = np.full(len(day), 1.0)
        self.ins: Floats = np.zeros(len(day))
        self.outs: Floats = np.zeros(len(day))
        """Who came and left in the last minute, as far as the doors' calibration knows, which is how `occupancy/` tells it."""

    def silent_for(self, minute: int) -> Ints:
        """Minutes since each store's sensors fell silent; negative where they speak."""
        since = minute - self._outage
        return np.where((since >= 0) & (since < 30), since, -1)

    def minute(self, minute: int, ins: NDArray[Any], outs: NDArray[Any], inside: Ints) -> None:
        """A minute has passed in which so many crossed; `inside` are inside at its end."""
        silent = self.silent_for(minute) >= 0
        random = self._random
        self.ins = np.where(silent, 0, random.binomial(ins, _SEEN) / _SEEN)
        self.outs = np.where(silent, 0, random.binomial(outs, _SEEN) / _SEEN)
        leaving = self.people / self._setting.dwell
        usual = self._usual[minute]
        self.people = self.people + np.where(silent, usual - leaving, self.ins - self.outs)
        missed = (self.ins + self.outs) * (1 - _SEEN) / _SEEN
        self.variance = self.variance + np.where(silent, 2 * usual + leaving + 0.1 * usual**2, missed + 0.01)
        if minute % _LOOK_EVERY == 0:
            error = (_LOOK_ERROR * self._setting.capacity) ** 2
            seen = inside + random.normal(0, np.sqrt(error), inside.size)
            gain = np.where(silent, 0.0, self.variance / (self.variance + error))
            self.people = self.people + gain * (seen - self.people)
            self.variance = self.variance * (1 - gain)
        self.people = np.maximum(self.people, 0.0)
