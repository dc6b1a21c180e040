"""What a decoder and the counting rules may know about a sensor."""

from typing import Any, Literal

import msgspec

Role = Literal["door", "camera", "presence", "co2"]


class LineConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What crossing a line of a sensor means."""

    in_is: Literal["forward", "backward"] = "forward"
    """`backward` for a sensor that is mounted the wrong way round: its ins are outs."""
    zone: str | None = None
    """The zone that an in leads into; the sensor's own when not said."""
    from_zone: str | None = None
    """The zone that an in comes from; None is the street."""


class SensorConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One sensor as its owner describes it."""

    id: str
    zone: str | None = None
    lines: dict[str, LineConfig] = {}
    """By the line's name in the readings; a line that is not named here has the defaults."""
    role: Role = "door"
    timezone: str | None = None
    """IANA name for local times without an offset; UTC when not said."""
    options: dict[str, Any] = {}
    """Settings of the format, such as the JSON paths of `mapping`; every format's are listed in docs/sensors.md."""
