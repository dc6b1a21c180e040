"""People without our app: no phone tells of them, but doors count them, and they fill the stores."""

import math
from collections.abc import Callable

from numpy.random import Generator

from geo_service.simulator.agenda import Agenda
from geo_service.simulator.house import House
from geo_service.simulator.premises import Door
from geo_service.simulator.scenario import MINUTE_MS, Crowd, Pace, Rhythm

_SPREAD = 0.55
"""Of the logarithm of a stay: a quarter stays 1.4 times the median or longer."""
_COMPANIONS = 0.35
"""How many come along with one who comes, on average (Poisson)."""
_STEP_MS = 1200
"""Between two people of one party in a door."""


class WalkIns:
    """One store's flow of people: a Poisson process of parties, with the rhythm of the day (by thinning, Lewis and Shedler 1979)."""

    def __init__(
        self, house: House, generator: Generator, agenda: Agenda, *, pace: Pace, rhythm: Rhythm, load: float
    ) -> None:
        self._house, self._generator, self._agenda = house, generator, agenda
        self._pace, self._rhythm = pace, rhythm
        mean_stay = house.median_minutes * math.exp(_SPREAD**2 / 2)
        # Little's law: people inside = arrivals per minute times minutes of a stay.
        self._minutes_between = mean_stay * (1 + _COMPANIONS) / (load * house.comfort)

    def begin(self, now_ms: int) -> None:
        """Start the flow."""
        self._agenda.at(now_ms + self._gap(), self._arrive)

    def _gap(self) -> int:
        return self._pace.minutes_ms(self._generator.exponential(self._minutes_between))

    def _arrive(self, now_ms: int) -> None:
        self._agenda.at(now_ms + self._gap(), self._arrive)
        if self._generator.random() >= self._rhythm.at(now_ms):
            return
        stay_ms = self._pace.minutes_ms(self._house.median_minutes * self._generator.lognormal(0.0, _SPREAD))
        door, way_out = pick_doors(self._house, self._generator)
        grace = self._generator.random()
        for place in range(1 + int(self._generator.poisson(_COMPANIONS))):
            come_ms = now_ms + place * _STEP_MS
            self._agenda.at(
                come_ms, _visit(self._house, self._agenda, door, way_out, stay_ms, grace, self._house.legal)
            )


class Crowds:
    """Now and then far more people than usual come to one store at once, and leave again."""

    def __init__(
        self, houses: list[House], generator: Generator, agenda: Agenda, *, rhythm: Rhythm, crowd: Crowd
    ) -> None:
        self._rhythm = rhythm
        self._houses = [house for house in houses if crowd.store in (None, house.store.id)]
        self._generator, self._agenda, self._crowd = generator, agenda, crowd

    def begin(self, now_ms: int) -> None:
        """Start waiting for the first."""
        self._agenda.at(now_ms + round(self._crowd.first * MINUTE_MS), self._gather)

    def _gather(self, now_ms: int) -> None:
        crowd = self._crowd
        pause = crowd.every if crowd.regular else self._generator.exponential(crowd.every)
        self._agenda.at(now_ms + round(pause * MINUTE_MS), self._gather)
        if self._generator.random() >= self._rhythm.at(now_ms):
            return
        openly = [house for house in self._houses if house.opening.is_open(now_ms)]
        if not openly:
            return
        house = openly[int(self._generator.integers(len(openly)))]
        people = math.ceil(crowd.times_legal * house.legal)
        gathers_ms, stays_ms = crowd.gathers * MINUTE_MS, crowd.stays * MINUTE_MS
        for _ in range(people):
            comes = now_ms + int(self._generator.uniform(0, gathers_ms))
            leaves = now_ms + int(gathers_ms + stays_ms * self._generator.lognormal(0.0, 0.2))
            door, way_out = pick_doors(house, self._generator)
            grace = self._generator.random()
            self._agenda.at(comes, _visit(house, self._agenda, door, way_out, leaves - comes, grace, people))


def pick_doors(house: House, generator: Generator) -> tuple[Door, Door]:
    """A door to come in by, and one to leave by."""
    doors = house.premises.doors
    door = doors[int(generator.integers(len(doors)))]
    exits = house.premises.exits(door)
    return door, exits[int(generator.integers(len(exits)))]


def _visit(
    house: House, agenda: Agenda, door: Door, way_out: Door, stay_ms: int, grace: float, no_more_than: int
) -> Callable[[int], None]:
    """One person's coming, if there is still room, and later going."""

    def come(now_ms: int) -> None:
        if house.has_room(now_ms, no_more_than):
            house.enter(door, now_ms)
            agenda.at(
                house.stay_until(now_ms, now_ms + stay_ms, grace), lambda later_ms: house.leave(way_out, later_ms)
            )

    return come
