"""Running totals to counts: which part of a new total has not been counted yet.

A total only ever grows, so one that fell means something: the sensor restarted, its counter wrapped, or the message is
late. What else the message carries decides, in this order: when the total began, uptime, sequence number, the device's
clock where it is sane, and last the size of the numbers. Where nothing decides, nothing is counted: a person missed is
put right by the next calibration, a person counted twice is not.
"""

from typing import Literal, NamedTuple

import msgspec

MODULI = (2**16, 2**32)
"""Where counters of 16 and 32 bits start again at zero."""
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_CLOCK_AHEAD_MS = 120_000
# Two clocks of one device agree to within this.
_AGREE_MS = 10_000
# Messages overtake each other by seconds, in a backlog by minutes; further back is another life of the counter.
_LATE_UPTIME_S = 300
_LATE_UPTIME_MOST_S = 3_600
_LATE_SEQ = 64
# So many messages may overtake one; a number that fell further began anew.
_OVERTAKEN = 8
_LATE_PEOPLE = 64
# No door passes more people than this; a total that ran faster was set, not counted.
_PEOPLE_PER_S = 100
_BURST_PEOPLE = 20_000
# A total that keeps growing below the base for this long is no late message: the base is wrong.
_RUN_LENGTH = 5
_RUN_MS = 900_000

Order = Literal["newer", "older", "restarted"]


class Total(msgspec.Struct, frozen=True, array_like=True):
    """One running total and what its message said about when it was true."""

    ins: int
    outs: int
    received_ms: int
    to_ms: int | None = None
    began_ms: int | None = None
    seq: int | None = None
    uptime_s: float | None = None

    @property
    def people(self) -> int:
        """Both directions together."""
        return self.ins + self.outs


class Step(NamedTuple):
    """What a total adds to the one before it."""

    ins: int
    outs: int
    since: Total
    """The total counted before; its times begin the window in which the people crossed."""


class Totals(msgspec.Struct):
    """The running total of one line as far as it has been counted."""

    base: Total | None = None
    before: Total | None = None
    """The last total before the counter started again, to recognise its late messages."""
    ahead: Total | None = None
    """A retained total beyond the base, until the next live one tells what it meant; see `take`."""
    run: Total | None = None
    """The first of a run of totals below the base that grow like live ones."""
    run_last: Total | None = None
    run_length: int = 0
    wraps: bool = False
    """Whether this counter has been seen to pass its end."""
    zeroes: bool = False
    """Whether a restart has been seen to set this counter to zero; some keep their total."""

    def take(self, new: Total, *, retained: bool = False) -> Step | None:
        """Count what is new in a total; None where it only sets or confirms the base.

        A retained total counts nothing: the people it adds may have come at any time. It moves the base forward, unless
        the next live total is not beyond it: then the broker had queued messages and delivers them now, and they count.
        It never moves the base back.
        """
        if self.base is None:
            self.base = new
            return None
        if retained:
            rises = new.ins >= self.base.ins and new.outs >= self.base.outs
            if rises and self._order(self.base, new) in {"newer", None}:
                self.ahead = new
            return None
        base = self._base_for(self.base, new)
        if new.ins >= base.ins and new.outs >= base.outs:
            return self._risen(base, new)
        return self._fallen(base, new)

    def _base_for(self, base: Total, new: Total) -> Total:
        ahead, self.ahead = self.ahead, None
        if ahead is None or new.people == ahead.people or new.ins < ahead.ins or new.outs < ahead.outs:
            return base
        if order_of(ahead, new) not in {"newer", None}:
            return base
        self.base = ahead
        return ahead

    def _count(self, base: Total, new: Total, ins: int, outs: int) -> Step:
        self.base, self.run, self.run_last, self.run_length = new, None, None, 0
        return Step(ins, outs, base)

    def _set(self, new: Total) -> None:
        self.before, self.ahead = self.base, None
        self.base, self.run, self.run_last, self.run_length = new, None, None, 0

    def _risen(self, base: Total, new: Total) -> Step | None:
        order = order_of(base, new)
        if order == "restarted" and (self.zeroes or _life(base, new) == "other"):
            return self._restart(base, new)
        if order == "older" and (_life(base, new) == "other" or new.people == base.people):
            return None
        if self._is_of_before(base, new) or (self.wraps and _is_before_wrap(base, new)):
            return None
        if new.people - base.people > _BURST_PEOPLE + _PEOPLE_PER_S * elapsed_ms(base, new) / 1000:
            self._set(new)
            return None
        if order == "restarted":
            self.before = base
        return self._count(base, new, new.ins - base.ins, new.outs - base.outs)

    def _fallen(self, base: Total, new: Total) -> Step | None:
        order = self._order(base, new)
        if order == "older":
            return self._late(base, new)
        wrapped = None if order == "restarted" else wrap(base, new)
        if wrapped is not None:
            self._set(new)
            self.wraps = True
            return Step(*wrapped, base)
        if order == "restarted":
            self.zeroes = True
            return self._restart(base, new)
        if _life(base, new) == "same":
            return self._late(base, new)
        if order == "newer":
            # Not late, not wrapped: the counter was zeroed, or (still near its old height) put right by hand.
            if 2 * new.people <= base.people or _one_boot(base, new) is False or _is_up_since(base, new):
                return self._restart(base, new)
            self._set(new)
            return None
        if _is_near_zero(base, new):
            return self._restart(base, new)
        return self._late(base, new)

    def _restart(self, base: Total, new: Total) -> Step | None:
        uptime_s = 0.0 if new.uptime_s is None else new.uptime_s
        below = new.ins <= base.ins and new.outs <= base.outs and new.began_ms is None
        restored = below and 10 * new.people >= 9 * base.people and new.people > 10 + 2 * uptime_s
        self._set(new)
        # A restarted sensor that stands near its old height loaded an older total from its memory.
        return None if restored else Step(new.ins, new.outs, base)

    def _late(self, base: Total, new: Total) -> Step | None:
        if order_of(base, new) == "older":
            return None
        last = self.run_last
        if last is None or self.run is None or new.ins < last.ins or new.outs < last.outs:
            self.run, self.run_length = new, 1
        else:
            self.run_length += 1
        self.run_last = new
        if self.run_length < _RUN_LENGTH or new.received_ms - self.run.received_ms < _RUN_MS:
            return None
        first = self.run
        self._set(new)
        return Step(new.ins - first.ins, new.outs - first.outs, first)

    def _order(self, base: Total, new: Total) -> Order | None:
        return "older" if self._is_of_before(base, new) else order_of(base, new)

    def _is_of_before(self, base: Total, new: Total) -> bool:
        """Whether this is a late message from before the counter last started again."""
        before = self.before
        if before is None or new.ins > before.ins or new.outs > before.outs:
            return False
        behind = before.people - new.people
        if behind > _LATE_PEOPLE or new.received_ms - before.received_ms > _HOUR_MS:
            return False
        if _is_overtaken(base, new):
            return True
        if _life(before, new) is not None:
            return _life(before, new) == "same" and _life(base, new) == "other"
        if _one_boot(before, new) and _one_boot(base, new) is False:
            return True
        if new.uptime_s is not None and base.uptime_s is not None and before.uptime_s is not None:
            ahead_s = new.uptime_s - base.uptime_s
            return new.uptime_s <= before.uptime_s and ahead_s * 1000 > elapsed_ms(base, new) + _CLOCK_AHEAD_MS
        return new.people - base.people > 4 * behind and order_of(base, new) in {"older", None}


def order_of(base: Total, new: Total) -> Order | None:
    """Whether `new` was true after `base`, before it, or after a restart; None where the messages do not say."""
    if base.began_ms is not None and new.began_ms is not None and _life(base, new) == "other":
        return "restarted" if new.began_ms > base.began_ms else "older"
    same = (new.ins, new.outs, new.uptime_s) == (base.ins, base.outs, base.uptime_s)
    if base.uptime_s is not None and new.uptime_s is not None and not same:
        return _order_by_uptime(base, new, new.uptime_s - base.uptime_s)
    if base.seq is not None and new.seq is not None and new.seq != base.seq:
        if 0 < base.seq - new.seq <= _LATE_SEQ and new.seq > 1:
            return "older"
        if 0 < new.seq - base.seq <= 1_000:
            return "newer"
    clock_ms = _clock_step_ms(base, new)
    if clock_ms is not None and clock_ms > -_HOUR_MS:
        return "newer" if clock_ms > 0 else "older"
    return None


def _order_by_uptime(base: Total, new: Total, risen_s: float) -> Order:
    if risen_s > 0:
        return "newer"
    clock_ms = _clock_step_ms(base, new)
    if clock_ms is not None and clock_ms < 0 and clock_ms - 1000 * risen_s <= _AGREE_MS:
        return "older"  # the clock went back as far as the uptime, or further
    if _is_overtaken(base, new):
        return "older"
    # A restart lies between the two arrivals, unless a queue delivers both at once: then the size has to tell.
    low = -risen_s > _LATE_UPTIME_S and _is_near_zero(base, new)
    return "restarted" if _is_up_since(base, new) or low or -risen_s > _LATE_UPTIME_MOST_S else "older"


def _is_overtaken(base: Total, new: Total) -> bool:
    """Whether the sequence numbers say that `base` overtook `new`; 0 and 1 are where numbers begin anew."""
    return base.seq is not None and new.seq is not None and 1 < new.seq < base.seq <= new.seq + _OVERTAKEN


def _is_up_since(base: Total, new: Total) -> bool:
    """Whether the sensor can have started after it sent `base`."""
    return new.uptime_s is not None and 1000 * new.uptime_s <= elapsed_ms(base, new) + 1_000


def _is_near_zero(base: Total, new: Total) -> bool:
    """Whether a total fell as far as only a restart takes it: to a quarter, and by more than a late message would."""
    return 4 * new.people <= base.people and base.people - new.people >= 8


def _life(base: Total, new: Total) -> Literal["same", "other"] | None:
    """Whether two totals began at the same moment; None where the sender does not say."""
    if base.began_ms is None or new.began_ms is None:
        return None
    return "same" if abs(new.began_ms - base.began_ms) <= _AGREE_MS else "other"


def _one_boot(one: Total, other: Total) -> bool | None:
    """Whether two totals name the same moment of starting, by clock less uptime; None where they do not say."""
    if one.uptime_s is None or other.uptime_s is None or one.to_ms is None or other.to_ms is None:
        return None
    if not (is_sane(one.to_ms, one.received_ms) and is_sane(other.to_ms, other.received_ms)):
        return None
    return abs(other.to_ms - one.to_ms - 1000 * (other.uptime_s - one.uptime_s)) <= _AGREE_MS


def wrap(base: Total, new: Total) -> tuple[int, int] | None:
    """The people counted, if a counter of 16 or 32 bits that passed its end explains `new`.

    Only a step that a door could have seen since does: else every restart of a high counter would be a crowd.
    """
    plausible = 200 + elapsed_ms(base, new) / 2000
    for modulus in MODULI:
        if max(base.ins, base.outs, new.ins, new.outs) >= modulus:
            continue
        ins, outs = (new.ins - base.ins) % modulus, (new.outs - base.outs) % modulus
        if ins + outs <= min(plausible, modulus / 16):
            return ins, outs
    return None


def _is_before_wrap(base: Total, new: Total) -> bool:
    """Whether `new` is a late message from just before the counter passed its end."""
    back = wrap(new, base)
    return back is not None and sum(back) < new.people - base.people


def is_sane(to_ms: int | None, received_ms: int) -> bool:
    """Whether a device's time may date its message: not ahead of the arrival, and not more than a day behind it."""
    return to_ms is not None and -_DAY_MS <= to_ms - received_ms <= _CLOCK_AHEAD_MS


def elapsed_ms(base: Total, new: Total) -> int:
    """Time between two totals: by arrival, or by the device's clock where that is more (a queue arrives at once)."""
    clock_ms = _clock_step_ms(base, new)
    return max(new.received_ms - base.received_ms, clock_ms or 0, 0)


def _clock_step_ms(base: Total, new: Total) -> int | None:
    """How far the device's clock went on; None where it stood still or is not sane."""
    if base.to_ms is None or new.to_ms is None or base.to_ms == new.to_ms:
        return None
    if not (is_sane(base.to_ms, base.received_ms) and is_sane(new.to_ms, new.received_ms)):
        return None
    return new.to_ms - base.to_ms
