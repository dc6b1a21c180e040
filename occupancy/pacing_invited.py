"""Who was invited: how many of them will come, and when they will be inside.

Of an offer's shoppers a share c comes, after a log-normal delay around the time that the way takes. One who has not come
after a minutes will still come with probability c (1 - F(a)) / (1 - c F(a)). c is a Beta distribution, updated by each who
came and, as long as the others may still come, only by the share F(a) of each of them: otherwise a busy hour would look
like a failure until its shoppers arrive (a cure model: Berkson and Gage, *JASA* 47 (1952) 501). Each part of the day learns
by itself and leans on the whole day while it has seen little.
"""

import math
from bisect import bisect
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, NamedTuple, Self

import msgspec
import numpy as np

from occupancy.pacing_stays import HORIZONS, WINDOW, Floats, shifted

AGES: Final = 120
"""Minutes after which nobody comes any more because of an offer."""
ETAS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 5.5, 7.5, 10.0, 13.5, 18.0, 24.0, 33.0, 45.0)
"""Minutes that the way takes, to which an offer's are rounded."""

_WHOLE_DAY: Final = 10.0
"""Offers that the assumed conversion is worth."""
_PART: Final = 60.0
"""Offers of one part of the day that outweigh the whole day's."""
_KEPT_A_DAY: Final = 0.9
_DELAY_SIGMA: Final = 0.5
_DELAYS: Final = 25.0
"""Arrivals that the assumed delay is worth."""
_LEAST: Final = 0.01
"""Where nobody's coming is ever seen, the phones are to blame."""
_CHANGES: Final = 0.1
"""How far the conversion of an hour may differ from that of its part of the day, relatively, one standard deviation."""


class Ahead(NamedTuple):
    """Those in flight, by horizon: expected inside and variance. Shape (6,) each."""

    people: Floats
    variance: Floats


class _State(msgspec.Struct):
    waiting: dict[str, tuple[int, int, int]] = {}
    """Offers whose shoppers may still come: (minute sent, place in ETAS, part of the day), oldest first."""
    arrivals: bytes = b""
    came: list[float] = msgspec.field(default_factory=lambda: [0.0] * 6)
    tried: list[float] = msgspec.field(default_factory=lambda: [0.0] * 6)
    """Offers of each part of the day that were decided, and of those the ones whose shoppers came; fading."""
    delays: float = 0.0
    logs: float = 0.0
    squares: float = 0.0
    """Delays over the time expected of the way: number, and sums of their logarithms and their squares."""
    delay: tuple[float, float] = (0.0, _DELAY_SIGMA)
    """Mean and standard deviation of the logarithm of delay over expected delay, in use."""


class Invited:
    """Offers in flight of one store.

    Args:
        conversion: the share that is expected to come, until some have.
    """

    __slots__ = ("_arrivals", "_conversion", "_counts", "_minute", "_passed", "_state", "_survival", "_tables")

    def __init__(self, conversion: float) -> None:
        self._conversion = conversion
        self._state = _State()
        self._arrivals: Floats = np.zeros(WINDOW)
        self._counts: Floats = np.zeros((len(ETAS), AGES))
        self._minute = self._passed = 0
        self._survival: Floats | None = None
        self._tables = (np.zeros(0), np.zeros(0), np.zeros(0))

    # --- what the world says ---------------------------------------------------------------------------------------

    def sent(self, offer: str, eta: int, part: int) -> None:
        """An offer left for a shopper at this place in `ETAS`."""
        self._settle()
        self._state.waiting[offer] = self._minute, eta, part
        self._counts[eta, 0] += 1

    def came(self, offer: str) -> bool:
        """Its shopper is here; False where nobody waits for them (any more)."""
        waited = self._state.waiting.pop(offer, None)
        if waited is None:
            return False
        minute, eta, part = waited
        self._settle()
        age = self._minute - minute
        self._counts[eta, age] -= 1
        self._arrivals[0] += 1
        state = self._state
        state.came[part] += 1
        state.tried[part] += 1
        log = math.log((age + 0.5) / ETAS[eta])
        state.squares += (log - state.delay[0]) ** 2
        state.delays += 1
        state.logs += log
        return True

    def drop(self, offer: str) -> None:
        """The offer never reached its shopper: neither a success nor a failure."""
        waited = self._state.waiting.pop(offer, None)
        if waited is not None:
            self._settle()
            self._counts[waited[1], self._minute - waited[0]] -= 1

    def minutes_pass(self, minute: int) -> None:
        """It is this minute now (of any epoch)."""
        passed = minute - self._minute if self._minute else 0
        self._minute = minute
        if passed <= 0:
            return
        self._passed += passed
        waiting = self._state.waiting
        while waiting:
            offer = next(iter(waiting))
            sent, _, part = waiting[offer]
            if minute - sent < AGES:
                break
            self._state.tried[part] += 1
            del waiting[offer]

    def _settle(self) -> None:
        """Bring the columns up to this minute."""
        if self._passed:
            self._arrivals = shifted(self._arrivals, self._passed)
            self._counts = shifted(self._counts, self._passed)
            self._passed = 0

    def learn(self) -> None:
        """Take up what was learned of delays; only now and then, as the tables have to be built anew."""
        state = self._state
        weight = _DELAYS + state.delays
        sigma = math.sqrt((_DELAY_SIGMA**2 * _DELAYS + state.squares) / weight)
        state.delay = round(state.logs / weight, 2), max(round(sigma, 2), 0.05)
        self._survival = None

    def end_day(self) -> None:
        """Forget a little."""
        state = self._state
        state.came = [came * _KEPT_A_DAY for came in state.came]
        state.tried = [tried * _KEPT_A_DAY for tried in state.tried]
        state.delays *= _KEPT_A_DAY
        state.logs *= _KEPT_A_DAY
        state.squares *= _KEPT_A_DAY

    # --- what it tells ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Offers whose shoppers may still come."""
        return len(self._state.waiting)

    def waits_for(self, offer: str) -> bool:
        """Whether its shopper may still come."""
        return offer in self._state.waiting

    def conversion(self, part: int, survival: Floats) -> tuple[float, float]:
        """The share that comes in this part of the day, and its standard error."""
        state = self._state
        undecided = 0.0
        if state.waiting:
            self._settle()
            undecided = float(np.vdot(self._counts, self._table(survival)[0]))
        tried = sum(state.tried) + undecided
        whole = (self._conversion * _WHOLE_DAY + sum(state.came)) / (_WHOLE_DAY + tried)
        seen = state.tried[part] + undecided
        share = min(max((whole * _PART + state.came[part]) / (_PART + seen), _LEAST), 0.95)
        error = math.sqrt(share * (1 - share) / (seen + min(_PART, _WHOLE_DAY + tried) + 1))
        return share, math.hypot(error, _CHANGES * share)

    def chances(self, conversion: float, survival: Floats) -> list[list[float]]:
        """Of one invited now, by ETA and horizon: the probability of being inside."""
        _, inside, _ = self._table(survival)
        chances: list[list[float]] = (conversion * inside[:, 0, :]).tolist()
        return chances

    def ahead(self, conversion: float, error: float, survival: Floats) -> Ahead:
        """Those in flight."""
        self._settle()
        arrived, inside, squared = self._table(survival)
        used = np.flatnonzero(self._counts.any(axis=1))
        still = conversion / (1 - conversion * arrived[used])
        weights = self._counts[used] * still
        flat = weights.ravel()
        people = flat @ inside[used].reshape(-1, len(HORIZONS))
        chance = people - (weights * still).ravel() @ squared[used].reshape(-1, len(HORIZONS))
        return Ahead(people, np.maximum(chance, 0.0) + (people * (error / conversion)) ** 2)

    def inside(self, survival: Floats) -> float:
        """People who came because they were invited and are still inside, as expected."""
        self._settle()
        return float(self._arrivals @ survival[:WINDOW])

    def _table(self, survival: Floats) -> tuple[Floats, Floats, Floats]:
        """By ETA and age: who has arrived, who will be inside at each horizon, that squared; all given that they come."""
        if self._survival is not survival:
            self._survival = survival
            self._tables = _tables(*self._state.delay, survival.tobytes())
        return self._tables

    # --- to keep ---------------------------------------------------------------------------------------------------

    def dump(self) -> Any:
        """Everything but the assumed conversion, exactly."""
        self._settle()
        self._state.arrivals = self._arrivals.astype("<f8").tobytes()
        return self._minute, self._state

    @classmethod
    def load(cls, dumped: Any, conversion: float) -> Self:
        """What `dump` gave, to the bit."""
        invited = cls(conversion)
        invited._minute = dumped[0]
        invited._state = msgspec.convert(dumped[1], _State)
        invited._arrivals = np.frombuffer(invited._state.arrivals, "<f8").astype(np.float64)
        for minute, eta, _ in invited._state.waiting.values():
            invited._counts[eta, invited._minute - minute] += 1
        return invited


def nearest_eta(minutes: float) -> int:
    """The place in `ETAS` that is nearest, by ratio."""
    return bisect(_BETWEEN, minutes)


_BETWEEN: Final = tuple(math.sqrt(eta * later) for eta, later in pairwise(ETAS))


@lru_cache(maxsize=64)
def _tables(bias: float, sigma: float, survival_bytes: bytes) -> tuple[Floats, Floats, Floats]:
    survival = np.frombuffer(survival_bytes)
    minutes = np.arange(1, AGES + HORIZONS[-1] + 1)
    arrived = np.empty((len(ETAS), AGES))
    inside = np.zeros((len(ETAS), AGES, len(HORIZONS)))
    for place, eta in enumerate(ETAS):
        z = (np.log(minutes / eta) - bias) / (sigma * math.sqrt(2))
        by_then = np.concatenate([[0.0], [0.5 * math.erfc(-value) for value in z]])
        arrived[place] = by_then[:AGES]
        within = np.diff(by_then)
        for column, horizon in enumerate(HORIZONS):
            windows = np.lib.stride_tricks.sliding_window_view(within, horizon)[:AGES]
            inside[place, :, column] = windows @ survival[horizon - 1 :: -1]
    return arrived, inside, inside**2
