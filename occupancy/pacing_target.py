"""How careful to be: the safety factor z, moved once a day until a store is too full for as many minutes as was promised.

z rises after a day with more overshoot than the target and falls after one with less. With a constant step the mean of all
days comes to the target whatever the forecast gets wrong, as z stays within bounds (Gibbs and Candès, "Adaptive conformal
inference under distribution shift", NeurIPS 2021, proposition 4.1).
"""

import math
from typing import Final

import msgspec

FIRST_Z: Final = 2.0
BOUNDS: Final = (-1.0, 5.0)
_STEP: Final = 0.1
_FIRST_STEP: Final = 0.3
_MOST: Final = 5.0
"""A day counts for no more than so many times the target: a fair is no reason to invite nobody for weeks."""
_LEAST_TARGET: Final = 1.0


class Target(msgspec.Struct):
    """The promise of one store and what became of it."""

    minutes: float = 5.0
    """Overshoot a day that is promised: more people than the comfort capacity although some of them were invited."""
    z: float = FIRST_Z
    days: int = 0
    """Days that taught something."""
    today: float = 0.0
    """Overshoot so far, as believed: minutes times the probability of being over."""
    asked: bool = False
    """Pacing said no today, so z made a difference."""
    past: float | None = None
    """Mean overshoot of the past days, the last month above all."""

    def over(self, minutes: float) -> None:
        """So many more minutes over the capacity."""
        self.today += minutes

    def end_day(self) -> None:
        """Move z by the day that is over; one on which pacing never said no and nothing ran over says nothing of z."""
        if self.asked or self.today > self.minutes:
            target = max(self.minutes, _LEAST_TARGET)
            miss = min(self.today, self.minutes + _MOST * target) - self.minutes
            step = max(_FIRST_STEP / (1 + self.days / 4), _STEP)
            self.z = min(max(self.z + step * miss / target, BOUNDS[0]), BOUNDS[1])
            self.days += 1
            pace = max(1 / self.days, 1 / 30)
            self.past = self.today if self.past is None else self.past + pace * (self.today - self.past)
        self.today, self.asked = 0.0, False


def above(people: float, variance: float, capacity: float) -> float:
    """Probability of more than `capacity` people."""
    return 0.5 * math.erfc((capacity + 0.5 - people) / math.sqrt(2 * max(variance, 0.05)))
