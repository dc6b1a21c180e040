"""What pacing is told and what it answers."""

from typing import Any, Literal, NamedTuple

import msgspec

Action = Literal["pause", "resume", "ceiling", "force"]


class Commitment(NamedTuple):
    """People who are expected for another reason than an offer: an appointment, an RSVP, an order to be picked up inside."""

    at_ms: int
    people: float
    variance: float
    """Of how many of them come; of a party of n that comes with probability p all together n²p(1 - p)."""


class Override(msgspec.Struct, frozen=True):
    """What a manager decided, instead of or beside pacing."""

    action: Action
    """pause: invite nobody. ceiling: pace to another capacity. force: invite everybody. resume: as if nothing had been said."""
    by: str
    since_ms: int
    until_ms: int | None = None
    """None: until somebody says otherwise."""
    ceiling: int | None = None


class Evidence(NamedTuple):
    """What a decision was made on; people unless said otherwise."""

    capacity: int
    now: float
    sigma_now: float
    minutes: int
    """The binding horizon: when it would be fullest for its uncertainty, with this one more."""
    mean: float
    sigma: float
    """At the binding horizon, with this one more."""
    z: float
    p_over: float
    """Probability of being over the capacity then, should nobody else be invited."""
    stayers: float
    arrivals: float
    invited: float
    committed: float
    """What the mean at the binding horizon is made of, this one more left aside."""
    in_flight: int
    """Invitations under way now."""
    conversion: float
    """Share of the invited who come."""
    room: int
    """How many could be invited now, all at once."""

    def as_dict(self) -> dict[str, Any]:
        """For an offer's evidence: rounded to what it is worth."""
        digits = {"z": 3, "p_over": 4, "conversion": 3}
        named = self._asdict()
        return {
            name: round(value, digits.get(name, 1)) if isinstance(value, float) else value
            for name, value in named.items()
        }


class Verdict(NamedTuple):
    """Whether one more may be invited, and why."""

    admit: bool
    reason: str
    """For a manager: "would be 118 ± 9 of 120 people at 14:35"."""
    evidence: Evidence | None
    """None where nothing measures the store."""
    tokens: int
    """Invitations that may be under way at the same time, this one included: a limit for the ledger."""
