"""What happened at fences: events, and the sheet of columns on which one step writes them down before they become objects.

```
sheet (one chunk of it)            events, in order
key    row « 44 │ type « 40 │ rank    Event("exit",  "d1", "shop", …)
what   exit, enter, …                 Event("enter", "d1", "mall", …)
dev    device's place                 …
slot   fence's place
…      time, position, confidence, duration, reason
```

The order of one ping's events is part of the contract: exits, crosses, enters, dwells, each by fence id; then the next ping.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from geo_service.outputs import CrossingType, Reason

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

EXIT, CROSS, ENTER, DWELL = range(4)
"""Codes of event types, in the order in which one ping's events come out."""
TYPES: tuple[CrossingType, ...] = ("exit", "cross", "enter", "dwell")
OBSERVED, SILENCE, CHANGED, REMOVED, FORGOTTEN = range(5)
REASONS: tuple[Reason, ...] = ("observed", "silence", "fence_changed", "fence_removed", "forgotten")
NO_DURATION = -1


class Event(NamedTuple):
    """A device entered, stayed in, left or passed through a fence. Times and durations are milliseconds."""

    type: CrossingType
    device: str
    fence: str
    store: str | None
    role: str
    time_ms: int
    lat: float
    lon: float
    accuracy_m: float | None
    confidence: float
    duration_ms: int | None
    reason: Reason
    mock: bool


class Chunk(NamedTuple):
    """Columns of equal length, one element an event, in no particular order."""

    place: Ints
    """What orders events first: the batch's row, or the instant at which a timer was due."""
    what: Ints
    dev: Ints
    slot: Ints
    time_ms: Ints
    lat: Floats
    lon: Floats
    accuracy_m: Floats
    confidence: Floats
    duration_ms: Ints
    reason: Ints
    mock: NDArray[np.bool_]


def sort_events(chunks: Sequence[Chunk], rank: Ints, names: Sequence[str | None] | None = None) -> Chunk:
    """All chunks as one, in the order of the contract; `rank` orders slots by fence id.

    Timers of several devices may be due at one instant: with `names`, by device place, they come by device id.
    """
    columns: Any = zip(*chunks, strict=True)
    one = chunks[0] if len(chunks) == 1 else Chunk(*map(np.concatenate, columns))
    keys = [rank[one.slot], one.what, one.place]
    if names is not None:
        keys.insert(2, _name_order(one.dev, names))
    order = np.lexsort(keys)
    ordered: Any = (column[order] for column in one)
    return Chunk(*ordered)


def _name_order(dev: Ints, names: Sequence[str | None]) -> Ints:
    places, which = np.unique(dev, return_inverse=True)
    told = [names[place] or "" for place in places.tolist()]
    order = np.empty(len(told), np.int64)
    order[sorted(range(len(told)), key=told.__getitem__)] = np.arange(len(told))
    return order[which]


def as_events(chunk: Chunk, names: Sequence[str | None], fences: Sequence[tuple[str, str | None, str]]) -> list[Event]:
    """The chunk's rows as events; `names` by device place, `fences` as (id, store, role) by slot."""
    about = [fences[slot] for slot in chunk.slot.tolist()]
    rows = zip(
        [TYPES[code] for code in chunk.what.tolist()],
        [names[dev] for dev in chunk.dev.tolist()],
        [row[0] for row in about],
        [row[1] for row in about],
        [row[2] for row in about],
        chunk.time_ms.tolist(),
        chunk.lat.tolist(),
        chunk.lon.tolist(),
        [accuracy if accuracy == accuracy else None for accuracy in chunk.accuracy_m.tolist()],  # noqa: PLR0124 - nan
        chunk.confidence.tolist(),
        [None if duration == NO_DURATION else duration for duration in chunk.duration_ms.tolist()],
        [REASONS[code] for code in chunk.reason.tolist()],
        chunk.mock.tolist(),
        strict=True,
    )
    return cast("list[Event]", list(map(Event._make, rows)))
