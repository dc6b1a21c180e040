"""Everything the service says, one Struct per kind: the same object goes to MQTT, SSE, webhooks, history and `replay`.

Field names are a contract with the outside world (`docs/contract.md`). Encoded as JSON, each carries its `kind`.
"""

from datetime import datetime
from typing import Any, Literal

import msgspec

CrossingType = Literal["enter", "dwell", "exit", "cross"]
Reason = Literal["observed", "silence", "fence_changed", "fence_removed", "forgotten"]
Level = Literal["quiet", "normal", "busy", "full"]
Status = Literal["live", "degraded", "blind", "uncalibrated"]
SensorState = Literal["live", "silent", "stuck", "skewed", "rejected"]
AlertKind = Literal["warn", "full", "legal", "doors"]


class Output(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """What one log entry made of the world. Times are aware UTC datetimes; they encode as RFC 3339."""


class Crossing(Output, frozen=True, kw_only=True):
    """A device entered, stayed in, left, or passed through a fence."""

    id: str
    type: CrossingType
    device: str
    fence: str
    store: str | None
    role: str
    time: datetime
    """The phone's time."""
    logged: datetime
    """When the fact entered the log."""
    lat: float | None
    lon: float | None
    accuracy_m: float | None
    confidence: float
    duration_s: float | None
    """Seconds since the enter (dwell, exit); null for enter and cross."""
    reason: Reason
    mock: bool = False
    """The phone said that the location behind it is simulated."""


class Occupancy(Output, frozen=True, kw_only=True):
    """How many people are in a store (zone null) or a zone of it, and how sure that is."""

    store: str
    zone: str | None
    time: datetime
    mean: float
    low: float
    high: float
    rate: float
    """mean / comfort capacity"""
    p_over: float
    """Probability of more people than the legal capacity."""
    level: Level
    status: Status
    in_total: int
    out_total: int


class Visit(Output, frozen=True, kw_only=True):
    """A closed stay in a `store` fence."""

    id: str
    device: str
    store: str
    entered: datetime
    left: datetime
    duration_s: float
    confirmed: bool


class Offer(Output, frozen=True, kw_only=True):
    """One campaign's decision about one device, with its evidence."""

    id: str
    campaign: str
    device: str
    store: str
    decision: Literal["sent", "withheld", "held_out"]
    reason: str
    code: str | None = None
    """Of the coupon that goes with it."""
    title: str | None = None
    body: str | None = None
    language: str | None = None
    """Of title and body; null where the campaign has no texts and its name stands for them."""
    time: datetime
    expires: datetime | None
    evidence: dict[str, Any]


class Redemption(Output, frozen=True, kw_only=True):
    """A coupon changed hands: redeemed, rolled back, or made void."""

    id: str
    """Of the offer that the coupon came with."""
    campaign: str
    device: str
    store: str
    """Where it was redeemed; of one made void, where it was offered."""
    change: Literal["redeemed", "rolled_back", "void"]
    previous: Literal["issued", "locked", "redeemed", "rolled_back"]
    channel: Literal["store", "online"]
    time: datetime
    """When it happened; at a till that was offline that may be long before `logged`."""
    logged: datetime
    amount: int | None = None
    """Of the basket, in minor units, where the till said so."""


class Sensor(Output, frozen=True, kw_only=True):
    """A sensor's health changed."""

    id: str
    store: str
    state: SensorState
    since: datetime
    detail: str


class Alert(Output, frozen=True, kw_only=True):
    """A manager should look: a place is nearly full (`warn`), full, perhaps above its legal capacity, or its doors do not
    add up at night (`doors`). Each is raised once and cleared once.
    """

    id: str
    store: str
    zone: str | None
    alert: AlertKind
    state: Literal["raised", "cleared"]
    time: datetime
    since: datetime
    """When it was raised; with store, zone and alert the same for the word that clears it."""
    detail: str
    """What a manager reads."""
    mean: float
    low: float
    high: float
    rate: float
    p_over: float


class Rejected(Output, frozen=True, kw_only=True):
    """Something sent to us that could not be used, and why."""

    topic: str
    reason: str
    time: datetime


AnyOutput = Crossing | Occupancy | Visit | Offer | Redemption | Sensor | Alert | Rejected
encode = msgspec.json.Encoder().encode
"""One output as JSON bytes."""
encode_lines = msgspec.json.Encoder().encode_lines
"""Outputs as JSON bytes, one a line, each line ended."""
