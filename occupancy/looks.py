"""What somebody or something that looked at the inside says of it: cameras, people who count by eye, weak evidence.

Each is a likelihood of the number of people (`estimate.Belief.observe`). None of them touches what the doors counted.
"""

import math
from typing import Final

from occupancy.estimate import Belief
from occupancy.inside import Inside
from occupancy.record import Record
from occupancy.silence import Silence
from occupancy.sources import MINUTE_MS, Source
from occupancy.state import Recount, State

_CAMERA_ERROR: Final = 0.2
_CAMERA_DOUBT: Final = 0.001
_RECOUNT_ERROR: Final = 0.03
_RECOUNT_DOUBT: Final = 0.05
"""How far a count by eye may overrule everything else that is believed."""
_STILL_DOUBT: Final = 0.1
"""How likely a motion sensor reports somebody where nobody is, against where somebody is."""
_INDEPENDENT_AFTER_MS: Final = 15 * MINUTE_MS
_RECOUNTS_KEPT: Final = 20


class Looks:
    """The looks at one place; what it knows of them lies in the state. Each is taken at the state's present instant."""

    __slots__ = ("_inside", "_record", "_silence", "_state")

    def __init__(self, state: State, inside: Inside, record: Record, silence: Silence) -> None:
        self._state, self._inside, self._record, self._silence = state, inside, record, silence

    def camera(self, people: float, error: float | None, counter: str) -> None:
        """A counter of the people inside spoke; `error` None takes its usual one."""
        state = self._state
        source = state.counters.setdefault(counter, Source(state.now_ms))
        error, relative = (1.0, _CAMERA_ERROR) if error is None else (max(error, 1.0), 0.0)
        if source.heard and state.heard:
            elapsed = state.now_ms - source.last_ms
            if state.doors:
                error, relative = error * _doubt(elapsed), relative * _doubt(elapsed)
            else:
                self._drift(elapsed)
        source.spoke(state.now_ms, state.silent_since(source))
        self._look(people, error, relative, _CAMERA_DOUBT)

    def hint(self, people: float, error: float, source: str) -> None:
        """Weak evidence of a number of people."""
        self._wander()
        self._look(people, error * self._doubt_of(source), 0.0, _CAMERA_DOUBT)

    def moved(self, source: str) -> None:
        """At least one person moves where this sensor looks."""
        self._wander()
        share = _STILL_DOUBT ** (self._doubt_of(source) ** -2)
        self._silence.take_in_all()
        self._inside.somebody(share)
        self._state.heard = True

    def _wander(self) -> None:
        """Where nothing counts, people come and go between two hints as they like."""
        state = self._state
        if state.hints and not state.doors and not state.counters:
            self._drift(state.now_ms - max(state.hints.values()))

    def _drift(self, elapsed_ms: int) -> None:
        comfort = self._state.comfort_in_use
        wander = (0.1 * comfort) ** 2 * elapsed_ms / MINUTE_MS
        self._inside.unseen(0.0, min(wander, comfort**2 / 4))

    def recount(self, people: float, error: float | None, by: str | None, *, before: Belief) -> None:
        """Somebody counted by eye; `before` is what was shown until then, for the record."""
        state = self._state
        state.counted_ms = state.now_ms
        low, high = before.interval()
        kept = Recount(state.now_ms, people, by, before.mean(), low, high)
        state.recounts = [*state.recounts[1 - _RECOUNTS_KEPT :], kept]
        error, relative = (1.0, _RECOUNT_ERROR) if error is None else (error, 0.0)
        self._look(people, error, relative, _RECOUNT_DOUBT)

    def _look(self, people: float, error: float, relative: float, doubt: float) -> None:
        self._silence.take_in_all()
        self._state.heard = True
        self._inside.observe(people, error, relative, doubt)
        self._record.day.see(self._state.now_ms, people, max(error, relative * self._inside.belief.mean()))

    def _doubt_of(self, source: str) -> float:
        """Factor of the error of a hint that comes so soon after the last one from there."""
        state = self._state
        elapsed = state.now_ms - state.hints.get(source, state.now_ms - _INDEPENDENT_AFTER_MS)
        state.hints[source] = state.now_ms
        return _doubt(elapsed)


def require_people(people: float, error: float | None) -> None:
    """Refuse what is no number of people, or no error of one.

    Raises:
        ValueError: a negative or infinite number, or NaN.
    """
    if not (math.isfinite(people) and people >= 0):
        raise ValueError(f"{people} is not a number of people")
    if error is not None and not (math.isfinite(error) and error >= 0):
        raise ValueError(f"{error} is not a standard error in people")


def _doubt(elapsed_ms: int) -> float:
    """Readings close together share one mistake: a hat stand taken for a man stays one for a while."""
    return 1 / math.sqrt(min(max(elapsed_ms / _INDEPENDENT_AFTER_MS, 1e-4), 1.0))
