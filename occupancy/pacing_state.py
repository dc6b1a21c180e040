"""What a pacer remembers, apart from who stays, who comes and who was invited."""

from typing import Final

import msgspec

from occupancy.estimate import Status
from occupancy.pacing_forecast import Forecast
from occupancy.pacing_target import Target
from occupancy.pacing_words import Commitment, Override

_DEGRADED: Final = 1.5
"""Factor of the occupancy's standard error while some sensors are silent."""


class Unheard(msgspec.Struct):
    """Invited people who came in by doors that were silent: phones tell of them, so the estimate is too low by as many."""

    people: float = 0.0
    lately: float = 0.0
    """Seen by their phones beyond what the doors counted; it takes a while until a door is known to be silent."""
    variance: float = 0.0
    """Of the last estimate."""

    def minute(self, seen: float, ins: float, status: Status | None, mean_minutes: float) -> None:
        """A minute is over in which phones told of so many invited, and the doors of so many in all."""
        self.lately = max(self.lately + seen - ins, 0.0)
        if status in ("degraded", "blind"):
            self.people -= self.people / mean_minutes
            if ins <= 0:
                self.people += self.lately
                self.lately = 0.0

    def estimated(self, variance: float) -> None:
        """What makes the estimate surer removes its bias in the same proportion, as a Kalman filter's gain does."""
        if self.variance > variance:
            self.people *= variance / self.variance
        self.variance = variance


class State(msgspec.Struct):
    """All of a `Pacer` but its arrays."""

    capacity: int
    timezone: str
    reset_hour: int
    now_ms: int = 0
    day_ends_ms: int = 0
    part: int = 0
    minute_of_day: int = 0
    """The part of the local day and its minute, now."""
    people: float = 0.0
    variance: float = 0.0
    status: Status | None = None
    """None: nothing ever measured this store."""
    blind_since_ms: int | None = None
    measured: bool = False
    """Something has counted this store at least once."""
    holds: bool = False
    below_since_ms: int | None = None
    """Since when a held store has been below the level at which it reopens."""
    since_ms: int = 0
    """When the overshoot was last added up."""
    ins: float = 0.0
    outs: float = 0.0
    """Counted in the minute under way."""
    seen: float = 0.0
    """Invited people seen in that minute."""
    unheard: Unheard = msgspec.field(default_factory=Unheard)
    override: Override | None = None
    commitments: list[Commitment] = []
    target: Target = msgspec.field(default_factory=Target)
    forecast: Forecast | None = None
    """The one in use; None: something has changed since."""

    def standing(self, people: float, variance: float, status: Status) -> tuple[float, float, Status]:
        """An estimate as it is taken: with those whom it cannot know of, and less sure than it says while sensors are silent."""
        factor = _DEGRADED**2 if status == "degraded" else 1.0
        return max(float(people), 0.0) + self.unheard.people, float(variance) * factor, status
