"""The typical week of one place, by the hour of the local week: who comes, who goes, how many are inside."""

from datetime import datetime, timedelta
from typing import Final, Self
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

HOURS: Final = 168
HOUR_MS: Final = 3_600_000
INS, OUTS, INSIDE, SPREAD = range(4)
_SLOWEST_PACE: Final = 0.15
"""Share that the newest week has in the typical one: about the last two months count."""
_RATIO_PRIOR: Final = 20.0
"""People by which today's ratio is held to 1 while few have come."""

Dumped = tuple[bytes, bytes]


class Week:
    """Typical ins, outs and mean inside of each hour, and the variance of the inside around (today's ratio x typical).

    `rows` has shape (4, 168); `weeks` counts how often each hour was learned.
    """

    __slots__ = ("rows", "weeks")

    def __init__(self) -> None:
        """Nothing learned."""
        self.rows: NDArray[np.float32] = np.zeros((4, HOURS), dtype=np.float32)
        self.weeks: NDArray[np.uint8] = np.zeros(HOURS, dtype=np.uint8)

    def learn(self, hour: int, ins: float, outs: float, inside: float, ratio: float) -> None:
        """Learn one hour of one day; `ratio` is how busy that day was against the typical."""
        seen = int(self.weeks[hour])
        pace = max(1 / (seen + 1), _SLOWEST_PACE)
        if seen:
            miss = (inside - ratio * float(self.rows[INSIDE, hour])) ** 2
            self.rows[SPREAD, hour] += np.float32(
                max(1 / seen, _SLOWEST_PACE) * (miss - float(self.rows[SPREAD, hour]))
            )
        for row, value in ((INS, ins), (OUTS, outs), (INSIDE, inside)):
            self.rows[row, hour] += np.float32(pace * (value - float(self.rows[row, hour])))
        self.weeks[hour] = min(seen + 1, 255)

    def knows(self, hour: int) -> bool:
        """Whether this hour has been learned at all."""
        return bool(self.weeks[hour])

    def figure(self, row: int, hour: int) -> float:
        """One learned figure."""
        return float(self.rows[row, hour])

    def ratio(self, came: float, expected: float) -> float:
        """Today's ratio: arrivals so far over typical ones, held to 1 while there are few."""
        return (came + _RATIO_PRIOR) / (expected + _RATIO_PRIOR)

    def expected_ins(self, since_ms: int, until_ms: int, zone: ZoneInfo) -> float:
        """Typical arrivals between two instants."""
        total, at_ms = 0.0, since_ms
        while at_ms < until_ms:
            end_ms = min(at_ms - at_ms % HOUR_MS + HOUR_MS, until_ms)
            total += self.figure(INS, hour_of_week(at_ms, zone)) * (end_ms - at_ms) / HOUR_MS
            at_ms = end_ms
        return total

    def dump(self) -> Dumped:
        """Everything, exactly."""
        return self.rows.astype("<f4", copy=False).tobytes(), self.weeks.tobytes()

    @classmethod
    def load(cls, dumped: Dumped) -> Self:
        """What `dump` gave, to the bit."""
        week = cls()
        week.rows = np.frombuffer(dumped[0], dtype="<f4").astype(np.float32).reshape(4, HOURS)
        week.weeks = np.frombuffer(dumped[1], dtype=np.uint8).copy()
        return week


def hour_of_week(at_ms: int, zone: ZoneInfo) -> int:
    """0 = Monday 00:00 to 01:00 local time; when clocks go back an hour comes twice, when they go forward one is missing."""
    local = datetime.fromtimestamp(at_ms / 1000, zone)
    return local.weekday() * 24 + local.hour


def half_hour_of_day(at_ms: int, zone: ZoneInfo) -> int:
    """0 = 00:00 to 00:30 local time."""
    local = datetime.fromtimestamp(at_ms / 1000, zone)
    return local.hour * 2 + local.minute // 30


def next_reset_ms(at_ms: int, zone: ZoneInfo, hour: int) -> int:
    """The next instant at which a local day begins that starts at this hour; it has 23 or 25 hours when clocks change."""
    day = datetime.fromtimestamp(at_ms / 1000, zone).date()
    while True:
        reset_ms = int(datetime(day.year, day.month, day.day, hour, tzinfo=zone).timestamp() * 1000)
        if reset_ms > at_ms:
            return reset_ms
        day += timedelta(days=1)
