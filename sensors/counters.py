"""Readings to counts: every crossing once, whatever the sensor repeats, restarts or sends twice over.

- A line that has ever sent triggers counts by them alone: its periods and totals tell of the same people again.
- A line that sends totals counts by them; its periods only count again once totals have been missing for a day.
- The first total and every retained one only set the base (`totals`).
- Retained deltas and redelivered messages (`duplicates`) count nothing.
- Order is arrival; the device's clock only dates the window, and only while it is sane.
- A sensor mounted backwards has its directions swapped here and nowhere else.
"""

from typing import NamedTuple, Self

import msgspec

from sensors.config import LineConfig, SensorConfig
from sensors.duplicates import Repeats
from sensors.readings import Kind, Reading
from sensors.totals import Step, Total, Totals, is_sane

BACKFILL_MS = 300_000
"""People counted over a longer window, or longer ago, belong to history rather than to this moment."""
_MAX_LINES = 256
_TOTALS_GONE_MS = 86_400_000
_FRESH_MS = 600_000
# A trigger may be this late; one that is later comes from a clock that stopped.
_LATE_TRIGGER_MS = 3_600_000
_MAX_AGE_MS = 7 * 86_400_000
_DEFAULT_LINE = LineConfig()


class Counted(NamedTuple):
    """People who crossed a line, to be counted now."""

    line: str
    at_ms: int
    """When they count: the arrival. The present moves once, here."""
    ins: int
    outs: int
    zone: str | None
    """Where the ins went; None is the store as a whole."""
    from_zone: str | None
    """Where the ins came from; None is the street."""
    backfill: tuple[int, int] | None
    """The window in which they crossed, if it is long or long ago: history spreads them over it."""


class Observed(NamedTuple):
    """What a sensor sees, to be taken as evidence and not counted."""

    line: str
    at_ms: int
    kind: Kind
    """`absolute` or `state`."""
    value: float
    error: float | None
    zone: str | None


class Line(msgspec.Struct):
    """What has been counted on one line of a sensor."""

    heard_ms: int = 0
    triggers: bool = False
    total_ms: int | None = None
    """When a total last came; None: none did."""
    covered: tuple[int, int] | None = None
    """Device times whose crossings were counted by period or total; a trigger from within is the same person."""
    totals: Totals = msgspec.field(default_factory=Totals)
    repeats: Repeats = msgspec.field(default_factory=Repeats)


class State(msgspec.Struct):
    """What has been counted on all lines of a sensor."""

    lines: dict[str, Line] = {}
    triggers: bool = False
    """A trigger came that speaks for the whole sensor; see `Reading.whole_sensor`."""


_DECODER = msgspec.msgpack.Decoder(State)
_ENCODER = msgspec.msgpack.Encoder()


class Counters:
    """The counting state of one sensor; `config` may be replaced at any time."""

    def __init__(self, config: SensorConfig) -> None:
        self.config = config
        self._state = State()

    def dump(self) -> bytes:
        """The whole state; `load` continues from it as if nothing had happened."""
        return _ENCODER.encode(self._state)

    @classmethod
    def load(cls, config: SensorConfig, data: bytes) -> Self:
        """The counters that `dump` wrote.

        Raises:
            msgspec.DecodeError: it did not.
        """
        counters = cls(config)
        counters._state = _DECODER.decode(data)
        return counters

    def take(self, reading: Reading) -> list[Counted | Observed]:
        """What a reading adds; empty where it adds nobody."""
        if reading.kind == "heartbeat" or reading.line in self._ignored():
            return []
        if reading.kind in {"absolute", "state"}:
            return self._observed(reading)
        line = self._line(reading)
        if reading.kind == "cumulative":
            return self._cumulative(line, reading)
        return self._delta(line, reading)

    def _ignored(self) -> list[str]:
        ignored = self.config.options.get("ignore_lines")
        return ignored if isinstance(ignored, list) else []

    def _line(self, reading: Reading) -> Line:
        lines = self._state.lines
        line = lines.get(reading.line)
        if line is None:
            if len(lines) >= _MAX_LINES:
                # Names come from outside; without a bound they would fill the memory.
                del lines[min(lines, key=lambda name: lines[name].heard_ms)]
            line = lines[reading.line] = Line()
        line.heard_ms = max(line.heard_ms, reading.received_ms)
        return line

    def _observed(self, reading: Reading) -> list[Counted | Observed]:
        if reading.value is None:
            return []
        if reading.retained and reading.kind == "absolute" and not _is_fresh(reading):
            return []  # a number of people of unknown age is evidence of nothing
        setup = self.config.lines.get(reading.line, _DEFAULT_LINE)
        zone = reading.zone or setup.zone or self.config.zone
        return [Observed(reading.line, reading.received_ms, reading.kind, reading.value, reading.error, zone)]

    def _cumulative(self, line: Line, reading: Reading) -> list[Counted | Observed]:
        if line.triggers or self._state.triggers:
            return []
        line.total_ms = reading.received_ms
        total = Total(
            reading.ins,
            reading.outs,
            reading.received_ms,
            reading.to_ms,
            reading.from_ms,
            reading.seq,
            reading.uptime_s,
        )
        step = line.totals.take(total, retained=reading.retained)
        if step is None:
            return []
        window = _window_of(step, reading)
        return self._counted(line, reading, step.ins, step.outs, window)

    def _delta(self, line: Line, reading: Reading) -> list[Counted | Observed]:
        if reading.retained:
            return []
        ins, outs = line.repeats.take(reading)
        if reading.trigger:
            told = self._state.lines.values() if reading.whole_sensor else [line]
            if any(_is_covered(one, reading) for one in told):
                return []
            line.triggers = True
            self._state.triggers = self._state.triggers or reading.whole_sensor
        elif line.triggers or self._state.triggers:
            return []
        elif line.total_ms is not None:
            if reading.received_ms - line.total_ms <= _TOTALS_GONE_MS:
                return []
            # Whatever the next total adds, periods will have counted it: it can only be a new base.
            line.total_ms, line.totals = None, Totals()
        window = (reading.to_ms if reading.from_ms is None else reading.from_ms, reading.to_ms)
        return self._counted(line, reading, ins, outs, window)

    def _counted(
        self, line: Line, reading: Reading, ins: int, outs: int, window: tuple[int | None, int | None]
    ) -> list[Counted | Observed]:
        if ins == outs == 0:
            return []
        start, end = window
        if start is None or end is None or not _can_date(start, end, reading.received_ms):
            start = end = reading.received_ms
        elif not reading.trigger and is_sane(reading.to_ms, reading.received_ms):
            line.covered = (min(start, line.covered[0]) if line.covered else start, end)
        end = min(end, reading.received_ms)
        setup = self.config.lines.get(reading.line, _DEFAULT_LINE)
        if setup.in_is == "backward":
            ins, outs = outs, ins
        is_history = end - start > BACKFILL_MS or reading.received_ms - end > BACKFILL_MS
        zone = setup.zone or self.config.zone
        at_ms = reading.received_ms
        return [Counted(reading.line, at_ms, ins, outs, zone, setup.from_zone, (start, end) if is_history else None)]


def _window_of(step: Step, reading: Reading) -> tuple[int | None, int | None]:
    """From the total before to this one: by the device's clock if it moved sanely, else by arrival."""
    since = step.since
    start, end = since.to_ms, reading.to_ms
    moved = start is not None and end is not None and start < end and is_sane(start, since.received_ms)
    if moved and _can_date(start, end, reading.received_ms):
        return start, end
    return min(since.received_ms, reading.received_ms), reading.received_ms


def _can_date(start_ms: int | None, end_ms: int | None, received_ms: int) -> bool:
    """Whether a window lies in the past, and not further than a device keeps a backlog."""
    if start_ms is None or end_ms is None:
        return False
    return start_ms <= end_ms <= received_ms + 120_000 and received_ms - start_ms <= _MAX_AGE_MS


def _is_covered(line: Line, reading: Reading) -> bool:
    if line.covered is None or reading.to_ms is None or reading.received_ms - reading.to_ms > _LATE_TRIGGER_MS:
        return False
    start, end = line.covered
    return start < reading.to_ms <= end


def _is_fresh(reading: Reading) -> bool:
    """Whether the device says that this is about now."""
    return reading.to_ms is not None and abs(reading.received_ms - reading.to_ms) <= _FRESH_MS
