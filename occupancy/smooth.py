"""A day looked at from its end: what the evening knew corrects the morning.

The backward pass of Rauch, Tung and Striebel (AIAA Journal 3 (1965) 1445) over a random walk with known steps: between
two instants at which the number inside is known, an error of the count is shared out by where it could have arisen.
History is written from this; what was said live stays said.
"""

from typing import NamedTuple

import numpy as np

from occupancy.dwell import Floats

_Z90 = 1.6448536269514722


class Known(NamedTuple):
    """A number of people known with a variance."""

    people: float
    variance: float


class Smoothed(NamedTuple):
    """Mean and variance at the end of each step, each of shape (n,)."""

    mean: Floats
    variance: Floats


def smooth(change: Floats, noise: Floats, readings: dict[int, Known], start: Known, end: Known | None) -> Smoothed:
    """Occupancy at the end of each step.

    Args:
        change: shape (n,): people who came less people who left.
        noise: shape (n,): variance of that.
        readings: what is known at the ends of some steps.
        start: what is known before the first step.
        end: what is known after the last; None where nothing is.
    """
    size = change.size
    means, variances = np.empty(size), np.empty(size)
    mean, variance = start.people, max(start.variance, 1e-6)
    for at in range(size):
        mean, variance = mean + float(change[at]), variance + float(noise[at])
        known = readings.get(at)
        if known is not None:
            mean, variance = _update(mean, variance, known)
        means[at], variances[at] = mean, variance
    if size and end is not None:
        means[-1], variances[-1] = _update(float(means[-1]), float(variances[-1]), end)
    for at in range(size - 2, -1, -1):
        predicted = variances[at] + noise[at + 1]
        gain = variances[at] / predicted
        means[at] += gain * (means[at + 1] - means[at] - change[at + 1])
        variances[at] += gain * gain * (variances[at + 1] - predicted)
    return Smoothed(np.maximum(means, 0.0), np.maximum(variances, 0.0))


def _update(mean: float, variance: float, known: Known) -> tuple[float, float]:
    gain = variance / (variance + known.variance)
    return mean + gain * (known.people - mean), variance * (1 - gain)


class History(NamedTuple):
    """A closed day as it was, for the record: one figure a step, in people."""

    starts_ms: int
    step_ms: int
    mean: Floats
    low: Floats
    """With `high` the 90 % interval."""
    high: Floats


class Packed(NamedTuple):
    """A `History` in little room: tenths of a person, 16 bits each, means then lows then highs."""

    starts_ms: int
    step_ms: int
    tenths: bytes

    def unpack(self) -> History:
        """The figures."""
        rows = np.frombuffer(self.tenths, dtype="<u2").reshape(3, -1) / 10
        return History(self.starts_ms, self.step_ms, *rows)


def pack(starts_ms: int, step_ms: int, smoothed: Smoothed) -> Packed:
    """Means with 90 % intervals; nobody counts more than 6 553 people in tenths."""
    reach = _Z90 * np.sqrt(smoothed.variance)
    rows = np.stack([smoothed.mean, smoothed.mean - reach, smoothed.mean + reach])
    tenths = np.clip(np.floor(10 * rows + 0.5), 0, 65_535).astype("<u2")
    return Packed(starts_ms, step_ms, tenths.tobytes())
