"""Local hours of a place: hours of the week that keep their place when clocks change, holidays, the end of a day."""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

HOUR_MS: Final = 3_600_000
HOURS_A_WEEK: Final = 168
_SUNDAY: Final = 6


class LocalTime:
    """The clock on the wall of one place, and the dates on which it keeps Sunday's habits."""

    __slots__ = ("_cached", "_zone", "holidays", "timezone")

    def __init__(self, timezone: str, holidays: Collection[date] = ()) -> None:
        self.timezone = timezone
        self.holidays = frozenset(holidays)
        self._zone = ZoneInfo(timezone)
        self._cached: tuple[int, int, int, bool, int] = (-1, 0, 0, False, 0)

    def _at(self, at_ms: int) -> tuple[int, int, int, bool, int]:
        """The quarter of an hour: its hour of the week, half-hour of the day, whether it is a holiday, hour of the calendar's week.

        No offset from UTC changes within a quarter of an hour.
        """
        quarter = at_ms // 900_000
        if self._cached[0] != quarter:
            local = datetime.fromtimestamp(quarter * 900, self._zone)
            holiday = local.date() in self.holidays
            weekday = _SUNDAY if holiday else local.weekday()
            half_hour = local.hour * 2 + local.minute // 30
            self._cached = quarter, weekday * 24 + local.hour, half_hour, holiday, local.weekday() * 24 + local.hour
        return self._cached

    def hour_of_week(self, at_ms: int) -> int:
        """0 = Monday 00:00 to 01:00; an hour comes twice when clocks go back, and one is missing when they go forward."""
        return self._at(at_ms)[1]

    def hour_of_calendar_week(self, at_ms: int) -> int:
        """The same by the calendar alone, holiday or not."""
        return self._at(at_ms)[4]

    def half_hour_of_day(self, at_ms: int) -> int:
        """0 = 00:00 to 00:30."""
        return self._at(at_ms)[2]

    def hour_start_ms(self, at_ms: int) -> int:
        """When the local hour began; no offset from UTC is finer than a quarter of an hour."""
        minute = datetime.fromtimestamp(at_ms // 900_000 * 900, self._zone).minute
        return at_ms // 900_000 * 900_000 - minute * 60_000

    def is_holiday(self, at_ms: int) -> bool:
        """Whether the local date is one of the holidays."""
        return self._at(at_ms)[3]

    def next_reset_ms(self, at_ms: int, hour: int) -> int:
        """The next instant after this at which a day begins that starts at this hour; 23 to 25 hours after the last."""
        day = datetime.fromtimestamp(at_ms / 1000, self._zone).date()
        while True:
            reset_ms = int(datetime(day.year, day.month, day.day, hour, tzinfo=self._zone).timestamp() * 1000)
            if reset_ms > at_ms:
                return reset_ms
            day += timedelta(days=1)
