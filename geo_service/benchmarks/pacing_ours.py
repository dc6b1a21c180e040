"""The pacer of `occupancy/pacing.py` on the floor of the benchmark: the very one that the service runs, told what it would be told."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from geo_service.benchmarks.pacing_floor import Floor, Outcome, Seen
from geo_service.simulator.promotion import MINUTES, Days, Ints, Setting, make_days, side_by_side
from occupancy.estimate import Status
from occupancy.pacing import Pacer

MONDAY_MS: Final = 1_767_571_200_000
"""2026-01-05 00:00 UTC."""
DAY_MS: Final = 86_400_000
MINUTE_MS: Final = 60_000
OPENS_MS: Final = 9 * 3_600_000
SEEN_ENTERING: Final = 0.9
"""Share of the invited whose phone tells that they came, and later that they left."""
_ASK_EVERY: Final = 10


@dataclass
class Forecasts:
    """What was forecast and what came true had nobody else been invited: one element a question."""

    p_over: list[float] = field(default_factory=list)
    over: list[bool] = field(default_factory=list)
    z: list[float] = field(default_factory=list)
    """By how many standard deviations the truth was above the mean."""


class Ours:
    """One pacer a row of the floor, all on the same day of their lives."""

    def __init__(self, setting: Setting, targets: list[float]) -> None:
        self.pacers: Sequence[Pacer] = [
            Pacer(setting.capacity, target_minutes=target, conversion=setting.assumed_conversion) for target in targets
        ]
        self.forecasts = [Forecasts() for _ in targets]
        self._eta_s = setting.eta * 60
        self._capacity = setting.capacity
        self._opens_ms = 0
        self._listen = False
        self._dice = np.random.default_rng(0)
        self._arriving: list[dict[int, list[tuple[str, int]]]] = []
        self._leaving: list[dict[int, list[int]]] = []
        self._quota: Ints = np.zeros(0, np.int64)

    def live(self, day: int, days: Days, *, listen: bool) -> Outcome:
        """Live through one day, each pacer in a row of `days`."""
        self._opens_ms = MONDAY_MS + day * DAY_MS + OPENS_MS
        self._listen = listen
        self._dice = np.random.default_rng([days.seed, 13])
        self._arriving = [defaultdict(list) for _ in self.pacers]
        self._leaving = [defaultdict(list) for _ in self.pacers]
        outcome = self._floor(days).run(self)
        closed_ms = self._opens_ms + MINUTES * MINUTE_MS
        for row, pacer in enumerate(self.pacers):
            for minute, stays in sorted(self._leaving[row].items()):
                for stay in stays:
                    entered_ms = self._opens_ms + (minute - stay) * MINUTE_MS
                    pacer.visited(closed_ms, entered_ms, (closed_ms - entered_ms) / MINUTE_MS)
            pacer.occupied(closed_ms, 0.1, 0.1, "live")
        return outcome

    def _floor(self, days: Days) -> Floor:
        """Where the day is lived."""
        return Floor(days)

    # --- as a policy of the floor ------------------------------------------------------------------------------------

    def quota(self, seen: Seen) -> Ints:
        """Tell each pacer what the last minute brought, and ask how many may be invited now."""
        at_ms = self._opens_ms + seen.minute * MINUTE_MS
        quota = np.zeros(len(self.pacers), np.int64)
        for row, pacer in enumerate(self.pacers):
            silent_for = int(seen.silent_for[row])
            status: Status = "live" if silent_for < 5 else "degraded" if silent_for < 15 else "blind"
            self._tell(row, pacer, seen, at_ms)
            pacer.occupied(at_ms, float(seen.people[row]), float(seen.variance[row]), status)
            if seen.passing[row]:
                verdict = pacer.verdict(at_ms, self._eta_s)
                room = verdict.evidence.room if verdict.evidence is not None else 0
                quota[row] = room if verdict.admit else 0
        return quota

    def _tell(self, row: int, pacer: Pacer, seen: Seen, at_ms: int) -> None:
        if seen.ins[row] or seen.outs[row]:
            pacer.counted(at_ms - 1, float(seen.ins[row]), float(seen.outs[row]))
        for offer, stay in self._arriving[row].pop(seen.minute, ()):
            pacer.came(at_ms - 1, offer)
            self._leaving[row][seen.minute + stay].append(stay)
        for stay in self._leaving[row].pop(seen.minute, ()):
            pacer.visited(at_ms, at_ms - stay * MINUTE_MS, float(stay))

    def invited(self, minute: int, people: Ints, floor: Floor) -> None:
        """Tell the pacers what left, and draw whose phone will tell that they came."""
        at_ms = self._opens_ms + minute * MINUTE_MS
        days = floor.days
        for row, number in ((row, number) for row, many in enumerate(people.tolist()) for number in range(many)):
            come = bool(days.come[row, minute, number])
            offer = f"{at_ms}-{number}"
            self.pacers[row].sent(at_ms, offer, self._eta_s)
            if come and self._dice.random() < SEEN_ENTERING:
                came = minute + int(days.delay[row, minute, number])
                self._arriving[row][came + 1].append((offer, int(days.stay[row, minute, number])))
        if self._listen and minute % _ASK_EVERY == 0:
            for row, pacer in enumerate(self.pacers):
                self._compare(row, pacer, minute, at_ms, floor)

    def _compare(self, row: int, pacer: Pacer, minute: int, at_ms: int, floor: Floor) -> None:
        told = self.forecasts[row]
        for ahead, mean, sigma in pacer.outlook(at_ms):
            if minute + ahead < MINUTES:
                truth = floor.ahead(row, minute, ahead - 1)
                told.p_over.append(0.5 * math.erfc((self._capacity + 0.5 - mean) / (sigma * math.sqrt(2))))
                told.over.append(truth > self._capacity)
                told.z.append((truth - mean) / sigma)


@dataclass
class Life:
    """A pacer's days, one element each."""

    target: float
    seed: int
    forecasts: Forecasts
    visits: list[int] = field(default_factory=list)
    over_minutes: list[int] = field(default_factory=list)
    over_people_minutes: list[int] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)
    toggles: list[float] = field(default_factory=list)
    wrongly: list[float] = field(default_factory=list)
    z: list[float] = field(default_factory=list)
    """Of the days of learning too."""

    def note(self, day: Outcome) -> None:
        """Keep what became of one day."""
        self.visits.append(int(day.visits[0]))
        self.over_minutes.append(int(day.over_minutes[0]))
        self.over_people_minutes.append(int(day.over_people_minutes[0]))
        self.peak.append(int(day.peak[0]))
        self.toggles.append(day.toggles_an_hour())
        self.wrongly.append(day.wrongly_denied())


def live(
    setting: Setting,
    seeds: Sequence[int],
    targets: Sequence[float],
    *,
    learn: int,
    count: int,
    policy: Callable[[Setting, list[float]], Ours] = Ours,
) -> list[Life]:
    """A pacer for each target and seed, in that order: `learn` days that are not reported, then `count` that are."""
    rows = [(target, seed) for target in targets for seed in seeds]
    ours = policy(setting, [target for target, _ in rows])
    lives = [Life(target, seed, told) for (target, seed), told in zip(rows, ours.forecasts, strict=True)]
    for day in range(learn + count):
        made = {seed: make_days(setting, seed, day, 1) for seed in seeds}
        outcome = ours.live(day, side_by_side([made[seed] for _, seed in rows]), listen=day >= learn)
        for row, life in enumerate(lives):
            life.z.append(ours.pacers[row].target.z)
            if day >= learn:
                life.note(outcome[row : row + 1])
    return lives
