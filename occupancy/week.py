"""The typical week of one place, by the hour of the local week: who comes, who goes, how many are inside."""

from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from occupancy.local_time import HOUR_MS, HOURS_A_WEEK, LocalTime

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
        self.rows: NDArray[np.float32] = np.zeros((4, HOURS_A_WEEK), dtype=np.float32)
        self.weeks: NDArray[np.uint8] = np.zeros(HOURS_A_WEEK, dtype=np.uint8)

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

    def hour(self, at_ms: int, time: LocalTime) -> int:
        """The hour of the week by whose habits an instant goes: a holiday's are Sunday's, where the place is known on Sundays."""
        hour = time.hour_of_week(at_ms)
        return hour if self.knows(hour) or not time.is_holiday(at_ms) else time.hour_of_calendar_week(at_ms)

    def knows(self, hour: int) -> bool:
        """Whether this hour has been learned at all."""
        return bool(self.weeks[hour])

    def memory(self, hour: int) -> float:
        """How many weeks its figures stand on, at least 1; the pace at which old ones are forgotten bounds it."""
        return min(max(float(self.weeks[hour]), 1.0), 2 / _SLOWEST_PACE - 1)

    def figure(self, row: int, hour: int) -> float:
        """One learned figure."""
        return float(self.rows[row, hour])

    def inside(self, at_ms: int, time: LocalTime) -> float | None:
        """Typical people inside at an instant, between the middles of two hours; None where either is not known."""
        middle = time.hour_start_ms(at_ms) + HOUR_MS // 2
        before = middle if at_ms >= middle else middle - HOUR_MS
        hours = self.hour(before, time), self.hour(before + HOUR_MS, time)
        if not all(self.knows(hour) for hour in hours):
            return None
        share = (at_ms - before) / HOUR_MS
        return (1 - share) * self.figure(INSIDE, hours[0]) + share * self.figure(INSIDE, hours[1])

    def ratio_variance(self, expected: float) -> float:
        """Of `ratio`, when so many were expected so far: people come in groups, and days change their mind."""
        return 1.5 / (expected + _RATIO_PRIOR) + 0.1**2

    def ratio(self, came: float, expected: float) -> float:
        """Today's ratio: arrivals so far over typical ones, held to 1 while there are few."""
        return (came + _RATIO_PRIOR) / (expected + _RATIO_PRIOR)

    def expected_ins(self, since_ms: int, until_ms: int, time: LocalTime) -> float:
        """Typical arrivals between two instants."""
        total, at_ms = 0.0, since_ms
        while at_ms < until_ms:
            end_ms = min(time.hour_start_ms(at_ms) + HOUR_MS, until_ms)
            total += self.figure(INS, self.hour(at_ms, time)) * (end_ms - at_ms) / HOUR_MS
            at_ms = end_ms
        return total

    def dump(self) -> Dumped:
        """Everything, exactly."""
        return self.rows.astype("<f4", copy=False).tobytes(), self.weeks.tobytes()

    @classmethod
    def load(cls, dumped: Dumped) -> Self:
        """What `dump` gave, to the bit."""
        week = cls()
        week.rows = np.frombuffer(dumped[0], dtype="<f4").astype(np.float32).reshape(4, HOURS_A_WEEK)
        week.weeks = np.frombuffer(dumped[1], dtype=np.uint8).copy()
        return week
