"""What one sensor's messages say about the sensor itself: refused, wrong clock, low battery, opened."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from sensors.counters import Counted, Observed
from sensors.readings import Reading

State = Literal["live", "silent", "stuck", "skewed", "rejected"]
Condition = Literal["silent", "rejected", "stuck", "skewed", "battery", "tamper"]
STATES: tuple[State, ...] = ("silent", "rejected", "stuck", "skewed")
"""Worst first: what a sensor with several troubles is said to be."""

_AHEAD_MS = 120_000
_BEHIND_MS = 600_000
# A backlog is behind for a while; a clock that is wrong stays so.
_BEHIND_FOR_MS = 900_000
_BEHIND_READINGS = 3
_BATTERY_LOW = 0.15
_BATTERY_WELL = 0.25
_BEATS = 5
_REGULAR_BEATS = 3
_SHORTEST_BEAT_MS = 30_000
# Heartbeats closer than this came together.
_ONE_MESSAGE_MS = 1_000
_HOUR_MS = 3_600_000
# Names of lines come from outside.
_MAX_LINES = 256
# A sensor that alternates between good and bad messages is rejected until it has been good for this long.
_FLAPS = 3
_CLEAN_MS = 600_000


class Vitals(msgspec.Struct, omit_defaults=True):
    """Everything that is remembered of one sensor; times are milliseconds since the epoch."""

    known_ms: int
    """Since when it is watched."""
    live_ms: int
    """Since when nothing has been wrong with it, if nothing is."""
    heard_ms: int | None = None
    conditions: dict[Condition, int] = {}
    """What is wrong, and since when."""
    details: dict[Condition, str] = {}
    """And what a manager should do about it."""
    moves: int = 0
    """People it counted, or changes it saw."""
    moved_ms: int | None = None
    others_before: int = 0
    """People the store's other doors had counted when this sensor last moved."""
    others_since: int = 0
    """And since then."""
    values: dict[str, float] = {}
    beat_ms: int | None = None
    """The newest heartbeat."""
    beats_ms: list[int] = []
    """The newest intervals between heartbeats."""
    behind_since_ms: int | None = None
    behind_readings: int = 0
    refusals_ms: list[int] = []
    """When it last began to be refused."""
    refused_ms: int = 0
    battery: float | None = None
    tamper: bool | None = None
    day: int = 0
    ins_today: int = 0
    outs_today: int = 0

    @property
    def state(self) -> State:
        """The worst of its troubles, or live."""
        return next((state for state in STATES if state in self.conditions), "live")

    def told(self) -> list[str]:
        """The details of what is wrong, worst first."""
        worst_first = [*STATES, *(condition for condition in self.conditions if condition not in STATES)]
        return [self.details[condition] for condition in worst_first if condition in self.details]

    def interval_ms(self) -> int | None:
        """The usual time between its heartbeats, if it has one: some makes say "nothing new" at any odd moment."""
        if len(self.beats_ms) < _REGULAR_BEATS:
            return None
        usual = sorted(self.beats_ms)[len(self.beats_ms) // 2]
        regular = sum(abs(beat - usual) <= usual // 4 for beat in self.beats_ms)
        return max(usual, _SHORTEST_BEAT_MS) if regular >= _REGULAR_BEATS else None


def learn_beat(vitals: Vitals, now_ms: int, *, after_silence: bool) -> None:
    """A heartbeat came; the time since the one before teaches how often, unless the sensor had been away."""
    if vitals.beat_ms is not None and not after_silence and now_ms - vitals.beat_ms >= _ONE_MESSAGE_MS:
        vitals.beats_ms = [*vitals.beats_ms, now_ms - vitals.beat_ms][-_BEATS:]
    vitals.beat_ms = now_ms


def judge_clock(vitals: Vitals, reading: Reading) -> bool | None:
    """Whether the device's clock is wrong; None where the reading does not tell.

    Ahead is wrong at once: nothing comes before it happened. Behind may be a backlog, so it must last.
    """
    if reading.to_ms is None or reading.retained:
        return None
    offset_ms = reading.to_ms - reading.received_ms
    if offset_ms > _AHEAD_MS:
        return True
    if offset_ms >= -_BEHIND_MS:
        vitals.behind_since_ms, vitals.behind_readings = None, 0
        return False
    vitals.behind_readings += 1
    if vitals.behind_since_ms is None:
        vitals.behind_since_ms = reading.received_ms
    lasts = reading.received_ms - vitals.behind_since_ms >= _BEHIND_FOR_MS
    return True if lasts and vitals.behind_readings >= _BEHIND_READINGS else None


def judge_battery(vitals: Vitals, reading: Reading) -> bool | None:
    """Whether the battery needs replacing; None where nothing changed about that."""
    if reading.battery is None:
        return None
    vitals.battery = reading.battery
    if reading.battery <= _BATTERY_LOW:
        return True
    return False if reading.battery >= _BATTERY_WELL else None


def begin_refusal(vitals: Vitals, now_ms: int) -> None:
    """Remember when refusals began, to tell a fault from a flapping one."""
    vitals.refusals_ms = [*vitals.refusals_ms, now_ms][-_FLAPS:]


def is_refusal_over(vitals: Vitals, now_ms: int) -> bool:
    """Whether a good message ends the refusals: at once, unless it keeps going back and forth."""
    flaps = len(vitals.refusals_ms) == _FLAPS and now_ms - vitals.refusals_ms[0] <= _HOUR_MS
    return not flaps or now_ms - vitals.refused_ms >= _CLEAN_MS


def others_moved(vitals: Vitals, counted: Iterable[Counted | Observed]) -> None:
    """A neighbour counted; people of a long window are only held against a sensor that has not moved since it began."""
    for one in counted:
        if isinstance(one, Counted):
            since_ms = one.at_ms if one.backfill is None else one.backfill[0]
            if (vitals.moved_ms or vitals.known_ms) <= since_ms:
                vitals.others_since += one.ins + one.outs
            else:
                vitals.others_before += one.ins + one.outs


def changes(vitals: Vitals, counted: Iterable[Counted | Observed]) -> int:
    """How many of the observed values are not what they were."""
    changes = 0
    for one in counted:
        if isinstance(one, Observed):
            changes += vitals.values.get(one.line) != one.value
            if len(vitals.values) >= _MAX_LINES:
                vitals.values.clear()
            vitals.values[one.line] = one.value
    return changes


def duration(milliseconds: int) -> str:
    """A duration as people say it: one unit, whole."""
    seconds = max(0, milliseconds) // 1000
    for unit, size in (("days", 172_800), ("h", 7_200), ("min", 60)):
        if seconds >= size:
            return f"{seconds // {'days': 86_400, 'h': 3_600, 'min': 60}[unit]} {unit}"
    return f"{seconds} s"
