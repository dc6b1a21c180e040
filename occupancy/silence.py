"""Who passed a door while it said nothing: a guess from that hour's usual rate, with its error.

While a silence is young it may be that nobody came: the guess only widens what is shown, and is dropped when the door
speaks again. Once the door counts as silent the guess becomes part of the belief, for those people were never counted;
unless the door later tells a running total, which holds them: then the guess is taken back.
"""

from typing import Final, NamedTuple

from occupancy.inside import Inside
from occupancy.record import RATE_ERROR, Rates, Record
from occupancy.sources import Source
from occupancy.state import State

_GROUPS: Final = 1.5
"""Variance of the people in a stretch of time over their mean."""


class Missed(NamedTuple):
    """People who came and left unseen, and the variance of the balance."""

    came: float
    left: float
    variance: float


NOBODY: Final = Missed(0.0, 0.0, 0.0)


class Silence:
    """The silences of one place's doors; what it knows of them lies in the state."""

    __slots__ = ("_inside", "_record", "_state")

    def __init__(self, state: State, inside: Inside, record: Record) -> None:
        self._state, self._inside, self._record = state, inside, record

    def missed(self, door: Source, at_ms: int) -> Missed:
        """People who passed a quiet door since they were last taken in."""
        if not door.heard or at_ms - door.last_ms < door.quiet_after_ms or at_ms <= door.settled_ms:
            return NOBODY
        since_ms = self._state.silent_since(door)
        if at_ms - since_ms < door.quiet_after_ms:
            return NOBODY
        rates = self._record.rates(door, at_ms)
        return _missed(door, rates, since_ms=since_ms, at_ms=at_ms, most=self._state.comfort_in_use / 2)

    def take_in(self, door: Source, at_ms: int) -> None:
        """Make whoever passed a quiet door part of the belief."""
        came, left, variance = self.missed(door, at_ms)
        if came + left <= 0:
            return
        state = self._state
        self._inside.unseen(came - left, variance)
        self._record.guessed(max(state.silent_since(door), door.settled_ms), at_ms, came, left, variance)
        door.unseen_ins += came
        door.unseen_outs += left
        door.settled_ms = at_ms
        state.unseen += came - left
        state.unseen_variance += variance

    def take_in_all(self) -> None:
        """The same for every door, now; a closed place has no silence."""
        for door in self._state.doors.values() if self._state.open else ():
            self.take_in(door, self._state.now_ms)

    def end(self, door: Source, at_ms: int, *, whole_gap: bool) -> None:
        """A door speaks again; `whole_gap`: its figures hold what passed meanwhile."""
        if whole_gap:
            balance = door.unseen_ins - door.unseen_outs
            if balance:
                self._inside.unseen(-balance, 0.0)
                since_ms = self._state.silent_since(door)
                self._record.guessed(since_ms, at_ms, -door.unseen_ins, -door.unseen_outs, 0.0)
                self._state.unseen -= balance
        elif at_ms - self._state.silent_since(door) >= door.silent_after_ms:
            self.take_in(door, at_ms)


def _missed(door: Source, rates: Rates, *, since_ms: int, at_ms: int, most: float) -> Missed:
    """The guess; all that one silence may have brought in or out is known to be no more than the place holds."""
    pending = at_ms - max(since_ms, door.settled_ms)
    broken = door.broken(at_ms - since_ms)
    came, left = broken * pending * rates.ins, broken * pending * rates.outs
    before = door.unseen_ins + door.unseen_outs
    variance = _variance(before + came + left, most) - _variance(before, most)
    return Missed(came, left, variance)


def _variance(passed: float, most: float) -> float:
    """Of the balance of those who passed in one silence; the rate is off by one share all along, so its part grows with the square."""
    return min(_GROUPS * passed + RATE_ERROR**2 / 2 * passed * passed, most * most)
