"""What happens in a place by itself, at the marks that `State.due_ms` announces.

A silent door is guessed at, the stayers are weighed against the count, a closed store empties, a day ends, and within half
an hour after that it is learned from.
"""

import math
from typing import Final

from occupancy.calibrate import Factors
from occupancy.dwell import STEP_MS
from occupancy.estimate import Belief
from occupancy.forecast import AFTER_HOURS_MEAN
from occupancy.inside import Inside
from occupancy.night import Closure
from occupancy.record import Record
from occupancy.silence import Silence
from occupancy.smooth import Known
from occupancy.sources import MINUTE_MS
from occupancy.state import State

EMPTIES_MS: Final = 30 * MINUTE_MS
"""After closing; later than that, a closed place is taken to be empty but for whom the doors count from then on."""
_LEAVE_LATE_PACE: Final = 0.1
_MOST_LATE: Final = 40
"""People who may be thought to leave later than that; more are no staff that locks up."""


class Marks:
    """The marks of one place, and the doors' factors as its last night left them."""

    __slots__ = ("_inside", "_record", "_silence", "_state", "factors")

    def __init__(self, state: State, inside: Inside, record: Record, silence: Silence) -> None:
        self._state, self._inside, self._record, self._silence = state, inside, record, silence
        self.factors = Factors(state.calibration)

    def pass_by(self) -> None:
        """Do what is due at the present instant."""
        state = self._state
        at_ms = state.now_ms
        if state.open:
            for door in state.doors.values():
                if at_ms - state.silent_since(door) >= door.silent_after_ms:
                    self._silence.take_in(door, at_ms)
            if at_ms % STEP_MS == 0:
                self._weigh_stayers(at_ms)
        if state.empties_ms is not None and at_ms >= state.empties_ms:
            state.empties_ms, state.left_late = None, 0
            self._inside.restart(Belief.about(state.remainder if state.heard else AFTER_HOURS_MEAN))
        if state.study_ms is not None and at_ms >= state.study_ms:
            self._study()
        if at_ms >= state.day_ends_ms:
            self._end_day(at_ms)

    def start_day(self) -> None:
        """What yesterday's errors had in common is over."""
        scatter, day_variance = self._state.dwell.errors()
        calibration = self._state.calibration
        self._inside.start_day(scatter, day_variance, calibration.imbalance_variance(), calibration.scale_sigma**2)

    def _weigh_stayers(self, at_ms: int) -> None:
        dwell = self._state.dwell
        if not dwell.known:
            self._inside.gather(1.0)
            return
        expected, variance = self._record.stayers(at_ms, dwell)
        self._inside.step(expected, variance, math.exp(-STEP_MS / dwell.mean_ms), dwell.errors()[0])

    def _end_day(self, at_ms: int) -> None:
        state = self._state
        state.day_ends_ms = self._record.time.next_reset_ms(at_ms, state.reset_hour)
        emptied = state.emptied
        if state.left_late is not None:
            late = min(max(state.left_late, AFTER_HOURS_MEAN), _MOST_LATE)
            state.remainder += _LEAVE_LATE_PACE * (late - state.remainder)
            state.left_late = None
        end = Known(0.0, 1.0) if emptied else None
        closure = Closure(state.day_start, end, at_ms, state.unseen, state.unseen_variance)
        self._study()
        state.study_ms = self._record.end_day(closure, state.doors, emptied=emptied)
        state.begin_totals()
        if emptied:
            self._inside.restart(Belief.about(AFTER_HOURS_MEAN))
        state.day_start = Known(*self._inside.belief.moments())
        self.start_day()

    def _study(self) -> None:
        """Learn from yesterday, if that is still to be done."""
        state = self._state
        if state.study_ms is None:
            return
        state.study_ms = None
        state.night, state.history = self._record.study(state.calibration, state.dwell, state.doors)
        self.factors = Factors(state.calibration)
        if not state.open:
            self.start_day()
