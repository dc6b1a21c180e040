"""Settling: from what is followed after each ping to events, and to the stays as they are now."""

from typing import Any

import numpy as np

from geo_service.geofences.events import CHANGED, CROSS, DWELL, ENTER, EXIT, OBSERVED
from geo_service.geofences.fences import NO_DWELL
from geo_service.geofences.runs import Course, along, once
from geo_service.geofences.stays import OUT
from geo_service.geofences.tables import NEW, Floats, Ints, Lost, Mask, Pairs, Rows, Tables
from geo_service.geofences.timers import Timer

LONGEST_CROSSING_MS = 300_000
"""Two fixes further apart in time say nothing of the way between them."""


def settle(tables: Tables, rows: Rows, pairs: Pairs, lost: Lost, logged_ms: int) -> None:
    """Tell what changed with these pings and write it down.

    Args:
        tables: the tables to read and change.
        rows: the pings.
        pairs: what is followed after each.
        lost: stays that ended with a device's first ping here, by not being followed on.
        logged_ms: the log's time.
    """
    if rows.repeats:
        pairs = pairs.take(np.argsort(rows.who[pairs.row] << 32 | pairs.slot, kind="stable"))
    on = pairs.inside
    if tables.fences.openings:
        on = on & tables.fences.open_at(pairs.slot, rows.time_ms[pairs.row], logged_ms)
    if rows.repeats:
        course, more = along(tables, rows, pairs, on)
        lost = Lost(*map(np.concatenate, zip(lost, more, strict=True)))
    else:
        course = once(tables, rows, pairs, on)
    if tables.fences.crossable:
        _tell_crosses(tables, rows, pairs, lost)
    _tell_exits(tables, rows, pairs, on, course, lost)
    entered = (on & (course.was_ms == OUT)).nonzero()[0]
    if len(entered):
        np.add.at(tables.fences.inside, pairs.slot[entered], 1)
        _tell(tables, rows, pairs, ENTER, entered, course.enter_ms)
    dwells = course.dwells.nonzero()[0]
    if len(dwells):
        _tell(tables, rows, pairs, DWELL, dwells, course.enter_ms + tables.fences.dwell_ms[pairs.slot], course.enter_ms)
    _write(tables, rows, pairs, course, lost, logged_ms)
    _set_dwells(tables, rows, pairs, (course.ends & on & course.fresh & ~course.dwelt).nonzero()[0], course, logged_ms)
    _see(tables, rows, logged_ms)


def _tell(
    tables: Tables, rows: Rows, pairs: Pairs, what: int, at: Ints, time_ms: Ints, enter_ms: Ints | None = None
) -> None:
    row = pairs.row[at]
    tables.tell(
        what,
        rows.dev[row],
        pairs.slot[at],
        place=rows.place[row],
        time_ms=time_ms[at],
        reason=OBSERVED,
        confidence=pairs.belief[at],
        enter_ms=None if enter_ms is None else enter_ms[at],
        rows=rows,
        row=row,
    )


def _tell_exits(tables: Tables, rows: Rows, pairs: Pairs, on: Mask, course: Course, lost: Lost) -> None:
    over = (lost.enter_ms != OUT).nonzero()[0]
    if len(over):
        row, sure = lost.row[over], np.ones(len(over))
        _tell_left(tables, rows, row, lost.slot[over], rows.time_ms[row], lost.enter_ms[over], OBSERVED, sure)
    left = (course.was_ms != OUT) & ~on
    if not left.any():
        return
    at = (left & ~pairs.inside).nonzero()[0]
    row, slot, sure = pairs.row[at], pairs.slot[at], 1 - pairs.belief[at]
    _tell_left(tables, rows, row, slot, pairs.left_ms[at], course.was_ms[at], OBSERVED, sure)
    # Still within: the fence's hours have ended.
    at = (left & pairs.inside).nonzero()[0]
    row, slot, sure = pairs.row[at], pairs.slot[at], np.ones(len(at))
    _tell_left(tables, rows, row, slot, rows.time_ms[row], course.was_ms[at], CHANGED, sure)


def _tell_left(
    tables: Tables, rows: Rows, row: Ints, slot: Ints, time_ms: Ints, enter_ms: Ints, reason: int, sure: Floats
) -> None:
    np.subtract.at(tables.fences.inside, slot, 1)
    tables.tell(
        EXIT,
        rows.dev[row],
        slot,
        place=rows.place[row],
        time_ms=time_ms,
        reason=reason,
        confidence=sure,
        enter_ms=enter_ms,
        rows=rows,
        row=row,
    )


def _tell_crosses(tables: Tables, rows: Rows, pairs: Pairs, lost: Lost) -> None:
    """Fences that neither end is in, but the way between passes through."""
    devices, fences = tables.devices, tables.fences
    seen_ms = rows.before(devices.fix_ms, rows.time_ms)
    came = (seen_ms >= rows.time_ms - LONGEST_CROSSING_MS).nonzero()[0]
    if not len(came):
        return
    from_lat, from_lon = rows.before(devices.lat, rows.lat), rows.before(devices.lon, rows.lon)
    passed = tables.index.crossed(from_lat[came], from_lon[came], rows.lat[came], rows.lon[came])
    asks = fences.detect[passed.slot] >> CROSS & 1 != 0
    row, slot = came[passed.row[asks]], np.asarray(passed.slot, np.int64)[asks]
    open_ = fences.open_at(slot, rows.time_ms[row], 0)
    key = row << 32 | slot
    ends = [pairs.row << 32 | pairs.slot, lost.row << 32 | lost.slot]
    for lat, lon in ((from_lat[row], from_lon[row]), (rows.lat[row], rows.lon[row])):
        at_end = tables.index.match(lat, lon)
        within = at_end.slot == slot[at_end.row]
        ends.append(key[at_end.row[within]])
    through = open_ & ~np.isin(key, np.concatenate(ends))
    row, slot = row[through], slot[through]
    tables.tell(
        CROSS,
        rows.dev[row],
        slot,
        place=rows.place[row],
        time_ms=rows.time_ms[row],
        reason=OBSERVED,
        confidence=1.0,
        rows=rows,
        row=row,
    )


def _write(tables: Tables, rows: Rows, pairs: Pairs, course: Course, lost: Lost, logged_ms: int) -> None:
    """Where a device's set of fences is the same write in place, else give it a new stretch."""
    stays = tables.stays
    who = rows.who[pairs.row]
    moved = np.zeros(len(rows.first), np.bool_)
    moved[rows.who[lost.row]] = True
    moved[who[(course.at == NEW) | ~pairs.keep]] = True
    columns: dict[str, Any] = {
        "enter_ms": course.enter_ms, "dwelt": course.dwelt, "within": pairs.inside, **pairs.extra,
    }  # fmt: skip
    anew = moved[who]
    same = (course.ends & ~anew).nonzero()[0]
    at = course.at[same]
    for name, column in columns.items():
        getattr(stays, name)[at] = column[same]
    places = moved.nonzero()[0]
    if len(places):
        again = (course.ends & anew & pairs.keep).nonzero()[0]
        counts = np.bincount(who[again], minlength=len(moved))[places]
        tables.quiet_until_ms = min(tables.quiet_until_ms, logged_ms + tables.fences.shortest_silence_ms)
        columns["slot"] = pairs.slot
        stays.replace(rows.dev[rows.first[places]], counts, {name: columns[name][again] for name in stays.SPEC})


def _set_dwells(tables: Tables, rows: Rows, pairs: Pairs, at: Ints, course: Course, logged_ms: int) -> None:
    """Set a timer for each stay that began and lasts."""
    if not len(at):
        return
    dwell_ms = tables.fences.dwell_ms[pairs.slot[at]]
    asked = dwell_ms != NO_DWELL
    at = at[asked]
    dev = rows.dev[pairs.row[at]]
    tables.dwells.add(Timer(logged_ms + dwell_ms[asked], dev, pairs.slot[at], course.enter_ms[at]))


def _see(tables: Tables, rows: Rows, logged_ms: int) -> None:
    devices = tables.devices
    if rows.repeats:
        last = rows.last
        columns: Any = (rows.dev, rows.time_ms, rows.lat, rows.lon, rows.accuracy_m, rows.mock)
        dev, time_ms, lat, lon, accuracy_m, mock = (column[last] for column in columns)
    else:
        _, dev, time_ms, lat, lon, accuracy_m, mock, *_ = rows
    # A ping that is held may be newer than the last one that counts.
    devices.newest_ms[dev] = np.maximum(devices.newest_ms[dev], time_ms)
    devices.fix_ms[dev] = time_ms
    devices.logged_ms[dev] = logged_ms
    devices.lat[dev] = lat
    devices.lon[dev] = lon
    devices.accuracy_m[dev] = accuracy_m
    devices.mock[dev] = mock
