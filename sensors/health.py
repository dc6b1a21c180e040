"""Sensor health: who is silent, stuck, skewed or refused, with one event when it begins and one when it ends.

Pure: time is given, and `next_due_ms` says when time alone will change something, so that whoever ticks only then sees
the same events as whoever ticks every second.
"""

import heapq
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol, cast

import msgspec

from sensors.config import SensorConfig
from sensors.counters import Counted, Observed
from sensors.formats.fields import zone
from sensors.readings import Reading
from sensors.vitals import (
    Condition,
    State,
    Vitals,
    begin_refusal,
    changes,
    duration,
    is_refusal_over,
    judge_battery,
    judge_clock,
    learn_beat,
    others_moved,
)

SILENCE_MS = 900_000
"""A sensor without a known heartbeat is silent after this long in opening hours."""
# Stuck: so many people went past its neighbours that, by its usual share, this many should have come past it. With a
# Poisson count the chance of none is e^-10, one in twenty thousand.
_EXPECTED_MOVES = 10.0
# What a new sensor's share is taken for, until it has one of its own: two moves for so many people at other doors.
_PRIOR_OTHERS = {"door": 100.0, "camera": 200.0, "presence": 400.0, "co2": 400.0}
_PRIOR_MOVES = 2.0
_QUARTER_MS = 900_000
# More changes of the hours than any store has between two openings.
_MAX_HOURS_STEPS = 64


class OpeningHours(Protocol):
    """When a store is open."""

    def is_open(self, at_ms: int) -> bool:
        """Whether it is open at this instant."""
        ...

    def next_change(self, at_ms: int) -> int:
        """The next instant after `at_ms` at which that may change."""
        ...


class HealthEvent(NamedTuple):
    """A trouble began, or ended: then `state` is what remains, mostly `live`."""

    sensor: str
    state: State
    since_ms: int
    detail: str
    """For a manager: what is the matter and what to do."""


class SensorStatus(NamedTuple):
    """How a sensor does now."""

    sensor: str
    state: State
    since_ms: int
    details: list[str]
    """What is the matter and what to do, worst first; [] where nothing is."""
    heard_ms: int | None
    day: int
    """The day that the counts are of, as a proleptic ordinal."""
    ins_today: int
    outs_today: int
    battery: float | None
    tamper: bool | None


class Setup(NamedTuple):
    """What is known of a sensor beside its messages."""

    config: SensorConfig
    store: str
    hours: OpeningHours | None
    heartbeat_ms: int | None
    reset_hour: int


class HealthWatch:
    """The health of many sensors; those of one store are each other's neighbours."""

    def __init__(self) -> None:
        self._setups: dict[str, Setup] = {}
        self._vitals: dict[str, Vitals] = {}
        self._stores: dict[str, list[str]] = {}
        self._queue: list[tuple[int, str]] = []
        self._queued: dict[str, int] = {}
        self._days: dict[tuple[str, int], tuple[int, int]] = {}

    def dump(self) -> bytes:
        """What was learned of every sensor; the setups are the site's and are given again with `configure`."""
        return msgspec.msgpack.encode(self._vitals)

    @classmethod
    def load(cls, data: bytes) -> "HealthWatch":
        """The watch that `dump` wrote; `configure` every sensor before use.

        Raises:
            msgspec.DecodeError: it did not.
        """
        watch = cls()
        watch._vitals = msgspec.msgpack.decode(data, type=dict[str, Vitals])
        return watch

    def configure(
        self,
        config: SensorConfig,
        store: str,
        now_ms: int,
        *,
        hours: OpeningHours | None = None,
        heartbeat_s: float | None = None,
        reset_hour: int = 0,
    ) -> None:
        """Watch a sensor, or take its new setup; what was learned of it stays.

        Args:
            config: the sensor; `options.heartbeat_s` says how often it speaks at the least.
            store: where it hangs.
            now_ms: a sensor that never speaks is silent from here on.
            hours: the store's; None is always open.
            heartbeat_s: what its format knows (`Decoder.heartbeat_s`), where the options do not say.
            reset_hour: local hour at which its counts begin anew.

        Raises:
            ReadingError: its timezone does not exist.
        """
        zone(config.timezone or "UTC")
        self._leave_store(config.id)
        said = config.options.get("heartbeat_s", heartbeat_s)
        usable = isinstance(said, int | float) and not isinstance(said, bool) and said > 0
        heartbeat_ms = round(said * 1000) if usable and said is not None else None
        self._setups[config.id] = Setup(config, store, hours, heartbeat_ms, reset_hour)
        self._stores.setdefault(store, []).append(config.id)
        self._vitals.setdefault(config.id, Vitals(known_ms=now_ms, live_ms=now_ms))
        self._schedule(config.id)

    def remove(self, sensor: str) -> None:
        """Forget a sensor."""
        self._leave_store(sensor)
        self._setups.pop(sensor, None)
        self._vitals.pop(sensor, None)

    def _leave_store(self, sensor: str) -> None:
        setup = self._setups.get(sensor)
        if setup is not None:
            self._stores[setup.store].remove(sensor)

    def heard(
        self, sensor: str, readings: Sequence[Reading], counted: Sequence[Counted | Observed], now_ms: int
    ) -> list[HealthEvent]:
        """A message of a sensor was read, and `counted` is what `Counters` made of it."""
        if sensor not in self._setups or (readings and all(reading.retained for reading in readings)):
            return []  # a retained message is the broker's word, not the sensor's
        vitals = self._vitals[sensor]
        events = self._lapse(sensor, now_ms)
        vitals.heard_ms = now_ms
        was_silent = self._end(sensor, "silent", now_ms, "it is heard again")
        events += was_silent
        if is_refusal_over(vitals, now_ms):
            events += self._end(sensor, "rejected", now_ms, "its messages can be read again")
        for reading in readings:
            if reading.kind == "heartbeat" and not reading.retained:
                learn_beat(vitals, now_ms, after_silence=bool(was_silent))
            events += self._judge(sensor, reading, now_ms)
        self._count_today(sensor, counted, now_ms)
        events += self._moved(sensor, counted, now_ms)
        self._schedule(sensor)  # a heartbeat that was learned just now may have shortened the patience
        return events

    def refused(self, sensor: str, reason: str, now_ms: int) -> list[HealthEvent]:
        """A message of a sensor could not be read."""
        if sensor not in self._setups:
            return []
        vitals = self._vitals[sensor]
        events = self._lapse(sensor, now_ms)
        vitals.heard_ms = vitals.refused_ms = now_ms
        self._schedule(sensor)
        events += self._end(sensor, "silent", now_ms, "it is heard again")
        if "rejected" not in vitals.conditions:
            begin_refusal(vitals, now_ms)
        detail = f"its messages are refused ({reason[:200]}); check its format and topic"
        return events + self._begin(sensor, "rejected", now_ms, detail)

    def tick(self, now_ms: int) -> list[HealthEvent]:
        """Whatever time alone has changed by now."""
        events: list[HealthEvent] = []
        while self._queue and self._queue[0][0] <= now_ms:
            due_ms, sensor = heapq.heappop(self._queue)
            if self._queued.get(sensor) != due_ms:
                continue  # superseded by an earlier one
            del self._queued[sensor]
            if sensor in self._setups and "silent" not in self._vitals[sensor].conditions:
                events += self._lapse(sensor, now_ms)
                self._schedule(sensor, exact=True)
        return sorted(events, key=lambda event: (event.since_ms, event.sensor))

    def next_due_ms(self) -> int | None:
        """When `tick` may next have something to say; None: not before something is heard."""
        return self._queue[0][0] if self._queue else None

    def status(self, sensor: str, now_ms: int) -> SensorStatus | None:
        """How a sensor does now; None if it is not watched."""
        if sensor not in self._setups:
            return None
        vitals = self._vitals[sensor]
        state = vitals.state
        since_ms = vitals.live_ms if state == "live" else vitals.conditions[state]
        day = self._day(sensor, now_ms)
        ins, outs = (vitals.ins_today, vitals.outs_today) if day == vitals.day else (0, 0)
        details, heard_ms = vitals.told(), vitals.heard_ms
        return SensorStatus(sensor, state, since_ms, details, heard_ms, day, ins, outs, vitals.battery, vitals.tamper)

    def _judge(self, sensor: str, reading: Reading, now_ms: int) -> list[HealthEvent]:
        vitals = self._vitals[sensor]
        events = []
        wrong = judge_clock(vitals, reading)
        if wrong and reading.to_ms is not None:
            off = duration(abs(reading.to_ms - now_ms))
            way = "ahead" if reading.to_ms > now_ms else "behind"
            detail = f"its clock is {off} {way}; its counts still count; set its time server and timezone"
            events += self._begin(sensor, "skewed", now_ms, detail)
        elif wrong is False:
            events += self._end(sensor, "skewed", now_ms, "its clock is right again")
        low = judge_battery(vitals, reading)
        if low:
            detail = f"its battery is at {100 * (vitals.battery or 0):.0f} %; replace it"
            events += self._begin(sensor, "battery", now_ms, detail)
        elif low is False:
            events += self._end(sensor, "battery", now_ms, "its battery is well again")
        if reading.tamper is not None:
            vitals.tamper = reading.tamper
            events += (
                self._begin(sensor, "tamper", now_ms, "somebody covers, turns or opens it; look at it")
                if reading.tamper
                else self._end(sensor, "tamper", now_ms, "nobody touches it any more")
            )
        return events

    def _moved(self, sensor: str, counted: Sequence[Counted | Observed], now_ms: int) -> list[HealthEvent]:
        vitals, setup = self._vitals[sensor], self._setups[sensor]
        people = sum(one.ins + one.outs for one in counted if isinstance(one, Counted))
        moves = people + changes(vitals, counted)
        events: list[HealthEvent] = []
        if moves:
            vitals.moves += moves
            vitals.moved_ms = now_ms
            vitals.others_before, vitals.others_since = vitals.others_before + vitals.others_since, 0
            events += self._end(sensor, "stuck", now_ms, "it sees people again")
        if people and setup.config.role == "door":
            for other in self._stores[setup.store]:
                if other != sensor:
                    others_moved(self._vitals[other], counted)
        for neighbour in self._stores[setup.store] if people else [sensor]:
            events += self._judge_stuck(neighbour, now_ms)
        return events

    def _judge_stuck(self, sensor: str, now_ms: int) -> list[HealthEvent]:
        vitals = self._vitals[sensor]
        prior = _PRIOR_OTHERS[self._setups[sensor].config.role]
        share = (vitals.moves + _PRIOR_MOVES) / (vitals.others_before + prior)
        speaks = vitals.heard_ms is not None and vitals.heard_ms > (vitals.moved_ms or 0)
        if "silent" in vitals.conditions or not speaks or vitals.others_since * share < _EXPECTED_MOVES:
            return []
        detail = (
            f"it saw nobody while its store's other doors counted {vitals.others_since}; "
            "check that it is not covered, and that this door is in use"
        )
        return self._begin(sensor, "stuck", now_ms, detail)

    def _count_today(self, sensor: str, counted: Iterable[Counted | Observed], now_ms: int) -> None:
        vitals, day = self._vitals[sensor], self._day(sensor, now_ms)
        if day != vitals.day:
            vitals.day, vitals.ins_today, vitals.outs_today = day, 0, 0
        for one in counted:
            if isinstance(one, Counted):
                vitals.ins_today += one.ins
                vitals.outs_today += one.outs

    def _day(self, sensor: str, now_ms: int) -> int:
        setup = self._setups[sensor]
        clock = (setup.config.timezone or "UTC", setup.reset_hour)
        # No offset from UTC changes within a quarter of an hour, and no day begins in one.
        quarter = now_ms // _QUARTER_MS
        known_quarter, day = self._days.get(clock, (-1, 0))
        if known_quarter != quarter:
            local = datetime.fromtimestamp(quarter * _QUARTER_MS / 1000, zone(clock[0]))
            day = (local - timedelta(hours=setup.reset_hour)).toordinal()
            self._days[clock] = quarter, day
        return day

    def _patience_ms(self, sensor: str) -> tuple[int, bool]:
        """How long it may be quiet, and whether that only counts in opening hours."""
        interval = self._setups[sensor].heartbeat_ms or self._vitals[sensor].interval_ms()
        # Two missed heartbeats, and a tenth for the network.
        return (SILENCE_MS, True) if interval is None else (round(2.1 * interval), False)

    def _quiet_since_ms(self, sensor: str) -> int:
        vitals = self._vitals[sensor]
        return vitals.known_ms if vitals.heard_ms is None else vitals.heard_ms

    def _deadline_ms(self, sensor: str) -> int | None:
        """When it will have been quiet for too long; None: its store does not open again."""
        patience_ms, in_hours = self._patience_ms(sensor)
        hours, since_ms = self._setups[sensor].hours, self._quiet_since_ms(sensor)
        if hours is None or not in_hours:
            return since_ms + patience_ms
        at_ms, opened_ms = since_ms, since_ms if hours.is_open(since_ms) else None
        for _ in range(_MAX_HOURS_STEPS):
            change_ms = hours.next_change(at_ms)
            if opened_ms is not None and opened_ms + patience_ms <= change_ms:
                return opened_ms + patience_ms
            is_open = hours.is_open(change_ms)
            opened_ms = (change_ms if opened_ms is None else opened_ms) if is_open else None
            at_ms = change_ms
        return None

    def _lapse(self, sensor: str, now_ms: int) -> list[HealthEvent]:
        """The silence that has begun by now, if one has."""
        vitals = self._vitals[sensor]
        earliest_ms = self._quiet_since_ms(sensor) + self._patience_ms(sensor)[0]
        if now_ms < earliest_ms or "silent" in vitals.conditions:
            return []
        deadline_ms = self._deadline_ms(sensor)
        if deadline_ms is None or now_ms < deadline_ms:
            return []
        quiet = duration(deadline_ms - self._quiet_since_ms(sensor))
        heard = f"no message for {quiet}" if vitals.heard_ms is not None else f"never heard in {quiet}"
        return self._begin(sensor, "silent", deadline_ms, f"{heard}; check its power and network")

    def _schedule(self, sensor: str, *, exact: bool = False) -> None:
        """Queue the next look at a sensor: at its deadline if that is asked for, else no later than it can be."""
        if "silent" in self._vitals[sensor].conditions:
            return
        due_ms: int | None = self._quiet_since_ms(sensor) + self._patience_ms(sensor)[0]
        if exact:
            due_ms = self._deadline_ms(sensor)
        if due_ms is None or self._queued.get(sensor, due_ms + 1) <= due_ms:
            return
        self._queued[sensor] = due_ms
        heapq.heappush(self._queue, (due_ms, sensor))

    def _begin(self, sensor: str, condition: Condition, since_ms: int, detail: str) -> list[HealthEvent]:
        vitals = self._vitals[sensor]
        if condition in vitals.conditions:
            return []
        vitals.conditions[condition], vitals.details[condition] = since_ms, detail
        state = vitals.state if condition in {"battery", "tamper"} else cast("State", condition)
        return [HealthEvent(sensor, state, since_ms, detail)]

    def _end(self, sensor: str, condition: Condition, now_ms: int, detail: str) -> list[HealthEvent]:
        vitals = self._vitals[sensor]
        began_ms = vitals.conditions.pop(condition, None)
        if began_ms is None:
            return []
        vitals.details.pop(condition, None)
        if condition == "silent":
            # What others counted meanwhile says nothing about whether it is stuck.
            vitals.others_since = 0
            self._schedule(sensor)
        if not vitals.conditions:
            vitals.live_ms = now_ms
        return [HealthEvent(sensor, vitals.state, now_ms, f"{detail}, after {duration(now_ms - began_ms)}")]
