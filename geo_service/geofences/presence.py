"""Presence: pings in, who entered, stayed in and left which fence out.

One step over a batch of pings, all of it on arrays:

```
batch ──arrivals──► rows that count ──index──► (row, slot) pairs ──settle──► events, stays as they are now
                     late, duplicate,             strict: within the shape
                     skewed, too old, held        steady: what the fixes make believable
```

What is known lies in three tables, each with a picture of its arrays: `devices.py`, `fences.py`, `stays.py`; what is due
later lies in `timers.py`. The log's time is the only clock: every call first settles what was due by then.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from geo_service.catalogue.documents import Fence
from geo_service.geofences import arrivals, late, strict
from geo_service.geofences.due import forget_absent, run_due
from geo_service.geofences.events import CHANGED, EXIT, FORGOTTEN, REMOVED, Event
from geo_service.geofences.fences import NO_DWELL
from geo_service.geofences.index import covers
from geo_service.geofences.leaps import Fix, Fixes, leaps
from geo_service.geofences.many import Outline, half_widths_m, shapes_of
from geo_service.geofences.present import present
from geo_service.geofences.quiet import FEW, take_quiet
from geo_service.geofences.rings import ShapeError
from geo_service.geofences.settle import settle
from geo_service.geofences.shapes import Shape, read_shape
from geo_service.geofences.stays import OUT
from geo_service.geofences.steady import half_width_m
from geo_service.geofences.tables import LATER, Ints, Mask, Mode, Rows, Tables
from geo_service.geofences.timers import Timer, Timers
from geo_service.geofences.weighing import follow
from geo_service.outputs import Reason
from geo_service.pings.batch import MOCK, PingBatch

_AT_ONCE = 1000
"""Fences read together when a dump is loaded."""


class Step(NamedTuple):
    """What a batch of pings did: events in order, and the rows that did not count, by why."""

    events: list[Event]
    late: Ints
    duplicate: Ints
    skewed: Ints
    """These did count, at the log's time."""
    too_old: Ints
    held: Ints
    told: Ints
    """The row of each event; -1: it was due before the batch."""


class Presence:
    """Who is in which fence. Pure: the same calls give the same events."""

    def __init__(self, mode: Mode = "steady") -> None:
        self.mode: Mode = mode
        self._tables = Tables(mode)
        self._now_ms = 0

    def put_fence(self, fence: Fence, now_ms: int, outline: Outline | ShapeError | None = None) -> list[Event]:
        """Take a new or changed fence; with its outline, where `outlines_of` has read it among others.

        Returns:
            The exits that follow at once, for devices whose last position it no longer holds or whom it closed on.
            Enters follow at a device's next ping.

        Raises:
            ShapeError: the geometry cannot be used; nothing has changed.
            ValueError: the hours cannot be read; nothing has changed.
        """
        if fence.disabled:
            return self.tick(now_ms) + self._drop_fence(fence.id, CHANGED)
        if isinstance(outline, ShapeError):
            raise outline
        if outline is None:
            shape, _ = read_shape(fence)
            outline = Outline(shape, half_width_m(shape))
        return self.tick(now_ms) + self._take_fence(fence, outline.shape, outline.half_width_m)

    def put_fences(self, fences: Sequence[Fence], now_ms: int) -> list[Event]:
        """Take many fences: as `put_fence` of each in turn does, at a fraction of its cost.

        Raises:
            ShapeError: a geometry cannot be used; nothing has changed.
            ValueError: the hours of a fence cannot be read; those before it have been taken.
        """
        shapes = shapes_of([fence for fence in fences if not fence.disabled])
        half_m = iter(half_widths_m(shapes).tolist())
        shape = iter(shapes)
        events = self.tick(now_ms)
        for fence in fences:
            if fence.disabled:
                events += self._drop_fence(fence.id, CHANGED)
            else:
                events += self._take_fence(fence, next(shape), next(half_m))
        return events

    def _take_fence(self, fence: Fence, shape: Shape, half_m: float) -> list[Event]:
        tables = self._tables
        slot = tables.fences.slot_of.get(fence.id)
        dwell_ms = NO_DWELL if slot is None else int(tables.fences.dwell_ms[slot])
        silence_ms = 0 if slot is None else int(tables.fences.silence_ms[slot])
        known = slot is not None
        slot = tables.fences.put(fence, self._now_ms)
        reshaped = tables.fences.reshape(slot, shape)
        if reshaped:
            tables.index.put(slot, shape)
            tables.fences.half_width_m[slot] = half_m
        if known:
            if tables.fences.silence_ms[slot] < silence_ms:  # let the next tick look
                tables.quiet_until_ms = min(tables.quiet_until_ms, self._now_ms)
            self._judge_again(slot, dwell_ms, shape if reshaped else None)
        return tables.told(by_device=True)

    def _judge_again(self, slot: int, old_dwell_ms: int, shape: Shape | None) -> None:
        """A fence changed under the devices in it; `shape` is the one it has now, if that is another."""
        tables = self._tables
        stays, fences, devices = tables.stays, tables.fences, tables.devices
        position, dev = self._stays_in(slot)
        if not len(position):
            return
        within = np.ones(len(dev), np.bool_)
        if shape is not None:
            within = covers(shape, devices.lat[dev], devices.lon[dev])
        opening = fences.openings.get(slot)
        stay = within if opening is None or opening.open else np.zeros_like(within)
        self._leave(position, dev, ~stay, CHANGED)
        stays.drop(position[~within], dev[~within])
        dwell_ms = int(fences.dwell_ms[slot])
        if dwell_ms == old_dwell_ms:
            return
        tables.dwells.drop_slot(slot)
        position, dev = self._stays_in(slot)
        waits = (stays.enter_ms[position] != OUT) & ~stays.dwelt[position] & (dwell_ms != NO_DWELL)
        position, dev = position[waits], dev[waits]
        enter_ms = stays.enter_ms[position]
        tables.dwells.add(Timer(enter_ms + dwell_ms, dev, np.full(len(dev), slot), enter_ms))

    def remove_fence(self, fence_id: str, now_ms: int) -> list[Event]:
        """Forget a fence; whoever is in it leaves."""
        return self.tick(now_ms) + self._drop_fence(fence_id, REMOVED)

    def _drop_fence(self, fence_id: str, reason: int) -> list[Event]:
        tables = self._tables
        slot = tables.fences.slot_of.get(fence_id)
        if slot is None:
            return []
        position, dev = self._stays_in(slot)
        self._leave(position, dev, np.ones(len(dev), np.bool_), reason)
        events = tables.told(by_device=True)
        tables.stays.drop(position, dev)
        tables.dwells.drop_slot(slot)
        tables.index.remove(slot)
        tables.fences.remove(fence_id)
        return events

    def _stays_in(self, slot: int) -> tuple[Ints, Ints]:
        """Positions and devices of what is followed in a fence."""
        return self._tables.stays.followed_in(slot)

    def _leave(self, position: Ints, dev: Ints, which: Mask, reason: int) -> None:
        """End these stays now."""
        tables = self._tables
        which = which & (tables.stays.enter_ms[position] != OUT)
        position, dev = position[which], dev[which]
        slot = tables.stays.slot[position].astype(np.int64)
        now_ms = np.full(len(dev), self._now_ms)
        # The phone's clock may be a little ahead of the log's.
        time_ms = np.maximum(now_ms, tables.devices.fix_ms[dev])
        tables.tell(
            EXIT,
            dev,
            slot,
            place=now_ms,
            time_ms=time_ms,
            reason=reason,
            confidence=1.0,
            enter_ms=tables.stays.enter_ms[position],
        )
        tables.leave(position)

    def advance(self, batch: PingBatch, logged_ms: int) -> Step:
        """Take pings, in arrival order, that entered the log at this time."""
        events = self.tick(logged_ms)
        if len(batch) > FEW:
            return self._fold(batch, events)
        loud = take_quiet(self._tables, batch, self._now_ms)
        if not len(loud):
            return Step(events, loud, loud, loud, loud, loud, np.full(len(events), -1))
        if len(loud) == len(batch):
            return self._fold(batch, events)
        step = self._fold(batch.take(loud), events)
        return step._replace(
            late=loud[step.late],
            duplicate=loud[step.duplicate],
            skewed=loud[step.skewed],
            too_old=loud[step.too_old],
            held=loud[step.held],
            told=np.where(step.told < 0, -1, loud[step.told]),
        )

    def _fold(self, batch: PingBatch, events: list[Event]) -> Step:
        """Take pings as columns; `events` came before."""
        logged_ms = self._now_ms
        judged = arrivals.judge(batch, logged_ms, self._tables.devices)
        held = np.empty(0, np.int64)
        if self.mode == "steady":
            judged, held = self._hold(batch, judged)
        if len(judged.rows):
            rows = _rows(batch, judged)
            followed = (
                strict.follow(self._tables, rows) if self.mode == "strict" else follow(self._tables, rows, logged_ms)
            )
            settle(self._tables, rows, *followed, logged_ms)
        told, told_at = self._tables.told_at()
        told_at = np.concatenate((np.full(len(events), -1), told_at)) if events else told_at
        return Step(events + told, judged.late, judged.duplicate, judged.skewed, judged.too_old, held, told_at)

    def _hold(self, batch: PingBatch, judged: arrivals.Arrivals) -> tuple[arrivals.Arrivals, Ints]:
        """Set rows aside whose fix leaps; they count as arrived all the same."""
        tables, at, dev = self._tables, judged.rows, judged.dev
        fixes = Fixes(judged.time_ms, batch.lat[at], batch.lon[at], batch.accuracy_m[at])
        holds = leaps(tables.devices, tables.held, dev, fixes, judged.repeats)
        if not holds.any():
            return judged, np.empty(0, np.int64)
        np.maximum.at(tables.devices.newest_ms, dev[holds], judged.time_ms[holds])
        kept = judged._replace(rows=at[~holds], dev=dev[~holds], time_ms=judged.time_ms[~holds])
        return kept, at[holds]

    def tick(self, now_ms: int) -> list[Event]:
        """Settle whatever is due by now: dwells, silence, doubts that have lasted, hours that begin or end."""
        self._now_ms = max(now_ms, self._now_ms)
        forget_absent(self._tables, self._now_ms)
        due_ms = self.next_due_ms()
        if due_ms is None or due_ms > self._now_ms:
            return []
        run_due(self._tables, self._now_ms)
        return self._tables.told(by_device=True)

    def next_due_ms(self) -> int | None:
        """The earliest instant at which `tick` may have something to do; None while nothing is under way."""
        tables = self._tables
        quiet_ms = tables.quiet_until_ms if tables.stays.live and tables.quiet_until_ms != LATER else None
        due = (quiet_ms, tables.dwells.next_ms(), tables.doubts.next_ms(), tables.fences.next_turn_ms())
        return min((at_ms for at_ms in due if at_ms is not None), default=None)

    def forget(self, device: str, now_ms: int) -> list[Event]:
        """Let a device leave every fence, and keep nothing of it."""
        events = self.tick(now_ms)
        tables = self._tables
        place = tables.devices.place_of.get(device)
        if place is None:
            return events
        places = np.array([place])
        position, owner = tables.stays.of(places)
        self._leave(position, places[owner], np.ones(len(position), np.bool_), FORGOTTEN)
        events += tables.told()
        tables.stays.drop(position, places[owner])
        tables.devices.release(place)
        tables.held.pop(place, None)
        return events

    def slack_ms(self, fence_id: str, reason: Reason) -> int:
        """See `late.slack_ms`."""
        return late.slack_ms(self._tables, fence_id, reason)

    def was_within(self, fence_id: str, device: str, fix: Fix) -> bool:
        """See `late.was_within`."""
        return late.was_within(self._tables, fence_id, device, fix, self._now_ms)

    def inside(self, fence_id: str) -> int:
        """How many devices are in a fence; 0 for one that is not known."""
        slot = self._tables.fences.slot_of.get(fence_id)
        return 0 if slot is None else int(self._tables.fences.inside[slot])

    def present(self, fences: Collection[str], device: str | None = None, limit: int = 1_000) -> list[Event]:
        """Who is in these fences (or whether this device is): see `present.py`."""
        return present(self._tables, fences, device, limit)

    def fences_of(self, device: str) -> list[str]:
        """Ids of the fences that a device is in, in order."""
        place = self._tables.devices.place_of.get(device)
        if place is None:
            return []
        stays = self._tables.stays
        position, _ = stays.of(np.array([place]))
        slots = stays.slot[position[stays.enter_ms[position] != OUT]].tolist()
        return sorted(self._tables.fences.id[slot] for slot in slots)

    def dump(self) -> bytes:
        """Everything but the fences' documents, for a checkpoint."""
        tables = self._tables
        return _encode(
            {
                "version": 1,
                "mode": self.mode,
                "now_ms": self._now_ms,
                "quiet_until_ms": tables.quiet_until_ms,
                "devices": tables.devices.dump(),
                "stays": tables.stays.dump(),
                "slots": tables.fences.slot_of,
                "dwells": tables.dwells.dump(),
                "doubts": tables.doubts.dump(),
                "held": tables.held,
            }
        )

    @classmethod
    def load(cls, data: bytes, fences: Iterable[Fence]) -> "Presence":
        """What `dump` wrote, with the fences as they were then; goes on exactly as the dumped one would.

        Raises:
            ValueError: the dump is of another version, or of other fences than these.
        """
        dumped = _decode(data)
        if dumped["version"] != 1:
            raise ValueError(f"presence was dumped by another version ({dumped['version']})")
        presence = cls(dumped["mode"])
        tables = presence._tables
        presence._now_ms = dumped["now_ms"]
        enabled = {fence.id: fence for fence in fences if not fence.disabled}
        if enabled.keys() != dumped["slots"].keys():
            other = min(enabled.keys() ^ dumped["slots"].keys())
            raise ValueError(f"presence was dumped with other fences: {other} differs")
        tables.fences.restore(dumped["slots"], enabled, presence._now_ms)
        slots = list(dumped["slots"].items())
        for part in (slots[begin : begin + _AT_ONCE] for begin in range(0, len(slots), _AT_ONCE)):
            shapes = shapes_of([enabled[fence_id] for fence_id, _ in part])
            for (_, slot), shape, half_m in zip(part, shapes, half_widths_m(shapes).tolist(), strict=True):
                tables.index.put(slot, shape)
                tables.fences.reshape(slot, shape)
                tables.fences.half_width_m[slot] = half_m
        tables.devices.restore(dumped["devices"])
        tables.stays.restore(dumped["stays"])
        tables.recount()
        tables.dwells = Timers.load(dumped["dwells"])
        tables.doubts = Timers.load(dumped["doubts"])
        tables.held = {place: Fix(*fix) for place, fix in dumped["held"].items()}
        tables.quiet_until_ms = dumped["quiet_until_ms"]
        return presence


def _rows(batch: PingBatch, judged: arrivals.Arrivals) -> Rows:
    """The pings that count, device by device."""
    order, who, first, last = arrivals.in_turn(judged.dev, judged.repeats)
    at, dev, time_ms = judged.rows, judged.dev, judged.time_ms
    if judged.repeats:
        at, dev, time_ms = at[order], dev[order], time_ms[order]
    accuracy_m = batch.accuracy_m[at]
    return Rows(
        at,
        dev,
        time_ms,
        batch.lat[at],
        batch.lon[at],
        np.where(accuracy_m > 0, accuracy_m, np.nan),
        (batch.flags[at] & MOCK) != 0,
        who,
        first,
        last,
    )


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
