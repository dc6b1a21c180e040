"""The floor on which policies are compared: made days side by side, minute by minute, and what became of each."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geo_service.simulator.promotion import MINUTES, Days, Doors, Floats, Ints


@dataclass(frozen=True)
class Seen:
    """What a policy may look at, one element a lane."""

    minute: int
    people: Floats
    variance: Floats
    silent_for: Ints
    ins: Floats
    outs: Floats
    passing: Ints


class Policy(Protocol):
    """Says how many of those who pass in a minute are invited, in the order in which they pass."""

    def quota(self, seen: Seen) -> Ints:
        """How many at most, one number a lane."""
        ...

    def invited(self, minute: int, people: Ints, floor: "Floor") -> None:
        """How many were."""
        ...


@dataclass
class Outcome:
    """What became of each lane."""

    days: Days
    day: Ints
    """Row of `days` that each lane lived through."""
    inside: NDArray[np.int32]
    """Shape (lanes, 720), in truth."""
    visits: Ints
    """People who came because they were invited, before closing."""
    invited: NDArray[np.int16]
    """Shape (lanes, 720): how many of those who passed, the first ones."""

    def __getitem__(self, lanes: slice) -> "Outcome":
        """Some of the lanes."""
        return Outcome(self.days, self.day[lanes], self.inside[lanes], self.visits[lanes], self.invited[lanes])

    @property
    def over_minutes(self) -> Ints:
        """Minutes a day with more people than the capacity."""
        over: Ints = (self.inside > self.days.setting.capacity).sum(axis=1)
        return over

    @property
    def over_people_minutes(self) -> Ints:
        """The same, times how many more."""
        over: Ints = np.maximum(self.inside - self.days.setting.capacity, 0).sum(axis=1)
        return over

    @property
    def peak(self) -> NDArray[np.int32]:
        """Most people inside on each day."""
        peak: NDArray[np.int32] = self.inside.max(axis=1)
        return peak

    def toggles_an_hour(self) -> float:
        """How often inviting half and more of those who pass turned into less, or back."""
        passing = self.days.passing[self.day]
        share = self.invited / np.maximum(passing, 1)
        total = 0
        for lane in range(len(self.day)):
            total += int(np.abs(np.diff((share[lane][passing[lane] > 0] >= 0.5).astype(np.int8))).sum())
        return total / len(self.day) / (MINUTES / 60)

    def wrongly_denied(self, every: int = 1) -> float:
        """Share of the denied for whom, had they alone come, there was room all the time; 0 where none was denied.

        Of those who would have come; looks at one in `every`.
        """
        denied = fitted = 0
        days = self.days
        order = np.arange(days.come.shape[2])
        for lane, day in enumerate(self.day.tolist()):
            would = days.come[day] & (order < days.passing[day][:, None]) & (order >= self.invited[lane][:, None])
            for minute, number in zip(*(index[::every].tolist() for index in np.nonzero(would)), strict=True):
                came = minute + int(days.delay[day, minute, number])
                if came < MINUTES:
                    denied += 1
                    stay = self.inside[lane, came : came + int(days.stay[day, minute, number])]
                    fitted += bool(stay.max() < days.setting.capacity)
        return fitted / denied if denied else 0.0


class Floor:
    """Several lanes at once under one policy; lane i lives through row `day[i]` of the days."""

    def __init__(self, days: Days, day: Ints | None = None) -> None:
        self.days = days
        self.day: Ints = np.arange(len(days)) if day is None else day
        pad = ((0, 0), (0, MINUTES))
        self.ins = np.pad(days.ins, pad).astype(np.int32)[self.day]
        self.outs = np.pad(days.outs, pad).astype(np.int32)[self.day]
        """Who will come and leave, as far as is settled by now: shape (lanes, 1440)."""
        self.now: Ints = np.zeros(len(self.day), np.int64)
        """People inside, in truth."""

    def run(self, policy: Policy) -> Outcome:
        """Live through the days."""
        days, doors, lanes = self.days, Doors(self.days, self.day), len(self.day)
        inside = np.zeros((lanes, MINUTES), np.int32)
        invited = np.zeros((lanes, MINUTES), np.int16)
        visits = np.zeros(lanes, np.int64)
        for minute in range(MINUTES):
            passing = days.passing[self.day, minute]
            seen = Seen(minute, doors.people, doors.variance, doors.silent_for(minute), doors.ins, doors.outs, passing)
            people = np.clip(policy.quota(seen), 0, passing)
            invited[:, minute] = people
            visits += self._invite(minute, people)
            policy.invited(minute, people, self)
            ins, outs = self.ins[:, minute], self.outs[:, minute]
            self.now = self.now + ins - outs
            inside[:, minute] = self.now
            doors.minute(minute, ins, outs, self.now)
        return Outcome(days, self.day, inside, visits, invited)

    def _invite(self, minute: int, people: Ints) -> Ints:
        lane = np.repeat(np.arange(people.size), people)
        number = np.arange(lane.size) - np.repeat(np.cumsum(people) - people, people)
        day = self.day[lane]
        come = self.days.come[day, minute, number]
        lane, number, day = lane[come], number[come], day[come]
        came = minute + self.days.delay[day, minute, number].astype(np.int64)
        in_time = came < MINUTES
        lane, number, day, came = lane[in_time], number[in_time], day[in_time], came[in_time]
        np.add.at(self.ins, (lane, came), 1)
        left = np.minimum(came + self.days.stay[day, minute, number], 2 * MINUTES - 1)
        np.add.at(self.outs, (lane, left), 1)
        visits: Ints = np.bincount(lane, minlength=people.size)
        return visits

    def ahead(self, lane: int, minute: int, minutes: int) -> int:
        """How many will be inside after this and so many more minutes if nobody else is invited."""
        later = slice(minute, minute + minutes + 1)
        return int(self.now[lane] + self.ins[lane, later].sum() - self.outs[lane, later].sum())
