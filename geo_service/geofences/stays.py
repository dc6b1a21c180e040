"""Which device is in which fence: every (device, fence) pair that is being followed, as columns.

```
            device 0          device 2     (nobody's)   device 7
position    0     1     2     3     4      5     6      7     …
slot        4     9     12    9     30     -     -      2          ascending within a device
enter_ms    1700… 1700… OUT   1700… 1700…                         the phone's time of the enter; OUT = followed, not in
dwelt       1     0     0     0     1                             the stay's dwell was told
within      1     1     1     1     1                             inside, whether or not the fence is open
```

A device's stays are the elements `start … start + count - 1` (columns of `devices.py`). A device whose set of fences
changes gets a new stretch at the end, and the old one is nobody's until the columns are packed again: so a whole
batch is compared and written with a few operations on long arrays. "Followed, not in" is a device within a fence that
is closed at that hour, or (steady presence) one that may be inside.
"""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from geo_service.geofences.columns import Columns, spans
from geo_service.geofences.devices import NEVER, Devices

OUT = NEVER
"""In place of an enter's time: no stay is under way."""
_MOST_WASTE = 0.25
_FEW = 8
"""Stays in a fence whose devices are looked for one by one."""


class Stays(Columns):
    """Stays under way, and pairs that are followed because one may begin."""

    SPEC: ClassVar[dict[str, DTypeLike]] = {
        "slot": np.int32,
        "enter_ms": np.int64,
        "dwelt": np.bool_,
        "within": np.bool_,
    }
    slot: NDArray[np.int32]
    enter_ms: NDArray[np.int64]
    dwelt: NDArray[np.bool_]
    within: NDArray[np.bool_]

    def __init__(self, devices: Devices) -> None:
        super().__init__()
        self._devices = devices
        self.live = 0
        """Elements that belong to a device."""

    def of(self, places: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions of the stays of these devices in turn, and for each the index into `places`."""
        return spans(self._devices.start[places], self._devices.count[places])

    def everything(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions of all stays, and the device of each."""
        places = np.flatnonzero(self._devices.count[: self._devices.size])
        position, owner = self.of(places)
        return position, places[owner]

    def followed_in(self, slot: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions of all stays in a fence, and the device of each."""
        # Elements that are nobody's may be among these; which are whose, only the devices know.
        position = np.flatnonzero(self.slot[: self.size] == slot)
        if len(position) > _FEW:
            position, dev = self.everything()
            mine = self.slot[position] == slot
            return position[mine], dev[mine]
        start, count = self._devices.start[: self._devices.size], self._devices.count[: self._devices.size]
        owners = [np.flatnonzero((start <= at) & (at - start < count)) for at in position.tolist()]
        kept = [len(owner) == 1 for owner in owners]
        dev = np.concatenate([owner for owner in owners if len(owner)]) if any(kept) else np.empty(0, np.int64)
        order = np.argsort(dev)
        return position[kept][order], dev[order]

    def find(self, places: NDArray[Any], slots: NDArray[Any]) -> NDArray[np.int64]:
        """Position of each (device, slot) pair, -1 where it is not followed."""
        found = np.full(len(places), -1)
        position, owner = self.of(places)
        hit = self.slot[position] == slots[owner]
        found[owner[hit]] = position[hit]
        return found

    def replace(self, places: NDArray[Any], counts: NDArray[Any], columns: dict[str, NDArray[Any]]) -> None:
        """Give each of these devices a new set of stays: `counts[i]` elements of the columns in turn."""
        devices = self._devices
        begin, added = self.size, len(columns["slot"])
        self.live += added - int(devices.count[places].sum())
        self.resize(begin + added)
        for name in self.SPEC:
            getattr(self, name)[begin : begin + added] = columns[name]
        devices.start[places] = begin + np.cumsum(counts) - counts
        devices.count[places] = counts
        if self.size > 4096 and self.size > (1 + _MOST_WASTE) * self.live:
            self._pack()

    def drop(self, positions: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        """End these stays, each of the device beside it."""
        if not len(positions):
            return
        gone = np.zeros(self.size, np.bool_)
        gone[positions] = True
        places = np.unique(places)
        position, owner = self.of(places)
        kept = ~gone[position]
        position, owner = position[kept], owner[kept]
        counts = np.bincount(owner, minlength=len(places))
        self.replace(places, counts, {name: getattr(self, name)[position] for name in self.SPEC})

    def _pack(self) -> None:
        devices = self._devices
        places = np.flatnonzero(devices.count[: devices.size])
        position, _ = self.of(places)
        for name in self.SPEC:
            column = getattr(self, name)
            column[: len(position)] = column[position]
        counts = devices.count[places]
        devices.start[places] = np.cumsum(counts) - counts
        self.size = len(position)

    def dump(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {"columns": self.dump_columns(), "size": self.size, "live": self.live}

    def restore(self, dumped: dict[str, Any]) -> None:
        """What `dump` wrote; the devices' columns say whose they are."""
        self.restore_columns(dumped["columns"], dumped["size"])
        self.live = dumped["live"]


class SteadyStays(Stays):
    """Stays with what steady presence believes of each.

    ```
    odds        32.1   0.45   …    of being inside: p / (1 - p)
    low_ms      NEVER  1700…  …    the phone's time of the fix since which it has looked outside, without a break
    ```
    """

    SPEC: ClassVar[dict[str, DTypeLike]] = {**Stays.SPEC, "odds": np.float32, "low_ms": np.int64}
    odds: NDArray[np.float32]
    low_ms: NDArray[np.int64]
