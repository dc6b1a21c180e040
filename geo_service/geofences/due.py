"""What becomes due by the log's clock while no ping comes: dwells, exits of lasting doubt, silence, opening hours."""

import numpy as np

from geo_service.geofences.arrivals import OLDEST_MS
from geo_service.geofences.devices import NEVER
from geo_service.geofences.events import CHANGED, DWELL, ENTER, EXIT, OBSERVED, SILENCE
from geo_service.geofences.fences import NO_DWELL
from geo_service.geofences.leaps import FORGOTTEN_MS
from geo_service.geofences.stays import OUT, SteadyStays
from geo_service.geofences.tables import LATER, Ints, Tables
from geo_service.geofences.timers import Timer

GUESSED = 0.5
"""Confidence of an exit that nobody saw."""
DEVICE_KEPT_MS = OLDEST_MS + FORGOTTEN_MS
"""After so long, a ping from before a device's newest one is refused as too old, and a later one leaps from nowhere."""
SWEEP_MS = 3_600_000


def run_due(tables: Tables, now_ms: int) -> None:
    """Settle everything due by now, in the order in which it was due; events come on the sheet."""
    while (turn_ms := tables.fences.next_turn_ms()) is not None and turn_ms <= now_ms:
        _settle_until(tables, turn_ms)
        _turn_hours(tables, turn_ms)
    _settle_until(tables, now_ms)


def _settle_until(tables: Tables, until_ms: int) -> None:
    stays = tables.stays
    position, dev = _silent(tables, until_ms)
    silent_ms = _silence_due(tables, position, dev)
    doubts, doubted = _doubts(tables, until_ms)
    _tell_dwells(tables, until_ms)
    # A pair may have both been doubted and fallen silent: whichever was due first ended it.
    ends = np.concatenate((position, doubted))
    owner = np.concatenate((dev, doubts.dev))
    due_ms = np.concatenate((silent_ms, doubts.due_ms))
    reason = np.concatenate((np.full(len(position), SILENCE), np.full(len(doubted), OBSERVED)))
    order = np.lexsort((reason, due_ms))
    first = order[np.unique(ends[order], return_index=True)[1]]
    ends, owner, due_ms, reason = ends[first], owner[first], due_ms[first], reason[first]
    was_in = stays.enter_ms[ends] != OUT
    seen_ms = tables.devices.fix_ms[owner]
    sure = np.full(len(ends), GUESSED)
    if isinstance(stays, SteadyStays):
        # Doubted stays ended when they were first doubted, not when the doubt had lasted.
        seen_ms = np.where(reason == OBSERVED, stays.low_ms[ends], seen_ms)
        sure = np.where(reason == OBSERVED, 1 - tables.belief(ends), sure)
    for why in (OBSERVED, SILENCE):
        at = np.flatnonzero(was_in & (reason == why))
        tables.tell(
            EXIT,
            owner[at],
            stays.slot[ends[at]].astype(np.int64),
            place=due_ms[at],
            time_ms=seen_ms[at],
            reason=why,
            confidence=sure[at],
            enter_ms=stays.enter_ms[ends[at]],
        )
    tables.leave(ends[was_in])
    stays.drop(ends, owner)


def _silence_due(tables: Tables, position: Ints, dev: Ints) -> Ints:
    return tables.devices.logged_ms[dev] + tables.fences.silence_ms[tables.stays.slot[position]]


def _silent(tables: Tables, until_ms: int) -> tuple[Ints, Ints]:
    """Pairs whose device has been silent for too long, with the device; also finds when this must be asked again."""
    nobody = np.empty(0, np.int64)
    if tables.quiet_until_ms > until_ms:
        return nobody, nobody
    devices, shortest_ms = tables.devices, tables.fences.shortest_silence_ms
    present = np.flatnonzero(devices.count[: devices.size])
    if not len(present):
        tables.quiet_until_ms = LATER
        return nobody, nobody
    logged_ms = devices.logged_ms[present]
    quiet = present[logged_ms + shortest_ms <= until_ms]
    awake_ms = logged_ms[logged_ms + shortest_ms > until_ms]
    next_ms = int(awake_ms.min()) + shortest_ms if len(awake_ms) else LATER
    position, owner = tables.stays.of(quiet)
    dev = quiet[owner]
    due_ms = _silence_due(tables, position, dev)
    over = due_ms <= until_ms
    tables.quiet_until_ms = min(next_ms, int(due_ms[~over].min(initial=LATER)))
    return position[over], dev[over]


def _doubts(tables: Tables, until_ms: int) -> tuple[Timer, Ints]:
    """Doubts that have lasted, and the positions of their pairs."""
    timers = tables.doubts.take(until_ms)
    position = tables.stays.find(timers.dev, timers.slot)
    if not isinstance(tables.stays, SteadyStays):
        return timers, position
    valid = np.flatnonzero(position >= 0)
    valid = valid[tables.stays.low_ms[position[valid]] == timers.stamp[valid]]
    return Timer(*(column[valid] for column in timers)), position[valid]


def _tell_dwells(tables: Tables, until_ms: int) -> None:
    """Dwells that were due while the stay lasted."""
    stays = tables.stays
    timers = tables.dwells.take(until_ms)
    position = stays.find(timers.dev, timers.slot)
    valid = np.flatnonzero(position >= 0)
    valid = valid[(stays.enter_ms[position[valid]] == timers.stamp[valid]) & ~stays.dwelt[position[valid]]]
    position, dev, due_ms = position[valid], timers.dev[valid], timers.due_ms[valid]
    alive = due_ms < _silence_due(tables, position, dev)
    if isinstance(stays, SteadyStays):
        # While it looks as if the device had left, nothing is told; a fix that says otherwise tells it then.
        alive &= stays.low_ms[position] == NEVER
    position, dev, due_ms = position[alive], dev[alive], due_ms[alive]
    slot = stays.slot[position].astype(np.int64)
    enter_ms = stays.enter_ms[position]
    sure = tables.belief(position)
    tables.tell(
        DWELL,
        dev,
        slot,
        place=due_ms,
        time_ms=enter_ms + tables.fences.dwell_ms[slot],
        reason=OBSERVED,
        confidence=sure,
        enter_ms=enter_ms,
    )
    stays.dwelt[position] = True


def _turn_hours(tables: Tables, at_ms: int) -> None:
    """Hours begin or end at this instant: who is within enters or leaves."""
    changed = tables.fences.turn(at_ms)
    if not changed:
        return
    stays = tables.stays
    position, dev = stays.everything()
    chosen = np.isin(stays.slot[position], changed)
    position, dev = position[chosen], dev[chosen]
    slot = stays.slot[position].astype(np.int64)
    opened = np.array([tables.fences.openings[number].open for number in slot.tolist()], np.bool_)
    in_ = stays.enter_ms[position] != OUT
    enters, exits = np.flatnonzero(opened & ~in_ & stays.within[position]), np.flatnonzero(~opened & in_)
    time_ms = np.maximum(at_ms, tables.devices.fix_ms[dev])
    place = np.full(len(dev), at_ms)
    sure = tables.belief(position)
    tables.tell(
        ENTER,
        dev[enters],
        slot[enters],
        place=place[enters],
        time_ms=time_ms[enters],
        reason=OBSERVED,
        confidence=sure[enters],
    )
    tables.tell(
        EXIT,
        dev[exits],
        slot[exits],
        place=place[exits],
        time_ms=time_ms[exits],
        reason=CHANGED,
        confidence=1.0,
        enter_ms=stays.enter_ms[position[exits]],
    )
    tables.leave(position[exits])
    stays.enter_ms[position[enters]] = time_ms[enters]
    stays.dwelt[position[enters]] = False
    np.add.at(tables.fences.inside, slot[enters], 1)
    dwell_ms = tables.fences.dwell_ms[slot[enters]]
    asked = np.flatnonzero(dwell_ms != NO_DWELL)
    enters = enters[asked]
    tables.dwells.add(Timer(at_ms + dwell_ms[asked], dev[enters], slot[enters], time_ms[enters]))


def forget_absent(tables: Tables, now_ms: int) -> None:
    """Release devices that are nowhere, and whose next ping will be judged the same without them; looks once an hour."""
    devices = tables.devices
    if now_ms < devices.swept_ms + SWEEP_MS:
        return
    devices.swept_ms = now_ms
    absent = (devices.count[: devices.size] == 0) & (devices.newest_ms[: devices.size] < now_ms - DEVICE_KEPT_MS)
    for place in np.flatnonzero(absent).tolist():
        devices.release(place)
        tables.held.pop(place, None)
