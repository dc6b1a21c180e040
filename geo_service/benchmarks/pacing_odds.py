"""The ceiling of every forecast: the pacer's own rule, told the odds.

It knows how many are inside, at what rate people will come in each of the next minutes of this very day, how long people
stay, in what groups, and what share of the invited comes: all but what any one person will do. What it falls short of those
who know everybody's fate is chance, which nothing that can be learned removes.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from geo_service.benchmarks.pacing_floor import Floor, Seen
from geo_service.benchmarks.pacing_ours import OPENS_MS, Ours
from geo_service.simulator.promotion import DWELL_SIGMA, PARTIES, Days, Floats, Ints, Setting
from occupancy.pacing import MINUTE_MS, Pacer
from occupancy.pacing_arrivals import LONGEST, Organic
from occupancy.pacing_invited import Invited
from occupancy.pacing_stays import HORIZONS, Stays

_OPENS: Final = OPENS_MS // MINUTE_MS
_SURE: Final = 0.05
"""Variance of a number that is known."""


class Told(Pacer):
    """A pacer that is told the odds; `rates` is of the day under way, shape (720,)."""

    def __init__(self, setting: Setting, target_minutes: float) -> None:
        super().__init__(setting.capacity, target_minutes=target_minutes)
        self._rates = _Rates()
        self._resume(self._state, _Stays(setting), self._rates, _Invited(setting.conversion))

    def day(self, rates: Floats) -> None:
        """The day that begins."""
        self._rates.of_day = np.concatenate([rates, np.zeros(LONGEST)])


class _Rates(Organic):
    of_day: Floats = np.zeros(0)

    def known(self, minute_of_day: int) -> bool:
        return 0 <= minute_of_day - _OPENS < self.of_day.size - LONGEST

    def ahead(self, minute_of_day: int, at_rest: float = 0.0) -> tuple[Floats, Floats]:
        if not self.known(minute_of_day):
            return super().ahead(minute_of_day, at_rest)
        first = minute_of_day - _OPENS
        return self.of_day[first : first + LONGEST], np.zeros(len(HORIZONS))

    @property
    def groups(self) -> float:
        return PARTIES


class _Stays(Stays):
    def __init__(self, setting: Setting) -> None:
        self._dwell = setting.median_stay, DWELL_SIGMA
        super().__init__()
        self._learn()

    def _learn(self) -> None:
        self._state.dwell = self._dwell
        self._look()

    @property
    def leaving(self) -> float:
        return 1.0


class _Invited(Invited):
    def conversion(self, part: int, survival: Floats) -> tuple[float, float]:  # noqa: ARG002 - it is told
        return self._conversion, 0.0


class ToldTheOdds(Ours):
    """One such pacer a row of the floor."""

    def __init__(self, setting: Setting, targets: list[float]) -> None:
        super().__init__(setting, targets)
        self._told = [Told(setting, target) for target in targets]
        self.pacers = self._told
        self._here: Floor | None = None

    def _floor(self, days: Days) -> Floor:
        for pacer, rates in zip(self._told, days.rates, strict=True):
            pacer.day(rates)
        self._here = super()._floor(days)
        return self._here

    def quota(self, seen: Seen) -> Ints:
        """As ours, but how many are inside is no estimate."""
        if self._here is None:
            raise RuntimeError("no day is being lived")
        inside = self._here.now.astype(np.float64)
        return super().quota(replace(seen, people=inside, variance=np.full(inside.size, _SURE)))
