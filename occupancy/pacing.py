"""How many more may be invited to one store: promotions paced by the occupancy to come.

An invitation fills the store later, so the question is how full it will be, not how full it is. For each horizon h the
number inside is forecast as those who stay (`pacing_stays.py`), those who come by themselves (`pacing_arrivals.py`), those
who were invited (`pacing_invited.py`) and commitments, with mean μ and variance v. One more, who will be inside then with
probability q, is admitted if μ + q + z √(v + q (1 - q)) stays within the comfort capacity at every horizon at which she could
be there; turning her away would change nothing before. z is the store's own (`pacing_target.py`): a chance constraint
(Charnes and Cooper, *Management Science* 6 (1959) 73) whose level is set by what really happens.
(A price on the overshoot that she adds over all the time ahead was tried: level at a way of ten minutes, behind at twenty.)

Time is given in milliseconds with every call and never runs backwards; nothing is random. A minute is the grain: what the
minutes make of the state does not depend on how often it is looked at.
"""

import math
from typing import Final, Self

import msgspec

from occupancy.estimate import Status
from occupancy.local_time import LocalTime
from occupancy.pacing_arrivals import Organic
from occupancy.pacing_forecast import MOST_ROOM, Forecast, Now, foresee
from occupancy.pacing_invited import Invited, nearest_eta
from occupancy.pacing_state import State
from occupancy.pacing_stays import HORIZONS, Stays, part_of_day
from occupancy.pacing_target import Target, above
from occupancy.pacing_words import Commitment, Evidence, Override, Verdict

MINUTE_MS: Final = 60_000
CAPACITY_WHEN_UNKNOWN: Final = 100
ASSUMED_CONVERSION: Final = 0.2
HOLD_AT: Final = 0.98
REOPEN_AT: Final = 0.90
SLACK_MS: Final = 2 * MINUTE_MS
BLIND_MS: Final = 10 * MINUTE_MS
_FAR_OFF: Final = 3.0
_NEVER: Final = 1e-3


class Pacer:
    """Pacing of one store.

    Args:
        capacity: people that the store takes in comfort; None takes 100.
        timezone: IANA name, for the local day.
        target_minutes: overshoot a day that is promised.
        conversion: the share of the invited who are expected to come, until some have.
        reset_hour: local hour at which a new day begins.
    """

    def __init__(
        self,
        capacity: int | None,
        *,
        timezone: str = "UTC",
        target_minutes: float = 5.0,
        conversion: float = ASSUMED_CONVERSION,
        reset_hour: int = 4,
    ) -> None:
        state = State(_positive(capacity), timezone, reset_hour)
        state.target.minutes = target_minutes
        self._resume(state, Stays(), Organic(), Invited(conversion))
        self._assumed = conversion

    def _resume(self, state: State, stays: Stays, organic: Organic, invited: Invited) -> None:
        self._state, self._stays, self._organic, self._invited = state, stays, organic, invited
        self._time = LocalTime(state.timezone)

    # --- what the world says ---------------------------------------------------------------------------------------

    def configure(
        self,
        at_ms: int,
        capacity: int | None,
        timezone: str,
        *,
        target_minutes: float | None = None,
        reset_hour: int | None = None,
    ) -> None:
        """The store's document changed; None leaves the promise or the day's beginning as it is."""
        self.advance(at_ms)
        self._settle()
        state = self._state
        state.capacity, state.timezone = _positive(capacity), timezone
        if target_minutes is not None:
            state.target.minutes = target_minutes
        if reset_hour is not None:
            state.reset_hour = reset_hour
        self._time = LocalTime(timezone)
        state.day_ends_ms = self._time.next_reset_ms(state.now_ms, state.reset_hour)
        self._look_at_clock(state.now_ms)
        self._held()

    def occupied(self, at_ms: int, people: float, variance: float, status: Status) -> None:
        """How many are inside, and how sure that is."""
        self.advance(at_ms)
        self._settle()
        state = self._state
        if status == "blind":
            state.blind_since_ms = state.now_ms if state.blind_since_ms is None else state.blind_since_ms
        else:
            state.blind_since_ms, state.measured = None, True
        state.unheard.estimated(float(variance))
        state.people, state.variance, state.status = state.standing(people, variance, status)
        self._held()
        if state.forecast is not None and not state.forecast.stand(state.people, state.variance):
            state.forecast = None

    def stands_at(self, people: float, variance: float, status: Status) -> bool:
        """Whether `occupied` would say nothing new."""
        state = self._state
        return (state.people, state.variance, state.status) == state.standing(people, variance, status)

    def recounted(self, at_ms: int, people: float) -> None:
        """Somebody counted by eye, which comes before what `occupied` tells of it.

        A hold has no need to wait where the store has room; and doors that were far off say nothing of who comes.
        """
        self.advance(at_ms)
        state = self._state
        if state.holds and people <= REOPEN_AT * self._capacity:
            state.holds, state.below_since_ms = False, None
        if abs(people - state.people) > _FAR_OFF * math.sqrt(state.variance + 1):
            self._organic.forget_lately()

    def counted(self, at_ms: int, ins: float, outs: float) -> None:
        """The doors counted so many more in and out."""
        self.advance(at_ms)
        self._state.ins += ins
        self._state.outs += outs

    def sent(self, at_ms: int, offer: str, eta_s: float) -> None:
        """An offer went to a shopper who would take so long to come."""
        self.advance(at_ms)
        state = self._state
        eta = nearest_eta(eta_s / 60)
        self._invited.sent(offer, eta, state.part)
        if state.forecast is not None:
            state.forecast.invite(eta)

    def came(self, at_ms: int, offer: str) -> bool:
        """The shopper of an offer is inside; False where none is waited for under this name (any more)."""
        self.advance(at_ms)
        arrived = self._invited.came(offer)
        if arrived:
            self._state.seen += 1
            self._state.forecast = None
        return arrived

    def undelivered(self, at_ms: int, offer: str) -> None:
        """An offer never reached its shopper."""
        self.advance(at_ms)
        self._invited.drop(offer)
        self._state.forecast = None

    def visited(self, at_ms: int, entered_ms: int, minutes: float) -> None:
        """A phone's visit is over."""
        self.advance(at_ms)
        self._stays.visited(minutes, self._part(entered_ms))

    def commit(self, at_ms: int, commitments: list[Commitment]) -> None:
        """Everybody who is expected for another reason than an offer; replaces what was said before."""
        self.advance(at_ms)
        self._state.commitments = sorted(commitments)
        self._state.forecast = None

    def override(self, at_ms: int, override: Override) -> None:
        """A manager decides.

        Raises:
            ValueError: a ceiling without its number, or one below 0.
        """
        if override.action == "ceiling" and (override.ceiling is None or override.ceiling < 0):
            raise ValueError(f"a ceiling is a number of people, not {override.ceiling}")
        self.advance(at_ms)
        self._settle()
        self._state.override = None if override.action == "resume" else override
        self._held()

    # --- time ------------------------------------------------------------------------------------------------------

    def advance(self, at_ms: int) -> None:
        """Let time pass; an instant before the newest one is taken as that one."""
        state = self._state
        if not state.now_ms:
            state.now_ms = state.since_ms = at_ms
            state.day_ends_ms = self._time.next_reset_ms(at_ms, state.reset_hour)
            self._invited.minutes_pass(at_ms // MINUTE_MS)
            self._look_at_clock(at_ms)
            self._stays.minutes_pass(1, 0.0, state.part)
        while state.now_ms // MINUTE_MS < at_ms // MINUTE_MS:
            self._minute((state.now_ms // MINUTE_MS + 1) * MINUTE_MS)
        state.now_ms = max(state.now_ms, at_ms)
        override = state.override
        if override is not None and override.until_ms is not None and override.until_ms <= state.now_ms:
            state.override = None
        if state.holds and state.below_since_ms is not None and state.now_ms - state.below_since_ms >= SLACK_MS:
            state.holds, state.below_since_ms = False, None

    def _minute(self, at_ms: int) -> None:
        """A whole minute begins."""
        state = self._state
        state.now_ms, state.forecast = at_ms, None
        self._settle()
        if state.status in ("live", "uncalibrated"):
            self._organic.minute(state.ins - state.seen, state.minute_of_day)
            self._stays.exits(state.outs, state.people)
        else:
            self._stays.unheard()
        state.unheard.minute(state.seen, state.ins, state.status, self._stays.mean_minutes)
        if state.ins:
            self._stays.came(state.ins)
        state.ins = state.outs = state.seen = 0.0
        part = state.part
        self._look_at_clock(at_ms)
        if state.part != part:
            self._invited.learn()
        self._stays.minutes_pass(1, state.people, state.part)
        self._invited.minutes_pass(at_ms // MINUTE_MS)
        if at_ms >= state.day_ends_ms:
            state.day_ends_ms = self._time.next_reset_ms(at_ms, state.reset_hour)
            self._stays.end_day()
            self._invited.end_day()
            self._organic.end_day(self._time.hour_of_week(at_ms) // 24)
            state.target.end_day()
            state.commitments = [commitment for commitment in state.commitments if commitment.at_ms >= at_ms]

    def _settle(self) -> None:
        """Add up what has run over until now, as far as inviting nobody would have kept it from it.

        Silent sensors are no excuse: who was invited before still comes, and as likely as the estimate says runs it over.
        """
        state = self._state
        elapsed_ms = state.now_ms - state.since_ms
        state.since_ms = state.now_ms
        if not state.measured or (state.override is not None and state.override.action == "force"):
            return
        over = above(state.people, state.variance, state.capacity)
        if over > _NEVER:
            uninvited = max(state.people - self._invited.inside(self._stays.survival), 0.0)
            over -= above(uninvited, state.variance, state.capacity)
            state.target.over(over * elapsed_ms / MINUTE_MS)

    def _held(self) -> None:
        state = self._state
        capacity = self._capacity
        if state.people + math.sqrt(state.variance) >= HOLD_AT * capacity:
            state.holds, state.below_since_ms = state.status is not None, None
        elif state.people > REOPEN_AT * capacity:
            state.below_since_ms = None
        elif state.holds and state.below_since_ms is None:
            state.below_since_ms = state.now_ms

    @property
    def _capacity(self) -> int:
        override = self._state.override
        if override is not None and override.action == "ceiling" and override.ceiling is not None:
            return override.ceiling
        return self._state.capacity

    def _part(self, at_ms: int) -> int:
        return _PARTS[self._time.half_hour_of_day(at_ms) // 2]

    def _look_at_clock(self, at_ms: int) -> None:
        self._state.minute_of_day = self._minute_of_day(at_ms)
        self._state.part = _PARTS[self._state.minute_of_day // 60]

    def _minute_of_day(self, at_ms: int) -> int:
        return self._time.half_hour_of_day(at_ms) * 30 + (at_ms // MINUTE_MS) % 30

    # --- what it tells ---------------------------------------------------------------------------------------------

    @property
    def target(self) -> Target:
        """The promise, and how it is kept."""
        return self._state.target

    @property
    def capacity(self) -> int:
        """The comfort capacity, whatever ceiling a manager has set."""
        return self._state.capacity

    def overridden_at(self, at_ms: int) -> Override | None:
        """What a manager decided, while it holds."""
        self.advance(at_ms)
        return self._state.override

    @property
    def in_flight(self) -> int:
        """Offers whose shoppers may still come."""
        return len(self._invited)

    def waits_for(self, offer: str) -> bool:
        """Whether the shopper of this offer may still come."""
        return self._invited.waits_for(offer)

    def outlook(self, at_ms: int) -> list[tuple[int, float, float]]:
        """Minutes ahead, mean and standard deviation of the number inside, should nobody else be invited; leaves no trace."""
        self.advance(at_ms)
        forecast = self._foreseen()
        deviations = [math.sqrt(variance) for variance in forecast.variances]
        return list(zip(HORIZONS, forecast.means, deviations, strict=True))

    def preview(self, at_ms: int, eta_s: float) -> Verdict:
        """What `verdict` would answer; leaves no trace."""
        self.advance(at_ms)
        return self._verdict(self._foreseen(), eta_s)

    def verdict(self, at_ms: int, eta_s: float) -> Verdict:
        """Whether one more who would take so long to come may be invited now. Whoever invites says so with `sent`."""
        self.advance(at_ms)
        state = self._state
        state.forecast = self._foreseen()
        verdict = self._verdict(state.forecast, eta_s)
        if not verdict.admit:
            state.target.asked = True
        return verdict

    def _foreseen(self) -> Forecast:
        state = self._state
        if state.forecast is not None:
            state.forecast.take_in()
            return state.forecast
        now = Now(state.now_ms, state.minute_of_day, state.part, state.people, state.variance)
        return foresee(now, self._stays, self._organic, self._invited, state.commitments)

    def _verdict(self, forecast: Forecast, eta_s: float) -> Verdict:
        state, override, waiting = self._state, self._state.override, len(self._invited)
        if state.status is None and override is None:
            return Verdict(True, "nothing measures how full this store is", None, waiting + MOST_ROOM)
        judged = forecast.judge(nearest_eta(eta_s / 60), state.target.z, self._capacity)
        now = self._capacity, state.people, math.sqrt(state.variance)
        evidence = forecast.evidence(judged, now, state.target.z, waiting)
        if override is not None and override.action == "force":
            return Verdict(True, f"forced on by {override.by}", evidence, waiting + MOST_ROOM)
        refusal = self._refusal(evidence, judged.fits)
        if refusal is not None:
            return Verdict(False, refusal, evidence, waiting)
        return Verdict(True, self._would_be(evidence), evidence, waiting + judged.room)

    def _refusal(self, evidence: Evidence, fits: bool) -> str | None:
        state, override = self._state, self._state.override
        if override is not None and override.action == "pause":
            until = "" if override.until_ms is None else f" until {self._clock(override.until_ms)}"
            return f"paused by {override.by}{until}"
        if state.blind_since_ms is not None and not state.measured:
            return "nothing has counted this store yet"
        if state.blind_since_ms is not None and state.now_ms - state.blind_since_ms >= BLIND_MS:
            return f"how full the store is has not been known since {self._clock(state.blind_since_ms)}"
        if state.holds:
            still = "is full" if state.below_since_ms is None else "was full until a moment ago"
            return f"the store {still} ({evidence.now:.0f} ± {evidence.sigma_now:.0f} of {evidence.capacity} people)"
        return None if fits else self._would_be(evidence)

    def _would_be(self, evidence: Evidence) -> str:
        at = self._clock(self._state.now_ms + evidence.minutes * MINUTE_MS)
        return f"would be {evidence.mean:.0f} ± {evidence.sigma:.0f} of {evidence.capacity} people at {at}"

    def _clock(self, at_ms: int) -> str:
        minute = self._minute_of_day(at_ms)
        return f"{minute // 60:02}:{minute % 60:02}"

    # --- to keep ---------------------------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """Everything, as bytes; equal states have equal bytes."""
        parts = self._stays.dump(), self._organic.dump(), self._invited.dump()
        return msgspec.msgpack.encode((_SHAPE, self._assumed, self._state, *parts))

    @classmethod
    def load(cls, dumped: bytes) -> Self:
        """The pacer that `dump` wrote, to the bit; of an older one all but the forecast in use, which is made anew.

        Raises:
            msgspec.ValidationError: no version of this code wrote it.
        """
        shape, assumed, state, stays, organic, invited = msgspec.msgpack.decode(dumped)
        if shape < _SHAPE:
            state["forecast"] = None
        pacer = cls(None, conversion=assumed)
        state = msgspec.convert(state, State)
        pacer._resume(state, Stays.load(stays), Organic.load(organic), Invited.load(invited, assumed))
        return pacer


_SHAPE: Final = 2
"""Of what `dump` writes; forecasts of shape 1 did not say what they took for granted."""
_PARTS: Final = tuple(part_of_day(hour) for hour in range(24))


def _positive(capacity: int | None) -> int:
    return max(CAPACITY_WHEN_UNKNOWN if capacity is None else capacity, 1)
