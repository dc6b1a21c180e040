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
Dumped = tuple[int, float, bytes, tuple[float, float] | None]

GRID_LIMIT: Final = 3000
"""The largest number of people that the grid holds; distributions that reach beyond it become Gaussians."""
_BACK_TO_GRID: Final = 2700
_NEGLIGIBLE: Final = 1e-9
_FORGIVENESS: Final = 0.01
"""Share kept of the belief in fewer people than are seen leaving: somebody may have come in unseen."""
_Z90: Final = 1.6448536269514722
_NUMBERS: Final = np.arange(GRID_LIMIT + 1, dtype=np.float32)
_REACH: Final = 5.5
"""Standard errors beyond which nothing is carried."""
_FEW: Final = 64
_LOG_FACTORIALS: Final = np.array([math.lgamma(number + 1) for number in range(_FEW)])
_LONGEST_REACH: Final = 2 * GRID_LIMIT


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

    `weights` are the probabilities of `first`, `first` + 1, …; a shift by a part of a person waits in `offset` (at most a
    half) until it makes a whole one, so that it costs no spread. Where `gauss` is set, its mean and variance stand instead.
    """

    __slots__ = ("first", "gauss", "offset", "weights")

    def __init__(self, weights: Weights, first: int = 0) -> None:
        """Take probabilities of `first`, `first` + 1, …; they are normalised here."""
        self.weights = weights
        self.first = first
        self.offset = 0.0
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
        """Usually so many, for reasons of their own (Poisson), now and then any number of that size (geometric)."""
        few = _NUMBERS[:_FEW]
        poisson = np.exp(few * math.log(mean) - mean - _LOG_FACTORIALS)
        ratio = mean / (1 + mean)
        return cls((0.9 * poisson + 0.1 * (1 - ratio) * ratio**few).astype(np.float32))

    # --- what is known ---------------------------------------------------------------------------------------------

    def mean(self) -> float:
        """The expected number of people."""
        if self.gauss is not None:
            return self.gauss[0]
        return max(self.first + self.offset + float(self.weights @ _numbers(self.weights.size)), 0.0)

    def moments(self) -> tuple[float, float]:
        """Mean and variance."""
        if self.gauss is not None:
            return self.gauss
        numbers = _numbers(self.weights.size)
        inner = float(self.weights @ numbers)
        away = numbers - np.float32(inner)
        return max(self.first + self.offset + inner, 0.0), float(self.weights @ (away * away))

    def interval(self) -> tuple[float, float]:
        """The central 90 % interval, each whole number spread over the half on either side of it."""
        if self.gauss is not None:
            mean, variance = self.gauss
            reach = _Z90 * math.sqrt(variance)
            return max(mean - reach, 0.0), mean + reach
        cumulative = self.weights.cumsum()
        return self._quantile(cumulative, 0.05), self._quantile(cumulative, 0.95)

    def _quantile(self, cumulative: Weights, share: float) -> float:
        last = self.weights.size - 1
        at = min(int(cumulative.searchsorted(share)), last)
        inner = at + 0.5 - (cumulative.item(at) - share) / self.weights.item(at)
        return max(self.first + self.offset + min(max(inner, 0.0), last), 0.0)

    def above(self, people: int) -> float:
        """P(n > people)."""
        if self.gauss is not None:
            mean, variance = self.gauss
            if variance <= 0:
                return float(mean > people)
            return 0.5 * math.erfc((people + 0.5 - mean) / math.sqrt(2 * variance))
        here = self._tail(people + 1)
        beside = self._tail(people if self.offset > 0 else people + 2)
        return min(here + abs(self.offset) * (beside - here), 1.0)

    def _tail(self, people: int) -> float:
        start = people - self.first
        return 1.0 if start <= 0 else float(self.weights[start:].sum())

    # --- what changes it -------------------------------------------------------------------------------------------

    def flow(self, ins: int, outs: int, shift: float, variance: float) -> None:
        """So many seen coming and leaving, and with them unseen ones: `shift` more on balance, with this variance.

        Where it would be fewer than nobody, a little belief stays at nobody.
        """
        if self.gauss is None:
            self.first += ins - outs
            if self.first < 0:
                self._forgive(-self.first)
            self._add(shift, kernel_of(round(variance, 5)))
        else:
            self._add_to_gauss(ins - outs + shift, variance)

    def blur(self, shift: float, variance: float) -> None:
        """Add an unknown number of people with this mean and variance; nobody is the least there can be."""
        if self.gauss is None:
            self._add(shift, kernel_of.__wrapped__(variance))
        else:
            self._add_to_gauss(shift, variance)

    def _add_to_gauss(self, shift: float, variance: float) -> None:
        assert self.gauss is not None
        self.gauss = (max(self.gauss[0] + shift, 0.0), self.gauss[1] + variance)
        self.to_grid()

    def _add(self, shift: float, kernel: Weights) -> None:
        self.offset += shift
        whole = round(self.offset)
        self.offset -= whole
        self.first += whole - kernel.size // 2
        if kernel.size > 1:
            self.weights = np.correlate(self.weights, kernel, "full")  # the same as convolve: kernels are symmetric
        if self.first < 0:
            below = -self.first
            kept = self.weights[below:].copy() if below < self.weights.size else np.zeros(1, dtype=np.float32)
            kept[0] += self.weights[:below].sum()
            self.weights, self.first = kept, 0
        self._settle()
        if self.offset < 0 and self.first == 0 and self.weights.item(0) > 0.5:
            self.offset = 0.0  # nearly surely nobody, and not half a person less

    def _forgive(self, impossible: int) -> None:
        """Drop the first `impossible` weights, hypotheses of too few people, but for a little that stays at nobody."""
        lost = float(self.weights[:impossible].sum())
        kept = self.weights[impossible:].copy() if impossible < self.weights.size else np.zeros(1, dtype=np.float32)
        kept[0] += np.float32(_FORGIVENESS * lost)
        self.weights, self.first = kept, 0

    def tilt(self, precision: float, information: float) -> None:
        """Multiply by exp(information · n - precision · n² / 2): what a Gaussian message says of n."""
        if self.gauss is not None:
            mean, variance = self.gauss
            if variance > 0:
                after = 1 / (1 / variance + precision)
                self.gauss = (max(after * (mean / variance + information), 0.0), after)
                self.to_grid()
            return
        centre, _ = self.moments()
        away = _numbers(self.weights.size) - np.float32(centre - self.first - self.offset)
        exponent = np.float32(information - precision * centre) * away - np.float32(precision / 2) * away * away
        self.weights = self.weights * np.exp(exponent - exponent.max())
        self._settle()

    def observe(self, people: float, error: float, relative: float = 0.0, doubt: float = 0.001) -> None:
        """Somebody or something counted `people`: a Gaussian likelihood.

        Its standard deviation is `error`, or `relative` times the true number where that is more. (Times the number seen
        would give readings that are too low too much weight.) A count far outside what was believed wins: a share `doubt`
        of the belief is spread over every number.
        """
        error = max(error, 0.3)
        if self.gauss is None and people + 5 * max(error, relative * people) < GRID_LIMIT:
            self._observe_on_grid(people - self.offset, error, relative, doubt)
            return
        self._observe_on_gauss(people, max(error, relative * people), doubt)

    def _observe_on_gauss(self, people: float, error: float, doubt: float) -> None:
        """What `_observe_on_grid` does, in moments: either the reading fits what is believed, or it wins."""
        mean, variance = self.moments()
        spread = error * error
        gain = variance / (variance + spread)
        surprise = (people - mean) ** 2 / (variance + spread)
        believed = math.exp(-surprise / 2) / math.sqrt(2 * math.pi * (variance + spread))
        span = abs(people - mean) + _REACH * math.sqrt(variance) + 5 * error
        share = doubt / span / (believed + doubt / span)
        fits, fits_variance = mean + gain * (people - mean), variance * (1 - gain)
        mean = fits + share * (people - fits)
        variance = (1 - share) * (fits_variance + (fits - mean) ** 2) + share * (spread + (people - mean) ** 2)
        self.gauss = (max(mean, 0.0), variance)
        self.to_grid()

    def _observe_on_grid(self, people: float, error: float, relative: float, doubt: float) -> None:
        reach = math.ceil(5 * max(error, relative * people)) + 1
        first = max(min(self.first, int(people) - reach), 0)
        last = min(max(self.first + self.weights.size - 1, int(people) + reach), GRID_LIMIT)
        prior = np.full(last - first + 1, doubt / (last - first + 1), dtype=np.float32)
        prior[self.first - first : self.first - first + self.weights.size] += self.weights
        numbers = _NUMBERS[first : last + 1]
        errors = np.maximum(numbers * np.float32(relative), np.float32(error))
        distance = (numbers - np.float32(people)) / errors
        exponent = -0.5 * distance * distance - np.log(errors)
        self.weights, self.first = prior * np.exp(exponent - exponent.max()), first
        self._settle()

    def doubt_nobody(self, share: float) -> None:
        """Shrink the belief in nobody to a share of what it was; where it is all there is, somebody is."""
        if self.gauss is not None or self.first > 0:
            return
        if self.weights.size == 1:
            self.weights = np.array([1.0, 1e-3], dtype=np.float32)
        weights = self.weights.copy()
        weights[0] *= np.float32(share)
        self.weights = weights
        self._settle()

    def copy(self) -> "Belief":
        """An equal belief that changes on its own."""
        return Belief.load(self.dump())

    # --- the representation ----------------------------------------------------------------------------------------

    def dump(self) -> Dumped:
        """First number, offset, float32 weights in little-endian bytes, and mean and variance where it is a Gaussian."""
        return self.first, self.offset, self.weights.astype("<f4", copy=False).tobytes(), self.gauss

    @classmethod
    def load(cls, dumped: Dumped) -> "Belief":
        """What `dump` gave, to the bit."""
        belief = cls.__new__(cls)
        belief.first, belief.offset = dumped[0], dumped[1]
        belief.weights = np.frombuffer(dumped[2], dtype="<f4").astype(np.float32)
        belief.gauss = None if dumped[3] is None else (dumped[3][0], dumped[3][1])
        return belief

    def _settle(self) -> None:
        """Drop what is negligible at both ends, normalise, and leave the grid where it has become too short."""
        weights = self.weights
        total = np.add.reduce(weights)
        negligible = _NEGLIGIBLE * total
        start, stop = 0, weights.size
        while weights[start] < negligible:
            start += 1
        while weights[stop - 1] < negligible:
            stop -= 1
        if stop - start < weights.size:
            weights = weights[start:stop]
            self.first += start
        self.weights = weights / total
        if self.first + stop - start > GRID_LIMIT + 1:
            self._to_gauss()

    def _to_gauss(self) -> None:
        self.gauss = self.moments()
        self.weights, self.first, self.offset = _nobody(), 0, 0.0

    def to_grid(self) -> None:
        """Come back from a Gaussian once nearly everything is well below the grid's end."""
        assert self.gauss is not None
        mean, variance = self.gauss
        if mean + 6 * math.sqrt(variance) > _BACK_TO_GRID:
            return
        self.gauss = None
        self.weights, self.first, self.offset = _nobody(), 0, 0.0
        self._add(mean, kernel_of.__wrapped__(variance))


def _numbers(size: int) -> Weights:
    """0 … size - 1; a blur may overshoot the grid for a moment."""
    return _NUMBERS[:size] if size <= _NUMBERS.size else np.arange(size, dtype=np.float32)


def _nobody() -> Weights:
    return np.ones(1, dtype=np.float32)


@lru_cache(maxsize=4096)
def kernel_of(variance: float) -> Weights:
    """Probabilities of -r … r with mean 0 and this variance: three points hold a small one exactly, a Gaussian a large one."""
    if variance <= 0:
        return _nobody()
    if variance < 0.5:
        return np.array([variance / 2, 1 - variance, variance / 2], dtype=np.float32)
    reach = min(math.ceil(_REACH * math.sqrt(variance)) + 1, _LONGEST_REACH)
    offsets = np.arange(-reach, reach + 1)
    gauss = np.exp(-(offsets**2) / (2 * variance))
    kernel: Weights = (gauss / gauss.sum()).astype(np.float32)
    return kernel
