"""Who passed a door while it said nothing: a guess from that hour's usual rate, with its error."""

from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from occupancy.day import Day
from occupancy.dwell import STEP_MS
from occupancy.sources import Source
from occupancy.week import HOUR_MS, INS, OUTS, Week, hour_of_week

RATE_ERROR: Final = 0.3
"""Relative standard error of a door's usual rate."""
_GROUPS: Final = 1.5
"""Variance of the people in a stretch of time over their mean."""


class Rates(NamedTuple):
    """People a millisecond."""

    ins: float
    outs: float


class Missed(NamedTuple):
    """People who came and left unseen, and the variance of the balance."""

    came: float
    left: float
    variance: float


NOBODY: Final = Missed(0.0, 0.0, 0.0)


class UsualRates:
    """The usual rates of one place's doors today; what it keeps is only a cache."""

    __slots__ = ("_ratio", "_step")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The day's record changed behind the present step."""
        self._step, self._ratio = -1, 1.0

    def of(self, source: Source, at_ms: int, day: Day, week: Week, zone: ZoneInfo) -> Rates:
        """This hour of the typical week, by today's ratio and the door's share; as lately where the week is not known."""
        hour = hour_of_week(at_ms, zone)
        if not (week.knows(hour) and source.in_share and source.out_share):
            return Rates(source.ins_per_ms, source.outs_per_ms)
        step = day.step(at_ms)
        if step != self._step:
            expected = week.expected_ins(day.starts_ms, day.starts_ms + step * STEP_MS, zone)
            self._step, self._ratio = step, week.ratio(day.came_before(step), expected)
        scale = self._ratio / HOUR_MS
        return Rates(
            scale * source.in_share * week.figure(INS, hour), scale * source.out_share * week.figure(OUTS, hour)
        )


def missed(source: Source, rates: Rates, *, since_ms: int, at_ms: int, most: float) -> Missed:
    """People who passed since they were last taken in.

    The rate is off by the same share all along, so its variance grows with the square of all that passed in one silence.

    Args:
        source: the door.
        rates: its usual rates.
        since_ms: when it fell silent.
        at_ms: until when.
        most: bound of the standard deviation.
    """
    pending = at_ms - max(since_ms, source.settled_ms)
    broken = source.broken(at_ms - since_ms)
    came, left = broken * pending * rates.ins, broken * pending * rates.outs
    before = source.unseen_ins + source.unseen_outs
    after = before + came + left
    variance = _GROUPS * (came + left) + RATE_ERROR**2 / 2 * (after * after - before * before)
    return Missed(came, left, min(variance, most * most))
