"""What one place said of itself today, every five minutes, and who counted by eye: kept as it was said.

A day is one value of some 1 to 2 kB, written anew after each step under the name of its date. Writing it twice changes
nothing, so a crash neither loses nor doubles a step. What the evening makes of the day (`occupancy.smooth`) is kept
beside it, under a name of its own.
"""

import struct
import zlib
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from geo_service.outputs import Level, Status
from occupancy.estimate import Estimate
from occupancy.smooth import History

STEP_MS: Final = 300_000
KEPT_DAYS: Final = 400
"""Thirteen months."""
_DAY_MS: Final = 86_400_000
# Tenths of a person: mean, low, high; ins and outs of the day so far; level and status, one more than their place.
_ROW = struct.Struct("<HHHIIBB")
_MOST = 65_535
_LEVELS: tuple[Level, ...] = ("quiet", "normal", "busy", "full")
_STATUSES: tuple[Status, ...] = ("live", "degraded", "blind", "uncalibrated")
_MOST_RECOUNTS: Final = 200
"""A day; of more the newest are kept."""
_MOST_STEPS: Final = 3 * _DAY_MS // STEP_MS
"""A day is longer only where its reset hour was moved."""


class Recounted(NamedTuple):
    """A count by eye, and what was shown just before it."""

    at_ms: int
    people: float
    by: str | None
    mean: float
    low: float
    high: float


class Step(NamedTuple):
    """Five minutes of a place, as of their end."""

    starts_ms: int
    mean: float
    low: float
    high: float
    ins: int
    """Within these minutes; with `outs`, as the doors counted."""
    outs: int
    level: Level
    status: Status


class Diary(msgspec.Struct):
    """Today of one place."""

    starts_ms: int
    """A multiple of `STEP_MS`."""
    ends_ms: int
    """When the next day begins."""
    on: str
    """Its date."""
    oldest: int
    """Ordinal of the oldest date that is kept."""
    rows: bytes = b""
    recounts: list[Recounted] = []

    @classmethod
    def begin(cls, at_ms: int, ends_ms: int, on: date, oldest: int | None = None) -> "Diary":
        """An empty day."""
        start = at_ms - at_ms % STEP_MS
        return cls(start, ends_ms, on.isoformat(), on.toordinal() if oldest is None else oldest)

    def note(self, ends_ms: int, estimate: Estimate) -> None:
        """A step is over, and this was the place's estimate then; steps in between that nobody noted stay empty."""
        place = (ends_ms - self.starts_ms) // STEP_MS - 1
        gap = place - len(self.rows) // _ROW.size
        if gap < 0 or place >= _MOST_STEPS:
            return
        row = _ROW.pack(
            *(min(round(10 * people), _MOST) for people in (estimate.mean, estimate.low, estimate.high)),
            estimate.in_total,
            estimate.out_total,
            1 + _LEVELS.index(estimate.level),
            1 + _STATUSES.index(estimate.status),
        )
        self.rows += bytes(gap * _ROW.size) + row

    def recounted(self, recount: Recounted) -> None:
        """Somebody counted by eye."""
        self.recounts = [*self.recounts[1 - _MOST_RECOUNTS :], recount]

    def pack(self) -> bytes:
        """The day so far, for `unpack_day`."""
        return _encode((self.starts_ms, zlib.compress(self.rows, 1), self.recounts))


class Smoothed(NamedTuple):
    """A day as the evening corrected it: people at the end of each step from `starts_ms` on."""

    starts_ms: int
    step_ms: int
    mean: list[float]
    low: list[float]
    high: list[float]


_encode = msgspec.msgpack.Encoder().encode
_day = msgspec.msgpack.Decoder(tuple[int, bytes, list[Recounted]])
_smoothed = msgspec.msgpack.Decoder(tuple[int, int, bytes])


def unpack_day(packed: bytes) -> tuple[list[Step], list[Recounted]]:
    """The steps and recounts of a day that `Diary.pack` wrote."""
    starts_ms, compressed, recounts = _day.decode(packed)
    steps: list[Step] = []
    ins_before = outs_before = 0
    for place, row in enumerate(_ROW.iter_unpack(zlib.decompress(compressed))):
        mean, low, high, ins, outs, level, status = row
        if not status:
            continue
        # Totals that fall began anew.
        came = ins - ins_before if ins >= ins_before else ins
        left = outs - outs_before if outs >= outs_before else outs
        ins_before, outs_before = ins, outs
        at_ms = starts_ms + place * STEP_MS
        said = (_LEVELS[level - 1], _STATUSES[status - 1])
        steps.append(Step(at_ms, mean / 10, low / 10, high / 10, came, left, *said))
    return steps, recounts


def pack_smoothed(history: History) -> bytes:
    """A closed day, smoothed, for `unpack_smoothed`."""
    tenths = np.round(10 * np.stack([history.mean, history.low, history.high])).astype("<u2")
    return _encode((history.starts_ms, history.step_ms, zlib.compress(tenths.tobytes())))


def unpack_smoothed(packed: bytes) -> Smoothed:
    """What `pack_smoothed` wrote."""
    starts_ms, step_ms, compressed = _smoothed.decode(packed)
    rows = np.frombuffer(zlib.decompress(compressed), dtype="<u2").reshape(3, -1) / 10
    return Smoothed(starts_ms, step_ms, *rows.tolist())


def day_of(at_ms: int, timezone: str, reset_hour: int) -> date:
    """The date of the day that an instant belongs to, where days begin at this local hour."""
    local = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(timezone))
    return (local - timedelta(hours=reset_hour)).date()


def day_name(store: str, zone: str, on: str) -> str:
    """The name under which a day is kept; zone "" is the store as a whole."""
    return f"day:{store}/{zone}/{on}"


def smoothed_name(store: str, zone: str, on: str) -> str:
    """The name under which the smoothed day is kept."""
    return f"smoothed:{store}/{zone}/{on}"


def names_between(store: str, zone: str, oldest: int, until: int) -> list[str]:
    """Names of the days from one ordinal up to another, that one left out."""
    days = [date.fromordinal(ordinal).isoformat() for ordinal in range(oldest, until)]
    return [name(store, zone, on) for on in days for name in (day_name, smoothed_name)]
