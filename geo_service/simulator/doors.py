"""A store whose doors miss people, and the truth about it: what the occupancy benchmark is measured against.

People come in groups by the hour of the week, stay for a log-normal time (Yada, *String analysis technique for shopping
path*, 2011, and most of the field since find it so) and leave by one of two doors; each door misses each person with its
own chance, in and out. Staff come before opening, take breaks, and lock up. Now and then a door says nothing for a while.
One seed is one store: the same seed gives the same store to the last person.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MINUTES: Final = 1440
FIRST_DAY_MS: Final = 1_736_121_600_000
"""Monday 2025-01-06 00:00 UTC; the made stores keep UTC."""
DAY_MS: Final = 86_400_000
MINUTE_MS: Final = 60_000
OPENS: Final = 9 * 60
CLOSES: Final = 21 * 60
DOORS: Final = ("east", "west")

Counts = NDArray[np.int64]


class Habits(NamedTuple):
    """What a made store is like."""

    miss_in: tuple[float, float] = (0.04, 0.07)
    """Each door's chance to miss somebody who comes in lies in this range; the same for `miss_out`."""
    miss_out: tuple[float, float] = (0.03, 0.06)
    visitors_a_day: float = 1000.0
    dwell_median_minutes: float = 24.0
    dwell_sigma: float = 0.75
    group_sizes: tuple[float, ...] = (0.62, 0.26, 0.08, 0.04)
    """Shares of groups of 1, 2, 3 … people."""
    staff: int = 6
    outages_a_day: float = 0.02
    """Of each door; each lasts 20 to 120 minutes."""
    camera_error: float = 0.2


NORMAL: Final = Habits()


@dataclass(frozen=True)
class Day:
    """One day by the minute."""

    starts_ms: int
    inside: Counts
    """Shape (1440,): people inside at the end of each minute."""
    ins: Counts
    """Shape (1440, 2): what each door counted in during the minute; 0 while it is silent."""
    outs: Counts
    silent: NDArray[np.bool_]
    """Shape (1440, 2): the door sent nothing at all."""
    camera: NDArray[np.float64]
    """Shape (1440,): what a camera over the floor would say at the end of the minute."""
    recount_error: float
    """What a person who counts at a given hour is off by, as a share."""


class Store:
    """A made store; `day()` makes the next day."""

    def __init__(self, seed: int, habits: Habits = NORMAL) -> None:
        """Draw what stays the same from day to day."""
        self.habits = habits
        self._made = 0
        self._random = np.random.default_rng([seed, 20250106])
        self._misses = np.stack([self._random.uniform(*habits.miss_in, 2), self._random.uniform(*habits.miss_out, 2)])
        self._door_share = self._random.uniform(0.5, 0.7, 2)
        self._week = _week_shape(self._random)

    def day(self) -> Day:
        """The next day."""
        random, habits = self._random, self.habits
        index = self._made
        self._made += 1
        busy = float(np.exp(random.normal(0, 0.18)))
        arrivals, departures = self._shoppers(self._week[index % 7] * busy, float(np.exp(random.normal(0, 0.05))))
        staff_in, staff_out = self._staff()
        came, left = np.concatenate([arrivals, staff_in]), np.concatenate([departures, staff_out])
        inside = np.cumsum(_by_minute(came) - _by_minute(left))
        silent = self._outages()
        ins = self._counted(came, direction=0) * ~silent
        outs = self._counted(left, direction=1) * ~silent
        off = random.normal(1, habits.camera_error, MINUTES)
        return Day(
            starts_ms=FIRST_DAY_MS + index * DAY_MS,
            inside=inside,
            ins=ins,
            outs=outs,
            silent=silent,
            camera=np.maximum(np.round(inside * off), 0.0),
            recount_error=float(random.normal(0, 0.02)),
        )

    def _shoppers(self, rate: NDArray[np.float64], slower: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """When each shopper comes and leaves, in minutes of the day; groups come, stay and leave together."""
        random, habits = self._random, self.habits
        sizes = np.array(habits.group_sizes) / sum(habits.group_sizes)
        mean_size = float(sizes @ np.arange(1, sizes.size + 1))
        groups_by_minute = random.poisson(rate * habits.visitors_a_day / mean_size)
        starts = np.repeat(np.arange(MINUTES), groups_by_minute) + random.random(int(groups_by_minute.sum()))
        dwell = habits.dwell_median_minutes * slower * np.exp(random.normal(0, habits.dwell_sigma, starts.size))
        ends = np.minimum(starts + dwell, CLOSES + random.uniform(0, 10, starts.size))
        size = random.choice(np.arange(1, sizes.size + 1), starts.size, p=sizes)
        apart = random.exponential(0.05, (2, int(size.sum())))
        return np.repeat(starts, size) + apart[0], np.maximum(np.repeat(ends, size), np.repeat(starts, size)) + apart[1]

    def _staff(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Two shifts that overlap by a quarter of an hour, each with a break outside."""
        random, each = self._random, self.habits.staff
        starts = np.concatenate([random.uniform(OPENS - 35, OPENS - 5, each), random.uniform(14.7 * 60, 15 * 60, each)])
        ends = np.concatenate(
            [random.uniform(15 * 60, 15.25 * 60, each), random.uniform(CLOSES + 15, CLOSES + 40, each)]
        )
        breaks = (starts + ends) / 2 + random.uniform(-40, 40, 2 * each)
        return np.concatenate([starts, breaks + random.uniform(20, 35, 2 * each)]), np.concatenate([breaks, ends])

    def _outages(self) -> NDArray[np.bool_]:
        random = self._random
        silent = np.zeros((MINUTES, 2), dtype=np.bool_)
        for door in range(2):
            for _ in range(int(random.poisson(self.habits.outages_a_day))):
                start = int(random.uniform(OPENS, CLOSES))
                silent[start : start + int(random.uniform(20, 120)), door] = True
        return silent

    def _counted(self, when: NDArray[np.float64], direction: int) -> Counts:
        """Shape (1440, 2): people whom each door noticed."""
        random = self._random
        door = (random.random(when.size) > self._door_share[direction]).astype(np.int64)
        seen = random.random(when.size) >= self._misses[direction][door]
        counts = np.zeros((MINUTES, 2), dtype=np.int64)
        np.add.at(counts, (np.minimum(when.astype(np.int64), MINUTES - 1)[seen], door[seen]), 1)
        return counts


def _by_minute(when: NDArray[np.float64]) -> Counts:
    return np.bincount(np.minimum(when.astype(np.int64), MINUTES - 1), minlength=MINUTES)


def _week_shape(random: np.random.Generator) -> NDArray[np.float64]:
    """Shape (7, 1440): share of a mean day's visitors who come in each minute; noon and evening peaks, busy weekends."""
    minutes = np.arange(MINUTES)
    noon, evening = 12.5 * 60 + random.uniform(-30, 30), 17.5 * 60 + random.uniform(-30, 30)
    height = random.uniform(0.7, 1.3)
    shape = 0.35 + np.exp(-(((minutes - noon) / 80) ** 2)) + height * np.exp(-(((minutes - evening) / 90) ** 2))
    shape[(minutes < OPENS) | (minutes >= CLOSES - 10)] = 0
    days = np.array([0.85, 0.85, 0.9, 0.95, 1.15, 1.35, 0.95])
    week: NDArray[np.float64] = days[:, None] * shape[None, :] / shape.sum()
    return week
