"""What one place learns when a day is over: its doors, its dwell times, its typical week, and the day as it really was."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from occupancy.calibrate import Calibration, Night
from occupancy.day import CAME, LEFT, NOISE, UNSEEN, Day
from occupancy.dwell import SPAN, STEP_MS, Dwell, Floats
from occupancy.local_time import HOUR_MS, LocalTime
from occupancy.smooth import Known, Packed, pack, smooth
from occupancy.sources import Source
from occupancy.week import INS, Week

_MOST_UNSEEN: Final = 0.1


class Closure(NamedTuple):
    """How a day began and ended."""

    start: Known
    end: Known | None
    """Who is inside now; None where the place never empties."""
    at_ms: int
    unseen: float
    """People who passed silent doors by their usual rate, in less out, and the variance of that."""
    unseen_variance: float


class Past(NamedTuple):
    """A day that is over, and what each door counted on it, in and out."""

    day: Day
    closure: Closure
    counted: dict[str, tuple[int, int]]


class Learned(NamedTuple):
    """What a place knows from many days; each part is changed in place."""

    calibration: Calibration
    dwell: Dwell
    week: Week


def close_day(past: Past, doors: Mapping[str, Source], learned: Learned, time: LocalTime) -> tuple[Night, Packed]:
    """Learn from a day that is over, and say how it was."""
    day, closure = past.day, past.closure
    change, noise = day.column(CAME) - day.column(LEFT), day.column(NOISE)
    readings = {at: Known(people, variance) for at, people, variance in day.seen}
    by_count = smooth(change, noise, readings, closure.start, closure.end)
    night = learned.calibration.close(
        past.counted,
        unseen=closure.unseen,
        unseen_variance=closure.unseen_variance,
        end_variance=closure.end.variance
        if closure.end
        else 2 * max(2.0, 0.3 * float(by_count.mean.mean() if change.size else 0.0)) ** 2,
    )
    came, unseen = day.column(CAME), day.column(UNSEEN)
    if night.taught and unseen.sum() <= _MOST_UNSEEN * came.sum():
        closes = closure.end is not None
        _learn_dwell(day, by_count.mean if closes else np.cumsum(change), learned.dwell, time, closes=closes)
    best = by_count
    if learned.dwell.known:
        best = smooth(change, noise, _with_stayers(day, readings, learned.dwell, time), closure.start, closure.end)
    _learn_week(day, best.mean, closure.at_ms, learned.week, time)
    _learn_shares(doors, past.counted)
    return night, pack(day.starts_ms, STEP_MS, best)


def _half_hours(day: Day, time: LocalTime) -> np.ndarray:
    """The half-hour of the local day of each step; changes of clocks fall on whole quarters of an hour."""
    starts = range(day.starts_ms, day.starts_ms + (day.last + 1) * STEP_MS, 3 * STEP_MS)
    quarters = [time.half_hour_of_day(start) for start in starts]
    return np.repeat(np.array(quarters, dtype=np.int64), 3)[: day.last + 1]


def _learn_dwell(day: Day, inside: Floats, dwell: Dwell, time: LocalTime, *, closes: bool) -> None:
    came = day.column(CAME)
    busy = np.flatnonzero(came)
    if busy.size == 0:
        return
    inside = inside.copy()
    inside[: busy[0]] = np.nan
    inside[busy[-1] + 1 :] = np.nan
    arrivals = day.rows[CAME, : SPAN + day.last + 1].astype(np.float64)
    dwell.learn(arrivals, inside, _half_hours(day, time), closes=closes)


def _with_stayers(day: Day, readings: dict[int, Known], dwell: Dwell, time: LocalTime) -> dict[int, Known]:
    """The stayers as weak readings, each worth its share of one mean dwell time: their errors last as long."""
    came = day.column(CAME)
    busy = np.flatnonzero(came)
    if busy.size == 0:
        return readings
    windows = np.lib.stride_tricks.sliding_window_view(day.rows[CAME, 1 : SPAN + day.last + 1], SPAN)
    half_hours = _half_hours(day, time)
    stayers = np.maximum(windows[:, ::-1] @ dwell.survival + np.array(dwell.extra)[half_hours], 0.0)
    patience = max(2 * dwell.mean_ms / STEP_MS, 1.0)
    merged = dict(readings)
    for at in range(int(busy[0]), int(busy[-1]) + 1):
        expected = float(stayers[at])
        variance = (dwell.scatter * max(expected, 1.0) + dwell.day_variance * expected * expected) * patience
        known = merged.get(at)
        if known is not None:
            precision = 1 / known.variance + 1 / variance
            expected, variance = (known.people / known.variance + expected / variance) / precision, 1 / precision
        merged[at] = Known(expected, variance)
    return merged


def _learn_week(day: Day, inside: Floats, until_ms: int, week: Week, time: LocalTime) -> None:
    came, left, unseen = day.column(CAME), day.column(LEFT), day.column(UNSEEN)
    if came.sum() == 0 or time.is_holiday(until_ms - HOUR_MS) or time.is_holiday(day.starts_ms + HOUR_MS):
        return  # a day off, or one like no other; it says nothing of this weekday
    steps = HOUR_MS // STEP_MS
    first = time.hour_start_ms(day.starts_ms - 1) + HOUR_MS
    starts = [(hour, (hour - day.starts_ms) // STEP_MS) for hour in range(first, until_ms - HOUR_MS + 1, HOUR_MS)]
    spans = [(time.hour_of_week(hour), slice(start, start + steps)) for hour, start in starts]
    spans = [(hour, span) for hour, span in spans if not unseen[span].any()]
    known = [(hour, span) for hour, span in spans if week.knows(hour)]
    ratio = week.ratio(
        float(sum(came[span].sum() for _, span in known)), sum(week.figure(INS, hour) for hour, _ in known)
    )
    for hour, span in spans:
        mean = float(inside[span].sum()) / steps
        week.learn(hour, float(came[span].sum()), float(left[span].sum()), mean, ratio)


def _learn_shares(doors: Mapping[str, Source], counted: Mapping[str, tuple[int, int]]) -> None:
    all_ins, all_outs = (sum(counts) for counts in zip(*counted.values(), strict=True)) if counted else (0, 0)
    for name, (ins, outs) in counted.items():
        door = doors.get(name)
        if door is None:
            continue
        if all_ins:
            door.in_share += (ins / all_ins - door.in_share) * (0.1 if door.in_share else 1.0)
        if all_outs:
            door.out_share += (outs / all_outs - door.out_share) * (0.1 if door.out_share else 1.0)
