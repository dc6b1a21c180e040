"""Instants: milliseconds since the Unix epoch inside, RFC 3339 at the edge.

Integers keep arithmetic exact and columns small; `datetime` appears where people read.
"""

import math
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# Year 9999: the last instant `datetime` can say. Beyond it a number is no time.
_LAST_SECOND = 253_402_300_799


def millis(when: datetime | float) -> int:
    """Milliseconds since the epoch of an aware datetime or of epoch seconds.

    Raises:
        ValueError: a naive datetime, NaN, infinity, or a number outside the years 1 to 9999.
    """
    if isinstance(when, datetime):
        if when.tzinfo is None:
            raise ValueError("time has no timezone")
        return (when - EPOCH) // _MILLISECOND
    if not math.isfinite(when) or abs(when) > _LAST_SECOND:
        raise ValueError("time is not a number of seconds since 1970")
    return round(when * 1000)


def instant(milliseconds: int) -> datetime:
    """The UTC datetime of milliseconds since the epoch."""
    return EPOCH + milliseconds * _MILLISECOND


def rfc3339(milliseconds: int) -> str:
    """The same as text, as outputs have it: `2026-06-04T11:00:00Z`."""
    return instant(milliseconds).isoformat().replace("+00:00", "Z")
