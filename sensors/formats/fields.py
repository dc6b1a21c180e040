"""Fields of a body, read leniently: numbers as strings, several spellings of a time, null for absent.

Makes disagree on spelling, never on meaning, so a value that has no plain meaning is an error and not a guess.
"""

import math
import re
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from sensors.errors import ReadingError
from sensors.instants import millis

MAX_TOTAL = 2**53
"""The largest running total: beyond it JSON numbers are no longer exact."""
MAX_DELTA = 1_000_000
"""The most people one message may report; more is a fault, and would drown every later figure."""
MAX_NAME = 64
"""The longest name of a line or a zone."""
# Seconds beyond the year 5138, so the number is milliseconds.
_MILLISECONDS_FROM = 100_000_000_000
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{0,20})?(?:[eE][+-]?[0-9]{1,3})?")
# Milesight writes 2022/12/20 18:15:52; RFC 3339 wants dashes.
_SLASHED = re.compile(r"([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})")


def shown(value: Any) -> str:
    """A value as it may appear in a refusal: short, and without surprises."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and abs(value) > MAX_TOTAL:
        # Python refuses to print an integer of more than 4 300 digits.
        return "a huge number"
    return ascii(value) if len(str(value)) <= 40 else "something very long"


def number(value: Any, name: str) -> float:
    """A finite number.

    Raises:
        ReadingError: it is none.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()[:64]):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ReadingError(f"{name}: {shown(value)} is not a number")
    if abs(value) > 1e300 or not math.isfinite(value):
        raise ReadingError(f"{name}: {shown(value)} is not a finite number")
    return float(value)


def count(value: Any, name: str, most: int = MAX_TOTAL) -> int:
    """A number of people: whole, not negative, at most `most`.

    Raises:
        ReadingError: it is not.
    """
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdecimal() and len(value) <= 30:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        whole = number(value, name)
        if not whole.is_integer():
            raise ReadingError(f"{name}: {shown(value)} is not a whole number")
        value = int(whole)
    if value < 0:
        raise ReadingError(f"{name}: {shown(value)} is negative")
    if value > most:
        raise ReadingError(f"{name}: {shown(value)} is more than {most}")
    return int(value)


def flag(value: Any, name: str) -> bool:
    """On or off, in the words that devices use.

    Raises:
        ReadingError: neither.
    """
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if isinstance(value, int | float) and value in {0, 1}:
        return bool(value)
    if word in {"on", "true", "1", "yes", "open", "detected", "occupied"}:
        return True
    if word in {"off", "false", "0", "no", "closed", "clear", "vacant", "unoccupied"}:
        return False
    raise ReadingError(f"{name}: {shown(value)} is neither on nor off")


def name_of(value: Any, name: str) -> str:
    """A name of a line or a zone: printable, 1 to 64 characters; a number is taken as its digits.

    Raises:
        ReadingError: it is not.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < MAX_TOTAL else None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME or not value.isprintable():
        raise ReadingError(f"{name}: must be a text of 1 to {MAX_NAME} printable characters")
    return value


def instant_ms(value: Any, name: str, timezone: str | None = None) -> int:
    """RFC 3339 or epoch seconds, as milliseconds; a text without an offset needs the sensor's timezone.

    Raises:
        ReadingError: it is neither, or before 1970.
    """
    try:
        if isinstance(value, str):
            when = msgspec.convert(value, datetime)
            if when.tzinfo is None and timezone is not None:
                when = when.replace(tzinfo=zone(timezone))
            at_ms = millis(when)
        else:
            at_ms = millis(number(value, name))
    except msgspec.ValidationError as error:
        raise ReadingError(f"{name}: {shown(value)} is not an RFC 3339 time") from error
    except (ValueError, OverflowError) as error:
        raise ReadingError(f"{name}: {error}") from error
    if at_ms < 0:
        raise ReadingError(f"{name}: {shown(value)} is before 1970")
    return at_ms


def device_time_ms(value: Any, timezone: str | None = None) -> int | None:
    """When a device says something was, or None where it says nothing usable.

    Counts do not hang on a device's clock, so a time that cannot be read loses the date and not the people.
    Reads RFC 3339, epoch seconds and milliseconds, `2022/12/20 18:15:52`, and local times without an offset.
    """
    if isinstance(value, str):
        slashed = _SLASHED.fullmatch(value.strip())
        if slashed is not None:
            year, month, day, clock = slashed.groups()
            value = f"{year}-{int(month):02}-{int(day):02}T{clock}"
        elif _NUMBER.fullmatch(value.strip()[:64]):
            value = float(value)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not isinstance(value, str) and abs(value) >= _MILLISECONDS_FROM:
        value = value / 1000 if abs(value) < 1e300 else 0
    if value in {0, ""}:
        return None
    try:
        return instant_ms(value, "time", timezone or "UTC")
    except ReadingError:
        return None


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """A timezone by its IANA name.

    Raises:
        ReadingError: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ReadingError(f"unknown timezone {shown(name)}") from error


def charge(value: Any) -> float | None:
    """A battery level in per cent as 0 to 1; None where it is none, for nothing hangs on it but a warning."""
    try:
        percent = number(value, "battery")
    except ReadingError:
        return None
    return percent / 100 if 0 <= percent <= 100 else None
