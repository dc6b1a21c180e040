"""What a place remembers, apart from the arrays."""

from datetime import date
from typing import Final

import msgspec

from occupancy.calibrate import Calibration, Night
from occupancy.dwell import STEP_MS, Dwell
from occupancy.estimate import Level, Status
from occupancy.smooth import Known, Packed
from occupancy.sources import SILENT_AFTER_MS, Source, look_every_ms

COMFORT_WHEN_UNKNOWN: Final = 100
AFTER_HOURS_MEAN: Final = 0.1
"""People in a closed place of which nothing else is known."""


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
    empties_ms: int | None = None
    heard: bool = False
    """Something has been counted or seen here at least once."""
    counted_ms: int | None = None
    """When somebody last counted by eye."""
    doors: dict[str, Source] = {}
    counters: dict[str, Source] = {}
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

    def due_ms(self) -> int:
        """When something happens next by itself: the day ends, a step's stayers are weighed, a silence tells more."""
        due = self.day_ends_ms
        if self.study_ms is not None and self.study_ms < due:
            due = self.study_ms
        if self.empties_ms is not None and self.empties_ms < due:
            due = self.empties_ms
        if not self.open:
            return due
        marked = self.marked_ms
        if self.heard and self.doors:
            due = min(due, self.now_ms - self.now_ms % STEP_MS + STEP_MS)
        for source in self.doors.values():
            since = self.silent_since(source)
            look = since + source.quiet_after_ms
            if look <= marked:
                look = marked + look_every_ms(marked - since)
            silent = since + source.silent_after_ms
            due = min(due, look, silent) if silent > marked else min(due, look)
        for source in self.counters.values():
            silent = self.silent_since(source) + source.silent_after_ms
            if marked < silent < due:
                due = silent
        if self.counted_ms is not None and marked < self.counted_ms + SILENT_AFTER_MS < due:
            due = self.counted_ms + SILENT_AFTER_MS
        return due

    def status(self) -> Status:
        """How far the answer can be trusted, as of the last mark.

        `blind`: nothing was ever counted here, or every door and counter is silent in opening hours and nobody has
        counted by eye in the last 15 minutes. `degraded`: some of them are silent. `uncalibrated`: they speak, but what
        they say does not add up at night. Closed places are known to be empty, so silence then is no fault.
        """
        if not self.heard:
            return "blind"
        well: Status = "uncalibrated" if self.calibration.uncalibrated else "live"
        if not self.open:
            return well
        sources = [*self.doors.values(), *self.counters.values()]
        silent = [self.marked_ms - self.silent_since(source) >= source.silent_after_ms for source in sources]
        if silent and not any(silent):
            return well
        recounted = self.counted_ms is not None and self.marked_ms - self.counted_ms < SILENT_AFTER_MS
        if not recounted and all(silent):
            return "blind"
        return "degraded" if well == "live" else well
