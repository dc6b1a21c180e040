"""What every phone format shares: the row that a ping becomes, and how phones write "unknown"."""

from datetime import datetime
from typing import Any

from geo_service.errors import InvalidInputError
from sensors.instants import millis

Row = tuple[str, int, float, float, float, float, float, int]
"""`(device, time_ms, lat, lon, accuracy_m, speed_mps, heading_deg, flags)`; nan where the phone did not say."""

NAN = float("nan")
MAX_PINGS = 500
"""The most pings one message may carry."""


def time_millis(when: datetime | float, field: str = "time") -> int:
    """The ping's time.

    Raises:
        InvalidInputError: no timezone, or no instant at all.
    """
    try:
        return millis(when)
    except ValueError as error:
        raise InvalidInputError(str(error), field=field) from error


def positive(value: Any) -> float:
    """A measure that is only one above zero: phones write 0 or -1 for "unknown"."""
    return float(value) if value is not None and value > 0 else NAN


def heading(value: float | None) -> float:
    """A heading in degrees, 0 to 360, or nan."""
    return float(value) if value is not None and 0 <= value <= 360 else NAN
