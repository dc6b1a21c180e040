"""How long people stay, and so how many of those who came must still be there.

Given the arrivals, the number inside is the number of stays not yet over: a non-stationary M/G/∞ queue, whose mean is the
arrivals convolved with the survival of the dwell time (Eick, Massey, Whitt, *Management Science* 39 (1993) 241). This does
not drift as in minus out does, so the two correct each other. Dwell times in shops are close to log-normal; which median
and which sigma is chosen every night by how well the stayers follow the day's smoothed occupancy.
"""

import math
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEP_MS: Final = 300_000
SPAN: Final = 144
"""Steps after which everybody who came has left: 12 hours."""
MEDIANS_MINUTES: Final = tuple(round(3 * 1.22**power, 3) for power in range(21))
SIGMAS: Final = (0.4, 0.6, 0.8, 1.0, 1.2)
_MEMORY_NIGHTS: Final = 20
_PRIOR_SCATTER: Final = 1.5
"""Variance of the number of stayers over its mean: below 1 for single people, more for groups."""
_PRIOR_DAY_SIGMA: Final = 0.06
"""How much longer or shorter than usual people stay on one day, relatively."""
_STRANGER: Final = (2.0, 0.5)
"""What comes on top of the two while few nights have taught anything."""
_LEAST_VISITORS: Final = 40
_MOST_STAFF: Final = 0.2
"""Share of the people inside who may be there all day."""


class Dwell(msgspec.Struct):
    """What is known of the dwell times in one place."""

    nights: int = 0
    losses: list[float] = []
    """Mean square of stayers minus occupancy, per candidate."""
    best: int = 52
    scatter: float = _PRIOR_SCATTER
    day_variance: float = _PRIOR_DAY_SIGMA**2
    extra: list[float] = []
    """Whom the stayers leave out, staff above all, by half-hour of the local day."""

    @property
    def known(self) -> bool:
        """Whether any night has taught it; a guess could be wrong by an order of magnitude."""
        return self.nights > 0

    def errors(self) -> tuple[float, float]:
        """Variance of the stayers over their mean, and relative variance of a day's mean dwell time."""
        few = 1 / (1 + self.nights)
        return self.scatter + _STRANGER[0] * few, self.day_variance + (_STRANGER[1] * few) ** 2

    @property
    def survival(self) -> Floats:
        """Shape (144,): the share of the people who came k steps ago that is still there."""
        row: Floats = _survivals()[self.best]
        return row

    @property
    def mean_ms(self) -> float:
        """Mean dwell time."""
        median, sigma = MEDIANS_MINUTES[self.best // len(SIGMAS)], SIGMAS[self.best % len(SIGMAS)]
        return median * math.exp(sigma * sigma / 2) * 60_000

    def stayers(self, arrivals: Floats, half_hour: int) -> float:
        """How many must be inside, from the last 144 steps' arrivals (oldest first) and the half-hour of the local day."""
        return max(float(self.survival @ arrivals[::-1]) + (self.extra[half_hour] if self.extra else 0.0), 0.0)

    def learn(self, arrivals: Floats, inside: Floats, half_hours: NDArray[np.int64], *, closes: bool) -> None:
        """Learn from one day.

        Args:
            arrivals: shape (144 + n,): people who came in each step, the last 12 hours before the day first.
            inside: shape (n,): occupancy at the end of each step, smoothed, or just the sum of all changes where the place
                never empties; nan where the day teaches nothing.
            half_hours: shape (n,): half-hour of the local day of each step.
            closes: whether the place was empty at the ends of the day; if not, only the shape of the day counts, whatever
                its level and drift.
        """
        use = np.isfinite(inside)
        if arrivals[SPAN:].sum() < _LEAST_VISITORS or use.sum() < 12:
            return
        windows = np.lib.stride_tricks.sliding_window_view(arrivals[1:], SPAN)[use, ::-1]
        stayers = windows @ _survivals().T
        misfit = inside[use, None] - stayers
        if closes:
            misfit -= np.clip(misfit.mean(axis=0), 0.0, _MOST_STAFF * float(inside[use].mean()))
        else:
            misfit = _without_drift(misfit, arrivals[SPAN:][use])
        losses = (misfit**2).mean(axis=0)
        self.nights += 1
        pace = max(1 / self.nights, 1 / _MEMORY_NIGHTS)
        old = np.array(self.losses) if self.losses else losses
        self.losses = (old + pace * (losses - old)).tolist()
        self.best = int(np.argmin(self.losses))
        expected = stayers[:, self.best]
        # Nothing anchors the count of a place that never empties but the stayers themselves.
        truth = inside[use] if closes else expected + misfit[:, self.best]
        self._learn_extra(truth - expected, half_hours[use], pace)
        self._learn_scatter(truth, expected + np.array(self.extra)[half_hours[use]], pace)

    def _learn_extra(self, misfit: Floats, half_hours: NDArray[np.int64], pace: float) -> None:
        extra = np.array(self.extra) if self.extra else np.zeros(48)
        for half_hour in np.unique(half_hours):
            seen = float(misfit[half_hours == half_hour].mean())
            extra[half_hour] += pace * (seen - extra[half_hour])
        self.extra = extra.tolist()

    def _learn_scatter(self, inside: Floats, expected: Floats, pace: float) -> None:
        expected = np.maximum(expected, 0.5)
        misfit = inside - expected
        longer = float(misfit.sum() / expected.sum())
        scatter = float(((misfit - longer * expected) ** 2).sum() / expected.sum())
        pace = max(pace / (1 + pace), 1 / _MEMORY_NIGHTS)
        self.scatter += pace * (max(scatter, 0.3) - self.scatter)
        self.day_variance += pace * (min(longer * longer, 0.09) - self.day_variance)


def _without_drift(misfit: Floats, arrivals: Floats) -> Floats:
    """What is left of each column (a candidate) after a constant and a share of all who came so far are taken out."""
    basis = np.stack([np.ones(arrivals.size), np.cumsum(arrivals)], axis=1)
    parts, *_ = np.linalg.lstsq(basis, misfit, rcond=None)
    left: Floats = misfit - basis @ parts
    return left


@lru_cache(maxsize=1)
def _survivals() -> Floats:
    """Shape (105, 144): survival of each candidate at the ages of people who came k steps ago, on average."""
    ages = (np.arange(SPAN) + 0.5) * STEP_MS / 60_000
    rows = []
    for median in MEDIANS_MINUTES:
        for sigma in SIGMAS:
            rows.append([0.5 * math.erfc(math.log(age / median) / (sigma * math.sqrt(2))) for age in ages])  # noqa: PERF401
    return np.array(rows)
