"""The one shape that everything downstream of a sensor knows."""

from typing import Literal

import msgspec

Kind = Literal["delta", "cumulative", "absolute", "state", "heartbeat"]


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of one line of one sensor, before any counting rule was applied to it.

    Times are milliseconds since the epoch. `received_ms` orders readings; `from_ms`/`to_ms` are the device's own
    window and only date it (a device clock may be frozen or wild).
    """

    sensor: str
    line: str = "door"
    kind: Kind
    ins: int = 0
    """People who crossed forward (`delta`), or the running total of them (`cumulative`)."""
    outs: int = 0
    value: float | None = None
    """People counted (`absolute`), or 1.0 / 0.0 for on / off (`state`)."""
    error: float | None = None
    """Standard error of `value`, in people, where the sender knows it."""
    from_ms: int | None = None
    """Begin of the window; of a `cumulative` reading: when the total began at zero, where the sender says."""
    to_ms: int | None = None
    received_ms: int = 0
    """When the reading entered the log; stamped by the fold, not by a decoder."""
    seq: int | None = None
    uptime_s: float | None = None
    retained: bool = False
    trigger: bool = False
    """This `delta` was sent at the moment of crossing. A line that sends such counts by them alone (see `counters`)."""
    whole_sensor: bool = False
    """This trigger's line goes by another name in the sensor's periods and totals, so it speaks for all of its lines."""
    key: str | None = None
    """The sender's own id of the message; the same again is the same message."""
    battery: float | None = None
    """Charge left, 0 to 1."""
    tamper: bool | None = None
    """Somebody covers, turns or opens the sensor."""
    zone: str | None = None
    """The zone an `absolute` value speaks of, where the sender says; otherwise the sensor's own."""
