"""What the doors miss, learned every night: a closed store is empty, so what came in has gone out.

Each door has two factors, true over counted, in and out. One night gives one equation, the day's net change is zero:
r = Σ (c_in · ins - c_out · outs) = 0 ± noise, a measurement of the factors' differences by a Kalman filter
(Kalman, J. Basic Eng. 82 (1960) 35) in logarithms. It cannot tell their common scale, and least squares would shrink it
(noise in the counts, as in Fuller, *Measurement Error Models*, 1987, §1.1): so the common scale is held and comes from elsewhere, the
scatter of r from night to night. Where each crossing is missed with chance m = 1 - 1/c, a count of n people scatters by
n m (1 - m), and the truth behind one counted person by c (c - 1): doors that scatter much miss much.

Guards: a residual over five standard errors (a propped door, a broken sensor) teaches nothing and alerts. Where the factors run into their
bounds, or nights do not close for a week, people leave by a door that nobody counts: the place is uncalibrated.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np

_PRIOR_FACTOR: Final = 1.05
_PRIOR_MISS: Final = 1 - 1 / _PRIOR_FACTOR
_IMBALANCE_SIGMA: Final = 0.03
"""Prior of how far all doors together miss more in one direction than in the other, relatively; half of it each way."""
_FIRST_DAY_SIGMA: Final = 0.03
"""The same before any night has said anything; a wider one would push the mean up where it cannot fall below nobody."""
_DOOR_SIGMA: Final = 0.025
"""Prior of how far one door's factor differs from the others'."""
_SCALE_SIGMA: Final = 0.05
"""Prior of the common scale, relatively."""
_DRIFT_SIGMA: Final = 0.002
"""A door's factor may drift by so much, relatively, in a day."""
_LEAST_FACTOR: Final = 0.85
_MOST_FACTOR: Final = 1.5
_SURPRISE: Final = 25.0
_NIGHT_VARIANCE: Final = 4.0
"""Of the people who are really inside when a closed store is taken to be empty."""
_SCATTER_PRIOR_NIGHTS: Final = 4.0
_SCATTER_MEMORY: Final = 0.98
_DISORDER_PACE: Final = 0.05
_LEAST_MISS: Final = 0.002
_MOST_MISS: Final = 0.25
"""No door worth its name misses a quarter of the people."""
_MISS_TO_RECOVER: Final = 0.15
"""An uncalibrated place must fall below this before it is believed again."""
_SHARE_PACE: Final = 0.15
_COUNT_NOISE: Final = 0.002
_A_WEEK: Final = 7
_LEAST_CROSSINGS: Final = 40
_MOST_DOORS: Final = 8


class Night(NamedTuple):
    """What one closure said."""

    residual: float
    """People whom the calibrated doors left inside of an empty store."""
    sigma: float
    taught: bool
    alert: str | None


class Calibration(msgspec.Struct):
    """Factors of the doors of one place.

    `logs` and `covariance` hold ln c_in and ln c_out of each door in `doors`, relative to the common scale.
    """

    doors: list[str] = []
    logs: list[float] = []
    covariance: list[float] = []
    shares: list[float] = []
    """Each door's share of all ins and of all outs, over the last weeks, in the order of `logs`."""
    scatter_nights: float = _SCATTER_PRIOR_NIGHTS
    scatter_sum: float = _SCATTER_PRIOR_NIGHTS * _PRIOR_MISS
    """Of each night, the square of its residual, in counts, over its crossings."""
    disorder: float = _PRIOR_MISS
    """The same lately, with the nights that did not close."""
    nights: int = 0
    ins: float = 0.0
    """Counted on all nights that taught; the same for `outs`: the simple control is their ratio."""
    outs: float = 0.0
    squares: float = 0.0
    """Of recent residuals; the same of the simple control's."""
    control_squares: float = 0.0
    strange: int = 0
    """Nights of the last week or so that did not close or ran into a bound."""
    uncalibrated: bool = False

    @property
    def miss(self) -> float:
        """Share of the people whom the doors miss, as the scatter of the nights tells."""
        return min(max(self.scatter_sum / self.scatter_nights, _LEAST_MISS), _MOST_MISS)

    @property
    def scale(self) -> float:
        """The common factor, true over counted."""
        return 1 / (1 - self.miss)

    @property
    def scale_sigma(self) -> float:
        """Relative standard error of `scale`: a variance known from so many nights, and a prior that they replace."""
        return math.hypot(
            0.02, self.scale * self.miss * math.sqrt(2 / self.scatter_nights), _SCALE_SIGMA / (1 + self.nights / 4)
        )

    def factors(self, door: str) -> tuple[float, float]:
        """True over counted of one door, in and out."""
        ratio = self.ins / self.outs if self.ins and self.outs else 1.0
        if self.uncalibrated:
            return _bounded(1.0), _bounded(ratio)
        scale = self.scale
        if self._control_is_better():
            return _bounded(scale / math.sqrt(ratio)), _bounded(scale * math.sqrt(ratio))
        if door not in self.doors:
            return _bounded(scale), _bounded(scale)
        at = 2 * self.doors.index(door)
        return _bounded(scale * math.exp(self.logs[at])), _bounded(scale * math.exp(self.logs[at + 1]))

    def imbalance_variance(self) -> float:
        """Variance of ln (c_in / c_out) of all doors together, each weighted by what usually passes it."""
        if not self.nights:
            return _FIRST_DAY_SIGMA**2
        shares = self.shares if len(self.shares) == len(self.logs) else 1 / len(self.doors)
        weights = np.array([1.0, -1.0] * len(self.doors)) * shares
        return float(weights @ self._matrix() @ weights)

    def close(
        self, counted: Mapping[str, tuple[int, int]], *, unseen: float, unseen_variance: float, end_variance: float
    ) -> Night:
        """Learn from one closure.

        Args:
            counted: each door's ins and outs since the last closure.
            unseen: people who came in less who left past silent doors meanwhile, by their usual rates.
            unseen_variance: of that.
            end_variance: of who is really inside at such an instant; a store that never closes knows it badly.
        """
        counted = dict(sorted(counted.items()))
        crossings = sum(ins + outs for ins, outs in counted.values())
        self._meet(counted)
        effect = np.zeros(len(self.logs))
        for door, (ins, outs) in counted.items():
            if door in self.doors:
                at = 2 * self.doors.index(door)
                scale = self.scale
                effect[at] += scale * math.exp(self.logs[at]) * ins
                effect[at + 1] -= scale * math.exp(self.logs[at + 1]) * outs
        residual = float(effect.sum()) + unseen
        matrix = self._matrix()
        scatter = self.miss * self.scale**2 * crossings
        variance = float(effect @ matrix @ effect) + scatter + _NIGHT_VARIANCE + end_variance + unseen_variance
        sigma = math.sqrt(variance)
        strange = residual * residual > _SURPRISE * variance
        if crossings < _LEAST_CROSSINGS and not strange:
            return Night(residual, sigma, taught=False, alert=None)
        if not unseen_variance:
            self._score(counted, residual)
        seen = (residual * residual - (variance - scatter)) / self.scale**2 / max(crossings, 1)
        self.disorder += _DISORDER_PACE * (min(max(seen, 0.0), 1.0) - self.disorder)
        if not strange:
            # A night that says more of the factors, or of a silence, than of the scatter counts the less for the latter.
            weight = (scatter / variance) ** 2
            self.scatter_nights = self.scatter_nights * _SCATTER_MEMORY + weight
            self.scatter_sum = self.scatter_sum * _SCATTER_MEMORY + weight * min(seen, 1.0)
            self._learn(effect, matrix, residual, variance)
            self._share(counted)
        self._judge(strange=strange)
        return Night(residual, sigma, taught=not strange, alert=self._alert(strange, residual, sigma))

    def _meet(self, counted: Mapping[str, tuple[int, int]]) -> None:
        """Give a new door its prior; what is learned of doors that are gone goes with them."""
        size = len(self.logs)
        known = [door for door in self.doors if door in counted]
        doors = known + [door for door in counted if door not in known][: max(_MOST_DOORS - len(known), 0)]
        if doors == self.doors:
            return
        old, matrix = self._matrix(), np.zeros((2 * len(doors), 2 * len(doors)))
        logs = [0.0] * (2 * len(doors))
        kept = [at for door in known for at in (2 * self.doors.index(door), 2 * self.doors.index(door) + 1)]
        if size and kept:
            matrix[: len(kept), : len(kept)] = old[np.ix_(kept, kept)]
            logs[: len(kept)] = [self.logs[at] for at in kept]
        matrix[len(kept) :, len(kept) :] = _prior(len(doors) - len(known))
        self.shares = []
        self.doors, self.logs, self.covariance = doors, logs, matrix.ravel().tolist()

    def _share(self, counted: Mapping[str, tuple[int, int]]) -> None:
        if len(self.shares) != len(self.logs):
            self.shares = [1 / len(self.doors)] * len(self.logs)
        known = np.array([counted.get(door, (0, 0)) for door in self.doors], dtype=np.float64)
        tonight = known / np.maximum(known.sum(axis=0), 1.0)
        shares = np.array(self.shares)
        self.shares = (shares + _SHARE_PACE * (tonight.ravel() - shares)).tolist()

    def _learn(self, effect: np.ndarray, matrix: np.ndarray, residual: float, variance: float) -> None:
        gain = matrix @ effect / variance
        logs = np.array(self.logs) - gain * residual
        logs -= logs.mean()
        matrix = matrix - np.outer(gain, effect @ matrix)
        matrix = (matrix + matrix.T) / 2 + np.eye(len(logs)) * _DRIFT_SIGMA**2
        self.logs, self.covariance = logs.tolist(), matrix.ravel().tolist()

    def _score(self, counted: Mapping[str, tuple[int, int]], residual: float) -> None:
        ins = sum(ins for ins, _ in counted.values())
        outs = sum(outs for _, outs in counted.values())
        control = ins - outs * (self.ins / self.outs) if self.ins and self.outs else float(ins - outs)
        self.squares = 0.95 * self.squares + (residual / self.scale) ** 2
        self.control_squares = 0.95 * self.control_squares + control * control
        self.ins, self.outs = self.ins + ins, self.outs + outs
        self.nights += 1

    def _control_is_better(self) -> bool:
        return self.nights >= 2 * _A_WEEK and self.squares > 1.15 * self.control_squares

    def _judge(self, *, strange: bool) -> None:
        bounded = any(not _LEAST_FACTOR < self.scale * math.exp(log) < _MOST_FACTOR for log in self.logs)
        most = _MISS_TO_RECOVER if self.uncalibrated else _MOST_MISS
        if strange or bounded or self.disorder > most:
            self.strange = min(self.strange + 1, 2 * _A_WEEK)
        else:
            self.strange = max(self.strange - 1, 0)
        if self.strange >= _A_WEEK:
            self.uncalibrated = True
        elif self.strange == 0:
            self.uncalibrated = False

    def _alert(self, strange: bool, residual: float, sigma: float) -> str | None:
        if self.uncalibrated:
            return "people come or go by a door that nobody counts"
        if strange:
            return (
                f"the doors left {residual:.0f} people in an empty store, {abs(residual) / sigma:.0f} standard errors"
            )
        return None

    def _matrix(self) -> np.ndarray:
        size = len(self.logs)
        return np.array(self.covariance).reshape(size, size)


class Factors:
    """What one night's calibration makes of a count, looked up once a door."""

    __slots__ = ("_calibration", "_known")

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._known: dict[str, tuple[float, float, float, float]] = {}

    def weigh(self, door: str, ins: int, outs: int) -> tuple[float, float, float]:
        """People who came and who left, for these counts of a door, and the variance of that."""
        known = self._known.get(door)
        if known is None:
            more, fewer = self._calibration.factors(door)
            known = self._known[door] = (more, fewer, _spread(more), _spread(fewer))
        return known[0] * ins, known[1] * outs, known[2] * ins + known[3] * outs


def _spread(factor: float) -> float:
    """Variance of the truth behind one count: a negative binomial's, and a little for what no count is free of."""
    return factor * max(factor - 1, 0.0) + _COUNT_NOISE


def _prior(doors: int) -> np.ndarray:
    way = np.array([1.0, -1.0] * doors)
    return np.outer(way, way) * _IMBALANCE_SIGMA**2 + np.eye(2 * doors) * _DOOR_SIGMA**2


def _bounded(factor: float) -> float:
    return min(max(factor, _LEAST_FACTOR), _MOST_FACTOR)
