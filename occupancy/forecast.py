"""What the next hours will bring: the typical week, by how today compares with it.

The forecast of an hour is its typical figure times a ratio, actual over typical of the hours just past: the nearer the
hour, the shorter the past that counts. Figures are counts, so all is done on their square roots, whose errors have much
the same size everywhere (Anscombe, Biometrika 35 (1948) 246). Intervals take the usual error of that hour of the week
times a factor that each outcome moves, up after a miss and down after a hit, so that nine in ten hit whatever the errors
look like (adaptive conformal inference: Gibbs and Candès, NeurIPS 2021).
"""

import math
from collections.abc import Callable, Collection
from datetime import date
from typing import Final, NamedTuple, Self

import msgspec

from occupancy.local_time import HOUR_MS, HOURS_A_WEEK, LocalTime
from occupancy.week import INSIDE, SPREAD, Week

LEADS: Final = (1, 2, 3, 4, 24)
"""Hours ahead for which the width of the interval is learned; others take that of the next of these."""
_LEARNING_PACE: Final = 0.1
_RATIO_MEMORY_HOURS: Final = (1.5, 8.0)
_RATIO_PRIOR_HOURS: Final = (0.3, 3.0)
"""How many typical hours the ratio is held to 1 by, in the short past and in the long."""
_SHORT_FADES: Final = 0.6
"""Weight of the short past in a forecast of the next hour but one, against the next hour."""
_FIRST_WIDTH: Final = 2.0
_WIDTH_PACE: Final = 0.02
_OUTSIDE: Final = 0.1
_DAYS_DIFFER: Final = 0.2
"""Relative standard deviation of how busy a day is."""
_Z90: Final = 1.6448536269514722
AFTER_HOURS_MEAN: Final = 0.1
"""People in a closed place of which nothing else is known."""


class Expected(NamedTuple):
    """A figure to come, and the interval that it hits nine times in ten."""

    starts_ms: int
    """When its hour begins; of people inside, the instant itself."""
    mean: float
    low: float
    high: float


class Present(NamedTuple):
    """What is known of one place now."""

    at_ms: int
    people: float
    variance: float
    ratio: float
    """How busy today is so far, against the typical week."""
    ratio_variance: float
    scatter: float
    """Variance of the number inside over its mean, by chance alone."""
    dwell_ms: float
    """Mean dwell time: how long today's deviation lasts."""


def inside_ahead(
    present: Present, week: Week, time: LocalTime, hours: int, emptied: Callable[[int], bool] | None = None
) -> list[Expected]:
    """People inside at one, two, … hours from now: the typical week by today's ratio, and for now also by who is here.

    What the place holds more or less than that fades as those people leave. `emptied` says of an instant whether the place
    will have been closed for long enough to be empty then, whatever is typical. An hour of the week that was never seen is
    left out.
    """
    made = []
    usual_now = week.inside(present.at_ms, time)
    for lead in range(1, hours + 1):
        at_ms = present.at_ms + lead * HOUR_MS
        if emptied is not None and emptied(at_ms):
            made.append(Expected(at_ms, AFTER_HOURS_MEAN, 0.0, 1.0))
            continue
        usual, hour = week.inside(at_ms, time), week.hour(at_ms, time)
        if usual is None or usual_now is None:
            continue
        still = math.exp(-lead * HOUR_MS / present.dwell_ms)
        mean = max(present.ratio * usual + still * (present.people - present.ratio * usual_now), 0.0)
        chance = week.figure(SPREAD, hour) + present.scatter * mean  # an hour's mean is quieter than an instant of it
        learned = (_DAYS_DIFFER * mean) ** 2 / week.memory(hour)
        variance = still**2 * present.variance + (1 - still**2) * (chance + learned)
        variance += usual**2 * present.ratio_variance
        reach = _Z90 * math.sqrt(variance)
        made.append(Expected(at_ms, mean, max(mean - reach, 0.0), mean + reach))
    return made


def typical_inside(week: Week, time: LocalTime, monday_ms: int) -> list[Expected]:
    """Mean people inside in each hour of the week that begins at this local Monday midnight; unknown hours are left out."""
    made = []
    for starts_ms in range(monday_ms, monday_ms + HOURS_A_WEEK * HOUR_MS, HOUR_MS):
        hour = time.hour_of_week(starts_ms)
        if week.knows(hour):
            mean = week.figure(INSIDE, hour)
            reach = _Z90 * math.sqrt(week.figure(SPREAD, hour) + _DAYS_DIFFER**2 * mean * mean)
            made.append(Expected(starts_ms, mean, max(mean - reach, 0.0), mean + reach))
    return made


class _Memory(msgspec.Struct):
    """Hours just past: actual and typical, as roots, fading."""

    actual: float = 0.0
    typical: float = 0.0


class _Pending(msgspec.Struct):
    hour_ms: int
    lead: int
    root: float
    reach: float


class _State(msgspec.Struct):
    typical: list[float | None]
    errors: list[float]
    memories: list[_Memory]
    widths: list[float]
    pending: list[_Pending] = []
    scale: float = 0.0
    hour_ms: int | None = None


class HourlyForecast:
    """Forecasts of an hourly figure, such as visitors or mean occupancy, that learns with every hour.

    Args:
        timezone: IANA name; an hour of the week is a local one, so that it keeps its place when clocks change.
        holidays: local dates that are like Sundays and teach nothing of their weekday.
    """

    def __init__(self, timezone: str = "UTC", holidays: Collection[date] = ()) -> None:
        self._time = LocalTime(timezone, holidays)
        self._state = _State(
            typical=[None] * HOURS_A_WEEK,
            errors=[0.0] * HOURS_A_WEEK,
            memories=[_Memory() for _ in _RATIO_MEMORY_HOURS],
            widths=[_FIRST_WIDTH] * len(LEADS),
        )

    def learn(self, starts_ms: int, figure: float | None) -> None:
        """The hour that began at `starts_ms` is over; None where nothing is known of it (a gap teaches nothing).

        Raises:
            ValueError: the hour is not after the last one, or the figure is negative or not finite.
        """
        state = self._state
        if state.hour_ms is not None and starts_ms <= state.hour_ms:
            raise ValueError(f"hour {starts_ms} is not after {state.hour_ms}")
        if figure is not None and not (math.isfinite(figure) and figure >= 0):
            raise ValueError(f"{figure} is not a figure of an hour")
        hours = 1 if state.hour_ms is None else max((starts_ms - state.hour_ms) // HOUR_MS, 1)
        state.hour_ms = starts_ms
        root = None if figure is None else math.sqrt(figure)
        self._judge(starts_ms, root)
        self._remember(starts_ms, root, hours)
        for place, lead in enumerate(LEADS):
            target_ms = starts_ms + lead * HOUR_MS
            guess = self._root(target_ms, lead)
            if guess is not None:
                reach = state.widths[place] * self._error(target_ms)
                state.pending.append(_Pending(target_ms, lead, guess, reach))

    def ahead(self, hours: int) -> list[Expected]:
        """The hours after the last one learned; an hour of the week that was never seen is left out."""
        made = [self.hour_ahead(lead) for lead in range(1, hours + 1)]
        return [expected for expected in made if expected is not None]

    def hour_ahead(self, lead: int) -> Expected | None:
        """The hour that begins `lead` hours after the last one learned; None where its hour of the week was never seen."""
        if self._state.hour_ms is None:
            return None
        starts_ms = self._state.hour_ms + lead * HOUR_MS
        root = self._root(starts_ms, lead)
        return None if root is None else self._expected(starts_ms, root, lead)

    def typical_week(self, monday_ms: int) -> list[Expected]:
        """Each hour of the week that begins at this local Monday midnight, today's ratio left aside."""
        made = []
        for hour in range(HOURS_A_WEEK):
            starts_ms = monday_ms + hour * HOUR_MS
            root = self._state.typical[self._time.hour_of_week(starts_ms)]
            if root is not None:
                made.append(self._expected(starts_ms, root, LEADS[-1]))
        return made

    def _expected(self, starts_ms: int, root: float, lead: int) -> Expected:
        place = next((place for place, known in enumerate(LEADS) if lead <= known), -1)
        reach = self._state.widths[place] * self._error(starts_ms)
        return Expected(starts_ms, root * root, max(root - reach, 0.0) ** 2, (root + reach) ** 2)

    def _root(self, starts_ms: int, lead: int) -> float | None:
        typical = self._state.typical[self._time.hour_of_week(starts_ms)]
        if typical is None:
            return None
        short, long = (self._ratio(place) for place in range(2))
        weight = _SHORT_FADES ** (lead - 1)
        return typical * (weight * short + (1 - weight) * long)

    def _ratio(self, place: int) -> float:
        held = _RATIO_PRIOR_HOURS[place] * self._state.scale
        memory = self._state.memories[place]
        return (memory.actual + held) / (memory.typical + held) if memory.typical + held > 0 else 1.0

    def _error(self, starts_ms: int) -> float:
        return max(self._state.errors[self._time.hour_of_week(starts_ms)], 0.1)

    def _judge(self, starts_ms: int, root: float | None) -> None:
        """Learn from what had been forecast of this hour."""
        state = self._state
        due = [pending for pending in state.pending if pending.hour_ms <= starts_ms]
        if not due:
            return
        state.pending = [pending for pending in state.pending if pending.hour_ms > starts_ms]
        if root is None:
            return
        hour = self._time.hour_of_week(starts_ms)
        for pending in due:
            if pending.hour_ms != starts_ms:
                continue
            miss = abs(root - pending.root)
            place = LEADS.index(pending.lead)
            outside = 1.0 if miss > pending.reach else 0.0
            state.widths[place] = max(state.widths[place] * math.exp(_WIDTH_PACE * (outside - _OUTSIDE)), 0.1)
            if pending.lead == LEADS[-1]:
                old = state.errors[hour]
                state.errors[hour] = old + _LEARNING_PACE * (miss - old) if old else miss

    def _remember(self, starts_ms: int, root: float | None, hours: int) -> None:
        state = self._state
        hour = self._time.hour_of_week(starts_ms)
        typical = state.typical[hour]
        for memory, memory_hours in zip(state.memories, _RATIO_MEMORY_HOURS, strict=True):
            kept = math.exp(-hours / memory_hours)
            memory.actual *= kept
            memory.typical *= kept
            if root is not None and typical is not None:
                memory.actual += root
                memory.typical += typical
        if root is None:
            return
        state.scale += 0.01 * (root - state.scale) if state.scale else root
        if typical is None:
            state.typical[hour] = root
        elif not self._time.is_holiday(starts_ms):
            state.typical[hour] = typical + _LEARNING_PACE * (root - typical)

    def dump(self) -> bytes:
        """Everything but timezone and holidays."""
        return msgspec.msgpack.encode(self._state)

    @classmethod
    def load(cls, dumped: bytes, timezone: str = "UTC", holidays: Collection[date] = ()) -> Self:
        """What `dump` wrote, to the bit.

        Raises:
            msgspec.DecodeError: no version of this code wrote it.
        """
        forecast = cls(timezone, holidays)
        forecast._state = msgspec.msgpack.decode(dumped, type=_State)
        return forecast
