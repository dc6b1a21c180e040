"""What a pacer remembers, apart from who stays, who comes and who was invited."""

import msgspec

from occupancy.estimate import Status
from occupancy.pacing_forecast import Forecast
from occupancy.pacing_target import Target
from occupancy.pacing_words import Commitment, Override


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
    override: Override | None = None
    commitments: list[Commitment] = []
    target: Target = msgspec.field(default_factory=Target)
    forecast: Forecast | None = None
    """The one in use; None: something has changed since."""
