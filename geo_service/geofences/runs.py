"""Stays as runs of pings: what became of each with the pings of a batch.

A batch in which each device occurs once is compared with the stays as they were. In a backlog a device occurs often, and a
stay is a run of its pings, told without going through them one by one:

```
of one device and fence
row         10    11    12    13    14    15
on           1     1     0     1     -     1        in, and the fence is open; - = not followed
was_ms      OUT   t10   t10   OUT    -    OUT       when the stay that was under way before the ping began, or OUT
enter_ms    t10   t10   OUT   t13    -    t15       the same after the ping
            enter       exit  enter  │    enter
                                     └ lost: the exit of t13's
```
"""

from typing import NamedTuple

import numpy as np

from geo_service.geofences.devices import NEVER
from geo_service.geofences.fences import NO_DWELL
from geo_service.geofences.stays import OUT
from geo_service.geofences.tables import NEW, Ints, Lost, Mask, Pairs, Rows, Tables


class Course(NamedTuple):
    """What each pair's stay was before its ping and is after it."""

    was_ms: Ints
    enter_ms: Ints
    dwells: Mask
    """Its dwell is told with this ping."""
    dwelt: Mask
    """Its dwell was told by now."""
    fresh: Mask
    """It began in this batch."""
    at: Ints
    """Where it stood in the stays before the batch, or NEW."""
    ends: Mask
    """The pair is its device's last word."""


def once(tables: Tables, rows: Rows, pairs: Pairs, on: Mask) -> Course:
    """Of pairs whose devices occur once."""
    was_ms, was_dwelt = _before(tables, pairs)
    was_on = was_ms != OUT
    time_ms = rows.time_ms[pairs.row]
    enter_ms = np.where(on, np.where(was_on, was_ms, time_ms), OUT)
    dwells = _due(tables, pairs, on, enter_ms, time_ms) & ~was_dwelt
    return Course(was_ms, enter_ms, dwells, (on & was_dwelt) | dwells, ~was_on, pairs.prev, np.ones(len(on), np.bool_))


def along(tables: Tables, rows: Rows, pairs: Pairs, on: Mask) -> tuple[Course, Lost]:
    """Of pairs sorted by device, slot and row; and the stays that ended by not being followed on."""
    number = np.arange(len(on))
    last = rows.last[rows.who[pairs.row]]
    follows = np.zeros(len(on), np.bool_)
    follows[1:] = (pairs.row[1:] == pairs.row[:-1] + 1) & (pairs.slot[1:] == pairs.slot[:-1]) & pairs.keep[:-1]
    follows &= pairs.row != rows.first[rows.who[pairs.row]]
    from_ms, from_dwelt = _before(tables, pairs)
    was_on = from_ms != OUT
    was_on[1:] |= follows[1:] & on[:-1]
    carried = on & was_on & follows
    start = np.maximum.accumulate(np.where(carried, 0, number))
    time_ms = rows.time_ms[pairs.row]
    enter_ms = np.where(on, np.where(was_on, from_ms, time_ms)[start], OUT)
    was_ms = from_ms
    was_ms[1:] = np.where(follows[1:], enter_ms[:-1], was_ms[1:])
    already = on & from_dwelt
    told = _due(tables, pairs, on, enter_ms, time_ms) | already
    so_far: Ints = np.cumsum(told)
    before: Ints = (so_far - told)[start]
    dwells = told & ~already & (so_far - told == before)
    dwelt = on & (so_far > before)
    at = pairs.prev[np.maximum.accumulate(np.where(follows, 0, number))]
    goes_on = np.zeros(len(on), np.bool_)
    goes_on[:-1] = follows[1:]
    over = (pairs.keep & ~goes_on & (pairs.row != last)).nonzero()[0]
    lost = Lost(pairs.row[over] + 1, pairs.slot[over], enter_ms[over])
    return Course(was_ms, enter_ms, dwells, dwelt, ~was_on[start], at, pairs.row == last), lost


def _before(tables: Tables, pairs: Pairs) -> tuple[Ints, Mask]:
    """When the pairs' stays of before the batch began, or OUT; and whether their dwell was told."""
    stays = tables.stays
    if not stays.size:
        return np.full(len(pairs.row), OUT), np.zeros(len(pairs.row), np.bool_)
    known = pairs.prev != NEW
    was_ms = np.where(known, stays.enter_ms[pairs.prev], OUT)
    was_dwelt: Mask = known & stays.dwelt[pairs.prev] & (was_ms != OUT)
    return was_ms, was_dwelt


def _due(tables: Tables, pairs: Pairs, on: Mask, enter_ms: Ints, time_ms: Ints) -> Mask:
    """Who has stayed long enough by the phone's clock, and without a doubt."""
    dwell_ms = tables.fences.dwell_ms[pairs.slot]
    due: Mask = on & (dwell_ms != NO_DWELL)
    if not due.any():
        return due
    due[due] = time_ms[due] - enter_ms[due] >= dwell_ms[due]
    if "low_ms" in pairs.extra:
        due &= pairs.extra["low_ms"] == NEVER
    return due
