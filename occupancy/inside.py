"""The belief about one place together with what its errors have in common.

The grid is the distribution of n. Four more unknowns are carried as Gaussians beside it, with their covariance to n:

- e, how far the stayers differ from what the arrivals let expect: chance, forgotten within one mean dwell time
  (an Ornstein-Uhlenbeck process, in units of the root of the expected stayers);
- g, how much longer or shorter than usual people stay today;
- d, how far the doors miss more one way than the other than is known; its error grows with every crossing;
- s, how far they miss more both ways.

Each step the expected stayers are taken as a measurement of n + e + g·n - s·n. What that says of n alone, the ratio of
its Gaussian marginals after and before, multiplies the grid; what the grid learns otherwise (a recount, nobody is the
least there can be) flows back by the covariance. This is assumed-density filtering with a non-parametric marginal
(Maybeck, *Stochastic Models, Estimation and Control* 2, 1982, §12.7; Minka, *Expectation Propagation*, UAI 2001, for the
ratio). The doors' errors and the stayers' errors are independent, so the sum knows more than either.
"""

import math
from typing import Final, Self

import numpy as np

from occupancy import estimate
from occupancy.dwell import Floats
from occupancy.estimate import Belief

N, E, G, D, S = range(5)
_HUBER: Final = 9.0
"""Squared standard errors beyond which a surprise counts less: on a strange day the doors are right."""
_STEP_NOISE: Final = 0.5
_LEAST_VARIANCE: Final = 0.05

Dumped = tuple[estimate.Dumped, list[float], list[float], float, float, float]


class Inside:
    """Belief, companions, and the flows since they were last brought together."""

    __slots__ = ("_came", "_covariance", "_left", "_mean", "_noise", "belief")

    def __init__(self, belief: Belief) -> None:
        """Start with no companions known; `start_day` gives them their priors."""
        self.belief = belief
        self._mean: Floats = np.zeros(5)
        self._covariance: Floats = np.zeros((5, 5))
        self._came = self._left = self._noise = 0.0
        self.start_day(0.0, 0.0, 0.0, 0.0)

    def start_day(self, scatter: float, day_variance: float, imbalance_variance: float, scale_variance: float) -> None:
        """Forget what was common to yesterday's errors."""
        self._mean = np.zeros(5)
        self._covariance = np.diag([0.0, scatter, day_variance, imbalance_variance, scale_variance])
        self._restart()

    def restart(self, belief: Belief) -> None:
        """Replace the belief by one that owes nothing to the past (an empty store)."""
        self.belief = belief
        self._covariance[N, :] = self._covariance[:, N] = 0.0
        self._restart()

    def _restart(self) -> None:
        self._came = self._left = self._noise = 0.0
        self._mean[N], self._covariance[N, N] = self.belief.moments()

    # --- what moves it ---------------------------------------------------------------------------------------------

    def flow(self, ins: int, outs: int, came: float, left: float, noise: float) -> None:
        """The doors counted `ins` and `outs`, which stand for `came` and `left` people, give or take √noise."""
        self.belief.flow(ins, outs, (came - ins) - (left - outs), noise)
        self._came += came
        self._left += left
        self._noise += noise

    def unseen(self, shift: float, variance: float) -> None:
        """People may have passed a silent door."""
        self.belief.blur(shift, variance)
        self._noise += variance

    def observe(self, people: float, error: float, relative: float, doubt: float) -> None:
        """An absolute reading; teaches the companions too."""
        self.gather(1.0)
        self.belief.observe(people, error, relative, doubt)
        self._share()

    def somebody(self, share: float) -> None:
        """Somebody is inside: the belief in nobody shrinks to this share."""
        self.gather(1.0)
        self.belief.doubt_nobody(share)
        self._share()

    def step(self, stayers: float, stayers_variance: float, forgets: float, scatter: float) -> None:
        """Take the expected stayers as evidence.

        Args:
            stayers: how many the arrivals and dwell times let expect.
            stayers_variance: of that expectation, from arrivals that nobody counted.
            forgets: share of e that a step keeps, exp(-step / mean dwell).
            scatter: variance of the stayers over their mean.
        """
        self.gather(forgets, scatter * (1 - forgets * forgets))
        mean, covariance = self._mean, self._covariance
        # A common scale moves n and the expected stayers alike, so this says nothing of it; with the stayers themselves as
        # its factor, their scatter would pull the scale down, as noise in a regressor does.
        scaled = float(covariance[N, S] / covariance[S, S]) if covariance[S, S] > 0 else 0.0
        row = np.array([1.0, math.sqrt(max(stayers, 1.0)), stayers, 0.0, -scaled])
        against = covariance @ row
        variance = float(row @ against) + _STEP_NOISE + stayers_variance
        surprise = stayers - float(row @ mean)
        variance *= max(surprise * surprise / (variance * _HUBER), 1.0)
        gain = against / variance
        before, before_variance = float(mean[N]), float(covariance[N, N])
        mean = mean + gain * surprise
        covariance = covariance - np.outer(gain, against)
        after, after_variance = float(mean[N]), float(covariance[N, N])
        self._mean, self._covariance = mean, covariance
        if before_variance > _LEAST_VARIANCE and after_variance < before_variance:
            self.belief.tilt(
                1 / after_variance - 1 / before_variance, after / after_variance - before / before_variance
            )
        self._share()

    def gather(self, forgets: float, renewal: float = 0.0) -> None:
        """Bring the companions up to the flows since the last time."""
        transition = np.eye(5)
        transition[E, E] = forgets
        transition[N, D] = (self._came + self._left) / 2
        transition[N, S] = self._came - self._left
        covariance = transition @ self._covariance @ transition.T
        grown = float(covariance[N, N] - self._covariance[N, N])
        covariance[N, N] += self._noise
        covariance[E, E] += renewal
        drift = float(transition[N, D:] @ self._mean[D:])
        self._mean[N] = self.belief.mean() + drift
        self._mean[E] *= forgets
        self._covariance = covariance
        self._came = self._left = self._noise = 0.0
        self.belief.blur(drift, max(grown, 0.0))
        if grown < 0:
            mean, variance = self.belief.moments()
            if variance + grown > _LEAST_VARIANCE:
                precision = 1 / (variance + grown) - 1 / variance
                self.belief.tilt(precision, precision * mean)
        self._share()

    def _share(self) -> None:
        """Give the grid's mean and variance to the companions: what it learned by itself flows on by the covariance."""
        mean, variance = self.belief.moments()
        own = float(self._covariance[N, N])
        if own > _LEAST_VARIANCE:
            gain = self._covariance[:, N] / own
            self._mean = self._mean + gain * (mean - self._mean[N])
            self._covariance = self._covariance + np.outer(gain, gain) * (variance - own)
        self._mean[N], self._covariance[N, N] = mean, variance

    # --- to keep ---------------------------------------------------------------------------------------------------

    def dump(self) -> Dumped:
        """Everything, exactly."""
        return (
            self.belief.dump(), self._mean.tolist(), self._covariance.ravel().tolist(),
            self._came, self._left, self._noise,
        )  # fmt: skip

    @classmethod
    def load(cls, dumped: Dumped) -> Self:
        """What `dump` gave, to the bit."""
        inside = cls(Belief.load(dumped[0]))
        inside._mean, inside._covariance = np.array(dumped[1]), np.array(dumped[2]).reshape(5, 5)
        inside._came, inside._left, inside._noise = dumped[3:]
        return inside
