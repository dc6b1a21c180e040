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
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from geo_service.outputs import CrossingType, Reason

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Objects = NDArray[np.object_]

EXIT, CROSS, ENTER, DWELL = range(4)
"""Codes of event types, in the order in which one ping's events come out."""
TYPES: tuple[CrossingType, ...] = ("exit", "cross", "enter", "dwell")
OBSERVED, SILENCE, CHANGED, REMOVED, FORGOTTEN = range(5)
REASONS: tuple[Reason, ...] = ("observed", "silence", "fence_changed", "fence_removed", "forgotten")
NO_DURATION = -1


class Event(msgspec.Struct, frozen=True, gc=False):
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


def sort_events(chunks: Sequence[Chunk], rank: NDArray[np.int32], names: Objects | None = None) -> Chunk:
    """All chunks as one, in the order of the contract; `rank` orders slots by fence id.

    Timers of several devices may be due at one instant: with `names`, by device place, they come by device id.
    """
    columns: Any = zip(*chunks, strict=True)
    one = chunks[0] if len(chunks) == 1 else Chunk(*map(np.concatenate, columns))
    keys = [one.what << 32 | rank.take(one.slot), one.place]
    if names is not None:
        keys.insert(1, np.unique(names.take(one.dev).astype(str), return_inverse=True)[1])
    order = np.lexsort(keys)
    ordered: Any = (column.take(order) for column in one)
    return Chunk(*ordered)


def as_events(chunk: Chunk, names: Objects, fences: tuple[Objects, Objects, Objects]) -> list[Event]:
    """The chunk's rows as events; `names` by device place; `fences` are id, store and role by slot."""
    return list(
        map(
            Event,
            _TYPES.take(chunk.what).tolist(),
            names.take(chunk.dev).tolist(),
            *(about.take(chunk.slot).tolist() for about in fences),
            chunk.time_ms.tolist(),
            chunk.lat.tolist(),
            chunk.lon.tolist(),
            [accuracy if accuracy == accuracy else None for accuracy in chunk.accuracy_m.tolist()],  # noqa: PLR0124 - nan
            chunk.confidence.tolist(),
            [None if duration == NO_DURATION else duration for duration in chunk.duration_ms.tolist()],
            _REASONS.take(chunk.reason).tolist(),
            chunk.mock.tolist(),
        )
    )


_TYPES = np.array(TYPES, np.object_)
_REASONS = np.array(REASONS, np.object_)
