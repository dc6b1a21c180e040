"""What presence knows, as the tables that its parts share, and the sheet on which a call writes its events."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.devices import Devices
from geo_service.geofences.events import NO_DURATION, Chunk, Event, as_events, sort_events
from geo_service.geofences.fences import Fences
from geo_service.geofences.index import FenceIndex
from geo_service.geofences.leaps import Fix
from geo_service.geofences.stays import OUT, Stays, SteadyStays
from geo_service.geofences.timers import Timers

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Mode = Literal["strict", "steady"]


class Rows(NamedTuple):
    """Pings that count, as columns, sorted by device and each device's in the order of time.

    `place` is the row in the batch; `who` numbers the devices of the batch; `first` and `last` are each one's rows here.
    """

    place: Ints
    dev: Ints
    time_ms: Ints
    lat: Floats
    lon: Floats
    accuracy_m: Floats
    mock: Mask
    who: Ints
    first: Ints
    last: Ints

    @property
    def repeats(self) -> bool:
        """Whether a device occurs more than once."""
        return len(self.first) < len(self.dev)

    def before(self, column: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
        """For each row what a column said before it: `column` by device at its first row, then the row before's value."""
        found = column[self.dev]
        if self.repeats:
            again = np.ones(len(found), np.bool_)
            again[self.first] = False
            found[1:][again[1:]] = values[:-1][again[1:]]
        return found


class Pairs(NamedTuple):
    """(ping, fence) pairs that are followed after the ping: sorted by row and slot, or by device, slot and row.

    `inside` is what the mode says, opening hours aside; one not inside is told that it left, and dropped unless `keep`.
    `prev` is the pair's position in the stays, or `NEW`; only a device's first row has such. `left_ms` is when one that is
    no longer inside was first seen outside; `extra` holds the columns that only this mode's stays have.
    """

    row: Ints
    slot: Ints
    inside: Mask
    keep: Mask
    belief: Floats
    prev: Ints
    left_ms: Ints
    extra: dict[str, NDArray[Any]]

    def take(self, at: NDArray[Any]) -> "Pairs":
        """The given elements."""
        extra = {name: column[at] for name, column in self.extra.items()}
        columns: Any = (*(column[at] for column in self[:-1]), extra)
        return Pairs(*columns)


class Lost(NamedTuple):
    """Pairs that are followed no longer: the ping since which, the fence, and when the stay began, or OUT."""

    row: Ints
    slot: Ints
    enter_ms: Ints


NEW = -1
LATER = int(np.iinfo(np.int64).max)
"""After everything."""


class Tables:
    """Devices, fences, stays and timers."""

    def __init__(self, mode: Mode) -> None:
        self.mode: Mode = mode
        self.devices = Devices()
        self.fences = Fences()
        self.index = FenceIndex()
        self.stays: Stays = SteadyStays(self.devices) if mode == "steady" else Stays(self.devices)
        self.dwells = Timers()
        self.doubts = Timers()
        self.held: dict[int, Fix] = {}
        """Fixes that wait for another to agree with them, by device place (steady presence)."""
        self.quiet_until_ms = LATER
        """Nobody falls silent before this instant."""
        self._sheet: list[Chunk] = []

    def tell(
        self,
        what: int,
        dev: Ints,
        slot: Ints,
        *,
        place: Ints,
        time_ms: Ints,
        reason: int,
        confidence: Floats | float,
        enter_ms: Ints | None = None,
        rows: Rows | None = None,
        row: Ints | None = None,
    ) -> None:
        """Write events of one type on the sheet, where their fences ask for them.

        Args:
            what: EXIT, CROSS, ENTER or DWELL.
            dev: the device of each.
            slot: the fence of each.
            place: what orders the events first.
            time_ms: the phone's time of each.
            reason: why, for all of them.
            confidence: 0 to 1.
            enter_ms: when the stay began, where the event has a duration.
            rows: pings that `row` points into; without them the device's newest position is told.
            row: the ping of each event.
        """
        asked = np.flatnonzero(self.fences.detect[slot] >> what & 1)
        if not len(asked):
            return
        dev, slot, time_ms = dev[asked], slot[asked], time_ms[asked]
        where: Any = self.devices if rows is None else rows
        at = dev if rows is None or row is None else row[asked]
        count = len(asked)
        self._sheet.append(
            Chunk(
                place[asked],
                np.full(count, what),
                dev,
                slot,
                time_ms,
                where.lat[at],
                where.lon[at],
                where.accuracy_m[at].astype(np.float64),
                np.broadcast_to(np.asarray(confidence, np.float64), len(place))[asked]
                if np.ndim(confidence)
                else np.full(count, confidence),
                np.full(count, NO_DURATION) if enter_ms is None else np.maximum(time_ms - enter_ms[asked], 0),
                np.full(count, reason),
                where.mock[at],
            )
        )

    def told(self, *, by_device: bool = False) -> list[Event]:
        """The events on the sheet, in order; the sheet is empty afterwards."""
        return self.told_at(by_device=by_device)[0]

    def told_at(self, *, by_device: bool = False) -> tuple[list[Event], Ints]:
        """The same, and of each event what ordered it first: its ping's row, or when it was due."""
        chunks, self._sheet = self._sheet, []
        if not chunks:
            return [], np.empty(0, np.int64)
        names, fences = self.devices.name, self.fences
        ordered = sort_events(chunks, fences.rank, names if by_device else None)
        return as_events(ordered, names, (fences.id, fences.store, fences.role)), ordered.place

    def belief(self, position: Ints) -> Floats:
        """How sure it is that these pairs are inside; strict presence does not doubt."""
        if not isinstance(self.stays, SteadyStays):
            return np.ones(len(position))
        odds = self.stays.odds[position].astype(np.float64)
        return np.asarray(odds / (1 + odds), np.float64)

    def leave(self, position: Ints) -> None:
        """End these stays; the pairs are followed on."""
        np.subtract.at(self.fences.inside, self.stays.slot[position], 1)
        self.stays.enter_ms[position] = OUT
        self.stays.dwelt[position] = False

    def recount(self) -> None:
        """Count anew who is in each fence."""
        position, _ = self.stays.everything()
        slots = self.stays.slot[position[self.stays.enter_ms[position] != OUT]]
        self.fences.inside[:] = np.bincount(slots, minlength=len(self.fences.inside))
