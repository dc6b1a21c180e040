"""What a place remembers, apart from the arrays."""

from datetime import date
from typing import Final, NamedTuple

import msgspec

from occupancy.calibrate import Calibration, Night
from occupancy.dwell import STEP_MS, Dwell
from occupancy.estimate import Level, Status
from occupancy.forecast import AFTER_HOURS_MEAN
from occupancy.smooth import Known, Packed
from occupancy.sources import SILENT_AFTER_MS, Source, look_every_ms

COMFORT_WHEN_UNKNOWN: Final = 100


class Recount(NamedTuple):
    """A count by eye, and what was shown just before it; what the doors counted is not touched by it."""

    at_ms: int
    people: float
    by: str | None
    """Who counted; None where nobody said."""
    mean: float
    low: float
    """With `high` the 90 % interval of the estimate before."""
    high: float


class State(msgspec.Struct):
    """All of a `Place` but the belief, the day and the week."""

    comfort: int | None
    legal: int | None
    timezone: str
    reset_hour: int
    holidays: list[date] = []
    now_ms: int = 0
    marked_ms: int = 0
    """The last instant at which something happened by itself."""
    day_ends_ms: int = 0
    study_ms: int | None = None
    """When yesterday shall be learned from."""
    open: bool = True
    opened_ms: int = 0
    closed_ms: int | None = None
    """None while it is open."""
    empties_ms: int | None = None
    heard: bool = False
    """Something has been counted or seen here at least once."""
    counted_ms: int | None = None
    """When somebody last counted by eye."""
    recounts: list[Recount] = []
    """The last counts by eye, oldest first."""
    doors: dict[str, Source] = {}
    counters: dict[str, Source] = {}
    hints: dict[str, int] = {}
    """When each source of weak evidence last spoke."""
    level: Level = "quiet"
    in_total: int = 0
    out_total: int = 0
    unseen: float = 0.0
    """People who passed silent doors since the last closure, in less out, and the variance of that."""
    unseen_variance: float = 0.0
    day_start: Known = Known(0.0, 1.0)
    remainder: float = AFTER_HOURS_MEAN
    """People who usually leave later than half an hour after closing."""
    left_late: int | None = None
    """Outs less ins since the place was taken to be empty; None while it is open."""
    calibration: Calibration = msgspec.field(default_factory=Calibration)
    dwell: Dwell = msgspec.field(default_factory=Dwell)
    night: Night | None = None
    history: Packed | None = None

    @property
    def comfort_in_use(self) -> int:
        """The comfort capacity, or a stand-in where nobody has said one; at least 1."""
        return max(self.comfort or COMFORT_WHEN_UNKNOWN, 1)

    def silent_since(self, source: Source) -> int:
        """Silence counts in opening hours only."""
        return max(source.last_ms, self.opened_ms)

    @property
    def emptied(self) -> bool:
        """Closed for long enough to be taken as empty but for whom the doors count from then on."""
        return not self.open and self.empties_ms is None

    def begin_totals(self) -> None:
        """A new day counts from zero."""
        self.unseen = self.unseen_variance = 0.0
        self.in_total = self.out_total = 0
        for door in self.doors.values():
            door.ins_today = door.outs_today = 0

    def due_ms(self) -> int:
        """When something happens next by itself: the day ends, a step's stayers are weighed, a silence tells more."""
        due = self.day_ends_ms
        if self.study_ms is not None:
            due = min(due, self.study_ms)
        if self.empties_ms is not None:
            due = min(due, self.empties_ms)
        if not self.open:
            return due
        if self.heard and self.doors:
            due = min(due, self.now_ms - self.now_ms % STEP_MS + STEP_MS)
        for source in self.doors.values():
            due = min(due, self._next_look(source))
        marked = self.marked_ms
        silences = [self.silent_since(source) + source.silent_after_ms for source in self.counters.values()]
        silences += [spoke_ms + SILENT_AFTER_MS for spoke_ms in self._glimpses()]
        return min([due, *(silent for silent in silences if silent > marked)])

    def _next_look(self, door: Source) -> int:
        """When a door's silence next tells more than at the last mark."""
        marked, since = self.marked_ms, self.silent_since(door)
        look = since + door.quiet_after_ms
        if look <= marked:
            look = marked + look_every_ms(marked - since)
        silent = since + door.silent_after_ms
        return min(look, silent) if silent > marked else look

    def _glimpses(self) -> list[int]:
        """When somebody counted by eye, or weak evidence came."""
        return [*self.hints.values(), *(() if self.counted_ms is None else (self.counted_ms,))]

    def status(self) -> Status:
        """How far the answer can be trusted, as of the last mark.

        `blind`: nothing was ever counted here, or every door and counter is silent in opening hours, and neither a count
        by eye nor any weak evidence came in the last 15 minutes. `degraded`: some of them are silent. `uncalibrated`: they
        speak, but what they say does not add up at night. A place that has been closed for half an hour is known to be
        empty, though nothing was ever heard of it: silence then is no fault.
        """
        well: Status = "uncalibrated" if self.calibration.uncalibrated else "live"
        if self.emptied:
            return well
        if not self.heard:
            return "blind"
        sources = [*self.doors.values(), *self.counters.values()]
        until_ms = self.marked_ms if self.closed_ms is None else self.closed_ms
        silent = [until_ms - self.silent_since(source) >= source.silent_after_ms for source in sources]
        if silent and not any(silent):
            return well
        glimpsed = any(until_ms - spoke_ms < SILENT_AFTER_MS for spoke_ms in self._glimpses())
        if not glimpsed and all(silent):
            return "blind"
        return "degraded" if well == "live" else well
