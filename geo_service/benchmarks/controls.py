"""The simple methods that occupancy is measured against, each with a nightly reset."""

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class Control(Protocol):
    """A way to get from counts to people."""

    def day(self, ins: Counts, outs: Counts) -> Floats:
        """Occupancy at the end of each slot of the next day; learns from the day afterwards."""
        ...


class Raw:
    """In minus out."""

    def day(self, ins: Counts, outs: Counts) -> Floats:
        """See `Control.day`."""
        return np.cumsum(ins - outs).astype(np.float64)


class Clamp:
    """In minus out, never below nobody."""

    def day(self, ins: Counts, outs: Counts) -> Floats:
        """See `Control.day`."""
        inside, said = 0, []
        for change in (ins - outs).tolist():
            inside = max(inside + change, 0)
            said.append(float(inside))
        return np.array(said)


class Ratio:
    """In minus out, outs scaled by all ins over all outs of the days before; never below nobody."""

    def __init__(self) -> None:
        self._ins = self._outs = 0

    def day(self, ins: Counts, outs: Counts) -> Floats:
        """See `Control.day`."""
        ratio = self._ins / self._outs if self._outs else 1.0
        self._ins, self._outs = self._ins + int(ins.sum()), self._outs + int(outs.sum())
        return np.maximum(np.cumsum(ins) - np.cumsum(outs) * ratio, 0.0)


class Kalman:
    """A Kalman filter on the factors (c_in, c_out), fed with one net change a night; prior 1.05 ± 0.06, 0.85 to 1.5."""

    def __init__(self) -> None:
        self._factors = np.array([1.05, 1.05])
        self._covariance = np.eye(2) * 0.06**2

    def day(self, ins: Counts, outs: Counts) -> Floats:
        """See `Control.day`."""
        said: Floats = np.maximum(np.cumsum(ins) * self._factors[0] - np.cumsum(outs) * self._factors[1], 0.0)
        effect = np.array([ins.sum(), -outs.sum()], dtype=np.float64)
        noise = 4.0 + 1.5 * float(np.abs(effect) @ (np.maximum(self._factors - 1, 0) + 0.01))
        variance = float(effect @ self._covariance @ effect) + noise
        residual = -float(effect @ self._factors)
        if residual * residual < 25 * variance:
            gain = self._covariance @ effect / variance
            self._factors = np.clip(self._factors + gain * residual, 0.85, 1.5)
            self._covariance = self._covariance - np.outer(gain, effect @ self._covariance)
        return said


CONTROLS: Final[dict[str, Callable[[], Control]]] = {"raw": Raw, "clamp": Clamp, "ratio": Ratio, "kalman": Kalman}
