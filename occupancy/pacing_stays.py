"""Who stays: of the people inside now, how many will still be here in a while.

Whoever came k minutes ago is still there with probability S(k), the survival of the dwell time; so of those inside now the
share that stays for another h minutes is Σ came(k) S(k + h) / Σ came(k) S(k) (Eick, Massey, Whitt, *Management Science* 39
(1993) 241). Three things teach S: closed visits of phones, by the part of the day; the people-minutes of a day over its
arrivals, which is the mean dwell time whatever its shape (Little, *Operations Research* 9 (1961) 383); and, within the
hour, the exits that the doors count against those that were predicted.
"""

import math
from functools import lru_cache
from typing import Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from occupancy.pacing_parties import Parties, parties

Floats = NDArray[np.float64]

HORIZONS: Final = (5, 10, 15, 20, 30, 45)
"""Minutes ahead."""
WINDOW: Final = 480
"""Minutes after which everybody who came is taken to have left."""
DAYPARTS: Final = (6, 11, 14, 17, 20)
"""Local hours at which the next part of the day begins; there are six."""

_MEDIAN_MINUTES: Final = 20.0
_SIGMA: Final = 0.75
_VISITS: Final = 15.0
"""Closed visits that the prior is worth."""
_PART_VISITS: Final = 150.0
"""Closed visits of one part of the day that outweigh the whole day's."""
_KEPT_A_DAY: Final = 0.95
_SHORTEST_MINUTES: Final = 0.5
_EXIT_MEMORY_MINUTES: Final = 40.0
_EXIT_PRIOR: Final = 60.0
"""Predicted exits by which their ratio to the observed is held to 1."""
_EXIT_BOUNDS: Final = (0.5, 2.0)
_LEAST_ARRIVALS: Final = 40.0
_SLOWEST_PACE: Final = 0.15
_STRETCH_BOUNDS: Final = (0.2, 6.0)
_NOBODY: Final = 0.5
_PARTIES: Final = 1.2
"""Variance of a number of exits over its mean, until the doors have told: who came together leaves together."""


class _State(msgspec.Struct):
    came: bytes = b""
    visits: list[float] = msgspec.field(default_factory=lambda: [0.0] * 6)
    """Closed visits by part of the day, fading."""
    logs: list[float] = msgspec.field(default_factory=lambda: [0.0] * 6)
    """Sum of the logarithms of their minutes."""
    squares: float = 0.0
    """Sum of the squares of the logarithms' distance from the mean of that moment."""
    part: int = 0
    dwell: tuple[float, float] = (_MEDIAN_MINUTES, _SIGMA)
    """Median in minutes and sigma in use."""
    stretch: float = 1.0
    """Mean dwell time by the doors over that by the visits."""
    days: int = 0
    people_minutes: float = 0.0
    promised_minutes: float = 0.0
    """Mean dwell times of today's arrivals, unstretched, added up."""
    arrivals: float = 0.0
    left: float = 0.0
    predicted: float = 0.0
    """Exits of the last while, counted and predicted, fading."""
    parties: Parties = msgspec.field(default_factory=lambda: parties(_PARTIES))


class Stays:
    """Arrivals of the last hours and how long such people stay."""

    __slots__ = ("_came", "_passed", "_soon", "_state", "_windows", "survival", "weights")

    survival: Floats
    """S at 0.5, 1.5, … minutes, as known when this part of the day began: shape (525,)."""

    weights: Floats
    """Who comes in each of the next 45 minutes is still there at each horizon with this probability: shape (6, 45)."""

    def __init__(self) -> None:
        self._state = _State()
        self._came: Floats = np.zeros(WINDOW)
        self._passed = 0
        self._look()

    # --- what the world says ---------------------------------------------------------------------------------------

    def came(self, people: float) -> None:
        """So many came in this minute."""
        state = self._state
        self._newest()[0] += people
        state.arrivals += people
        state.promised_minutes += people * _mean(*self._unstretched(state.part))

    def exits(self, left: float, people: float) -> None:
        """The doors counted so many out in a minute that began with so many inside; both known well."""
        kept = math.exp(-1 / _EXIT_MEMORY_MINUTES)
        state = self._state
        state.left = state.left * kept + left
        state.predicted = state.predicted * kept + (people * self._hazard() if people > _NOBODY else 0.0)
        state.parties.minute(left)

    def unheard(self) -> None:
        """A minute has passed in which the doors were not heard."""
        self._state.parties.unheard()

    def visited(self, minutes: float, part: int) -> None:
        """A phone's visit that began in this part of the day is over."""
        state = self._state
        log = math.log(max(minutes, _SHORTEST_MINUTES))
        state.squares += (log - self._log_median(part)) ** 2
        state.visits[part] += 1
        state.logs[part] += log

    def minutes_pass(self, minutes: int, people: float, part: int) -> None:
        """Time passes with so many inside."""
        state = self._state
        self._passed += minutes
        state.people_minutes += people * minutes
        if part != state.part:
            state.part = part
            self._learn()

    def end_day(self) -> None:
        """Learn from the day that is over."""
        state = self._state
        if state.arrivals >= _LEAST_ARRIVALS and state.promised_minutes > 0:
            state.days += 1
            seen = min(max(state.people_minutes / state.promised_minutes, _STRETCH_BOUNDS[0]), _STRETCH_BOUNDS[1])
            state.stretch += max(1 / state.days, _SLOWEST_PACE) * (seen - state.stretch)
        state.visits = [visits * _KEPT_A_DAY for visits in state.visits]
        state.logs = [logs * _KEPT_A_DAY for logs in state.logs]
        state.squares *= _KEPT_A_DAY
        state.parties.end_day()
        state.people_minutes = state.promised_minutes = state.arrivals = state.left = state.predicted = 0.0
        self._learn()

    # --- what it tells ---------------------------------------------------------------------------------------------

    @property
    def mean_minutes(self) -> float:
        """Mean dwell time of those who come now."""
        return _mean(*self._state.dwell)

    @property
    def parties(self) -> float:
        """Variance of a number of exits over its mean."""
        return self._state.parties.factor

    @property
    def leaving(self) -> float:
        """How much faster people leave now than predicted: 1 as predicted."""
        state = self._state
        ratio = (state.left + _EXIT_PRIOR) / (state.predicted + _EXIT_PRIOR)
        return min(max(ratio, _EXIT_BOUNDS[0]), _EXIT_BOUNDS[1])

    def kept(self) -> Floats:
        """Shape (6,): share of those inside who are still there after each horizon."""
        alive = self._windows @ self._newest()
        if alive[0] < _NOBODY:
            alive = self._windows.sum(axis=1)
        share: Floats = (alive[1:] / alive[0]) ** self.leaving
        return share

    def _hazard(self) -> float:
        """Share of those inside who leave within a minute, as predicted."""
        now, soon = (self._soon @ self._newest()).tolist()
        return 1 - soon / now if now >= _NOBODY else 1 / self.mean_minutes

    def _newest(self) -> Floats:
        """Arrivals by their age in minutes."""
        if self._passed:
            self._came = shifted(self._came, self._passed)
            self._passed = 0
        return self._came

    def _learn(self) -> None:
        """Take up what was learned; only now and then, as everything that is built on the dwell time has to be built anew."""
        median, sigma = self._unstretched(self._state.part)
        self._state.dwell = round(median * self._state.stretch, 2), round(sigma, 3)
        self._look()

    def _look(self) -> None:
        self.survival = _survival(*self._state.dwell)
        self._windows = np.stack([self.survival[ahead : ahead + WINDOW] for ahead in (0, *HORIZONS)])
        self._soon = np.stack([self.survival[ahead : ahead + WINDOW] for ahead in (0, 1)])
        self.weights = np.zeros((len(HORIZONS), HORIZONS[-1]))
        for place, horizon in enumerate(HORIZONS):
            self.weights[place, :horizon] = self.survival[horizon - 1 :: -1]

    def _unstretched(self, part: int) -> tuple[float, float]:
        state = self._state
        sigma = math.sqrt((_SIGMA**2 * _VISITS + state.squares) / (_VISITS + sum(state.visits)))
        return math.exp(self._log_median(part)), sigma

    def _log_median(self, part: int) -> float:
        state = self._state
        whole = (math.log(_MEDIAN_MINUTES) * _VISITS + sum(state.logs)) / (_VISITS + sum(state.visits))
        return (whole * _PART_VISITS + state.logs[part]) / (_PART_VISITS + state.visits[part])

    # --- to keep ---------------------------------------------------------------------------------------------------

    def dump(self) -> Any:
        """Everything, exactly."""
        self._state.came = self._newest().astype("<f8").tobytes()
        return self._state

    @classmethod
    def load(cls, dumped: Any) -> Self:
        """What `dump` gave, to the bit."""
        stays = cls()
        stays._state = msgspec.convert(dumped, _State)
        stays._came = np.frombuffer(stays._state.came, "<f8").astype(np.float64)
        stays._look()
        return stays


def part_of_day(hour: int) -> int:
    """0 to 5: which part of the day this local hour belongs to."""
    return sum(hour >= begins for begins in DAYPARTS)


def shifted(columns: Floats, minutes: int) -> Floats:
    """Everybody is older by so many minutes; the last axis is the age."""
    later = np.zeros(columns.shape)
    if minutes < columns.shape[-1]:
        later[..., minutes:] = columns[..., :-minutes]
    return later


def _mean(median: float, sigma: float) -> float:
    return median * math.exp(sigma * sigma / 2)


@lru_cache(maxsize=256)
def _survival(median: float, sigma: float) -> Floats:
    """Survival of log-normal dwell times at 0.5, 1.5, … minutes."""
    ages = np.arange(WINDOW + HORIZONS[-1]) + 0.5
    z = np.log(ages / median) / (max(sigma, 0.05) * math.sqrt(2))
    return np.array([0.5 * math.erfc(value) for value in z])
