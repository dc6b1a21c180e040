"""What is told ahead of one place: the next hours and the typical week, as current values for whoever asks."""

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from occupancy.forecast import Expected
from occupancy.place import Place
from sensors.instants import instant, millis

HOURS = 4


class Hour(msgspec.Struct, frozen=True):
    """People expected, with their 90 % interval."""

    time: datetime
    """Of the next hours: the instant; of the week: when the hour begins."""
    mean: float
    low: float
    high: float


class Outlook(msgspec.Struct, frozen=True):
    """The next hours of a place, as of `time`."""

    time: datetime | None
    """null: not yet."""
    hours: list[Hour]
    """Empty until the typical week is known, and while nothing is known of the present."""


_encode = msgspec.json.Encoder().encode


def outlook_name(store: str, zone: str) -> str:
    """The current value of the next hours; zone "" is the store as a whole."""
    return f"outlook:{store}/{zone}"


def week_name(store: str, zone: str) -> str:
    """The current value of the typical week."""
    return f"week:{store}/{zone}"


def outlook_of(place: Place, is_open: Callable[[int], bool], now_ms: int) -> bytes:
    """JSON of `Outlook`; `is_open` says of an instant (ms) whether the store is open then."""
    return _encode(Outlook(instant(now_ms), _hours(place.forecast(now_ms, HOURS, open_at=is_open))))


def week_of(place: Place, now_ms: int, timezone: str) -> bytes:
    """JSON of a list of `Hour`: each hour of the present local week that is known, from Monday on."""
    local = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(timezone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return _encode(_hours(place.typical_week(millis(midnight - timedelta(days=local.weekday())))))


def _hours(expected: list[Expected]) -> list[Hour]:
    return [Hour(instant(one.starts_ms), round(one.mean, 1), round(one.low, 1), round(one.high, 1)) for one in expected]
