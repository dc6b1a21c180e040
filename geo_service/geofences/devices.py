"""Devices: ids interned to small integers, and what is known of each, as columns.

```
place          0        1        2     …     a device's place in every column
name         "d1"     "d7"     None          None = free, to be used again
newest_ms   17000…   17000…     -            the phone's time of its newest ping
fix_ms      17000…   17000…     -            the phone's time of its newest position that was believed
logged_ms   17000…   17000…     -            the log's time of that position
lat, lon     60.1…    60.2…                  where it was then
accuracy_m   12.0     nan
mock          0        1
start         0        3        7            its stays: stays[start : start + count]  (see stays.py)
count         3        0        2
```
"""

from itertools import repeat
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from geo_service.geofences.columns import Columns

NEVER = np.iinfo(np.int64).min
"""Before any ping."""
FREE = -1


class Devices(Columns):
    """Every device seen within a day."""

    SPEC: ClassVar[dict[str, DTypeLike]] = {
        "name": np.object_,
        "newest_ms": np.int64,
        "fix_ms": np.int64,
        "logged_ms": np.int64,
        "lat": np.float64,
        "lon": np.float64,
        "accuracy_m": np.float32,
        "mock": np.bool_,
        "start": np.int32,
        "count": np.int32,
    }
    name: NDArray[np.object_]
    newest_ms: NDArray[np.int64]
    fix_ms: NDArray[np.int64]
    logged_ms: NDArray[np.int64]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    accuracy_m: NDArray[np.float32]
    mock: NDArray[np.bool_]
    start: NDArray[np.int32]
    count: NDArray[np.int32]

    def __init__(self) -> None:
        super().__init__()
        self.place_of: dict[str, int] = {}
        self._free: list[int] = []
        self.swept_ms = 0
        """When absent devices were last looked for."""

    def intern(self, names: list[str]) -> NDArray[np.int64]:
        """Places of these devices; a new one gets a place and has never been seen."""
        places = np.fromiter(map(self.place_of.get, names, repeat(FREE)), np.int64, len(names))
        for row in np.flatnonzero(places == FREE).tolist():
            name = names[row]
            place = self.place_of.get(name)
            places[row] = self._new(name) if place is None else place
        return places

    def _new(self, name: str) -> int:
        if self._free:
            place = self._free.pop()
        else:
            place = self.size
            self.resize(place + 1)
        self.name[place] = name
        self.place_of[name] = place
        self.newest_ms[place] = self.fix_ms[place] = self.logged_ms[place] = NEVER
        self.count[place] = 0
        return place

    def release(self, place: int) -> None:
        """Forget the device at this place; the place is free again."""
        name = self.name[place]
        if name is None:
            return
        del self.place_of[name]
        self.name[place] = None
        self.lat[place] = self.lon[place] = np.nan
        self.newest_ms[place] = self.fix_ms[place] = self.logged_ms[place] = NEVER
        self.count[place] = 0
        self._free.append(place)

    def dump(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {
            "columns": self.dump_columns(),
            "names": "\n".join(name or "" for name in self.name[: self.size].tolist()),
            "free": self._free,
            "size": self.size,
            "swept_ms": self.swept_ms,
        }

    def restore(self, dumped: dict[str, Any]) -> None:
        """What `dump` wrote."""
        self.restore_columns(dumped["columns"], dumped["size"])
        names = dumped["names"].split("\n") if self.size else []
        self.place_of = {name: place for place, name in enumerate(names) if name}
        self.name[:] = [name or None for name in names]
        self._free = list(dumped["free"])
        self.swept_ms = dumped["swept_ms"]
