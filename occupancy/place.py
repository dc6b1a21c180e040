"""One place, a store or a zone of it: counts and counted people in, an honest estimate out.

Time is given with every call and never runs backwards. What happens by itself (a door falls silent, the stayers are
weighed, a closed store empties, the day begins anew) happens at marks that `next_due_ms` announces; whoever calls
`advance` only then, or every second, or not before the next count, gets the same state to the byte.
"""

from collections.abc import Callable, Collection
from datetime import date
from typing import Self

import msgspec

from occupancy import inside as insides
from occupancy import record as records
from occupancy.calibrate import Night
from occupancy.day import Flows
from occupancy.estimate import Belief, Estimate
from occupancy.forecast import Expected, Present, inside_ahead, typical_inside
from occupancy.inside import Inside
from occupancy.levels import next_level
from occupancy.local_time import LocalTime
from occupancy.looks import Looks, require_people
from occupancy.marks import EMPTIES_MS, Marks
from occupancy.record import Record
from occupancy.silence import Silence
from occupancy.smooth import History
from occupancy.sources import MINUTE_MS, Source, fade
from occupancy.state import Recount, State


class Place:
    """How many people are in one place.

    Args:
        comfort: people that the place takes in comfort; None takes 100.
        legal: people that the law allows; None means that `p_over` stays 0.
        timezone: IANA name, for the local day and week.
        reset_hour: local hour at which a new day begins: totals start from zero, and the last day is learned from.
    """

    def __init__(self, comfort: int | None, legal: int | None, *, timezone: str = "UTC", reset_hour: int = 4) -> None:
        state = State(comfort, legal, timezone, reset_hour)
        inside = Inside(Belief.anything_up_to(state.comfort_in_use))
        self._resume(state, inside, Record(LocalTime(timezone)))

    def _resume(self, state: State, inside: Inside, record: Record) -> None:
        self._state, self._inside, self._record = state, inside, record
        self._silence = Silence(state, inside, record)
        self._looks = Looks(state, inside, record, self._silence)
        self._marks = Marks(state, inside, record, self._silence)
        self._due_ms: int | None = None
        self._calm_until_ms = 0
        self._shown: Belief | None = None

    @property
    def comfort(self) -> int:
        """The comfort capacity in use, at least 1."""
        return self._state.comfort_in_use

    @property
    def night(self) -> Night | None:
        """What the last closure said of the doors."""
        return self._state.night

    @property
    def recounts(self) -> list[Recount]:
        """The last counts by eye, oldest first, with who counted and what was shown before."""
        return list(self._state.recounts)

    @property
    def history(self) -> History | None:
        """The last closed day, smoothed."""
        packed = self._state.history
        return packed.unpack() if packed is not None else None

    # --- what the world says ---------------------------------------------------------------------------------------

    def configure(
        self,
        at_ms: int,
        *,
        comfort: int | None,
        legal: int | None,
        timezone: str,
        reset_hour: int,
        holidays: Collection[date] | None = None,
    ) -> None:
        """The site's documents changed; what is inside stays.

        `holidays` are local dates that are like Sundays and teach nothing of their weekday; None leaves them as they are.
        """
        self.advance(at_ms)
        state = self._state
        state.comfort, state.legal, state.timezone, state.reset_hour = comfort, legal, timezone, reset_hour
        if holidays is not None:
            state.holidays = sorted(holidays)
        self._record.keep(LocalTime(timezone, state.holidays))
        state.day_ends_ms = self._record.time.next_reset_ms(state.now_ms, reset_hour)
        self._changed()

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
        self._changed()

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
        if not state.heard:
            state.heard, self._calm_until_ms = True, 0
            if state.open:
                self._inside.restart(Belief.exactly(0))
            self._changed()
        source = state.doors.setdefault(door, Source(at_ms))
        since = self._state.silent_since(source)
        was_quiet = state.open and at_ms - since >= source.quiet_after_ms
        if was_quiet:
            self._silence.end(source, at_ms, whole_gap=whole_gap)
        if state.open:
            source.spoke(at_ms, since)
        source.heard, source.last_ms, source.settled_ms = True, at_ms, at_ms
        source.unseen_ins = source.unseen_outs = 0.0
        source.counted(ins, outs, fade(at_ms - since))
        if ins or outs:
            self._move(door, ins, outs, since if whole_gap or source.regular else at_ms)
        # A door that has just spoken is not quiet for a minute at least, and nothing else comes sooner because of it.
        self._due_ms, self._calm_until_ms = None, min(self._calm_until_ms, at_ms + MINUTE_MS)
        if ins or outs or was_quiet:
            self._look_again()

    def heard(self, at_ms: int, source: str) -> None:
        """A sign of life, such as a heartbeat, from a door or counter; from one that is not known it means nothing."""
        if source in self._state.doors:
            self.count(at_ms, 0, 0, source)
        elif source in self._state.counters:
            self.advance(at_ms)
            counter = self._state.counters[source]
            counter.spoke(self._state.now_ms, self._state.silent_since(counter))
            self._changed()

    def observe(self, at_ms: int, people: float, error: float | None = None, *, counter: str) -> None:
        """A camera or the like counted the people inside; `error` is its standard error in people (±20 % if not said).

        Raises:
            ValueError: a negative or infinite number, or NaN.
        """
        require_people(people, error)
        self.advance(at_ms)
        self._looks.camera(float(people), error, counter)
        self._changed()

    def hint(self, at_ms: int, people: float, error: float, *, source: str) -> None:
        """Weak evidence (`weak.py`), such as the air's carbon dioxide; it keeps a place from being blind, not from silence.

        Raises:
            ValueError: a negative or infinite number, or NaN.
        """
        require_people(people, error)
        self.advance(at_ms)
        self._looks.hint(float(people), error, source)
        self._changed()

    def moved(self, at_ms: int, *, source: str) -> None:
        """A motion sensor sees somebody: at least one person is inside."""
        self.advance(at_ms)
        self._looks.moved(source)
        self._changed()

    def recount(self, at_ms: int, people: float, error: float | None = None, *, by: str | None = None) -> None:
        """Somebody counted by eye (±3 %, at least one person, if not said); the doors' totals stay as they were.

        It is kept in `recounts`, with who said so (`by`).

        Raises:
            ValueError: a negative or infinite number, or NaN.
        """
        require_people(people, error)
        self.advance(at_ms)
        self._looks.recount(float(people), error, by, before=self._display())
        self._changed()

    def is_open(self, at_ms: int, open_now: bool) -> None:
        """Opening hours begin or end; the same again changes nothing."""
        self.advance(at_ms)
        state = self._state
        if open_now == state.open:
            return
        if open_now:
            state.opened_ms, state.closed_ms = state.now_ms, None
            state.empties_ms = state.left_late = None
            if not state.heard:
                self._inside.restart(Belief.anything_up_to(self.comfort))
        else:
            self._silence.take_in_all()
            state.closed_ms = state.now_ms
            state.empties_ms = state.now_ms + (EMPTIES_MS if state.heard else 0)
        state.open = open_now
        self._changed()

    # --- time ------------------------------------------------------------------------------------------------------

    def advance(self, at_ms: int) -> None:
        """Let time pass; an instant before the newest one is taken as that one."""
        state = self._state
        if not state.now_ms:
            state.now_ms = state.opened_ms = state.marked_ms = at_ms
            state.day_ends_ms = self._record.time.next_reset_ms(at_ms, state.reset_hour)
            self._record.begin(at_ms)
            self._marks.start_day()
        if at_ms >= self._calm_until_ms:
            while (due_ms := self._due()) <= at_ms:
                state.now_ms = state.marked_ms = due_ms
                self._marks.pass_by()
                self._changed()
            self._calm_until_ms = due_ms
        state.now_ms = max(state.now_ms, at_ms)

    def next_due_ms(self) -> int | None:
        """When `advance` would next change something by itself; None before the first call."""
        return self._due() if self._state.now_ms else None

    def _due(self) -> int:
        if self._due_ms is None:
            self._due_ms = self._state.due_ms()
        return self._due_ms

    def estimate(self, at_ms: int) -> Estimate:
        """How many people are inside now."""
        self.advance(at_ms)
        state, belief = self._state, self._display()
        mean = belief.mean()
        low, high = belief.interval()
        over = belief.above(state.legal) if state.legal is not None else 0.0
        low, high = min(low, mean), max(high, mean)  # of a belief with two humps the mean may lie outside
        return Estimate(
            mean, low, high, mean / self.comfort, over, state.level, state.status(), state.in_total, state.out_total
        )

    def moments(self, at_ms: int) -> tuple[float, float]:
        """Mean and variance of the people inside now, as `estimate` shows them; where a door is silent, that is in the variance.

        Pacing starts from here: what becomes of those people is uncertain by this much before anything else is.
        """
        self.advance(at_ms)
        return self._display().moments()

    def flows(self, at_ms: int) -> Flows:
        """How many people came and left since the local day began, true numbers as far as the doors' calibration knows.

        Whoever looks every minute takes differences: came since the last look. A total falls only when a day begins
        (`since_ms` changes), or when a door that was silent turns out to have counted fewer than was guessed.
        """
        self.advance(at_ms)
        return self._record.day.flows()

    def forecast(self, at_ms: int, hours: int = 4, *, open_at: Callable[[int], bool] | None = None) -> list[Expected]:
        """People inside at one, two, … hours from now, each with a 90 % interval.

        An hour of the week that was never seen is left out; all are while the place is blind. `open_at` says of an instant
        (ms) whether the place is open then, and so tells of closures that are not typical; half an hour after it closes
        nobody is expected.
        """
        self.advance(at_ms)
        state = self._state
        if state.status() == "blind":
            return []
        today = self._record.ratio(state.now_ms), self._record.ratio_variance(state.now_ms)
        dwell = state.dwell
        present = Present(state.now_ms, *self._display().moments(), *today, dwell.scatter, dwell.mean_ms)

        def emptied(then_ms: int) -> bool:
            return open_at is not None and not open_at(then_ms) and not open_at(then_ms - EMPTIES_MS)

        return inside_ahead(present, self._record.week, self._record.time, hours, emptied)

    def typical_week(self, monday_ms: int) -> list[Expected]:
        """Mean number of people inside in each hour of the typical week, from this local Monday midnight on."""
        return typical_inside(self._record.week, self._record.time, monday_ms)

    # --- the inside ------------------------------------------------------------------------------------------------

    def _move(self, door: str, ins: int, outs: int, since_ms: int) -> None:
        state = self._state
        state.in_total += ins
        state.out_total += outs
        if state.left_late is not None:
            state.left_late += outs - ins
        came, left, noise = self._marks.factors.weigh(door, ins, outs)
        self._inside.flow(ins, outs, came, left, noise)
        self._record.counted(since_ms, state.now_ms, came, left, noise)

    # --- what is shown ---------------------------------------------------------------------------------------------

    def _display(self) -> Belief:
        """The belief, widened as of the last mark by whom the doors that are quiet may have missed."""
        if self._shown is None:
            self._shown = self._inside.belief
            for door in self._state.doors.values() if self._state.open else ():
                came, left, variance = self._silence.missed(door, self._state.marked_ms)
                if variance > 0:
                    self._shown = self._shown.copy()
                    self._shown.blur(came - left, variance)
        return self._shown

    def _changed(self) -> None:
        """Something other than a count has changed: when something is next due may be sooner than it was."""
        self._due_ms, self._calm_until_ms = None, 0
        self._look_again()

    def _look_again(self) -> None:
        self._shown = None
        self._state.level = next_level(self._state.level, self._display().mean() / self.comfort)

    # --- to keep ---------------------------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """Everything, as bytes; equal states have equal bytes."""
        return msgspec.msgpack.encode((3, self._state, self._inside.dump(), self._record.dump()))

    @classmethod
    def load(cls, dumped: bytes) -> Self:
        """The place that `dump` wrote, to the bit.

        Raises:
            msgspec.DecodeError: no version of this code wrote it.
        """
        _, state, inside, record = _DECODER.decode(dumped)
        place = cls(state.comfort, state.legal)
        place._resume(state, Inside.load(inside), Record.load(record, LocalTime(state.timezone, state.holidays)))
        return place


_DECODER = msgspec.msgpack.Decoder(tuple[int, State, insides.Dumped, records.Dumped])
