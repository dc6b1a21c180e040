"""What one place keeps of its days: today's steps, the typical week, and yesterday until it has been learned from."""

import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple

from occupancy import day as days
from occupancy import week as weeks
from occupancy.calibrate import Calibration, Night
from occupancy.day import Day
from occupancy.dwell import STEP_MS, Dwell
from occupancy.local_time import HOUR_MS, LocalTime
from occupancy.night import Closure, Learned, Past, close_day
from occupancy.smooth import Packed
from occupancy.sources import Source
from occupancy.week import INS, OUTS, Week

STUDY_WITHIN_MS: Final = 30 * 60_000
"""Learning from a day takes some milliseconds: a thousand stores of one timezone spread it over half an hour."""

RATE_ERROR: Final = 0.3
"""Relative standard error of a door's usual rate."""

Dumped = tuple[days.Dumped, weeks.Dumped, tuple[days.Dumped, Closure, dict[str, tuple[int, int]]] | None]


class Rates(NamedTuple):
    """People a millisecond."""

    ins: float
    outs: float


class Record:
    """Days and weeks of one place, in its local time."""

    __slots__ = ("_so_far", "_step", "day", "past", "time", "week")

    def __init__(self, time: LocalTime) -> None:
        self.time = time
        self.day = Day(0)
        self.week = Week()
        self.past: Past | None = None
        self._forget()

    def _forget(self) -> None:
        """Drop what is cached of today: the record changed behind the present step."""
        self._step, self._so_far = -1, (1.0, 0.0)

    def keep(self, time: LocalTime) -> None:
        """The place has another timezone, or other holidays."""
        self.time = time
        self._forget()

    def begin(self, at_ms: int) -> None:
        """The first day begins."""
        self.day = Day(at_ms)
        self._forget()

    # --- today -----------------------------------------------------------------------------------------------------

    def counted(self, since_ms: int, at_ms: int, came: float, left: float, noise: float) -> None:
        """People passed a door between two instants; spread over them where they lie in several steps."""
        if self.day.step(since_ms) == self.day.step(at_ms):
            self.day.add(at_ms, came, left, noise)
        else:
            self.day.spread(since_ms, at_ms, came, left, noise)
            self._forget()

    def guessed(self, since_ms: int, at_ms: int, came: float, left: float, variance: float) -> None:
        """People may have passed a silent door between two instants."""
        self.day.spread(since_ms, at_ms, came, left, variance, unseen=True)
        self._forget()

    def stayers(self, at_ms: int, dwell: Dwell) -> tuple[float, float]:
        """How many of those who came must be inside, and the variance of that from those who came unseen."""
        arrivals, unseen = self.day.arrivals(self.day.step(at_ms - 1))
        unseen_stayers = max(float(dwell.survival @ unseen[::-1]), 0.0)
        expected = dwell.stayers(arrivals, self.time.half_hour_of_day(at_ms - 1))
        return expected, unseen_stayers + (RATE_ERROR * unseen_stayers) ** 2

    def rates(self, source: Source, at_ms: int) -> Rates:
        """A door's usual rates: this hour of the typical week, by today's ratio and the door's share; else as lately."""
        hour = self.week.hour(at_ms, self.time)
        if not (self.week.knows(hour) and source.in_share and source.out_share):
            return Rates(source.ins_per_ms, source.outs_per_ms)
        scale = self.ratio(at_ms) / HOUR_MS
        return Rates(
            scale * source.in_share * self.week.figure(INS, hour),
            scale * source.out_share * self.week.figure(OUTS, hour),
        )

    def ratio(self, at_ms: int) -> float:
        """How busy today is against the typical week, up to the present step."""
        return self._today(at_ms)[0]

    def ratio_variance(self, at_ms: int) -> float:
        """Of `ratio`."""
        return self.week.ratio_variance(self._today(at_ms)[1])

    def _today(self, at_ms: int) -> tuple[float, float]:
        """Ratio, and the people expected so far."""
        day, step = self.day, self.day.step(at_ms)
        if step != self._step:
            expected = self.week.expected_ins(day.starts_ms, day.starts_ms + step * STEP_MS, self.time)
            self._step, self._so_far = step, (self.week.ratio(day.came_before(step), expected), expected)
        return self._so_far

    # --- the night -------------------------------------------------------------------------------------------------

    def end_day(self, closure: Closure, doors: Mapping[str, Source], *, emptied: bool) -> int:
        """Put the day aside and begin the next; returns when it shall be learned from."""
        counted = {name: (door.ins_today, door.outs_today) for name, door in doors.items()}
        self.past = Past(self.day, closure, counted)
        rows = self.day.rows.tobytes() if self.day.last >= 0 else b""
        self.day = self.day.next(closure.at_ms, emptied=emptied)
        self._forget()
        return closure.at_ms + zlib.crc32(rows) % STUDY_WITHIN_MS

    def study(self, calibration: Calibration, dwell: Dwell, doors: Mapping[str, Source]) -> tuple[Night, Packed]:
        """Learn from the day that was put aside."""
        assert self.past is not None
        past, self.past = self.past, None
        self._forget()
        return close_day(past, doors, Learned(calibration, dwell, self.week), self.time)

    # --- to keep ---------------------------------------------------------------------------------------------------

    def dump(self) -> Dumped:
        """Everything, exactly."""
        past = self.past and (self.past.day.dump(), self.past.closure, self.past.counted)
        return self.day.dump(), self.week.dump(), past

    @classmethod
    def load(cls, dumped: Dumped, time: LocalTime) -> "Record":
        """What `dump` gave, to the bit."""
        record = cls(time)
        record.day, record.week = Day.load(dumped[0]), Week.load(dumped[1])
        if dumped[2] is not None:
            day, closure, counted = dumped[2]
            record.past = Past(Day.load(day), closure, counted)
        return record
