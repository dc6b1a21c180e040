"""A town: phones and sensors whose messages come out of `step`, and the truth behind them out of `truth`.

Discrete events, so it does not matter how often or how finely `step` is called: the same seed, site and beginning give
the same messages to the byte. Each phone, sensor and store has random numbers of its own, so more phones, or a shopper
who follows an offer, change nothing about anyone else (but for who finds a store full).
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
from numpy.random import Generator

from geo_service.errors import InvalidInputError
from geo_service.simulator.agenda import Agenda
from geo_service.simulator.counting import Camera, DoorSensor
from geo_service.simulator.house import House
from geo_service.simulator.messages import Message, Outbox
from geo_service.simulator.phone import Phone
from geo_service.simulator.plan import Plan, read_plan
from geo_service.simulator.plane import Point
from geo_service.simulator.scenario import DAY, Pace, Rhythm, Scenario
from geo_service.simulator.shopper import Leg, Shopper, Surroundings
from geo_service.simulator.truth import Stays, Truth, Whereabouts
from geo_service.simulator.walk_ins import Crowds, WalkIns

MISS = 0.05
"""Probability that a door sensor misses a person, in either direction."""
_MOST_PHONES = 100_000
# One stream of random numbers per thing, named by what it is and its number.
_SHOPPER, _PHONE, _WALK_INS, _SENSOR, _CROWDS, _OFFERS = range(6)


class Town:
    """A simulated town, pure: no clock, no network, no file but the site's."""

    def __init__(
        self,
        seed: int,
        site: Path | Plan,
        *,
        start_ms: int,
        phones: int = 300,
        speed: float = 1.0,
        scenario: Scenario = DAY,
        miss: float = MISS,
        remembers: bool = True,
    ) -> None:
        """Settle a town, all stores empty, at `start_ms` (milliseconds since the epoch).

        Args:
            seed: whole number, 0 or more; decides everything.
            site: a site folder with `streets.geojson`, or its plan.
            start_ms: the instant at which it begins.
            phones: how many shoppers have the app.
            speed: how much faster than life people behave; clocks, hours and sensors go on as they are.
            scenario: `DAY` or `DEMO`, or one of your own.
            miss: probability that a door sensor misses a person.
            remembers: keep every stay for `truth`; a town that runs for days with nobody asking need not.

        Raises:
            InvalidInputError: a site that cannot be simulated, or a number out of its range.
        """
        if seed < 0:
            raise InvalidInputError("must be 0 or more", field="seed")
        if not 0 <= phones <= _MOST_PHONES:
            raise InvalidInputError(f"must be from 0 to {_MOST_PHONES}", field="phones")
        self._seed, self._now_ms, self._scenario = seed, start_ms, scenario
        self.plan = plan = site if isinstance(site, Plan) else read_plan(site)
        self._agenda, self._outbox = Agenda(), Outbox()
        self._houses = {store: House(premises) for store, premises in plan.premises.items()}
        self._stays = Stays(plan) if remembers else None
        pace = Pace(speed)
        rhythm = Rhythm(next(iter(plan.site.store.values())).timezone, follows_the_day=scenario.follows_the_day)
        self.sensors = self._mount_sensors(miss)
        self._let_walk_in(pace, rhythm)
        around = Surroundings(plan.streets, self._houses, pace, rhythm, start_ms, self._visited)
        self._shoppers: dict[str, Shopper] = {}
        for number in range(phones):
            phone = Phone(number, self._generator(_PHONE, number), self._outbox, plan.plane, pace=pace)
            shopper = Shopper(phone.device, around, self._generator(_SHOPPER, number))
            self._shoppers[phone.device] = shopper
            self._agenda.at(start_ms, partial(self._go_on, shopper, phone))
        self._swayed = self._generator(_OFFERS, 0)

    def step(self, now_ms: int) -> list[Message]:
        """Live until `now_ms`; return what has reached the broker since the last step, in order of time."""
        self._live_until(now_ms)
        return self._outbox.arrived(now_ms)

    def truth(self, now_ms: int) -> Truth:
        """Live until `now_ms` (the messages of that time are kept for the next step) and say what is true then."""
        self._live_until(now_ms)
        doors: dict[str, dict[str, tuple[int, int]]] = {}
        for house in self._houses.values():
            for door in house.premises.doors:
                doors.setdefault(door.sensor, {})[door.line] = house.ins[door], house.outs[door]
        return Truth(
            time_ms=now_ms,
            inside=self.inside(),
            people=self.people(),
            stays=[] if self._stays is None else self._stays.until(now_ms),
            doors=doors,
        )

    def inside(self) -> dict[str, int]:
        """The true number of people in each store, as of the last step."""
        return {store: house.inside for store, house in self._houses.items()}

    def people(self) -> dict[str, Whereabouts]:
        """Where everyone with a phone is who is not at home, as of the last step."""
        shoppers = self._shoppers.items()
        return {device: self._whereabouts(shopper.leg) for device, shopper in shoppers if shopper.leg.out}

    def receive_offer(self, device: str, store: str, now_ms: int) -> bool:
        """Show a shopper an offer of a store: with the scenario's probability it draws the shopper there. Says whether."""
        self._live_until(max(now_ms, self._now_ms))
        shopper, house = self._shoppers.get(device), self._houses.get(store)
        if shopper is None or house is None or self._swayed.random() >= self._scenario.conversion:
            return False
        return house.opening.is_open(now_ms) and shopper.invite(store)

    # --- how it is settled ------------------------------------------------------------------------------------------

    def _generator(self, kind: int, number: int) -> Generator:
        return np.random.default_rng([self._seed, kind, number])

    def _mount_sensors(self, miss: float) -> list[DoorSensor | Camera]:
        sensors: list[DoorSensor | Camera] = []
        for number, sensor in enumerate(self.plan.sensors):
            house = self._houses.get(sensor.store)
            if house is None:
                raise InvalidInputError(f"sensors.json: {sensor.id}: store {sensor.store!r} is not in stores.json")
            generator = self._generator(_SENSOR, number)
            if sensor.role == "door":
                sensors.append(DoorSensor(sensor, house, generator, self._agenda, self._outbox, miss=miss))
            elif sensor.role == "camera":
                sensors.append(Camera(sensor, house, generator, self._agenda, self._outbox))
            else:
                raise InvalidInputError(f"sensors.json: {sensor.id}: a {sensor.role} sensor cannot be simulated")
        for mounted in sensors:
            mounted.begin(self._now_ms)
        return sensors

    def _let_walk_in(self, pace: Pace, rhythm: Rhythm) -> None:
        houses = list(self._houses.values())
        for number, house in enumerate(houses):
            generator = self._generator(_WALK_INS, number)
            flow = WalkIns(house, generator, self._agenda, pace=pace, rhythm=rhythm, load=self._scenario.load)
            flow.begin(self._now_ms)
        crowd = self._scenario.crowd(pace, [house.store for house in houses])
        Crowds(houses, self._generator(_CROWDS, 0), self._agenda, rhythm=rhythm, crowd=crowd).begin(self._now_ms)

    # --- how it lives -----------------------------------------------------------------------------------------------

    def _live_until(self, now_ms: int) -> None:
        if now_ms < self._now_ms:
            raise ValueError(f"time goes forward: {now_ms} is before {self._now_ms}")
        self._agenda.run_until(now_ms)
        self._now_ms = now_ms

    def _go_on(self, shopper: Shopper, phone: Phone, now_ms: int) -> None:
        """The next leg; leaving home wakes the phone."""
        was_out = shopper.leg.out
        leg = shopper.next_leg(now_ms)
        self._agenda.at(leg.end_ms, partial(self._go_on, shopper, phone))
        if self._stays is not None:
            self._stays.follow(shopper.device, leg)
        if leg.out and not was_out and not phone.awake:
            phone.awake = True
            self._agenda.at(now_ms + phone.first_wait_ms(), partial(self._ping, shopper, phone))

    def _ping(self, shopper: Shopper, phone: Phone, now_ms: int) -> None:
        leg = shopper.leg
        phone.awake = leg.out
        if not phone.awake:
            return

        def track(time_ms: int) -> tuple[Point, float, float, bool]:
            return leg.at(time_ms), leg.speed_mps, leg.heading_deg, leg.store is not None

        phone.fix(now_ms, track)
        self._agenda.at(now_ms + phone.wait_ms(), partial(self._ping, shopper, phone))

    def _visited(self, device: str, store: str, entered_ms: int, left_ms: int | None) -> None:
        if self._stays is not None:
            self._stays.visited(device, store, entered_ms, left_ms)

    def _whereabouts(self, leg: Leg) -> Whereabouts:
        lon, lat = self.plan.plane.degrees(*leg.at(self._now_ms))
        return Whereabouts(lat, lon, leg.store)


def main(arguments: list[str]) -> None:
    """Write the site of `fixtures/town`: `python -m geo_service.simulator.town FOLDER`."""
    from geo_service.simulator.blueprint import write

    if len(arguments) != 1:
        raise SystemExit("usage: python -m geo_service.simulator.town FOLDER")
    write(Path(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
