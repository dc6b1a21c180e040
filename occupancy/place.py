"""One place, a store or a zone of it: counts and counted people in, an honest estimate out.

Time is given with every call and never runs backwards. What happens by itself (a door falls silent, the day begins anew,
a closed store empties) happens at marks that `next_due_ms` announces; whoever calls `advance` only then, or every second,
or not before the next count, gets the same state to the byte.
"""

import math
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final, Self
from zoneinfo import ZoneInfo

import msgspec

from occupancy.estimate import Belief, Estimate, Level, Status
from occupancy.levels import next_level

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
SILENT_AFTER_MS: Final = 15 * MINUTE_MS
"""A source that says nothing for this long in opening hours is silent, however rarely it spoke before."""
_SILENT_NOT_BEFORE_MS: Final = MINUTE_MS
EMPTIES_MS: Final = 30 * MINUTE_MS
"""After closing; later than that, a closed place is taken to be empty but for whom the doors count from then on."""
COMFORT_WHEN_UNKNOWN: Final = 100
_AFTER_HOURS_MEAN: Final = 0.1
_RATE_MEMORY_MS: Final = 30 * MINUTE_MS
_OVERDISPERSION: Final = 1.5
"""Variance of missed people over that of independent misses: groups walk in abreast."""
_CAMERA_ERROR: Final = 0.2
_RECOUNT_ERROR: Final = 0.03
_INDEPENDENT_AFTER_MS: Final = 15 * MINUTE_MS


class Source(msgspec.Struct):
    """A door or a counter of people, and when it was last heard."""

    last_ms: int
    heard: bool = False
    settled_ms: int = 0
    """Who passed unseen before this instant is already part of the belief."""
    longest_gap_ms: float = 0.0
    """The longest pause between two messages in opening hours, slowly forgotten; 0 = not known yet."""
    ins_per_ms: float = 0.0
    outs_per_ms: float = 0.0

    def silent_after_ms(self) -> int:
        """Two of its usual longest pauses, or 15 minutes."""
        if not self.longest_gap_ms:
            return SILENT_AFTER_MS
        return min(max(int(2 * self.longest_gap_ms) + 5_000, _SILENT_NOT_BEFORE_MS), SILENT_AFTER_MS)

    def spoke(self, at_ms: int, since_ms: int) -> None:
        """Learn the pause since `since_ms`; one long outage does not make it deaf to the next."""
        gap = min(at_ms - since_ms, SILENT_AFTER_MS)
        if self.heard:
            usual = self.longest_gap_ms
            self.longest_gap_ms = float(max(min(gap, 2 * usual) if usual else gap, 0.98 * usual))
        self.heard, self.last_ms = True, at_ms


class _State(msgspec.Struct):
    comfort: int | None
    legal: int | None
    timezone: str
    reset_hour: int
    now_ms: int = 0
    day_ends_ms: int = 0
    open: bool = True
    opened_ms: int = 0
    empties_ms: int | None = None
    heard: bool = False
    counted_ms: int | None = None
    marked_ms: int = 0
    doors: dict[str, Source] = {}
    counters: dict[str, Source] = {}
    level: Level = "quiet"
    in_total: int = 0
    out_total: int = 0
    scale_in: float = 1.05
    scale_out: float = 1.05


class Place:
    """How many people are in one place.

    Args:
        comfort: people that the place takes in comfort; None takes 100 until a better figure is known.
        legal: people that the law allows; None means that `p_over` stays 0.
        timezone: IANA name, for the local day.
        reset_hour: local hour at which a new day begins and totals start from zero.
    """

    def __init__(self, comfort: int | None, legal: int | None, *, timezone: str = "UTC", reset_hour: int = 4) -> None:
        self._state = _State(comfort, legal, timezone, reset_hour)
        self._belief = Belief.anything_up_to(self.comfort)
        self._zone = ZoneInfo(timezone)
        self._estimate: Estimate | None = None

    @property
    def comfort(self) -> int:
        """The comfort capacity in use, at least 1."""
        return max(self._state.comfort or COMFORT_WHEN_UNKNOWN, 1)

    # --- what the world says ---------------------------------------------------------------------------------------

    def configure(self, at_ms: int, *, comfort: int | None, legal: int | None, timezone: str, reset_hour: int) -> None:
        """The site's documents changed; what is inside stays."""
        self.advance(at_ms)
        state = self._state
        moved = (timezone, reset_hour) != (state.timezone, state.reset_hour)
        state.comfort, state.legal, state.timezone, state.reset_hour = comfort, legal, timezone, reset_hour
        self._zone = ZoneInfo(timezone)
        if moved and state.day_ends_ms:
            state.day_ends_ms = self._day_end(state.now_ms)
        self._refresh()

    def expect(self, at_ms: int, *, doors: Collection[str], counters: Collection[str] = ()) -> None:
        """Name the sources that ought to speak; one that is not named any more is forgotten, a new one has its time to start.

        A source that speaks unexpected is taken up by itself.
        """
        self.advance(at_ms)
        for known, wanted in ((self._state.doors, doors), (self._state.counters, counters)):
            for gone in known.keys() - set(wanted):
                del known[gone]
            for name in sorted(set(wanted) - known.keys()):
                known[name] = Source(self._state.now_ms)
        self._refresh()

    def count(self, at_ms: int, ins: int, outs: int, door: str, *, whole_gap: bool = False) -> None:
        """A door counted; 0 and 0 is a sign of life. Each crossing must be told once.

        `whole_gap`: the figures hold all that passed since the door last spoke (a running total does), however long ago.

        Raises:
            ValueError: a negative number.
        """
        if ins < 0 or outs < 0:
            raise ValueError(f"a door cannot count {ins} in and {outs} out")
        self.advance(at_ms)
        state = self._state
        at_ms = state.now_ms
        self._first_words(Belief.exactly(0))
        source = state.doors.setdefault(door, Source(at_ms))
        since = self._silent_since(source)
        if state.open:
            if not whole_gap and at_ms - since >= source.silent_after_ms():
                self._take_in(source, at_ms)
            source.spoke(at_ms, since)
            fade = math.exp(-(at_ms - since) / _RATE_MEMORY_MS)
            source.ins_per_ms = source.ins_per_ms * fade + ins / _RATE_MEMORY_MS
            source.outs_per_ms = source.outs_per_ms * fade + outs / _RATE_MEMORY_MS
        source.heard, source.last_ms = True, at_ms
        if ins or outs:
            self._move(ins, outs)
        self._refresh()

    def heard(self, at_ms: int, source: str) -> None:
        """A sign of life, such as a heartbeat, from a door or counter; from one that is not known it means nothing."""
        if source in self._state.doors:
            self.count(at_ms, 0, 0, source)
        elif source in self._state.counters:
            self.advance(at_ms)
            known = self._state.counters[source]
            known.spoke(self._state.now_ms, self._silent_since(known))
            self._refresh()

    def observe(self, at_ms: int, people: float, error: float | None = None, *, counter: str) -> None:
        """A camera or the like counted the people inside; `error` is its standard error in people (±20 % if not said).

        Raises:
            ValueError: a negative or infinite number, or NaN.
        """
        _require_people(people, error)
        self.advance(at_ms)
        state = self._state
        source = state.counters.setdefault(counter, Source(state.now_ms))
        error = max(error if error is not None else _CAMERA_ERROR * people, 1.0)
        if not source.heard:
            self._first_words(None)
        else:
            self._take_in_all()
            elapsed = state.now_ms - source.last_ms
            if state.doors:
                # Readings close together share one mistake: a hat stand taken for a man stays one for a while.
                error /= math.sqrt(min(max(elapsed / _INDEPENDENT_AFTER_MS, 1e-4), 1.0))
            else:
                self._belief.blur(0.0, min((0.1 * self.comfort) ** 2 * elapsed / MINUTE_MS, self.comfort**2 / 4))
        source.spoke(state.now_ms, self._silent_since(source))
        self._belief.observe(people, error)
        self._refresh()

    def recount(self, at_ms: int, people: int, error: float | None = None) -> None:
        """Somebody counted by eye (±3 %, at least one person, if not said); the doors' totals stay as they were.

        Raises:
            ValueError: a negative or infinite number, or NaN.
        """
        _require_people(people, error)
        self.advance(at_ms)
        state = self._state
        self._take_in_all()
        self._first_words(None)
        state.counted_ms = state.now_ms
        error = error if error is not None else max(1.0, _RECOUNT_ERROR * people)
        mean, variance = self._belief.moments()
        # Where eyes and doors contradict each other, the doors were surer than they had reason to be: their spread is
        # widened until the difference is one that could have happened (variance matching, Mehra 1970).
        self._belief.blur(0.0, max((people - mean) ** 2 - variance - error**2, 0.0))
        self._belief.observe(people, error)
        self._refresh()

    def is_open(self, at_ms: int, open_now: bool) -> None:
        """Opening hours begin or end; the same again changes nothing."""
        self.advance(at_ms)
        state = self._state
        if open_now == state.open:
            return
        state.open = open_now
        if open_now:
            state.opened_ms, state.empties_ms = state.now_ms, None
            if not state.heard:
                self._belief = Belief.anything_up_to(self.comfort)
        else:
            state.empties_ms = state.now_ms + (EMPTIES_MS if state.heard else 0)
        self._refresh()

    # --- time ------------------------------------------------------------------------------------------------------

    def advance(self, at_ms: int) -> None:
        """Let time pass; an instant before the newest one is taken as that one."""
        state = self._state
        if not state.now_ms:
            state.now_ms = state.opened_ms = state.marked_ms = at_ms
            state.day_ends_ms = self._day_end(at_ms)
        while True:
            due = self._due()
            if due > at_ms:
                break
            state.now_ms = state.marked_ms = due
            self._mark(due)
        state.now_ms = max(state.now_ms, at_ms)

    def next_due_ms(self) -> int | None:
        """When `advance` would next change something by itself; None before the first call."""
        return self._due() if self._state.now_ms else None

    def estimate(self, at_ms: int) -> Estimate:
        """How many people are inside now."""
        self.advance(at_ms)
        if self._estimate is None:
            self._refresh()
        assert self._estimate is not None
        return self._estimate

    def _due(self) -> int:
        state = self._state
        due = state.day_ends_ms
        if state.empties_ms is not None:
            due = min(due, state.empties_ms)
        if not state.open:
            return due
        for source in state.doors.values():
            since = self._silent_since(source)
            first, silent = since + MINUTE_MS, since + source.silent_after_ms()
            due = min(due, first if first > state.marked_ms else state.marked_ms + _look_every(state.marked_ms - since))
            if silent > state.marked_ms:
                due = min(due, silent)
        for source in state.counters.values():
            silent = self._silent_since(source) + source.silent_after_ms()
            if silent > state.marked_ms:
                due = min(due, silent)
        if state.counted_ms is not None and state.counted_ms + SILENT_AFTER_MS > state.marked_ms:
            due = min(due, state.counted_ms + SILENT_AFTER_MS)
        return due

    def _mark(self, at_ms: int) -> None:
        state = self._state
        if at_ms >= state.day_ends_ms:
            state.day_ends_ms = self._day_end(at_ms)
            state.in_total = state.out_total = 0
        if state.empties_ms is not None and at_ms >= state.empties_ms:
            state.empties_ms = None
            self._belief = Belief.about(_AFTER_HOURS_MEAN)
        self._refresh()

    def _day_end(self, at_ms: int) -> int:
        """The next local reset hour after this instant; a day when clocks change has 23 or 25 hours."""
        local = datetime.fromtimestamp(at_ms / 1000, self._zone)
        day = local.date()
        while True:
            reset = datetime(day.year, day.month, day.day, self._state.reset_hour, tzinfo=self._zone)
            end_ms = int(reset.timestamp() * 1000)
            if end_ms > at_ms:
                return end_ms
            day += timedelta(days=1)

    # --- the inside ------------------------------------------------------------------------------------------------

    def _first_words(self, start: Belief | None) -> None:
        if not self._state.heard:
            self._state.heard = True
            if start is not None and self._state.open:
                self._belief = start

    def _move(self, ins: int, outs: int) -> None:
        state = self._state
        state.in_total += ins
        state.out_total += outs
        self._belief.arrive(ins)
        self._belief.leave(outs)
        more, fewer = state.scale_in - 1, state.scale_out - 1
        self._belief.blur(
            more * ins - fewer * outs,
            _OVERDISPERSION * (ins * (max(more, 0) + 0.01) + outs * (max(fewer, 0) + 0.01)),
        )

    def _silent_since(self, source: Source) -> int:
        """Silence counts in opening hours only."""
        return max(source.last_ms, self._state.opened_ms)

    def _unseen(self, source: Source, at_ms: int) -> tuple[float, float]:
        """Mean and variance of the people who passed a silent door unseen, from its usual rate.

        From one minute of silence on it is more and more believed to be broken, and wholly once it counts as silent.
        """
        since = self._silent_since(source)
        silence, full = at_ms - since, source.silent_after_ms()
        if silence < MINUTE_MS or not source.heard:
            return 0.0, 0.0
        broken = 1.0 if silence >= full else (silence - MINUTE_MS + 1) / (full - MINUTE_MS + 1)
        unseen_ms = broken * (at_ms - max(since, source.settled_ms))
        ins, outs = unseen_ms * source.ins_per_ms, unseen_ms * source.outs_per_ms
        shift = min(max(ins - outs, -self.comfort), self.comfort)
        variance = _OVERDISPERSION * (ins + outs) + (0.3 * ins) ** 2 + (0.3 * outs) ** 2
        return shift, min(variance, self.comfort**2 / 4)

    def _take_in(self, source: Source, at_ms: int) -> None:
        shift, variance = self._unseen(source, at_ms)
        if variance > 0:
            self._belief.blur(shift, variance)
        source.settled_ms = at_ms

    def _take_in_all(self) -> None:
        if self._state.open:
            for door in self._state.doors.values():
                self._take_in(door, self._state.now_ms)

    def _refresh(self) -> None:
        """Say anew how many are inside, as of the last mark for what nobody sees."""
        state = self._state
        belief = self._belief
        if state.open:
            for door in state.doors.values():
                shift, variance = self._unseen(door, max(state.marked_ms, door.settled_ms))
                if variance > 0:
                    belief = belief.copy() if belief is self._belief else belief
                    belief.blur(shift, variance)
        mean, _ = belief.moments()
        low, high = belief.interval()
        rate = mean / self.comfort
        state.level = next_level(state.level, rate)
        over = belief.above(state.legal) if state.legal is not None else 0.0
        self._estimate = Estimate(
            mean, low, high, rate, over, state.level, self._status(), state.in_total, state.out_total
        )

    def _status(self) -> Status:
        state = self._state
        if not state.heard:
            return "blind"
        if not state.open:
            return "live"
        sources = [*state.doors.values(), *state.counters.values()]
        at_ms = state.marked_ms
        silent = [at_ms - self._silent_since(source) >= source.silent_after_ms() for source in sources]
        if silent and not any(silent):
            return "live"
        recounted = state.counted_ms is not None and at_ms - state.counted_ms < SILENT_AFTER_MS
        return "degraded" if recounted or not all(silent) else "blind"

    # --- to keep ---------------------------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """Everything, as bytes; equal states have equal bytes."""
        return msgspec.msgpack.encode((1, self._state, self._belief.dump()))

    @classmethod
    def load(cls, dumped: bytes) -> Self:
        """The place that `dump` wrote, to the bit.

        Raises:
            msgspec.DecodeError: no version of this code wrote it.
        """
        _, state, belief = _DECODER.decode(dumped)
        place = cls.__new__(cls)
        place._state, place._belief = state, Belief.load(belief)  # noqa: SLF001 - its own class
        place._zone, place._estimate = ZoneInfo(state.timezone), None  # noqa: SLF001 - its own class
        return place


_DECODER = msgspec.msgpack.Decoder(tuple[int, _State, tuple[int, bytes, tuple[float, float] | None]])


def _look_every(silence_ms: int) -> int:
    """How often a silence is looked at: often at first, rarely once it has told all."""
    if silence_ms < 2 * 60 * MINUTE_MS:
        return MINUTE_MS
    return 15 * MINUTE_MS if silence_ms < DAY_MS else 60 * MINUTE_MS


def _require_people(people: float, error: float | None) -> None:
    if not (math.isfinite(people) and people >= 0):
        raise ValueError(f"{people} is not a number of people")
    if error is not None and not (math.isfinite(error) and error >= 0):
        raise ValueError(f"{error} is not a standard error in people")
