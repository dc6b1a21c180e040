"""Opening hours in local time: past midnight, with dated exceptions, right on the days when clocks change.

`{"mon": [["09:00", "21:00"]], "sat": [["18:00", "02:00"]], "exceptions": {"2026-12-25": [], "2026-07-01/2026-07-14": []}}`.
A missing day is closed; a later exception overrules an earlier one;
an interval that ends at or before it starts runs into the next day; no hours at all is always open.
"""

import re
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sensors.instants import millis

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
# A week and a day: the longest that a weekly pattern can stay the same without staying so for ever; a closed fortnight
# of exceptions is crossed day by day by the caller asking again.
_HORIZON_DAYS = 9
_LONGEST_CLOSURE_DAYS = 366

Interval = tuple[time, time]


class Hours:
    """Weekly intervals with exceptions by date, in one timezone."""

    def __init__(self, document: dict[str, Any], timezone: str) -> None:
        """Parse a `hours` document.

        Raises:
            ValueError: an unknown day, timezone, date or time; the message says which.
        """
        self.zone = _zone(timezone)
        unknown = set(document) - {*DAYS, "exceptions"}
        if unknown:
            raise ValueError(f"unknown day {min(unknown)!r}; use {', '.join(DAYS)} or exceptions")
        self._week = [_intervals(document.get(day) or [], day) for day in DAYS]
        exceptions = document.get("exceptions") or {}
        if not isinstance(exceptions, dict):
            raise ValueError("exceptions: must be an object of date: intervals")  # noqa: TRY004 - one kind of refusal
        self._exceptions = {
            day: _intervals(spans or [], f"exceptions.{days}")
            for days, spans in exceptions.items()
            for day in _dates(days)
        }

    @property
    def dated(self) -> list[date]:
        """The dates with hours of their own: they are like no other day of their week."""
        return sorted(self._exceptions)

    def _spans(self, day: date) -> list[tuple[int, int]]:
        """The day's intervals as epoch milliseconds; local times that do not exist move on by the clock's jump."""
        spans = []
        for opens, closes in self._exceptions.get(day, self._week[day.weekday()]):
            last = day if closes > opens else day + timedelta(days=1)
            start = millis(datetime.combine(day, opens, self.zone))
            end = millis(datetime.combine(last, closes, self.zone))
            if end > start:
                spans.append((start, end))
        return spans

    def _near(self, at_ms: int, days: int) -> list[tuple[int, int]]:
        """Merged, sorted intervals of yesterday (it may run past midnight) and the next `days` days."""
        today = datetime.fromtimestamp(at_ms / 1000, self.zone).date()
        spans = sorted(span for offset in range(-1, days) for span in self._spans(today + timedelta(days=offset)))
        merged: list[tuple[int, int]] = []
        for start, end in spans:
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def is_open(self, at_ms: int) -> bool:
        """Whether it is open at this instant; opens at the first, closes at the last instant of an interval."""
        return any(start <= at_ms < end for start, end in self._near(at_ms, 2))

    def next_change(self, at_ms: int) -> int:
        """The next instant after `at_ms` at which open and closed may change; at the latest nine days on."""
        horizon = at_ms + _HORIZON_DAYS * 86_400_000
        edges = (edge for span in self._near(at_ms, _HORIZON_DAYS + 1) for edge in span)
        return min((edge for edge in edges if at_ms < edge < horizon), default=horizon)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"unknown timezone {name!r}") from error


def local_day(at_ms: int, timezone: str) -> date:
    """The calendar day at this instant in a timezone."""
    return datetime.fromtimestamp(at_ms / 1000, _zone(timezone)).date()


def _dates(text: str) -> list[date]:
    """One date, or all from a first to a last."""
    first, _, last = text.partition("/")
    try:
        begins = date.fromisoformat(first)
        days = (date.fromisoformat(last) - begins).days + 1 if last else 1
    except ValueError as error:
        raise ValueError(f"exceptions: {text!r} is not a date like 2026-12-25, or two with a / between") from error
    if not 0 < days <= _LONGEST_CLOSURE_DAYS:
        raise ValueError(f"exceptions: {text!r} is not 1 to {_LONGEST_CLOSURE_DAYS} days")
    return [begins + timedelta(days=day) for day in range(days)]


def _intervals(spans: Any, where: str) -> list[Interval]:
    if not isinstance(spans, list):
        raise ValueError(f"{where}: must be a list of [opens, closes]")  # noqa: TRY004 - one kind of refusal
    parsed = []
    for span in spans:
        if not (isinstance(span, list | tuple) and len(span) == 2 and all(isinstance(end, str) for end in span)):
            raise ValueError(f'{where}: an interval is ["09:00", "21:00"]')
        parsed.append((_clock(span[0], where), _clock(span[1], where)))
    return parsed


def _clock(text: str, where: str) -> time:
    if text == "24:00":
        return time(0, 0)
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(f"{where}: {text!r} is not a time like 09:00")
    return time(int(match[1]), int(match[2]))
