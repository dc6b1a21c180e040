"""What one place saw since its last closure, in steps of five minutes: enough to learn from, smooth and forecast."""

import math
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from occupancy.dwell import SPAN, STEP_MS, Floats

LONGEST: Final = 320
"""Steps of a day, at most: 25 hours and some more."""
_ROWS: Final = 4
CAME, UNSEEN, LEFT, NOISE = range(_ROWS)
"""People who came, of them those who passed a silent door by its usual rate, who left, and the variance of all that."""

Dumped = tuple[int, int, bytes, bytes, list[tuple[int, float, float]]]


class Flows(NamedTuple):
    """People who came and who left since the day began, as the calibrated doors tell, and silent doors' usual rates."""

    since_ms: int
    came: float
    left: float


class Day:
    """Steps since `starts_ms`; the arrivals of the 12 hours before stand in front.

    `rows` has shape (4, 144 + 320); `seen` holds absolute readings as (step, people, variance).
    """

    __slots__ = ("last", "rows", "seen", "starts_ms")

    def __init__(self, starts_ms: int) -> None:
        """Begin at the step in which this instant lies."""
        self.starts_ms = starts_ms - starts_ms % STEP_MS
        self.last = -1
        self.rows: NDArray[np.float32] = np.zeros((_ROWS, SPAN + LONGEST), dtype=np.float32)
        self.seen: list[tuple[int, float, float]] = []

    def step(self, at_ms: int) -> int:
        """The step in which an instant lies; what is beyond the last belongs to the last."""
        step = (at_ms - self.starts_ms) // STEP_MS
        return step if -SPAN <= step < LONGEST else min(max(step, -SPAN), LONGEST - 1)

    def add(self, at_ms: int, came: float, left: float, noise: float) -> None:
        """People passed the doors."""
        at = self.step(at_ms)
        self.rows[CAME, SPAN + at] += came
        self.rows[LEFT, SPAN + at] += left
        self.rows[NOISE, SPAN + at] += noise
        self.last = max(self.last, at)

    def spread(
        self, since_ms: int, at_ms: int, came: float, left: float, noise: float, *, unseen: bool = False
    ) -> None:
        """People passed, or may have passed a silent door (`unseen`), evenly between two instants."""
        first, last = self.step(since_ms), self.step(at_ms)
        steps = slice(SPAN + first, SPAN + last + 1)
        length = last - first + 1
        self.rows[CAME, steps] += came / length
        self.rows[LEFT, steps] += left / length
        self.rows[NOISE, steps] += noise / length
        if unseen:
            self.rows[UNSEEN, steps] += came / length
        self.last = max(self.last, last)

    def see(self, at_ms: int, people: float, error: float) -> None:
        """An absolute reading; several in one step are one, weighted by precision."""
        at, variance, people = self.step(at_ms), max(error, 0.3) ** 2, float(people)
        if self.seen and self.seen[-1][0] == at:
            _, before, spread = self.seen.pop()
            precision = 1 / spread + 1 / variance
            people, variance = (before / spread + people / variance) / precision, 1 / precision
        self.seen.append((at, people, variance))
        self.last = max(self.last, at)

    def arrivals(self, step: int) -> tuple[Floats, Floats]:
        """The last 144 steps up to and with this one: who came, and who of them came unseen."""
        window = slice(step + 1, SPAN + step + 1)
        return self.rows[CAME, window].astype(np.float64), self.rows[UNSEEN, window].astype(np.float64)

    def column(self, row: int) -> Floats:
        """One row from the day's first step to the last that anything is known of."""
        return self.rows[row, SPAN : SPAN + self.last + 1].astype(np.float64)

    def came_before(self, step: int) -> float:
        """People who came since the day began, before this step."""
        return float(self.rows[CAME, SPAN : SPAN + step].sum())

    def flows(self) -> Flows:
        """All who came and left so far."""
        came, left = self.rows[[CAME, LEFT], SPAN:].sum(axis=1, dtype=np.float64).tolist()
        return Flows(self.starts_ms, came, left)

    def next(self, at_ms: int, *, emptied: bool) -> "Day":
        """The day after; where the place was empty in between, none of these arrivals can still be inside."""
        day = Day(at_ms)
        if not emptied:
            back = (day.starts_ms - self.starts_ms) // STEP_MS
            tail = self.rows[:, max(back, 0) : max(back, 0) + SPAN]
            day.rows[:, : tail.shape[1]] = tail
        return day

    def dump(self) -> Dumped:
        """Everything, exactly; zeros at the end are left out."""
        head = self.rows[:, :SPAN] if self.rows[:, :SPAN].any() else self.rows[:, :0]
        body = self.rows[:, SPAN : SPAN + self.last + 1]
        return self.starts_ms, self.last, _bytes(head), _bytes(body), self.seen

    @classmethod
    def load(cls, dumped: Dumped) -> Self:
        """What `dump` gave, to the bit."""
        day = cls(dumped[0])
        day.last = dumped[1]
        if dumped[2]:
            day.rows[:, :SPAN] = _rows(dumped[2])
        day.rows[:, SPAN : SPAN + day.last + 1] = _rows(dumped[3])
        day.seen = [(at, people, variance) for at, people, variance in dumped[4]]
        return day


def _bytes(rows: NDArray[np.float32]) -> bytes:
    return rows.astype("<f4", copy=False).tobytes()


def _rows(data: bytes) -> NDArray[np.float32]:
    flat = np.frombuffer(data, dtype="<f4").astype(np.float32)
    return flat.reshape(_ROWS, math.floor(flat.size / _ROWS))
