"""Who comes by themselves: the typical day by how today compares with it, without those who were invited.

People come in groups and days change their mind, so today's ratio looks at two pasts: the last half-hour, held to the last
hours, held to 1. The nearer the minute, the more the short past counts.
"""

import math
from typing import Any, Final, Self

import msgspec
import numpy as np

from occupancy.pacing_parties import Parties, parties
from occupancy.pacing_stays import HORIZONS, Floats

LONGEST: Final = HORIZONS[-1]
HALF_HOURS: Final = 48
_SLOWEST_PACE: Final = 0.1
_WEEKDAY_PACE: Final = 0.25
_WEEKDAY_WEEKS: Final = 2.0
"""How many weeks it takes until half of what one weekday seems to differ by is believed."""
_MEMORY_MINUTES: Final = (25.0, 150.0)
_PRIOR_PEOPLE: Final = (45.0, 60.0)
"""People by which the ratio of the short past is held to that of the long one, and that to 1."""
_SHORT_FADES_MINUTES: Final = 60.0
_GROUPS: Final = 1.7
"""Variance of a number of arrivals over its mean, until the doors have told."""
_FIRST_EXCESS: Final = 0.03
_LEAST_EXCESS: Final = 0.006
_EXCESS_PACE: Final = 0.07
_LEAST_FORECAST: Final = 5.0
_STRANGE_DAY: Final = 0.25
"""How far arrivals may drift within an hour while nothing typical is known, relatively, one standard deviation."""
_UNKNOWN_MEMORY_MINUTES: Final = 20.0
_REST_MINUTES: Final = 10.0
"""Minutes of counting that outweigh the assumption that as many come as leave."""
_REST_ERROR: Final = 0.3
"""How far that assumption is off, relatively, one standard deviation."""
_FEW: Final = 5.0


class _State(msgspec.Struct):
    typical: list[float] = msgspec.field(default_factory=lambda: [0.0] * HALF_HOURS)
    """People a minute who come by themselves, by half-hour of the local day; of a usual weekday."""
    days: list[int] = msgspec.field(default_factory=lambda: [0] * HALF_HOURS)
    weekdays: list[float] = msgspec.field(default_factory=lambda: [1.0] * 7)
    weeks: list[int] = msgspec.field(default_factory=lambda: [0] * 7)
    today: list[float] = msgspec.field(default_factory=lambda: [0.0] * HALF_HOURS)
    minutes: list[int] = msgspec.field(default_factory=lambda: [0] * HALF_HOURS)
    """Minutes of today in which the count is known."""
    weekday: int = 0
    came: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0])
    usual: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0])
    excess: list[float] = msgspec.field(default_factory=lambda: [_FIRST_EXCESS] * HALF_HOURS)
    """Mean square relative error of a half-hour's forecast beyond that of chance."""
    forecast: float = 0.0
    """Of the half-hour under way, made when it began; 0 where nothing typical is known."""
    begun: int = -1
    rate: float = 0.0
    """People a minute lately, for as long as nothing typical is known."""
    weight: float = 0.0
    groups: Parties = msgspec.field(default_factory=lambda: parties(_GROUPS))
    newest: int = -1
    """The last minute of the day of which something is known."""


class Organic:
    """Arrivals that nobody asked for."""

    __slots__ = ("_excess", "_minutes", "_state")

    def __init__(self) -> None:
        self._state = _State()
        self._look()

    def minute(self, came: float, minute_of_day: int) -> None:
        """So many came by themselves in this minute of the local day; may be below 0 where an invited one was seen late."""
        state = self._state
        half_hour = minute_of_day // 30
        if half_hour != state.begun:
            self._judge(half_hour, minute_of_day)
        if minute_of_day != state.newest + 1:
            state.groups.unheard()
        state.newest = minute_of_day
        state.groups.minute(came)
        state.today[half_hour] += came
        state.minutes[half_hour] += 1
        usual = float(self._minutes[minute_of_day]) * self._weekday()
        for place, memory in enumerate(_MEMORY_MINUTES):
            kept = math.exp(-1 / memory)
            state.came[place] = state.came[place] * kept + came
            state.usual[place] = state.usual[place] * kept + usual
        kept = math.exp(-1 / _UNKNOWN_MEMORY_MINUTES)
        state.rate = state.rate * kept + came
        state.weight = state.weight * kept + 1

    def forget_lately(self) -> None:
        """What was counted in the last hours turned out to be wrong."""
        state = self._state
        state.rate = state.weight = 0.0
        state.came, state.usual = [0.0, 0.0], [0.0, 0.0]

    def _judge(self, half_hour: int, minute_of_day: int) -> None:
        """A half-hour begins: learn from what was forecast of the last one, and forecast this."""
        state = self._state
        last = state.begun
        if state.forecast > _LEAST_FORECAST and state.minutes[last] == 30:
            miss = (state.today[last] - state.forecast) ** 2 - self.groups * state.forecast
            seen = min(max(miss / state.forecast**2, -1.0), 1.0)
            state.excess[last] += max(1 / (state.days[last] + 2), _EXCESS_PACE) * (seen - state.excess[last])
            self._excess[last] = max(state.excess[last], _LEAST_EXCESS)
        state.begun = half_hour
        state.forecast = float(self.ahead(minute_of_day)[0][:30].sum()) if self.known(minute_of_day) else 0.0

    def end_day(self, weekday: int) -> None:
        """Learn from the day that is over; the one that begins is this weekday (0 = Monday)."""
        state = self._state
        came = usual = 0.0
        for half_hour in range(HALF_HOURS):
            if state.minutes[half_hour] >= 15 and state.days[half_hour]:
                came += max(state.today[half_hour], 0.0)
                usual += state.typical[half_hour] * state.minutes[half_hour]
        factor = self._weekday()
        for half_hour in range(HALF_HOURS):
            if state.minutes[half_hour] >= 15:
                state.days[half_hour] = min(state.days[half_hour] + 1, 10_000)
                rate = max(state.today[half_hour], 0.0) / state.minutes[half_hour] / factor
                pace = max(1 / state.days[half_hour], _SLOWEST_PACE)
                state.typical[half_hour] += pace * (rate - state.typical[half_hour])
        if usual > 50:
            self._learn_weekday(min(max(came / usual, 0.25), 4.0))
        state.today, state.minutes = [0.0] * HALF_HOURS, [0] * HALF_HOURS
        state.came, state.usual = [0.0, 0.0], [0.0, 0.0]
        state.weekday = weekday
        state.groups.end_day()
        self._look()

    def _learn_weekday(self, ratio: float) -> None:
        state = self._state
        day = state.weekday
        state.weeks[day] = min(state.weeks[day] + 1, 10_000)
        pace = max(1 / (state.weeks[day] + _WEEKDAY_WEEKS), _WEEKDAY_PACE / 2)
        state.weekdays[day] += pace * (ratio - state.weekdays[day])

    def _weekday(self) -> float:
        return self._state.weekdays[self._state.weekday]

    @property
    def groups(self) -> float:
        """Variance of a number of arrivals over its mean: people come in groups."""
        return self._state.groups.factor

    def known(self, minute_of_day: int) -> bool:
        """Whether a day has taught what is typical at this minute."""
        return self._state.days[minute_of_day // 30] > 0

    def ahead(self, minute_of_day: int, at_rest: float = 0.0) -> tuple[Floats, Floats]:
        """People who come by themselves in each of 45 minutes, this one the first, and their relative error by horizon: shape (45,), (6,).

        `at_rest` is how many a minute would keep the store as full as it is: what to expect where nothing else is known.
        """
        state = self._state
        if not self.known(minute_of_day):
            doubt = _REST_MINUTES / (state.weight + _REST_MINUTES)
            lately = at_rest * doubt + max(state.rate, 0.0) / (state.weight + _REST_MINUTES)
            chance = self.groups / (lately * (state.weight + _REST_MINUTES) + _FEW)
            error = np.sqrt((_REST_ERROR * doubt) ** 2 + chance + _STRANGE_DAY**2 * _HORIZONS / 60)
            return np.full(LONGEST, lately), error
        long = (max(state.came[1], 0.0) + _PRIOR_PEOPLE[1]) / (state.usual[1] + _PRIOR_PEOPLE[1])
        short = (max(state.came[0], 0.0) + _PRIOR_PEOPLE[0] * long) / (state.usual[0] + _PRIOR_PEOPLE[0])
        rates = self._minutes[minute_of_day : minute_of_day + LONGEST] * self._weekday()
        excess = self._excess[(minute_of_day + _HORIZONS) % 1440 // 30]
        return rates * (long + (short - long) * _FADES), np.sqrt((excess + self._excess[minute_of_day // 30]) / 2)

    def _look(self) -> None:
        """The typical rate of each minute, between the middles of half-hours where both are open; with an hour of the next day."""
        state = self._state
        self._excess: Floats = np.maximum(state.excess, _LEAST_EXCESS)
        rates = np.array(state.typical)
        before, after = np.roll(rates, 1), np.roll(rates, -1)
        minutes = np.repeat(rates, 30)
        place = (np.arange(30) + 0.5) / 30
        for half_hour in range(HALF_HOURS):
            here = rates[half_hour]
            if here <= 0:
                continue
            left = (before[half_hour] + here) / 2 if before[half_hour] > 0 else here
            right = (after[half_hour] + here) / 2 if after[half_hour] > 0 else here
            piece = np.where(place < 0.5, left + (here - left) * place * 2, here + (right - here) * (place * 2 - 1))
            minutes[half_hour * 30 : half_hour * 30 + 30] = piece * here / piece.mean()
        self._minutes: Floats = np.concatenate([minutes, minutes[:LONGEST]])

    def dump(self) -> Any:
        """Everything, exactly."""
        return self._state

    @classmethod
    def load(cls, dumped: Any) -> Self:
        """What `dump` gave, to the bit."""
        organic = cls()
        organic._state = msgspec.convert(dumped, _State)
        organic._look()
        return organic


_HORIZONS: Final = np.array(HORIZONS)
_FADES: Final = np.exp(-np.arange(LONGEST) / _SHORT_FADES_MINUTES)
