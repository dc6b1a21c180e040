"""The number inside at each horizon, should nobody else be invited, and what one more would make of it."""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec
import numpy as np

from occupancy.pacing_arrivals import Organic
from occupancy.pacing_invited import Invited
from occupancy.pacing_stays import HORIZONS, Floats, Stays
from occupancy.pacing_target import above
from occupancy.pacing_words import Commitment, Evidence

COULD_BE_THERE: Final = 0.02
"""A horizon is asked where her chance of being there is at least this share of her best one."""
MOST_ROOM: Final = 100_000
_MINUTE_MS: Final = 60_000


class Now(NamedTuple):
    """What a forecast starts from."""

    at_ms: int
    minute_of_day: int
    part: int
    people: float
    variance: float


class Judged(NamedTuple):
    """What one more would come to."""

    fits: bool
    place: int
    """Of the binding horizon, the one that holds least."""
    mean: float
    variance: float
    """There, with this one more."""
    room: int
    """How many more would fit, all at once."""


class Forecast(msgspec.Struct):
    """By horizon. Kept with the state, so that a restart adds up in the same order."""

    means: list[float]
    variances: list[float]
    parts: list[list[float]]
    """What the means are made of: stayers, arrivals, invited, committed."""
    chances: list[list[float]]
    """Of one more by the time that her way takes: the probability of being inside."""
    conversion: float
    kept: list[float]
    """Share of those inside now who are still there."""
    variance: float
    """Of how many are inside now."""
    parties: float
    at_rest: bool
    """Who comes was taken to be as many as leave, so that it hangs on how many are inside."""
    invited: dict[int, int] = {}
    """Who was invited since, by the time that their way takes, and is not in the figures yet."""

    def stand(self, people: float, variance: float) -> bool:
        """So many are inside now, nothing else has changed; False where that takes another forecast."""
        if self.at_rest:
            return False
        self.take_in()
        more = variance - self.variance
        stayers = self.parts[0]
        for place, kept in enumerate(self.kept):
            change = people * kept - stayers[place]
            self.means[place] += change
            doubt = self.variances[place] + more * kept * kept + self.parties * change * (1 - kept)
            self.variances[place] = max(doubt, 0.0)
            stayers[place] += change
        self.variance = variance
        return True

    def invite(self, eta: int) -> None:
        """One more was invited."""
        self.invited[eta] = self.invited.get(eta, 0) + 1

    def take_in(self) -> None:
        """Bring the figures up to who was invited."""
        for eta, people in self.invited.items():
            for place, chance in enumerate(self.chances[eta]):
                self.means[place] += people * chance
                self.variances[place] += people * chance * (1 - chance)
                self.parts[2][place] += people * chance
        self.invited.clear()

    def judge(self, eta: int, z: float, capacity: float) -> Judged:
        """Whether all horizons at which she could be there hold with one more."""
        chances, means, variances = self.chances[eta], self.means, self.variances
        least = max(chances) * COULD_BE_THERE
        tightest, place, room = math.inf, 0, float(MOST_ROOM)
        for number, chance in enumerate(chances):
            if chance < least:
                continue
            free, variance = capacity - means[number], variances[number]
            slack = free - chance - z * math.sqrt(variance + chance * (1 - chance))
            if slack < tightest:
                tightest, place = slack, number
            if slack >= 0:
                room = min(room, _room(free, chance, variance, z))
        chance = chances[place]
        fits = tightest >= 0
        variance = variances[place] + chance * (1 - chance)
        return Judged(fits, place, means[place] + chance, variance, max(int(room), 1) if fits else 0)

    def evidence(self, judged: Judged, now: tuple[int, float, float], z: float, in_flight: int) -> Evidence:
        """What was judged, and on what; `now` is the capacity, how many are inside, and how far that may be off."""
        place = judged.place
        stayers, arrivals, invited, committed = (part[place] for part in self.parts)
        capacity, people, sigma = now
        return Evidence(
            capacity=capacity,
            now=people,
            sigma_now=sigma,
            minutes=HORIZONS[place],
            mean=judged.mean,
            sigma=math.sqrt(judged.variance),
            z=z,
            p_over=above(judged.mean, judged.variance, capacity),
            stayers=stayers,
            arrivals=arrivals,
            invited=invited,
            committed=committed,
            in_flight=in_flight,
            conversion=self.conversion,
            room=judged.room,
        )


def _room(free: float, chance: float, variance: float, z: float) -> float:
    """The most k, not rounded, with k·q + z √(v + k q (1 - q)) ≤ free."""
    # With x = k q: (free - x)² = z² (v + x (1 - q)); the smaller root, or for a negative z the larger.
    squared = z * z
    half = free + squared * (1 - chance) / 2
    root = math.sqrt(max(half * half - free * free + squared * variance, 0.0))
    people = half - root if z > 0 else half + root
    return people / chance + 1e-9 if people > 0 else 0.0


def foresee(now: Now, stays: Stays, organic: Organic, invited: Invited, commitments: Iterable[Commitment]) -> Forecast:
    """Forecast from what is known now."""
    kept = stays.kept()
    rates, error = organic.ahead(now.minute_of_day, now.people / stays.mean_minutes)
    conversion, doubt = invited.conversion(now.part, stays.survival)
    ahead = invited.ahead(conversion, doubt, stays.survival)
    committed, committed_variance = _committed(now.at_ms, commitments, stays.survival)
    stayers, arrivals = now.people * kept, stays.weights @ rates
    means = stayers + arrivals + ahead.people + committed
    variances = (
        now.variance * kept * kept
        + stays.parties * stayers * (1 - kept)
        + organic.groups * arrivals
        + (arrivals * error) ** 2
        + ahead.variance
        + committed_variance
    )
    parts = [stayers.tolist(), arrivals.tolist(), ahead.people.tolist(), committed.tolist()]
    chances = invited.chances(conversion, stays.survival)
    return Forecast(
        means.tolist(),
        variances.tolist(),
        parts,
        chances,
        conversion,
        kept=kept.tolist(),
        variance=now.variance,
        parties=stays.parties,
        at_rest=not organic.known(now.minute_of_day),
    )


def _committed(now_ms: int, commitments: Iterable[Commitment], survival: Floats) -> tuple[Floats, Floats]:
    people, variance = np.zeros(len(HORIZONS)), np.zeros(len(HORIZONS))
    for commitment in commitments:
        wait = (commitment.at_ms - now_ms) / _MINUTE_MS
        for place, horizon in enumerate(HORIZONS):
            if 0 <= wait <= horizon:
                still = float(survival[int(horizon - wait)])
                people[place] += commitment.people * still
                variance[place] += commitment.variance * still**2 + commitment.people * still * (1 - still)
    return people, variance
