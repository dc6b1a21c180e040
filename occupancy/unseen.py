"""Who passed a door while it said nothing: a guess from that hour's usual rate, with its error."""

from typing import Final, NamedTuple

from occupancy.sources import Source

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
