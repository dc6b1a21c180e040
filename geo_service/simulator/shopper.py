"""A shopper with a purpose: a life told leg by leg, from home through the streets into stores and back.

The story is a generator: it yields the next leg when the one before has ended, and acts (opens a door) in between.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from numpy.random import Generator

from geo_service.simulator.house import House
from geo_service.simulator.paths import Streets
from geo_service.simulator.plane import Point
from geo_service.simulator.premises import Door
from geo_service.simulator.scenario import Pace, Rhythm

Purpose = Literal["pass by", "errand", "browse", "appointment", "pickup"]
PURPOSES: Final[dict[Purpose, float]] = {
    "pass by": 0.28,
    "errand": 0.32,
    "browse": 0.26,
    "appointment": 0.06,
    "pickup": 0.08,
}
"""What brings people out, and how often."""

_REST_MINUTES = 25.0
_OUT_ALREADY = 0.55
_QUARTER_MINUTES = 15.0
_INDOORS_MPS = 0.8
_DRIVING_MPS = 8.0
_ROUNDABOUT = 0.3


class Leg(NamedTuple):
    """A straight stretch at one speed, or a wait at one point."""

    start_ms: int
    end_ms: int
    start: Point
    end: Point
    out: bool = True
    """Not at home: the phone pings."""
    store: str | None = None
    """The store the shopper is in."""

    def at(self, time_ms: int) -> Point:
        """The point at a time; before the leg its start, after it its end."""
        length = self.end_ms - self.start_ms
        share = 1.0 if length <= 0 else min(max((time_ms - self.start_ms) / length, 0.0), 1.0)
        return self.start[0] + share * (self.end[0] - self.start[0]), self.start[1] + share * (
            self.end[1] - self.start[1]
        )

    @property
    def speed_mps(self) -> float:
        """Metres per second."""
        return math.dist(self.start, self.end) * 1000 / max(self.end_ms - self.start_ms, 1)

    @property
    def heading_deg(self) -> float:
        """Clockwise from north."""
        return math.degrees(math.atan2(self.end[0] - self.start[0], self.end[1] - self.start[1])) % 360


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a shopper finds: streets, stores, and how life goes here."""

    streets: Streets
    houses: dict[str, House]
    pace: Pace
    rhythm: Rhythm
    begins_ms: int
    visited: Callable[[str, str, int, int | None], None]
    """Told of a visit as it begins (left None) and as it ends: device, store, entered, left."""


class Shopper:
    """One person with a phone."""

    def __init__(self, device: str, around: Surroundings, generator: Generator) -> None:
        self.device = device
        self._around, self._generator = around, generator
        self._walking = around.pace.walking(generator.uniform(1.1, 1.6))
        self._speed = self._walking
        self._now_ms = around.begins_ms
        out_already = generator.random() < _OUT_ALREADY * around.rhythm.at(around.begins_ms)
        corners = range(len(around.streets.paths.points)) if out_already else around.streets.ends
        self._node = int(corners[int(generator.integers(len(corners)))])
        self._invited: str | None = None
        self._expected = False
        self._story = self._life(out_already)
        self.leg = Leg(self._now_ms, self._now_ms, self._here(), self._here(), out=False)

    def next_leg(self, now_ms: int) -> Leg:
        """Go on, now that the last leg has ended."""
        self._now_ms = now_ms
        self.leg = next(self._story)
        return self.leg

    def invite(self, store: str) -> bool:
        """Take up an offer: go there at the next corner. False when at home, in that store, or on the way to an earlier offer."""
        if not self.leg.out or self._invited is not None or self._expected or self.leg.store == store:
            return False
        self._invited = store
        return True

    # --- the story --------------------------------------------------------------------------------------------------

    def _life(self, out_already: bool) -> Iterator[Leg]:
        if out_already:
            yield self._wait(self._around.pace.minutes_ms(self._generator.uniform(0.0, 2.0)))
        else:
            yield from self._rest()
        while True:
            yield from self._outing()
            yield from self._rest()

    def _rest(self) -> Iterator[Leg]:
        """Stay at home: a Poisson process of outings that follows the rhythm of the day."""
        self._invited, self._speed = None, self._walking
        while True:
            length_ms = self._around.pace.minutes_ms(self._generator.exponential(_REST_MINUTES))
            yield self._wait(length_ms)._replace(out=False)
            if self._generator.random() < self._around.rhythm.at(self._now_ms):
                return

    def _outing(self) -> Iterator[Leg]:
        purposes = list(PURPOSES)
        purpose = purposes[int(self._generator.choice(len(purposes), p=list(PURPOSES.values())))]
        home = self._around.streets.ends[int(self._generator.integers(len(self._around.streets.ends)))]
        if self._generator.random() < _ROUNDABOUT or purpose == "pass by":
            yield from self._walk(int(self._generator.integers(len(self._around.streets.paths.points))))
        if purpose == "pickup":
            yield from self._pick_up()
        elif purpose != "pass by":
            yield from self._shop(purpose)
        yield from self._walk(home)

    def _shop(self, purpose: Purpose) -> Iterator[Leg]:
        stores = 1 + int(self._generator.integers(3)) if purpose == "browse" else 1
        for _ in range(stores):
            house = self._choose(lambda house: purpose != "appointment" or "appointments" in house.store.services)
            if house is None:
                return
            median = {"errand": 5.0, "appointment": 30.0}.get(purpose, house.median_minutes)
            spread = 0.2 if purpose == "appointment" else 0.6
            minutes = min(median, 2 * house.median_minutes) * self._generator.lognormal(0.0, spread)
            yield from self._visit(house, minutes, appointment=purpose == "appointment")

    def _pick_up(self) -> Iterator[Leg]:
        """Drive to where a store brings things to the car, and wait there."""
        house = self._choose(lambda house: house.premises.parking is not None)
        if house is None or house.premises.parking is None:
            return
        spot, kerb = house.premises.parking
        self._speed = self._around.pace.driving(_DRIVING_MPS)
        yield from self._walk(kerb)
        yield self._move(spot)
        yield self._wait(self._around.pace.minutes_ms(5.0 * self._generator.lognormal(0.0, 0.5)))
        yield self._move(self._here())

    def _choose(self, suits: Callable[[House], bool]) -> House | None:
        """One of the open stores that suit, large ones more often."""
        houses = [
            house for house in self._around.houses.values() if house.opening.is_open(self._now_ms) and suits(house)
        ]
        if not houses:
            return None
        weights = [math.sqrt(house.comfort) for house in houses]
        total = sum(weights)
        return houses[int(self._generator.choice(len(houses), p=[weight / total for weight in weights]))]

    def _walk(self, node: int) -> Iterator[Leg]:
        """Along the streets to a corner; an offer turns the shopper aside at the next one."""
        paths = self._around.streets.paths
        while self._node != node:
            if self._invited is not None and not self._expected:
                house, self._invited, self._expected = self._around.houses[self._invited], None, True
                yield from self._visit(house, 0.7 * house.median_minutes * self._generator.lognormal(0.0, 0.5))
                self._expected = False
                continue
            hop = paths.next_hop(self._node, node)
            yield self._move(paths.points[hop])
            self._node = hop

    def _visit(self, house: House, minutes: float, *, appointment: bool = False) -> Iterator[Leg]:
        doors = house.premises.doors
        door = doors[int(self._generator.integers(len(doors)))]
        yield from self._walk(door.kerb)
        yield self._move(door.at)
        if house.has_room(self._now_ms):
            entered_ms = self._now_ms
            house.enter(door, entered_ms)
            self._around.visited(self.device, house.store.id, entered_ms, None)
            stay_ms = self._around.pace.minutes_ms(minutes) + (self._until_the_quarter_ms() if appointment else 0)
            leave_ms = house.stay_until(entered_ms, entered_ms + stay_ms, self._generator.random())
            exits = house.premises.exits(door)
            way_in, door = door, exits[int(self._generator.integers(len(exits)))]
            for leg in self._inside(house, way_in, door, leave_ms):
                yield leg._replace(store=house.store.id)
            house.leave(door, self._now_ms)
            self._around.visited(self.device, house.store.id, entered_ms, self._now_ms)
        self._node = door.kerb
        yield self._move(self._here())

    def _until_the_quarter_ms(self) -> int:
        """Appointments begin at full quarters of an hour (of the town's pace)."""
        quarter_ms = self._around.pace.minutes_ms(_QUARTER_MINUTES)
        return -(self._now_ms - self._around.begins_ms) % quarter_ms

    def _inside(self, house: House, way_in: Door, way_out: Door, leave_ms: int) -> Iterator[Leg]:
        """From place to place until it is time to go, then to a door."""
        paths, places, exit_place = house.premises.paths, house.premises.places(way_in), way_out.place
        speed = self._around.pace.walking(_INDOORS_MPS)
        at = way_in.place
        yield self._move(way_in.inner, speed)
        while (spare_ms := leave_ms - self._now_ms - paths.metres(at, exit_place) / speed * 1000) > 0:
            goal = places[int(self._generator.integers(len(places)))]
            there_and_out = paths.metres(at, goal) + paths.metres(goal, exit_place)
            if there_and_out / speed * 1000 > leave_ms - self._now_ms:
                yield self._wait(math.ceil(spare_ms))
                continue
            while at != goal:
                at = paths.next_hop(at, goal)
                yield self._move(paths.points[at], speed)
            linger_ms = self._around.pace.minutes_ms(self._generator.lognormal(0.0, 0.7))
            out_ms = paths.metres(at, exit_place) / speed * 1000
            yield self._wait(max(1, min(linger_ms, math.floor(leave_ms - self._now_ms - out_ms))))
        while at != exit_place:
            at = paths.next_hop(at, exit_place)
            yield self._move(paths.points[at], speed)
        yield self._move(way_out.at, speed)

    # --- legs -------------------------------------------------------------------------------------------------------

    def _here(self) -> Point:
        return self._around.streets.paths.points[self._node]

    def _move(self, to: Point, speed: float | None = None) -> Leg:
        start = self.leg.end
        length_ms = math.ceil(math.dist(start, to) * 1000 / (speed or self._speed))
        return Leg(self._now_ms, self._now_ms + length_ms, start, to)

    def _wait(self, length_ms: int) -> Leg:
        here = self.leg.end
        return Leg(self._now_ms, self._now_ms + length_ms, here, here)
