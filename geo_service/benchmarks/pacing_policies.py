"""What pacing is compared with: no control, three simple ones that look at the store as it is now, and one that knows all."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from geo_service.benchmarks.pacing_floor import Floor, Outcome, Policy, Seen
from geo_service.simulator.promotion import MINUTES, Days, Floats, Ints
from occupancy.pacing_stays import HORIZONS

BLIND_AFTER = 15
"""Minutes of silence after which nobody is invited: the simple policies know that much too."""


class _Share:
    """Invites a share of those who pass, rounded by chance so that the mean is right. Settings are arrays, one element a lane."""

    def __init__(self, days: Days) -> None:
        self._dice = np.random.default_rng([days.seed, 11])
        self.capacity = days.setting.capacity

    def share(self, seen: Seen) -> Floats:
        """The share, 0 to 1, one a lane."""
        raise NotImplementedError

    def quota(self, seen: Seen) -> Ints:
        """How many at most."""
        share = np.where(seen.silent_for >= BLIND_AFTER, 0.0, np.clip(self.share(seen), 0.0, 1.0))
        return np.floor(share * seen.passing + self._dice.random(seen.passing.size)).astype(np.int64)

    def invited(self, minute: int, people: Ints, floor: Floor) -> None:
        """Nothing to remember."""


class Fixed(_Share):
    """No control: always the same share."""

    def __init__(self, days: Days, share: Floats) -> None:
        super().__init__(days)
        self._fixed = share

    def share(self, seen: Seen) -> Floats:  # noqa: ARG002 - that is what makes it blind
        """Always the same."""
        return self._fixed


class OnOff(_Share):
    """Off from one share of the capacity on, on again at a lower one."""

    def __init__(self, days: Days, off: Floats, gap: Floats) -> None:
        super().__init__(days)
        self._off, self._on = off, off - gap
        self._open = np.ones(off.size, np.bool_)

    def share(self, seen: Seen) -> Floats:
        """All or nobody."""
        rate = seen.people / self.capacity
        self._open = np.where(rate >= self._off, False, np.where(rate < self._on, True, self._open))
        return self._open.astype(np.float64)


class Ramp(_Share):
    """From everybody at one share of the capacity down to nobody at another."""

    def __init__(self, days: Days, end: Floats, width: Floats) -> None:
        super().__init__(days)
        self._end, self._width = end, width

    def share(self, seen: Seen) -> Floats:
        """In proportion to the room."""
        ramp: Floats = (self._end - seen.people / self.capacity) / self._width
        return ramp


class Pid(_Share):
    """Holds the store at a level: proportional, integral and derivative of how far it is below it.

    Åström and Hägglund, *PID Controllers*, 1995: derivative of the measurement, integral held while the output is at a bound.
    """

    def __init__(
        self, days: Days, level: Floats, gain: Floats, integral_minutes: Floats, derivative_minutes: Floats
    ) -> None:
        super().__init__(days)
        self._level, self._gain = level, gain
        self._integral, self._derivative = integral_minutes, derivative_minutes
        self._sum: Floats = np.zeros(level.size)
        self._last: Floats | None = None

    def share(self, seen: Seen) -> Floats:
        """The controller's output."""
        rate = seen.people / self.capacity
        slope = np.zeros_like(rate) if self._last is None else rate - self._last
        self._last = rate
        error = self._level - rate
        output = self._gain * (error + self._sum / self._integral - self._derivative * slope)
        held = ((output > 1) & (error > 0)) | ((output < 0) & (error < 0))
        self._sum = self._sum + np.where(held, 0.0, error)
        share: Floats = output
        return share


class Settings(NamedTuple):
    """What a simple policy is swept over: from timid to bold, by every way to tune it."""

    policy: Callable[..., Policy]
    levels: Sequence[float]
    tunings: Sequence[tuple[float, ...]]


SETTINGS: Final = {
    "none": Settings(Fixed, np.arange(0.0, 1.01, 0.1).tolist(), [()]),
    "on_off": Settings(OnOff, np.arange(0.55, 1.01, 0.05).tolist(), [(0.02,), (0.1,)]),
    "ramp": Settings(Ramp, np.arange(0.6, 1.06, 0.05).tolist(), [(0.15,), (0.3,), (0.5,)]),
    "pid": Settings(
        Pid, np.arange(0.5, 0.96, 0.05).tolist(), [(2.0, 60.0, 0.0), (4.0, 60.0, 10.0), (6.0, 240.0, 20.0)]
    ),
}


def sweep(policy: str, days: Days) -> list[tuple[str, Outcome]]:
    """Every setting of a simple policy, with what became of the days under it."""
    settings = SETTINGS[policy]
    every = [(level, *tuning) for tuning in settings.tunings for level in settings.levels]
    lanes = np.tile(np.arange(len(days)), len(every))
    columns = [np.repeat(column, len(days)) for column in zip(*every, strict=True)]
    outcome = Floor(days, lanes).run(settings.policy(days, *columns))
    return [
        (", ".join(f"{value:g}" for value in setting), outcome[number * len(days) : (number + 1) * len(days)])
        for number, setting in enumerate(every)
    ]


def all_knowing(days: Days, capacity: int, *, her_own_fate: bool = True) -> Outcome:
    """Asked in the order in which they pass, it knows who comes, when, and for how long, and everybody who comes by themselves.

    It invites whoever comes and never makes the store fuller than `capacity`. So it also picks those who stay briefly;
    without `her_own_fate` it knows everything but what will become of the one it is asked about: it invites her if there is
    room for the next three quarters of an hour. No forecast can do better than that.
    """
    net = np.cumsum(days.ins - days.outs, axis=1).astype(np.int32)
    invited = np.zeros((len(days), MINUTES), np.int16)
    visits = np.zeros(len(days), np.int64)
    valid = np.arange(days.come.shape[2]) < days.passing[:, :, None]
    for day, minute, number in zip(*(index.tolist() for index in np.nonzero(days.come & valid)), strict=True):
        came = minute + int(days.delay[day, minute, number])
        if came >= MINUTES:
            continue
        stay = net[day, came : came + int(days.stay[day, minute, number])]
        asked = stay if her_own_fate else net[day, minute + 1 : minute + 1 + HORIZONS[-1]]
        if asked.max() < capacity:
            stay += 1
            invited[day, minute] += 1
            visits[day] += 1
    return Outcome(days, np.arange(len(days)), net, visits, invited)
