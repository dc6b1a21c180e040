"""A store in use: who goes in and out by which door, and how many are inside. This is the truth that sensors miss."""

import math
from collections.abc import Callable

from geo_service.catalogue.documents import Store
from geo_service.simulator.premises import Door, Premises
from geo_service.simulator.scenario import Opening

_UNSAID = 30
"""Capacity of a store that states none."""

# Median minutes of a stay by what a store sells; the first tag that matches counts.
_MEDIAN_MINUTES = {
    "kiosk": 2.5,
    "bakery": 9.0,
    "pharmacy": 6.0,
    "flowers": 6.0,
    "records": 45.0,
    "grocery": 20.0,
    "department": 32.0,
    "books": 22.0,
    "hardware": 18.0,
    "electronics": 20.0,
    "sports": 20.0,
    "fashion": 24.0,
}
_DEFAULT_MINUTES = 15.0

Passage = Callable[[Door, bool, int], None]
"""Called with the door, whether inwards, and the time."""


class House:
    """One store. Every person in it came in by a door: inside = ins - outs, never below zero."""

    def __init__(self, premises: Premises) -> None:
        self.premises = premises
        self.opening = Opening(premises.store)
        capacity = premises.store.capacity
        self.comfort = capacity.comfort if capacity else _UNSAID
        self.legal = capacity.legal if capacity else _UNSAID
        self.median_minutes = next(
            (_MEDIAN_MINUTES[tag] for tag in premises.store.tags if tag in _MEDIAN_MINUTES), _DEFAULT_MINUTES
        )
        self.inside = 0
        self.ins = dict.fromkeys(premises.doors, 0)
        self.outs = dict.fromkeys(premises.doors, 0)
        self._watchers: list[Passage] = []

    @property
    def store(self) -> Store:
        """The store's document."""
        return self.premises.store

    def watch(self, passage: Passage) -> None:
        """Have `passage` called for everyone who goes in or out."""
        self._watchers.append(passage)

    def has_room(self, now_ms: int, people: float | None = None) -> bool:
        """Whether it is open and holds fewer than `people`: the legal capacity where not said."""
        return self.inside < (self.legal if people is None else people) and self.opening.is_open(now_ms)

    def stay_until(self, now_ms: int, leave_ms: int, grace: float) -> int:
        """When somebody who means to leave at `leave_ms` does: at the latest a share (0 to 1) of 4 min after closing."""
        closes_ms = self.opening.closes_ms(now_ms)
        return leave_ms if closes_ms is None else min(leave_ms, closes_ms + math.floor(grace * 240_000))

    def enter(self, door: Door, now_ms: int) -> None:
        """Somebody comes in."""
        self.inside += 1
        self.ins[door] += 1
        self._tell(door, True, now_ms)

    def leave(self, door: Door, now_ms: int) -> None:
        """Somebody goes out."""
        assert self.inside > 0, "only who is inside can leave"
        self.inside -= 1
        self.outs[door] += 1
        self._tell(door, False, now_ms)

    def _tell(self, door: Door, inwards: bool, now_ms: int) -> None:
        for passage in self._watchers:
            passage(door, inwards, now_ms)
