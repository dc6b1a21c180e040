"""A batch of pings as columns: the shape of a ping from decode to crossing.

```
row            0        1        2      …
devices      "d1"     "d7"     "d1"          device id, one str a row
time_ms     17000…   17000…   17001…         the phone's clock, int64
lat, lon     60.1…    60.2…    60.1…         WGS84 degrees, float64
accuracy_m   12.0     nan      5.0           nan = the phone did not say (0 counts as not said)
speed_mps    nan      1.2      0.0
flags         0        1        0            bit 0: a mock location
```

No Python object per ping exists between the decoder and the crossing. Altitude, battery and what else a phone may send
is dropped at the border: what nobody reads, nobody should store.
"""

from dataclasses import dataclass
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

MOCK = 1
"""Bit of `flags`: the phone said that this location is simulated."""


def said(value: np.float64) -> float | None:
    """One value of a column; None where the phone did not say (nan)."""
    return None if np.isnan(value) else float(value)


@dataclass(frozen=True, slots=True)
class PingBatch:
    """Columns of equal length; row order is arrival order."""

    devices: list[str]
    time_ms: NDArray[np.int64]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    accuracy_m: NDArray[np.float64]
    speed_mps: NDArray[np.float64]
    heading_deg: NDArray[np.float64]
    flags: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.devices)

    @classmethod
    def from_rows(cls, rows: list[tuple[str, int, float, float, float, float, float, int]]) -> Self:
        """Build from `(device, time_ms, lat, lon, accuracy_m, speed_mps, heading_deg, flags)` rows."""
        if not rows:
            return cls.empty()
        devices, time_ms, lat, lon, accuracy, speed, heading, flags = zip(*rows, strict=True)
        return cls(
            list(devices),
            np.array(time_ms, np.int64),
            np.array(lat, np.float64),
            np.array(lon, np.float64),
            np.array(accuracy, np.float64),
            np.array(speed, np.float64),
            np.array(heading, np.float64),
            np.array(flags, np.uint8),
        )

    @classmethod
    def empty(cls) -> Self:
        """No pings."""
        none = np.empty(0, np.float64)
        return cls([], np.empty(0, np.int64), none, none, none, none, none, np.empty(0, np.uint8))

    def take(self, rows: NDArray[np.intp]) -> "PingBatch":
        """The given rows, in the given order."""
        return PingBatch(
            [self.devices[row] for row in rows.tolist()],
            self.time_ms[rows],
            self.lat[rows],
            self.lon[rows],
            self.accuracy_m[rows],
            self.speed_mps[rows],
            self.heading_deg[rows],
            self.flags[rows],
        )

    def encode(self) -> bytes:
        """Bytes for the log: ids joined by newlines (an id never holds one), then each column as it lies in memory."""
        return _ENCODER.encode(
            [
                "\n".join(self.devices),
                self.time_ms.tobytes(),
                self.lat.tobytes(),
                self.lon.tobytes(),
                self.accuracy_m.tobytes(),
                self.speed_mps.tobytes(),
                self.heading_deg.tobytes(),
                self.flags.tobytes(),
            ]
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The batch that `encode` wrote."""
        devices, *columns = _DECODER.decode(data)
        times, lat, lon, accuracy, speed, heading, flags = columns
        return cls(
            devices.split("\n") if devices else [],
            np.frombuffer(times, np.int64),
            np.frombuffer(lat, np.float64),
            np.frombuffer(lon, np.float64),
            np.frombuffer(accuracy, np.float64),
            np.frombuffer(speed, np.float64),
            np.frombuffer(heading, np.float64),
            np.frombuffer(flags, np.uint8),
        )


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(tuple[str, bytes, bytes, bytes, bytes, bytes, bytes, bytes])
