"""Settling: from what is followed after a ping to events, and to the stays as they are now."""

from typing import Any

import numpy as np

from geo_service.geofences.devices import NEVER
from geo_service.geofences.events import CHANGED, CROSS, DWELL, ENTER, EXIT, OBSERVED
from geo_service.geofences.fences import NO_DWELL
from geo_service.geofences.stays import OUT, SteadyStays
from geo_service.geofences.tables import NEW, Floats, Ints, Mask, Pairs, Rows, Tables
from geo_service.geofences.timers import Timer

LONGEST_CROSSING_MS = 300_000
"""Two fixes further apart in time say nothing of the way between them."""


def settle(tables: Tables, rows: Rows, pairs: Pairs, lost_row: Ints, lost: Ints, logged_ms: int) -> None:
    """Tell what changed with these pings and write it down.

    Args:
        tables: the tables to read and change.
        rows: the pings, each device once.
        pairs: what is followed after them.
        lost_row: the ping of each pair that is followed no longer.
        lost: the position of that pair in the stays.
        logged_ms: the log's time.
    """
    stays, fences = tables.stays, tables.fences
    time_ms = rows.time_ms[pairs.row]
    on = pairs.inside & fences.open_at(pairs.slot, time_ms, logged_ms)
    was_ms = np.where(pairs.prev == NEW, OUT, stays.enter_ms[pairs.prev]) if stays.size else np.full(len(on), OUT)
    was_on = was_ms != OUT
    enter_ms = np.where(on, np.where(was_on, was_ms, time_ms), OUT)
    dwelt = on & was_on & stays.dwelt[pairs.prev] if stays.size else np.zeros(len(on), np.bool_)
    dwell_ms = fences.dwell_ms[pairs.slot]
    dwells = on & ~dwelt & (dwell_ms != NO_DWELL)
    dwells[dwells] = time_ms[dwells] - enter_ms[dwells] >= dwell_ms[dwells]
    if isinstance(stays, SteadyStays):
        dwells &= pairs.extra["low_ms"] == NEVER
    entered = on & ~was_on
    if fences.crossable:
        _tell_crosses(tables, rows, pairs, lost_row, lost)
    _tell_exits(tables, rows, pairs, was_on & ~on, was_ms, lost_row, lost)
    _tell(tables, rows, pairs, ENTER, np.flatnonzero(entered), time_ms)
    _tell(tables, rows, pairs, DWELL, np.flatnonzero(dwells), enter_ms + dwell_ms, enter_ms)
    np.add.at(fences.inside, pairs.slot[entered], 1)
    columns = {"slot": pairs.slot, "enter_ms": enter_ms, "dwelt": dwelt | dwells, "within": pairs.inside, **pairs.extra}
    _write(tables, rows, pairs, columns, lost_row, logged_ms)
    _set_dwells(tables, rows, pairs, np.flatnonzero(entered & ~dwells), enter_ms, logged_ms)
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


def _tell_exits(tables: Tables, rows: Rows, pairs: Pairs, left: Mask, was_ms: Ints, lost_row: Ints, lost: Ints) -> None:
    stays = tables.stays
    was_in = stays.enter_ms[lost] != OUT
    row, gone = lost_row[was_in], lost[was_in]
    slot, sure = stays.slot[gone].astype(np.int64), np.ones(len(gone))
    _tell_left(tables, rows, row, slot, rows.time_ms[row], stays.enter_ms[gone], OBSERVED, sure)
    at = np.flatnonzero(left & ~pairs.inside)
    row, slot, sure = pairs.row[at], pairs.slot[at], 1 - pairs.belief[at]
    _tell_left(tables, rows, row, slot, pairs.left_ms[at], was_ms[at], OBSERVED, sure)
    # Still within: the fence's hours have ended.
    at = np.flatnonzero(left & pairs.inside)
    row, slot, sure = pairs.row[at], pairs.slot[at], np.ones(len(at))
    _tell_left(tables, rows, row, slot, rows.time_ms[row], was_ms[at], CHANGED, sure)


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


def _tell_crosses(tables: Tables, rows: Rows, pairs: Pairs, lost_row: Ints, lost: Ints) -> None:
    """Fences that neither end is in, but the way between passes through."""
    devices, fences = tables.devices, tables.fences
    came = np.flatnonzero(devices.fix_ms[rows.dev] >= rows.time_ms - LONGEST_CROSSING_MS)
    if not len(came):
        return
    dev = rows.dev[came]
    passed = tables.index.crossed(devices.lat[dev], devices.lon[dev], rows.lat[came], rows.lon[came])
    asks = fences.detect[passed.slot] >> CROSS & 1 != 0
    row, slot = came[passed.row[asks]], np.asarray(passed.slot, np.int64)[asks]
    open_ = fences.open_at(slot, rows.time_ms[row], 0)
    key = row << 32 | slot
    ends = [pairs.row << 32 | pairs.slot, lost_row << 32 | tables.stays.slot[lost]]
    for lat, lon in ((devices.lat[rows.dev[row]], devices.lon[rows.dev[row]]), (rows.lat[row], rows.lon[row])):
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


def _write(tables: Tables, rows: Rows, pairs: Pairs, columns: dict[str, Any], lost_row: Ints, logged_ms: int) -> None:
    """Where the set of fences is the same write in place, else give the device a new stretch."""
    stays = tables.stays
    moved = np.zeros(len(rows.dev), np.bool_)
    moved[lost_row] = True
    moved[pairs.row[(pairs.prev == NEW) | ~pairs.keep]] = True
    same = ~moved[pairs.row]
    at = pairs.prev[same]
    for name in stays.SPEC:
        if name != "slot":
            getattr(stays, name)[at] = columns[name][same]
    again = ~same & pairs.keep
    places = np.flatnonzero(moved)
    counts = np.bincount(pairs.row[again], minlength=len(rows.dev))[places]
    if len(places):
        tables.quiet_until_ms = min(tables.quiet_until_ms, logged_ms + tables.fences.shortest_silence_ms)
        stays.replace(rows.dev[places], counts, {name: columns[name][again] for name in stays.SPEC})


def _set_dwells(tables: Tables, rows: Rows, pairs: Pairs, at: Ints, enter_ms: Ints, logged_ms: int) -> None:
    slot = pairs.slot[at]
    dwell_ms = tables.fences.dwell_ms[slot]
    asked = dwell_ms != NO_DWELL
    at, slot = at[asked], slot[asked]
    tables.dwells.add(Timer(logged_ms + dwell_ms[asked], rows.dev[pairs.row[at]], slot, enter_ms[at]))


def _see(tables: Tables, rows: Rows, logged_ms: int) -> None:
    devices, dev = tables.devices, rows.dev
    devices.newest_ms[dev] = rows.time_ms
    devices.fix_ms[dev] = rows.time_ms
    devices.logged_ms[dev] = logged_ms
    devices.lat[dev] = rows.lat
    devices.lon[dev] = rows.lon
    devices.accuracy_m[dev] = rows.accuracy_m
    devices.mock[dev] = rows.mock
