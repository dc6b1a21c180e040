"""The number of people inside as a distribution: a bounded grid filter, and a Gaussian where the grid would be too long.

A histogram filter (Thrun, Burgard, Fox: *Probabilistic Robotics*, 2005, §4.1) over n = 0 … K. Door counts move it, missed
people blur it, absolute counts multiply it. Only the stretch that carries probability is kept, in float32.

Beyond `GRID_LIMIT` people the same steps act on a mean and a variance (Laplace's approximation where a step is not
Gaussian by itself); at such sizes the two agree to a fraction of a person.
"""

import math
from functools import lru_cache
from typing import Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Level = Literal["quiet", "normal", "busy", "full"]
Status = Literal["live", "degraded", "blind", "uncalibrated"]
Weights = NDArray[np.float32]

GRID_LIMIT: Final = 3000
"""The largest number of people that the grid holds; distributions that reach beyond it become Gaussians."""
_BACK_TO_GRID: Final = 2700
_NEGLIGIBLE: Final = 1e-9
_FORGIVENESS: Final = 0.01
"""Share kept of the belief in fewer people than are seen leaving: somebody may have come in unseen."""
_Z90: Final = 1.6448536269514722
_NUMBERS: Final = np.arange(GRID_LIMIT + 1, dtype=np.float32)
_LOGARITHMS: Final = np.log(_NUMBERS + np.float32(0.02))
_LONGEST_KERNEL: Final = 2 * GRID_LIMIT


class Estimate(NamedTuple):
    """How many people are in a place, and how sure that is."""

    mean: float
    low: float
    high: float
    """With `low` the 90 % interval."""
    rate: float
    """mean / comfort capacity"""
    p_over: float
    """Probability of more people than the legal capacity; 0 where none is known."""
    level: Level
    status: Status
    in_total: int
    """Counted by the doors since the day began, as the doors said it."""
    out_total: int


class Belief:
    """A distribution of the number of people, n ≥ 0; always normalised, never empty.

    `weights` are the probabilities of `first`, `first` + 1, …; where `gauss` is set, its mean and variance stand instead.
    """

    __slots__ = ("first", "gauss", "weights")

    def __init__(self, weights: Weights, first: int = 0) -> None:
        """Take probabilities of `first`, `first` + 1, …; they are normalised here."""
        self.weights = weights
        self.first = first
        self.gauss: tuple[float, float] | None = None
        self._settle()

    @classmethod
    def exactly(cls, people: int) -> Self:
        """Certainty."""
        belief = cls(np.ones(1, dtype=np.float32), min(max(people, 0), GRID_LIMIT))
        if people > GRID_LIMIT:
            belief.gauss = (float(people), 0.0)
        return belief

    @classmethod
    def anything_up_to(cls, people: int) -> Self:
        """Every number from 0 to `people` alike."""
        if people > GRID_LIMIT:
            belief = cls.exactly(0)
            belief.gauss = (people / 2, people * people / 12)
            return belief
        return cls(np.ones(max(people, 0) + 1, dtype=np.float32))

    @classmethod
    def about(cls, mean: float) -> Self:
        """Nearly always few: geometric with this mean, 0 the likeliest."""
        ratio = mean / (1 + mean)
        return cls(np.float32(ratio) ** _NUMBERS[:64])

    # --- what is known ---------------------------------------------------------------------------------------------

    def moments(self) -> tuple[float, float]:
        """Mean and variance."""
        if self.gauss is not None:
            return self.gauss
        numbers = _NUMBERS[: self.weights.size]
        offset = float(self.weights @ numbers)
        numbers = numbers - np.float32(offset)
        return self.first + offset, float(self.weights @ (numbers * numbers))

    def interval(self) -> tuple[float, float]:
        """The central 90 % interval, whole people on the grid."""
        if self.gauss is not None:
            mean, variance = self.gauss
            reach = _Z90 * math.sqrt(variance)
            return max(mean - reach, 0.0), mean + reach
        cumulative = self.weights.cumsum()
        low, high = cumulative.searchsorted((0.05, 0.95))
        last = self.weights.size - 1
        return float(self.first + min(int(low), last)), float(self.first + min(int(high), last))

    def above(self, people: int) -> float:
        """P(n > people)."""
        if self.gauss is not None:
            mean, variance = self.gauss
            if variance <= 0:
                return float(mean > people)
            return 0.5 * math.erfc((people + 0.5 - mean) / math.sqrt(2 * variance))
        start = people + 1 - self.first
        if start <= 0:
            return 1.0
        return min(float(self.weights[start:].sum()), 1.0)

    # --- what changes it -------------------------------------------------------------------------------------------

    def arrive(self, people: int) -> None:
        """So many more."""
        if self.gauss is not None:
            self.gauss = (self.gauss[0] + people, self.gauss[1])
        else:
            self.first += people
            if self.first + self.weights.size > GRID_LIMIT:
                self._to_gauss()

    def leave(self, people: int) -> None:
        """So many fewer; where that would be fewer than nobody, a little belief stays at nobody."""
        if self.gauss is not None:
            self.gauss = (max(self.gauss[0] - people, 0.0), self.gauss[1])
            self.to_grid()
            return
        self.first -= people
        if self.first < 0:
            impossible = -self.first
            lost = float(self.weights[:impossible].sum())
            kept = self.weights[impossible:].copy() if impossible < self.weights.size else _nobody()
            kept[0] += np.float32(_FORGIVENESS * lost)
            self.weights, self.first = kept, 0
            self._settle()

    def weigh_outflow(self, leavers: float, expected_each: float, weight: float) -> None:
        """Take the outflow as evidence of how many are inside: `leavers` seen, `expected_each` per person inside.

        A Poisson likelihood of the leavers with mean n · expected_each, raised to `weight` because dwell times are not
        exponential and groups leave together (a power likelihood: Holmes and Walker, Biometrika 104 (2017) 497).
        """
        if self.gauss is not None:
            mean, variance = self.gauss
            at = max(mean, 1.0)
            variance = 1 / (1 / variance + weight * leavers / (at * at)) if variance > 0 else 0.0
            self.gauss = (max(mean + variance * weight * (leavers / at - expected_each), 0.0), variance)
            self.to_grid()
            return
        if self.weights.size == 1:
            return
        stretch = slice(self.first, self.first + self.weights.size)
        exponent = np.float32(weight * leavers) * _LOGARITHMS[stretch]
        exponent -= np.float32(weight * expected_each) * _NUMBERS[stretch]
        exponent -= exponent.max()
        self.weights = self.weights * np.exp(exponent)
        self._settle()

    def blur(self, shift: float, variance: float) -> None:
        """Add an unknown number of people with this mean and variance; nobody is the least there can be."""
        if self.gauss is not None:
            self.gauss = (max(self.gauss[0] + shift, 0.0), self.gauss[1] + variance)
            self.to_grid()
            return
        start, kernel = kernel_of(shift, variance)
        if kernel.size > 1:
            self.weights = np.convolve(self.weights, kernel)
        self.first += start
        if self.first < 0:
            below = -self.first
            kept = self.weights[below:].copy() if below < self.weights.size else _nobody() * np.float32(0)
            kept[0] += self.weights[:below].sum()
            self.weights, self.first = kept, 0
        self._settle()

    def observe(self, people: float, error: float) -> None:
        """Somebody or something counted `people`, give or take `error` (standard deviation): a Gaussian likelihood.

        A count far outside what was believed wins: belief keeps a thousandth of its weight spread over every number.
        """
        error = max(error, 0.3)
        mean, variance = self.moments()
        if self.gauss is None and people + 5 * error < GRID_LIMIT:
            self._observe_on_grid(people, error)
            return
        gain = variance / (variance + error * error)
        surprise = (people - mean) ** 2 / (variance + error * error)
        if surprise > 16:
            gain, variance = 1.0, error * error
        else:
            variance *= 1 - gain
        self.gauss = (max(mean + gain * (people - mean), 0.0), variance)
        self.to_grid()

    def _observe_on_grid(self, people: float, error: float) -> None:
        reach = math.ceil(5 * error) + 1
        first = max(min(self.first, int(people) - reach), 0)
        last = min(max(self.first + self.weights.size - 1, int(people) + reach), GRID_LIMIT)
        prior = np.full(last - first + 1, 1e-3 / (last - first + 1), dtype=np.float32)
        prior[self.first - first : self.first - first + self.weights.size] += self.weights
        distance = (_NUMBERS[first : last + 1] - np.float32(people)) / np.float32(error)
        exponent = -0.5 * distance * distance
        self.weights, self.first = prior * np.exp(exponent - exponent.max()), first
        self._settle()

    def mixed_with(self, other: "Belief", share: float) -> "Belief":
        """This belief but for a `share` of the other."""
        if self.gauss is not None or other.gauss is not None:
            (mine, spread), (theirs, their_spread) = self.moments(), other.moments()
            mean = (1 - share) * mine + share * theirs
            second = (1 - share) * (spread + mine * mine) + share * (their_spread + theirs * theirs)
            mixed = Belief.exactly(0)
            mixed.gauss = (mean, max(second - mean * mean, 0.0))
            mixed.to_grid()
            return mixed
        first = min(self.first, other.first)
        last = max(self.first + self.weights.size, other.first + other.weights.size)
        weights = np.zeros(last - first, dtype=np.float32)
        weights[self.first - first : self.first - first + self.weights.size] = (1 - share) * self.weights
        weights[other.first - first : other.first - first + other.weights.size] += share * other.weights
        return Belief(weights, first)

    def copy(self) -> "Belief":
        """An equal belief that changes on its own."""
        return Belief.load(self.dump())

    # --- the representation ----------------------------------------------------------------------------------------

    def dump(self) -> tuple[int, bytes, tuple[float, float] | None]:
        """First number, float32 weights in little-endian bytes, and mean and variance where it is a Gaussian."""
        return self.first, self.weights.astype("<f4", copy=False).tobytes(), self.gauss

    @classmethod
    def load(cls, dumped: tuple[int, bytes, tuple[float, float] | None]) -> "Belief":
        """What `dump` gave, to the bit."""
        belief = cls.__new__(cls)
        belief.first = dumped[0]
        belief.weights = np.frombuffer(dumped[1], dtype="<f4").astype(np.float32)
        belief.gauss = None if dumped[2] is None else (dumped[2][0], dumped[2][1])
        return belief

    def _settle(self) -> None:
        """Drop what is negligible at both ends, normalise, and leave the grid where it has become too short."""
        carries = np.flatnonzero(self.weights > _NEGLIGIBLE * self.weights.max())
        start, stop = int(carries[0]), int(carries[-1]) + 1
        self.weights = self.weights[start:stop] / self.weights[start:stop].sum()
        self.first += start
        if self.first + self.weights.size > GRID_LIMIT + 1:
            self._to_gauss()

    def _to_gauss(self) -> None:
        self.gauss = self.moments()
        self.weights, self.first = _nobody(), 0

    def to_grid(self) -> None:
        """Come back to the grid once nearly everything is well below its end."""
        assert self.gauss is not None
        mean, variance = self.gauss
        reach = 6 * math.sqrt(variance)
        if mean + reach > _BACK_TO_GRID:
            return
        start, kernel = kernel_of(mean, variance)
        self.gauss = None
        below = max(-start, 0)
        kept = kernel[below:].copy()
        kept[0] += kernel[:below].sum()
        self.weights, self.first = kept, max(start, 0)
        self._settle()


def _nobody() -> Weights:
    return np.ones(1, dtype=np.float32)


@lru_cache(maxsize=4096)
def kernel_of(mean: float, variance: float) -> tuple[int, Weights]:
    """Probabilities of whole numbers with this mean and (nearly) this variance: the first number, and the weights.

    Small variances take two or three neighbouring points, which hold both moments exactly where that is possible at all;
    large ones a Gaussian. No distribution on whole numbers has less variance than the mean's fraction forces: f - f².
    """
    centre = round(mean)
    rest = mean - centre
    if variance < 0.25:
        spread = max(variance + rest * rest, abs(rest))
        weights = np.array([(spread - rest) / 2, 1 - spread, (spread + rest) / 2], dtype=np.float32)
        return centre - 1, weights
    reach = min(math.ceil(5.5 * math.sqrt(variance)) + 1, _LONGEST_KERNEL)
    offsets = np.arange(-reach, reach + 1)
    gauss = np.exp(-((offsets - rest) ** 2) / (2 * variance))
    return centre - reach, (gauss / gauss.sum()).astype(np.float32)
